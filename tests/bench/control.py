"""The control plane with 5,000 Pools and 15,000 Backends: its memory, its CPU time while nothing happens, without a
proxy and with a thousand, and how long a change takes to reach them all.

The control plane is the program itself, with a folder of manifests. The proxies share a process (tests/examples/flock.rs)
and serve nothing; each has a connection of its own. A change begins when its file is in place, so the figures
hold the time in which the folder is seen to change (15 ms of quiet) and read.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import answers, build, cpu_percent, free_ports, resident_mib, start, target_folder, wait_until

NAMESPACES, POOLS, BACKENDS = 50, 100, 3
MEMORY_MIB, IDLE_PERCENT, REACH_SECONDS = 100, 1.0, 0.25


def add_arguments(parser):
    parser.add_argument("--proxies", type=int, default=1000, help="proxies that are connected (1000)")
    parser.add_argument("--changes", type=int, default=100, help="changes that are timed (100)")
    parser.add_argument("--idle", type=int, default=20, help="seconds of watching an idle control plane (20)")


def run(args, stack):
    """True if the limits are kept."""
    more_files(4 * args.proxies)
    build(args.profile, "-p", "weir-control-plane", "--bins")
    build(args.profile, "-p", "weir-tests", "--example", "flock")
    programs = target_folder(args.profile)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    write_manifests(folder)
    grpc, admin = free_ports(2)
    command = ["--folder", str(folder), "--grpc", f"127.0.0.1:{grpc}", "--admin", f"127.0.0.1:{admin}"]
    pid = start(stack, [str(programs / "weir-control-plane"), *command]).pid
    wait_until(lambda: answers(admin, "/readyz"), "the control plane is ready")
    kept = [limit("resident", resident_mib(pid), MEMORY_MIB, "MiB")]
    kept += [limit("idle CPU", cpu_percent(pid, args.idle), IDLE_PERCENT, "% of a core")]
    arguments = [f"127.0.0.1:{grpc}", str(folder / "changing.yaml"), str(args.proxies), str(args.changes)]
    flock = start(stack, [str(programs / "examples" / "flock"), *arguments], **pipes())
    print(f"{args.proxies} proxies have everything after {line(flock)['connected']:.2f} s")
    kept += [limit("resident, proxies connected", resident_mib(pid), MEMORY_MIB, "MiB")]
    kept += [limit("idle CPU, proxies connected", cpu_percent(pid, args.idle), IDLE_PERCENT, "% of a core")]
    flock.stdin.write("go\n")
    flock.stdin.flush()
    figures = line(flock)
    show("a change reaches a proxy after", figures["each"])
    show("a change has reached them all after", figures["last"])
    kept += [limit("p99 to reach them all", figures["last"]["p99"] * 1e3, REACH_SECONDS * 1e3, "ms")]
    return all(kept)


def limit(what, value, most, unit):
    print(f"{what:28} {value:8.2f} {unit} (limit {most:g})", flush=True)
    return value <= most


def show(what, figures):
    print(f"{what:36}", "  ".join(f"{name} {value * 1e3:.1f} ms" for name, value in figures.items()), flush=True)


def line(process):
    text = process.stdout.readline()
    return json.loads(text) if text else sys.exit("the proxies ended early")


def pipes():
    return {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def more_files(count):
    """Each connection takes a file, here and in the control plane."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard))


def write_manifests(folder):
    for number in range(NAMESPACES):
        namespace = f"team-{number}"
        pools = (pool(namespace, f"service-{i}") for i in range(POOLS))
        (folder / f"{namespace}.yaml").write_text("".join(pools))


def pool(namespace, name):
    rule = f"{{hosts: [{name}.{namespace}.example.com], path: {{type: Prefix, value: /api}}}}"
    backends = (
        resource_text("Backend", namespace, f"{name}-{i}", f"{{pool: {name}, address: '10.0.0.{i + 1}:8080'}}")
        for i in range(BACKENDS)
    )
    return resource_text("Pool", namespace, name, f"{{match: [{rule}]}}") + "".join(backends)


def resource_text(kind, namespace, name, spec):
    return (
        f"---\napiVersion: weir.dev/v1alpha1\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
