<?php
// Dies at once, or in the middle of its answer.
if (isset($_GET['late'])) {
    echo str_repeat('x', 100000);
    while (ob_get_level()) {
        ob_end_flush();
    }
    flush();
}
exec('kill -9 ' . getmypid());
sleep(60);
