"""CPU time per request of weir-data-plane beside nginx, both with one worker.

The machine's noise cancels out because the proxies take turns: what counts is the ratio of their medians in one run.
Core 0 has the proxy alone; core 1 has the backend (nginx, `return 200`, 120 bytes, on 3 ports) and wrk with 64
connections. CPU time is the proxy's own from /proc, divided by the requests that wrk counted.

Needs nginx and wrk (Debian packages of these names, installed when missing).
"""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import answers, build, cpu_seconds_of_threads, free_ports, install, start, target_folder, wait_until

PROXY_CORE, OTHER_CORE = "0", "1"
CONNECTIONS = 64
BODY = "x" * 120


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=3, help="turns of each proxy (3)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a turn (4)")
    parser.add_argument("--limit", type=float, default=1.25, help="http1 fails above this ratio (1.25)")


def run(args, stack):
    """True if the limit is kept."""
    install("nginx", "wrk")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    backends = free_ports(3)
    start_nginx(stack, folder / "backend", backend_config(backends), OTHER_CORE)
    peers = {
        "nginx": start_nginx_proxy(stack, folder / "nginx", backends),
        "weir": start_weir(stack, folder / "weir", manifest(backends), target_folder(args.profile)),
    }
    return report(measure(peers, args.rounds, args.seconds), args.limit)


# What is measured


def measure(peers, rounds, seconds):
    samples = {name: [] for name in peers}
    for proxy in peers.values():
        load(proxy.port, 1)  # connections are made, caches are warm
    for round_number in range(1, rounds + 1):
        for name, proxy in peers.items():
            sample = one_turn(proxy, seconds)
            samples[name].append(sample)
            print(f"round {round_number}  {name:6} {sample:6.2f} us of CPU per request", flush=True)
    return samples


def one_turn(proxy, seconds):
    return cpu_per(proxy.pid, lambda: load(proxy.port, seconds))


def cpu_per(pid, work):
    """Microseconds of CPU time that a process takes for one of what `work` counts."""
    before = cpu_seconds_of_threads(pid)
    count = work()
    return (cpu_seconds_of_threads(pid) - before) / count * 1e6


def load(port, seconds, path="/", connections=CONNECTIONS, scheme="http"):
    """Requests answered; any that failed ends the run, as its figures would mean nothing."""
    url = f"{scheme}://127.0.0.1:{port}{path}"
    wrk = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    output = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"requests failed:\n{output}")
    return int(re.search(r"(\d+) requests in", output).group(1))


def report(samples, limit):
    medians = {name: statistics.median(values) for name, values in samples.items()}
    ratio = medians["weir"] / medians["nginx"]
    for name, value in medians.items():
        print(f"median   {name:6} {value:6.2f} us")
    print(f"ratio    {ratio:.3f} of nginx (limit {limit})")
    return ratio <= limit


# The proxies and their backend


class Proxy:
    def __init__(self, port, pid):
        self.port, self.pid = port, pid


def start_nginx(stack, folder, config, core):
    """Gives the pid of the worker, which does all the work."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(config)
    (folder / "logs").mkdir()
    master = start(stack, ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"], core)
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
    wait_until(lambda: children.read_text().strip(), "nginx starts its worker")
    return int(children.read_text().split()[0])


def start_nginx_proxy(stack, folder, backends):
    (port,) = free_ports(1)
    pid = start_nginx(stack, folder, proxy_config(port, backends), PROXY_CORE)
    wait_until(lambda: answers(port), "nginx answers")
    return Proxy(port, pid)


def start_weir(stack, folder, manifests, programs, protocol=""):
    """`protocol` is what `--listen` says of it."""
    (port,) = free_ports(1)
    pid = start_planes(stack, folder, manifests, programs, ["--listen", f"bench=127.0.0.1:{port}{protocol}"])
    wait_until(lambda: answers(port), "weir answers")
    return Proxy(port, pid)


def start_planes(stack, folder, manifests, programs, options, admin=None):
    """Gives the pid of the data plane, which has these options, and its admin server at this port or any."""
    folder.mkdir()
    (folder / "web.yaml").write_text(manifests)
    any_admin, grpc, control_admin = free_ports(3)
    control = ["--folder", str(folder), "--grpc", f"127.0.0.1:{grpc}", "--admin", f"127.0.0.1:{control_admin}"]
    start(stack, [str(programs / "weir-control-plane"), *control], OTHER_CORE)
    data = ["--control-plane", f"http://127.0.0.1:{grpc}", "--admin", f"127.0.0.1:{admin or any_admin}", "--workers", "1"]
    data += ["--drain-delay", "0s", *options]
    return start(stack, [str(programs / "weir-data-plane"), *data], PROXY_CORE).pid


def backend_config(ports):
    listens = " ".join(f"listen 127.0.0.1:{port} backlog=1024;" for port in ports)
    return nginx_config(f'server {{ {listens} location / {{ return 200 "{BODY}"; }} }}')


def proxy_config(port, backends):
    return proxies_config([f"listen 127.0.0.1:{port} backlog=1024;"], backends)


def proxies_config(listens, backends):
    """A server for each of these ways to listen, all before the same backends."""
    upstreams = " ".join(f"server 127.0.0.1:{backend};" for backend in backends)
    location = 'location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    servers = " ".join(f"server {{ {listen} {location} }}" for listen in listens)
    return nginx_config(f"upstream web {{ {upstreams} keepalive 128; keepalive_requests 1000000000; }} {servers}")


def nginx_config(http):
    return (
        "daemon off; worker_processes 1; pid logs/pid; error_log stderr crit;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; keepalive_requests 1000000000; {http} }}"
    )


def manifest(backends):
    head = "---\napiVersion: weir.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}, namespace: bench}}\nspec: {}\n"
    pool = head.format("Pool", "web", "{}")
    rows = (head.format("Backend", f"web-{p}", f'{{pool: web, address: "127.0.0.1:{p}"}}') for p in backends)
    return pool + "".join(rows)
