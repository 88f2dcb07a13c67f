// Several proxies as one: counts are added up, latencies are the slowest proxy's, an endpoint is as bad as anywhere.

const RANK = ["Up", "Draining", "Disabled", "Ejected", "Down"];
const worst = (states) => states.reduce((a, b) => (RANK.indexOf(b) > RANK.indexOf(a) ? b : a));
const sum = (values) => values.reduce((a, b) => a + b, 0);

function counts(all) {
  const added = {};
  for (const one of all) for (const [name, count] of Object.entries(one)) added[name] = (added[name] ?? 0) + count;
  return added;
}

function latency(all) {
  const known = all.filter((one) => one !== null);
  if (known.length === 0) return null;
  return Object.fromEntries(["p50", "p90", "p99"].map((name) => [name, Math.max(...known.map((one) => one[name]))]));
}

function pace(all) {
  return {
    requestsPerSecond: sum(all.map((one) => one.requestsPerSecond)),
    errorsPerSecond: sum(all.map((one) => one.errorsPerSecond)),
    latency: latency(all.map((one) => one.latency)),
  };
}

/// The newest points are put on each other.
function history(all) {
  const length = Math.max(0, ...all.map((one) => one.requests.length));
  const add = (name) => Array.from({ length }, (_, at) => sum(all.map((one) => one[name][one[name].length - length + at] ?? 0)));
  return { step: all[0].step, requests: add("requests"), errors: add("errors") };
}

const share = (all) => ({ total: Math.max(...all.map((one) => one.total)), up: Math.min(...all.map((one) => one.up)) });
const load = (all) => ({ current: sum(all.map((one) => one.current)), max: sum(all.map((one) => one.max)), total: sum(all.map((one) => one.total)) });

export function mergeOverviews(all) {
  if (all.length <= 1) return all[0] ? { ...all[0], nodes: 1 } : null;
  const events = all.flatMap((one) => one.events).sort((a, b) => (a.time < b.time ? 1 : -1));
  return {
    ...all[0],
    nodes: all.length,
    missing: [...new Set(all.flatMap((one) => one.missing))],
    controlPlane: { ...all[0].controlPlane, connected: all.every((one) => one.controlPlane.connected) },
    pools: share(all.map((one) => one.pools)),
    endpoints: share(all.map((one) => one.endpoints)),
    inFlight: sum(all.map((one) => one.inFlight)),
    queued: sum(all.map((one) => one.queued)),
    dropped: counts(all.map((one) => one.dropped)),
    pace: pace(all.map((one) => one.pace)),
    history: history(all.map((one) => one.history)),
    events,
  };
}

function mergeBackends(all) {
  const worstOf = worst(all.map((one) => one.state));
  const shown = all.find((one) => one.state === worstOf);
  return {
    ...shown,
    upAt: [all.filter((one) => one.state === "Up").length, all.length],
    inFlight: load(all.map((one) => one.inFlight)),
    connections: sum(all.map((one) => one.connections)),
    requestsPerSecond: sum(all.map((one) => one.requestsPerSecond)),
    responses: counts(all.map((one) => one.responses)),
    failed: counts(all.map((one) => one.failed)),
  };
}

export const endpointKey = (backend) => `${backend.name} ${backend.address}`;

function groups(items, key) {
  const found = new Map();
  for (const item of items) found.set(key(item), [...(found.get(key(item)) ?? []), item]);
  return [...found.values()];
}

function mergePool(all) {
  return {
    ...all[0],
    up: all.every((one) => one.up),
    panic: all.some((one) => one.panic),
    inFlight: load(all.map((one) => one.inFlight)),
    queued: { ...all[0].queued, ...load(all.map((one) => one.queued)) },
    dropped: { total: sum(all.map((one) => one.dropped.total)), byReason: counts(all.map((one) => one.dropped.byReason)) },
    retries: sum(all.map((one) => one.retries)),
    responses: counts(all.map((one) => one.responses)),
    pace: pace(all.map((one) => one.pace)),
    history: history(all.map((one) => one.history)),
    backends: groups(all.flatMap((one) => one.backends), endpointKey).map(mergeBackends),
  };
}

export function mergePools(all) {
  if (all.length <= 1) return all[0] ?? { total: 0, pools: [] };
  const pools = groups(all.flatMap((one) => one.pools), (pool) => pool.name).map(mergePool);
  return { total: Math.max(...all.map((one) => one.total)), pools: pools.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}
