"""CPU time of weir-data-plane beside HAProxy's tcp mode: in bulk, and with small messages to and fro.

The machine's noise cancels out because the proxies take turns: what counts is the ratio of their medians in one run.
Core 0 has the proxy alone, with one worker; core 1 has the backend (nginx) and wrk. In bulk wrk fetches a file of 1 MiB
on 8 connections, and what counts is MiB per second of the proxy's CPU; with small messages it fetches 120 bytes on 64
connections, and what counts is CPU per request. HAProxy is set up for each: it splices in bulk, and copies what is
small.

Needs nginx, haproxy and wrk (Debian packages of these names, installed when missing).
"""

import statistics
import tempfile
from pathlib import Path

from http1 import (
    BODY,
    OTHER_CORE,
    PROXY_CORE,
    Proxy,
    load,
    manifest,
    nginx_config,
    start_nginx,
    start_weir,
)
from machine import answers, build, cpu_seconds, free_ports, install, start, target_folder, wait_until

FILE_MIB = 1
BULK_CONNECTIONS = 8


def add_arguments(parser):
    parser.add_argument("--tcp-limit", type=float, default=1.0, help="tcp fails above this share of HAProxy's CPU (1.0)")


def run(args, stack):
    """True if the limit is kept in both parts."""
    install("nginx", "haproxy", "wrk")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    folder.chmod(0o755)  # nginx reads its file as nobody
    backends = free_ports(3)
    start_nginx(stack, folder / "backend", backend_config(folder, backends), OTHER_CORE)
    manifests = manifest(backends).replace("spec: {}", "spec: {protocol: TCP}", 1)
    weir = start_weir(stack, folder / "weir", manifests, target_folder(args.profile), ",tcp")
    kept = []
    for name, (part, options) in PARTS.items():
        haproxy = start_haproxy(stack, folder / f"{name}.cfg", backends, options)
        kept.append(report(name, measure(name, part, {"haproxy": haproxy, "weir": weir}, args), args.tcp_limit))
    return all(kept)


# What is measured: CPU time, for a MiB or for a request


def bulk(proxy, seconds):
    before = cpu_seconds(proxy.pid)
    files = load(proxy.port, seconds, "/file", BULK_CONNECTIONS)
    return (cpu_seconds(proxy.pid) - before) / (files * FILE_MIB) * 1e6


def small(proxy, seconds):
    before = cpu_seconds(proxy.pid)
    requests = load(proxy.port, seconds)
    return (cpu_seconds(proxy.pid) - before) / requests * 1e6


# What is measured, and what HAProxy is told for it.
PARTS = {"bulk": (bulk, ["splice-request", "splice-response"]), "small": (small, [])}
UNITS = {"bulk": "us of CPU per MiB", "small": "us of CPU per request"}


def measure(name, part, peers, args):
    samples = {peer: [] for peer in peers}
    for proxy in peers.values():
        part(proxy, 1)  # connections are made, caches are warm
    for turn in range(1, args.rounds + 1):
        for peer, proxy in peers.items():
            samples[peer].append(part(proxy, args.seconds))
            print(f"{name:5} round {turn}  {peer:8} {samples[peer][-1]:8.2f} {UNITS[name]}", flush=True)
    return {peer: statistics.median(values) for peer, values in samples.items()}


def report(name, medians, limit):
    for peer, value in medians.items():
        per_second = f"  {1e6 / value:8.0f} MiB per second of CPU" if name == "bulk" else ""
        print(f"{name:5} median   {peer:8} {value:8.2f} {UNITS[name]}{per_second}")
    ratio = medians["weir"] / medians["haproxy"]
    print(f"{name:5} ratio    {ratio:.3f} of HAProxy (limit {limit})")
    return ratio <= limit


# The peer and the backend


def start_haproxy(stack, config, backends, options):
    (port,) = free_ports(1)
    options = "".join(f"    option {option}\n" for option in options)
    servers = "".join(f"    server s{n} 127.0.0.1:{backend}\n" for n, backend in enumerate(backends))
    config.write_text(
        "global\n    nbthread 1\n    maxconn 4096\n"
        f"defaults\n    mode tcp\n{options}    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n"
        f"listen bench\n    bind 127.0.0.1:{port}\n    balance roundrobin\n{servers}"
    )
    process = start(stack, ["haproxy", "-db", "-f", str(config)], PROXY_CORE)
    wait_until(lambda: answers(port), "HAProxy answers")
    return Proxy(port, process.pid)


def backend_config(folder, ports):
    (folder / "file").write_bytes(b"x" * (FILE_MIB << 20))
    listens = " ".join(f"listen 127.0.0.1:{port} backlog=1024;" for port in ports)
    small = f'location / {{ return 200 "{BODY}"; }}'
    file = f"location /file {{ root {folder}; sendfile on; open_file_cache max=1; }}"
    return nginx_config(f"server {{ {listens} {small} {file} }}")
