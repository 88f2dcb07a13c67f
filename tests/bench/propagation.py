"""From a change in the API server to the first request that sees it (target P5), with a real API server.

200 changes of one route, while nothing else happens and while 2,000 other Pools change. A change begins when the API
server sends its event to a watch of the measuring program (tests/examples/propagation), the same moment at which it
sends it to the control plane; it is live when a request, one a millisecond, is answered by the new route. Everything
shares the machine: etcd, API server, control plane, one proxy with one worker, the program that measures.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import ROOT, answers, build, free_ports, start, target_folder, wait_until

IDLE_SECONDS, CHURNING_SECONDS = 0.010, 0.030


def add_arguments(parser):
    parser.add_argument("--routes", type=int, default=200, help="changes of the route that are timed, each time (200)")
    parser.add_argument("--others", type=int, default=2000, help="other Pools (2000)")
    parser.add_argument("--rate", type=int, default=50, help="how many other Pools change a second (50)")


def run(args, stack):
    """True if the limits are kept."""
    packages = [argument for name in ("control-plane", "data-plane", "tests") for argument in ("-p", f"weir-{name}")]
    build(args.profile, *packages, "--bins", "--example", "propagation")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    start_cluster(stack, folder)
    programs = target_folder(args.profile)
    proxy = start_planes(stack, folder, programs)
    command = [str(programs / "examples" / "propagation"), f"127.0.0.1:{proxy}"]
    command += [str(args.routes), str(args.others), str(args.rate)]
    environment = {**os.environ, "WEIR_TEST_CLUSTER": str(folder)}
    measuring = start(stack, command, stdout=subprocess.PIPE, text=True, env=environment)
    kept = [show(json.loads(line), limit) for line, limit in zip(measuring.stdout, (IDLE_SECONDS, CHURNING_SECONDS))]
    return len(kept) == 2 and all(kept)


def start_cluster(stack, folder):
    """It ends with this program, however that ends: it looks at its standard input."""
    command = ["go", "run", "-C", str(ROOT / "tests" / "cluster"), ".", "up", "--dir", str(folder)]
    cluster = start(stack, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not any(line == "ready\n" for line in cluster.stdout):
        sys.exit("the cluster did not start: see above")
    stack.callback(cluster.stdin.close)
    apply = [str(Path(description(folder)["bin"]) / "kubectl"), "apply", "--server-side", "-f", str(ROOT / "deploy/crds")]
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL, env=with_cluster(folder))


def start_planes(stack, folder, programs):
    """Gives the port of the proxy."""
    port, admin, grpc, control_admin = free_ports(4)
    control = ["--grpc", f"127.0.0.1:{grpc}", "--admin", f"127.0.0.1:{control_admin}"]
    start(stack, [str(programs / "weir-control-plane"), *control], env=with_cluster(folder))
    data = ["--control-plane", f"http://127.0.0.1:{grpc}", "--listen", f"http=127.0.0.1:{port}"]
    data += ["--admin", f"127.0.0.1:{admin}", "--workers", "1", "--drain-delay", "0s"]
    start(stack, [str(programs / "weir-data-plane"), *data])
    wait_until(lambda: answers(admin, "/readyz"), "the proxy is ready")
    return port


def description(folder):
    return json.loads((folder / "cluster.json").read_text())


def with_cluster(folder):
    return {**os.environ, "KUBECONFIG": description(folder)["kubeconfig"]}


def show(measured, limit):
    rate = f" ({measured['rate']:.0f} other changes a second)" if measured["rate"] else ""
    print(f"{measured['when']}{rate}")
    for what, name in (("written", "from the request to the event"), ("live", "from the event to the first request")):
        times = "  ".join(f"{figure} {measured[what][figure] * 1e3:6.1f} ms" for figure in ("p50", "p99", "max"))
        print(f"  {name:36} {times}", flush=True)
    p99 = measured["live"]["p99"]
    print(f"  limit of p99 {limit * 1e3:.0f} ms: {'kept' if p99 <= limit else 'MISSED'}", flush=True)
    return p99 <= limit
