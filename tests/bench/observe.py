"""What looking on costs: /metrics scraped and the page's questions asked each second, with 1,000 pools and 5,000 backends.

The latency of steady traffic is taken in pairs of turns, one that is looked at between two that are not, which see the same
noise of the machine. What counts is the median of the ratios. Core 0 has the proxy with its one worker and the
thread that answers; core 1 has the backend (nginx, 120 bytes), h2load with HTTP/1.1 and whoever looks.

Needs nginx and h2load (Debian packages nginx and nghttp2-client, installed when missing).
"""

import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from http1 import OTHER_CORE, backend_config, start_nginx, start_planes
from machine import answers, build, free_ports, install, target_folder, wait_until

POOLS, BACKENDS_EACH = 1_000, 5
CLIENTS, REQUESTS_A_SECOND = 20, 2_000
QUESTIONS = ["/metrics", "/api/v1/overview", "/api/v1/pools?offset=0&limit=25"]
# Growth of the 99th percentile, and seconds of a scrape.
P99_LIMIT, SCRAPE_LIMIT = 1.05, 0.05


def add_arguments(parser):
    parser.add_argument("--looks", type=int, default=8, help="turns that are looked at (8)")
    parser.add_argument("--look-seconds", type=int, default=4, help="length of a turn with or without a look (4)")


def run(args, stack):
    """True if the limits are kept."""
    install("nginx", "h2load")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    backends = free_ports(BACKENDS_EACH)
    port, admin = free_ports(2)
    start_nginx(stack, folder / "backend", backend_config(backends), OTHER_CORE)
    options = ["--listen", f"bench=127.0.0.1:{port}"]
    start_planes(stack, folder / "weir", manifest(backends), target_folder(args.profile), options, admin)
    wait_until(lambda: answers(port, "/p999"), "the last pool answers")
    for pool in range(POOLS):  # each has its series then
        urllib.request.urlopen(f"http://127.0.0.1:{port}/p{pool}").close()
    return report(*measure(args, folder, port, admin))


def manifest(backends):
    documents = []
    for pool in range(POOLS):
        documents.append(
            "apiVersion: weir.dev/v1alpha1\nkind: Pool\n"
            f"metadata: {{name: p{pool}, namespace: bench}}\n"
            f"spec: {{match: [{{path: {{type: Prefix, value: /p{pool}}}}}]}}\n"
        )
        documents += [
            "apiVersion: weir.dev/v1alpha1\nkind: Backend\n"
            f"metadata: {{name: b{pool}-{number}, namespace: bench}}\n"
            f"spec: {{pool: p{pool}, address: '127.0.0.1:{backend}'}}\n"
            for number, backend in enumerate(backends)
        ]
    return "---\n".join(documents)


def measure(args, folder, port, admin):
    """Ratios of the 99th percentile, and seconds of each scrape."""
    ratios, scrapes = [], []
    before = p99(folder, port, args.look_seconds)
    for number in range(args.looks):
        with Looking(admin) as looking:
            during = p99(folder, port, args.look_seconds)
        after = p99(folder, port, args.look_seconds)
        ratios.append(during / statistics.mean([before, after]))
        scrapes += looking.scrapes
        print(f"turn {number + 1} of {args.looks}: p99 {before:.0f}, {during:.0f} looked at, {after:.0f} us", flush=True)
        before = after
    return ratios, scrapes


def p99(folder, port, seconds):
    """Of the latency, in microseconds."""
    log = folder / "latencies"
    each = REQUESTS_A_SECOND // CLIENTS
    h2load = ["h2load", "--h1", f"-c{CLIENTS}", "-t1", f"-D{seconds}", f"--rps={each}", f"--log-file={log}"]
    command = ["taskset", "-c", OTHER_CORE, *h2load, f"http://127.0.0.1:{port}/p7"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [line.split() for line in log.read_text().splitlines()]
    log.unlink()
    if not lines or any(status != "200" for _, status, _ in lines):
        raise SystemExit("requests failed")
    return statistics.quantiles([int(time) for _, _, time in lines], n=100)[-1]


class Looking:
    """Asks once a second what Prometheus and the page ask."""

    def __init__(self, admin):
        self.admin, self.scrapes, self.over = admin, [], threading.Event()
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def look(self):
        while not self.over.wait(1):
            for question in QUESTIONS:
                began = time.monotonic()
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{question}") as answer:
                    answer.read()
                if question == "/metrics":
                    self.scrapes.append(time.monotonic() - began)


def report(ratios, scrapes):
    growth, scrape = statistics.median(ratios), statistics.median(scrapes)
    low, _, high = statistics.quantiles(ratios, n=4)
    print(f"p99 with {POOLS} pools looked at: {growth:.3f} of that without (quartiles {low:.3f} to {high:.3f}; limit {P99_LIMIT})")
    print(f"a scrape: {scrape * 1000:.1f} ms, at most {max(scrapes) * 1000:.1f} (limit {SCRAPE_LIMIT * 1000:.0f} for the median)")
    return growth <= P99_LIMIT and scrape <= SCRAPE_LIMIT
