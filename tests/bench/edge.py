"""What the parts with TLS and HTTP/2 share: Weir, nginx, HAProxy and Envoy, each with one worker before the same
backends, with the same certificate (ECDSA P-256), and otherwise as their makers set them up; and turns of them all.

Each serves HTTPS on one port (HTTP/2 and HTTP/1.1, by ALPN) and HTTP/2 with prior knowledge on another. Envoy is left
out where it cannot be got.
"""

import statistics
import subprocess
from collections import namedtuple

from envoy import envoy_program, listener, start_envoy, tls_socket
from http1 import (
    OTHER_CORE,
    PROXY_CORE,
    backend_config,
    cpu_per,
    manifest,
    proxies_config,
    start_nginx,
    start_planes,
)
from machine import answers, build, free_ports, install, start, target_folder, wait_until

# A proxy with its two ports.
Edge = namedtuple("Edge", ["clear", "secure", "pid"])
# What clients do with a proxy, given it and a number of seconds: how often it was done.
Load = namedtuple("Load", ["what", "run"])


def add_limit(parser, part):
    parser.add_argument(f"--{part}-limit", type=float, default=1.25, help=f"{part} fails above this ratio to nginx (1.25)")


def start_edges(args, stack, folder):
    install("nginx", "haproxy", "openssl")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    backends = free_ports(3)
    start_nginx(stack, folder / "backend", backend_config(backends), OTHER_CORE)
    certificate, key = make_certificate(folder / "tls")
    common = (backends, certificate, key)
    edges = {
        "nginx": start_nginx_edge(stack, folder / "nginx", *common),
        "haproxy": start_haproxy_edge(stack, folder / "haproxy", *common),
        "weir": start_weir_edge(stack, folder / "weir", *common, target_folder(args.profile)),
    }
    program = envoy_program()
    if program:
        edges["envoy"] = start_envoy_edge(stack, folder / "envoy", *common, program)
    else:
        print("Envoy cannot be got here: its rows are left out")
    for name, edge in edges.items():
        wait_until(lambda: answers(edge.secure, scheme="https"), f"{name} answers")
    return edges


def make_certificate(folder):
    """The names are those that `--tls-dir` takes for a certificate of any host."""
    folder.mkdir()
    certificate, key = folder / "default.crt", folder / "default.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    command += ["-subj", "/CN=bench.example.com", "-addext", "subjectAltName=DNS:bench.example.com"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


# Turns of them all


def measure(name, load, edges, args):
    """Medians of the CPU time of one of what the load does, by proxy."""
    samples = {edge: [] for edge in edges}
    for edge in edges.values():
        load.run(edge, 1)  # connections are made, caches are warm
    for turn in range(1, args.rounds + 1):
        for proxy, edge in edges.items():
            samples[proxy].append(cpu_per(edge.pid, lambda: load.run(edge, args.seconds)))
            print(f"{name:9} round {turn}  {proxy:8} {samples[proxy][-1]:8.2f} us of CPU per {load.what}", flush=True)
    return {proxy: statistics.median(values) for proxy, values in samples.items()}


def report(name, load, medians, limit):
    """True if the limit is kept."""
    for proxy, value in medians.items():
        ratio = medians["weir"] / value
        each = f"{value:8.2f} us {1e6 / value:9.0f} {load.what}s per CPU second"
        print(f"{name:9} median   {proxy:8} {each}  weir takes {ratio:.3f} of it")
    return medians["weir"] / medians["nginx"] <= limit


def measure_all(loads, edges, args, limit):
    """True if the limit is kept by each."""
    medians = {name: measure(name, load, edges, args) for name, load in loads.items()}
    return all([report(name, load, medians[name], limit) for name, load in loads.items()])


# The proxies


def start_nginx_edge(stack, folder, backends, certificate, key):
    clear, secure = free_ports(2)
    pair = f"ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
    listens = [
        f"listen 127.0.0.1:{clear} http2 backlog=1024;",
        f"listen 127.0.0.1:{secure} ssl http2 backlog=1024; {pair}",
    ]
    return Edge(clear, secure, start_nginx(stack, folder, proxies_config(listens, backends), PROXY_CORE))


def start_haproxy_edge(stack, folder, backends, certificate, key):
    folder.mkdir()
    clear, secure = free_ports(2)
    pair = folder / "pair.pem"
    pair.write_text(certificate.read_text() + key.read_text())
    servers = "".join(f"    server s{n} 127.0.0.1:{backend}\n" for n, backend in enumerate(backends))
    (folder / "haproxy.cfg").write_text(
        "global\n    nbthread 1\n    maxconn 4096\n"
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n"
        f"listen bench\n    bind 127.0.0.1:{clear} proto h2\n"
        f"    bind 127.0.0.1:{secure} ssl crt {pair} alpn h2,http/1.1\n    balance roundrobin\n{servers}"
    )
    command = ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
    return Edge(clear, secure, start(stack, command, PROXY_CORE).pid)


def start_envoy_edge(stack, folder, backends, certificate, key, program):
    clear, secure = free_ports(2)
    listeners = [listener(clear), listener(secure, socket=tls_socket(certificate, key))]
    return Edge(clear, secure, start_envoy(stack, program, folder, listeners, backends))


def start_weir_edge(stack, folder, backends, certificate, key, programs):
    clear, secure = free_ports(2)
    options = ["--listen", f"clear=127.0.0.1:{clear}", "--listen", f"secure=127.0.0.1:{secure},tls"]
    options += ["--tls-dir", str(certificate.parent)]
    return Edge(clear, secure, start_planes(stack, folder, manifest(backends), programs, options))
