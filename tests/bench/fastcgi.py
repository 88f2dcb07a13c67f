"""CPU time per request of weir-data-plane before php-fpm beside nginx's fastcgi_pass, both with one worker.

As `http1`, but the backend is php-fpm on a Unix socket, with a process for each connection of wrk, and both proxies keep
their connections to it.

Needs nginx, wrk and php-fpm (Debian packages of these names, installed when missing).
"""

import os
import shutil
import tempfile
from pathlib import Path

from http1 import (
    CONNECTIONS,
    OTHER_CORE,
    PROXY_CORE,
    BODY,
    Proxy,
    measure,
    nginx_config,
    report,
    start_nginx,
    start_weir,
)
from machine import answers, build, free_ports, install, start, target_folder, wait_until


def add_arguments(parser):
    parser.add_argument("--fastcgi-limit", type=float, default=1.25, help="fastcgi fails above this ratio (1.25)")


def run(args, stack):
    """True if the limit is kept."""
    install("nginx", "wrk")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    socket = start_php(stack, folder / "php")
    peers = {
        "nginx": start_proxy(stack, folder, socket),
        "weir": start_weir(stack, folder / "weir", manifest(folder / "php", socket), target_folder(args.profile)),
    }
    return report(measure(peers, args.rounds, args.seconds), args.fastcgi_limit)


def start_php(stack, folder):
    folder.mkdir()
    (folder / "index.php").write_text(f"<?php echo '{BODY}';")
    socket = folder / "php.sock"
    config = f"[global]\nerror_log = /dev/null\n[www]\nlisten = {socket}\nlisten.backlog = 511\n"
    config += f"pm = static\npm.max_children = {2 * CONNECTIONS}\n"
    if os.geteuid() == 0:
        config += "user = root\ngroup = root\nlisten.mode = 0666\n"
        folder.parent.chmod(0o755)
    (folder / "php-fpm.conf").write_text(config)
    command = [php_fpm(), "--nodaemonize", "--no-php-ini", "--allow-to-run-as-root"]
    start(stack, [*command, "--fpm-config", str(folder / "php-fpm.conf")], OTHER_CORE)
    wait_until(socket.exists, "php-fpm listens")
    return socket


def php_fpm():
    """Debian's is called after its version."""
    found = shutil.which("php-fpm") or next(map(str, sorted(Path("/usr/sbin").glob("php-fpm*"))), None)
    if not found:
        install("php-fpm")
        return php_fpm()
    return found


def start_proxy(stack, folder, socket):
    (port,) = free_ports(1)
    config = nginx_config(
        f"upstream php {{ server unix:{socket}; keepalive 128; keepalive_requests 1000000000; }}"
        f"server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ fastcgi_pass php; fastcgi_keep_conn on;"
        f" include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME {socket.parent}/index.php; }} }}"
    )
    pid = start_nginx(stack, folder / "nginx", config, PROXY_CORE)
    wait_until(lambda: answers(port), "nginx answers")
    return Proxy(port, pid)


def manifest(root, socket):
    head = "---\napiVersion: weir.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}, namespace: bench}}\nspec: {}\n"
    spec = f"{{pool: web, address: 'unix:{socket}', protocol: FastCGI, fastcgi: {{documentRoot: {root}}}}}"
    return head.format("Pool", "web", "{}") + head.format("Backend", "php", spec)
