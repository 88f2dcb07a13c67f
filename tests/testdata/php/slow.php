<?php
// Takes its time.
usleep(1000 * (int) $_GET['ms']);
echo getmypid();
