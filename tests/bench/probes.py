"""What active health checks cost, and whether they are in time: 2,000 endpoints, each probed every 2 s.

Core 0 has the proxy, which serves no traffic; core 1 has one nginx that all endpoints are addresses of, and whose log says
when each probe came. A probe is late by how much longer than the interval the one before it lies back.

Needs nginx (Debian package of this name, installed when missing).
"""

import collections
import json
import tempfile
import time
import urllib.request
from pathlib import Path

from http1 import OTHER_CORE, start_nginx
from machine import build, cpu_seconds, free_ports, install, start, target_folder, wait_until

ENDPOINTS = 2_000
INTERVAL = 2.0
# Share of a core, and share of the interval.
CPU_LIMIT, LATE_LIMIT = 0.05, 0.1


def add_arguments(parser):
    parser.add_argument("--probe-seconds", type=int, default=20, help="how long probes are watched (20)")


def run(args, stack):
    """True if the limits are kept."""
    install("nginx")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    (port, admin, grpc, control_admin) = free_ports(4)
    start_nginx(stack, folder / "nginx", nginx_config(port), OTHER_CORE)
    log = folder / "nginx" / "logs" / "probes"
    proxy = start_proxy(stack, folder, port, (admin, grpc, control_admin), target_folder(args.profile))
    wait_until(lambda: up(admin) == ENDPOINTS, "every endpoint is up")
    time.sleep(INTERVAL)
    before, skip = cpu_seconds(proxy.pid), log.stat().st_size
    time.sleep(args.probe_seconds)
    share = (cpu_seconds(proxy.pid) - before) / args.probe_seconds
    return report(share, gaps(log, skip))


def start_proxy(stack, folder, port, ports, programs):
    admin, grpc, control_admin = ports
    (folder / "manifests").mkdir()
    (folder / "manifests" / "web.yaml").write_text(manifest(port))
    control = ["--folder", str(folder / "manifests"), "--grpc", f"127.0.0.1:{grpc}"]
    start(stack, [str(programs / "weir-control-plane"), *control, "--admin", f"127.0.0.1:{control_admin}"], OTHER_CORE)
    data = ["--control-plane", f"http://127.0.0.1:{grpc}", "--listen", "http=127.0.0.1:0", "--workers", "1"]
    return start(stack, [str(programs / "weir-data-plane"), *data, "--admin", f"127.0.0.1:{admin}"], "0")


def manifest(port):
    text = "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: web, namespace: bench}\n"
    text += f"spec: {{health: {{active: {{path: /up, interval: {INTERVAL:.0f}s}}}}}}\n"
    for number in range(ENDPOINTS):
        address = f"127.{1 + number // 250}.0.{1 + number % 250}:{port}"
        text += "---\napiVersion: weir.dev/v1alpha1\nkind: Backend\n"
        text += f"metadata: {{name: b{number}, namespace: bench}}\nspec: {{pool: web, address: '{address}'}}\n"
    return text


def nginx_config(port):
    return (
        "daemon off; worker_processes 1; pid logs/pid; error_log stderr crit; events { worker_connections 8192; }"
        "http { keepalive_requests 1000000000; keepalive_timeout 1h; log_format probe '$msec $server_addr';"
        f" server {{ listen {port} backlog=4096; access_log logs/probes probe; location / {{ return 200 up; }} }} }}"
    )


def up(admin):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/v1/pools", timeout=5) as answer:
            state = json.load(answer)
    except OSError:
        return 0
    return sum(backend["state"] == "Up" for pool in state["pools"] for backend in pool["backends"])


def gaps(log, skip):
    """Seconds between two probes of one endpoint, all of them."""
    times = collections.defaultdict(list)
    with log.open() as lines:
        lines.seek(skip)
        lines.readline()
        for line in lines:
            at, address = line.split()
            times[address].append(float(at))
    return [later - earlier for of_one in times.values() for earlier, later in zip(of_one, of_one[1:])]


def report(share, found):
    late = max(found) / INTERVAL - 1
    print(f"{ENDPOINTS} endpoints every {INTERVAL:.0f} s: {share:.2%} of a core (limit {CPU_LIMIT:.0%}),")
    print(f"of {len(found)} probes the latest by {late:.1%} of the interval (limit {LATE_LIMIT:.0%})")
    return share <= CPU_LIMIT and late <= LATE_LIMIT
