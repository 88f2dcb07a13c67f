// The pools and their backends.

import { element, list, style, text } from "./dom.js";
import { endpointKey } from "./merge.js";
import { draw, plot } from "./plot.js";
import { ago, digits, rating, seconds } from "./words.js";

const COLUMNS = [
  ["name", "Backend"], ["address", "Address"], ["state", "State"], ["since", "Since"], ["reason", "Reason"], ["weight", "Weight", "number"],
  ["role", "Role"], ["flight", "In flight", "number"], ["rate", "Req/s", "number"], ["failed", "Failed", "number"],
];

/// Shows them; `edit` is called with what a person wants to change, and is `null` where nothing can be.
export function show(parent, pools, now, edit) {
  list(parent, pools, (pool) => pool.name, (pool) => make(pool), (card, pool) => update(card, pool, now, edit));
}

function make(pool) {
  const figure = (name, title) => element("div", { className: "figure", title }, element("span", { className: name }), element("small", {}, title));
  const head = element("div", { className: "head" },
    element("div", { className: "title" }),
    plot("Requests"),
    figure("up", "endpoints up"), figure("rate", "req/s"), figure("p99", "p50 / p99"), figure("queued", "queued"), figure("dropped", "dropped"),
    element("span", { className: "edit" }));
  const columns = COLUMNS.map(([name, title, kind]) => element("th", { scope: "col", className: `c-${name} ${kind ?? ""}` }, title));
  const table = element("table", { className: "backends" },
    element("thead", {}, element("tr", {}, ...columns, element("th", { scope: "col", className: "c-do" }, ""))),
    element("tbody"));
  const more = element("details", { className: "more-of" }, element("summary", {}, "Rules, plugins, policy"), element("ul"));
  const none = element("p", { className: "quiet none" }, "No Backend names this pool.");
  return element("article", { className: "pool", "aria-label": `Pool ${pool.name}` }, head, element("div", { className: "scroll", tabIndex: 0 }, table, none), more);
}

function update(card, pool, now, edit) {
  const find = (name) => card.querySelector(name);
  const up = pool.backends.filter((backend) => backend.state === "Up").length;
  const off = pool.enabled ? "" : " (disabled)";
  style(card, pool.enabled && !pool.up ? "pool down" : "pool");
  text(find(".title"), pool.name + off + (pool.panic ? " (panic)" : ""));
  draw(find(".plot"), pool.history);
  style(text(find(".up"), `${up} of ${pool.backends.length}`), `up ${rateOf(pool, up)}`);
  text(find(".rate"), digits(pool.pace.requestsPerSecond));
  text(find(".p99"), pool.pace.latency ? `${seconds(pool.pace.latency.p50)} / ${seconds(pool.pace.latency.p99)}` : "–");
  text(find(".queued"), pool.queued.current);
  text(find(".dropped"), digits(pool.dropped.total));
  find(".none").hidden = pool.backends.length > 0;
  find("table").hidden = pool.backends.length === 0;
  style(find("table"), edit ? "backends editable" : "backends");
  buttons(find(".edit"), edit && [[pool.enabled ? "Disable" : "Enable", () => edit.pool(pool)]]);
  list(find("tbody"), pool.backends, endpointKey, row, (line, backend) => fill(line, backend, now, edit && backendButtons(edit, pool, backend)));
  list(find("ul"), facts(pool), (fact) => fact, () => element("li"), text);
}

function rateOf(pool, up) {
  if (!pool.enabled) return "off";
  if (!pool.up) return "bad";
  return up < pool.backends.filter((backend) => backend.enabled).length ? "warn" : "ok";
}

function row() {
  return element("tr", {}, ...COLUMNS.map(([name, , kind]) => element("td", { className: `c-${name} ${kind ?? ""}` })), element("td", { className: "c-do" }));
}

function fill(line, backend, now, wanted) {
  const rate = rating(backend.state);
  style(line, rate === "bad" ? "bad" : "");
  const state = backend.upAt && backend.upAt[0] > 0 && backend.state !== "Up" ? `${backend.state} (${backend.upAt[0]} of ${backend.upAt[1]} up)` : backend.state;
  const flight = backend.capacity ? `${backend.inFlight.current} of ${backend.capacity}` : backend.inFlight.current;
  const failed = Object.values(backend.failed).reduce((a, b) => a + b, 0);
  const cells = [backend.name, backend.address, state, ago(backend.since, now), backend.reason, backend.weight, backend.role, flight, digits(backend.requestsPerSecond), failed];
  cells.forEach((value, at) => text(line.children[at], value));
  style(line.children[2], `c-state state ${rate}`);
  for (const at of [0, 1, 4]) if (line.children[at].title !== cells[at]) line.children[at].title = cells[at];
  buttons(line.lastElementChild, wanted);
}

function backendButtons(edit, pool, backend) {
  return [[backend.enabled ? "Disable" : "Enable", () => edit.backend(pool, backend)], ["Weight", () => edit.weight(pool, backend)]];
}

/// Buttons are made anew only when they say something else; what they do is looked up when they are pressed.
function buttons(place, wanted) {
  list(place, wanted ?? [], ([title]) => title, ([title]) => element("button", { type: "button" }, title), (button, [, act]) => {
    button.onclick = act;
  });
}

function facts(pool) {
  const rules = pool.routes.map(({ rule, chain }) => `Rule ${rule}${chain.length > 1 ? `, chain ${chain.join(" → ")}` : ""}`);
  const plugins = pool.plugins.map(({ name, hooks, calls, failures }) => `Plugin ${name} (${hooks.join(", ")}): ${digits(calls)} calls, ${failures} failed`);
  const missing = pool.missingPlugins.map((name) => `Plugin ${name} is not there`);
  const reasons = Object.entries(pool.dropped.byReason).map(([reason, count]) => `Dropped ${count} for ${reason}`);
  const policy = `${pool.protocol}, ${pool.method}, priority ${pool.priority}, queue of ${pool.queued.limit} for ${pool.queued.timeout}, ${pool.retries} retries`;
  return [policy, ...rules, ...plugins, ...missing, ...reasons];
}
