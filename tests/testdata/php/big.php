<?php
// 100 MiB; a file says how far it is.
$part = str_repeat('0123456789abcdef', 4096);
for ($i = 1; $i <= 1600; $i++) {
    echo $part;
    flush();
    file_put_contents($_GET['progress'], $i * strlen($part));
}
