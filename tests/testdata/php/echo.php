<?php
// Tells what it was given.
$body = file_get_contents('php://input');
header('Content-Type: application/json');
header('X-Process: ' . getmypid());
echo json_encode(['server' => $_SERVER, 'length' => strlen($body), 'sha256' => hash('sha256', $body), 'post' => $_POST]);
