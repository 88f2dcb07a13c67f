<?php
// Takes every path.
echo $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'], ' ', $_SERVER['REQUEST_URI'];
