<?php
// Answers as it is asked to.
switch ($_GET['what']) {
    case 'missing':
        http_response_code(404);
        header('X-Odd: one', false);
        header('X-Odd: two', false);
        setcookie('a', '1');
        setcookie('b', '2');
        echo 'nothing here';
        break;
    case 'redirect':
        header('Location: /elsewhere');
        break;
    case 'empty':
        http_response_code(204);
        break;
    case 'length':
        header('Content-Length: 5');
        echo 'hello';
        break;
    case 'complaint':
        error_log("first complaint\nsecond complaint");
        echo 'done';
        break;
}
