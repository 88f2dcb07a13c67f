// Where the figures come from. A proxy tells of itself; a control plane passes on what its proxies tell, and in file mode
// takes changes.

import { mergeOverviews, mergePools } from "./merge.js";

/// More would be too many questions a second; one proxy may be chosen.
const MERGED = 16;
const RESOURCES = "/apis/weir.dev/v1alpha1";

let token = "";

export function useToken(text) {
  token = text.trim();
}

function headers(more = {}) {
  return token ? { ...more, authorization: `Bearer ${token}` } : more;
}

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers), signal: AbortSignal.timeout(10_000) });
  const body = await response.text();
  let said;
  try {
    said = JSON.parse(body);
  } catch {
    said = { error: body };
  }
  if (!response.ok) throw Object.assign(new Error(said.message ?? said.error ?? response.statusText), { status: response.status });
  return said;
}

/// What the page came from: its plane, and whether resources can be changed there: "yes", "token", or "no".
export const about = () => ask("/api/v1/about");

/// The proxies of a control plane that can be asked.
export async function proxies() {
  const { proxies: all } = await ask("/api/v1/proxies");
  return all.filter((proxy) => proxy.admin).map((proxy) => proxy.id);
}

const base = (proxy) => (proxy === null ? "" : `/api/v1/proxies/${encodeURIComponent(proxy)}`);

/// Overview and pools of these proxies together; `[null]` is the one that this page came from.
export async function look(proxies, query) {
  const asked = proxies.slice(0, MERGED);
  const all = await Promise.all(asked.map((proxy) => Promise.all([ask(`${base(proxy)}/api/v1/overview`), ask(`${base(proxy)}/api/v1/pools?${query}`)])));
  return { overview: mergeOverviews(all.map(([overview]) => overview)), pools: mergePools(all.map(([, pools]) => pools)), leftOut: proxies.length - asked.length };
}

/// What would become of a request.
export function explain(proxy, request) {
  return ask(`${base(proxy)}/api/v1/explain`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) });
}

/// Changes fields of the spec of a resource.
export function change(kind, namespace, name, spec) {
  const path = [RESOURCES, "namespaces", namespace, kind, name].map((part, at) => (at === 0 ? part : encodeURIComponent(part))).join("/");
  return ask(path, { method: "PATCH", headers: { "content-type": "application/merge-patch+json" }, body: JSON.stringify({ spec }) });
}
