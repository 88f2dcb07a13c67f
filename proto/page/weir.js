// The page: asks each second, and shows what is told.

import { about, explain, look, proxies, useToken } from "./api.js";
import { by, element, list, style, text } from "./dom.js";
import { edit, setUp } from "./edit.js";
import * as explained from "./explain.js";
import { draw, plot } from "./plot.js";
import * as pools from "./pools.js";
import { ago, digits, seconds } from "./words.js";

const EVERY = 1000;
const PAGE = 25;
const EVENTS = 20;

const view = { control: false, changes: "no", proxies: [], chosen: "", offset: 0, timer: 0, number: 0 };

const TILES = [
  ["rate", "Requests per second", (o) => digits(o.pace.requestsPerSecond), () => ""],
  ["errors", "Errors per second", (o) => digits(o.pace.errorsPerSecond), () => "answers of 500 and more"],
  ["latency", "Latency p50", (o) => seconds(o.pace.latency?.p50), (o) => `p90 ${seconds(o.pace.latency?.p90)}, p99 ${seconds(o.pace.latency?.p99)}`],
  ["flight", "In flight", (o) => digits(o.inFlight), (o) => `${digits(connections(o))} connections`],
  ["queued", "Queued", (o) => digits(o.queued), () => "requests that wait"],
  ["pools-up", "Pools up", (o) => `${o.pools.up} of ${o.pools.total}`, () => ""],
  ["endpoints-up", "Endpoints up", (o) => `${o.endpoints.up} of ${o.endpoints.total}`, () => ""],
];

const connections = (overview) => overview.listeners.reduce((sum, listener) => sum + listener.connections, 0);

function makeTiles() {
  for (const [name, title] of TILES) {
    const tile = element("div", { className: "tile", id: `tile-${name}` }, element("div", { className: "name" }, title), element("div", { className: "value" }, "–"));
    if (name === "rate") {
      style(tile, "tile plotted");
      tile.append(plot("Requests"));
    } else tile.append(element("div", { className: "more" }));
    by("tiles").append(tile);
  }
}

function showOverview(overview) {
  for (const [name, , value, more] of TILES) {
    const tile = by(`tile-${name}`);
    text(tile.children[1], value(overview));
    if (name !== "rate") text(tile.children[2], more(overview));
  }
  draw(by("tile-rate").lastElementChild, overview.history);
  style(by("tile-endpoints-up").children[1], overview.endpoints.up < overview.endpoints.total ? "value bad" : "value");
  style(by("tile-pools-up").children[1], overview.pools.up < overview.pools.total ? "value bad" : "value");
  const who = overview.nodes > 1 ? `${overview.nodes} proxies` : `proxy ${overview.node}`;
  const ready = overview.missing.length ? `not ready: ${overview.missing.join(", ")}` : "ready";
  const linked = overview.controlPlane.connected ? "" : ", without its control plane";
  text(by("about"), `${who}, version ${overview.version}, ${ready}${linked}, up for ${ago(overview.since, overview.now)}`);
  const dropped = Object.entries(overview.dropped).sort(([, a], [, b]) => b - a);
  list(by("dropped"), dropped, ([reason]) => reason, ([reason]) => element("tr", {}, element("td", {}, reason), element("td", { className: "number" })), (row, [, count]) => text(row.lastElementChild, count));
  by("no-dropped").hidden = dropped.length > 0;
  showEvents(overview.events.slice(0, EVENTS), overview.now);
}

function showEvents(events, now) {
  const key = (event) => [event.time, event.pool, event.backend, event.address, event.up].join(" ");
  const make = (event) => element("tr", {},
    element("td", { title: event.time }),
    element("td", { className: `state ${event.up ? "ok" : "bad"}` }, event.up ? "Up" : "Down"),
    element("td", { className: "wrap" }, `${event.pool} ${event.backend} ${event.address}`),
    element("td", { className: "wrap" }, event.reason));
  list(by("events"), events, key, make, (row, event) => text(row.firstElementChild, `${ago(event.time, now)} ago`));
  by("no-events").hidden = events.length > 0;
}

function showPools({ total, pools: some }, now) {
  pools.show(by("pools"), some, now, view.changes === "no" ? null : edit);
  by("no-pools").hidden = some.length > 0;
  text(by("range"), total > 0 ? `${view.offset + 1}–${view.offset + some.length} of ${total}` : "0 of 0");
  by("previous").disabled = view.offset === 0;
  by("next").disabled = view.offset + some.length >= total;
  by("pages").hidden = total <= PAGE && view.offset === 0;
}

function query() {
  const asked = new URLSearchParams({ offset: view.offset, limit: PAGE });
  if (by("search").value) asked.set("search", by("search").value);
  if (by("problems").checked) asked.set("problems", "true");
  return asked;
}

/// The proxies that are looked at; `null` is the one that the page came from.
function looked() {
  if (!view.control) return [null];
  return view.chosen ? [view.chosen] : view.proxies;
}

async function refresh() {
  clearTimeout(view.timer);
  const number = ++view.number;
  try {
    await refreshProxies();
    if (looked().length === 0) throw new Error("No proxy is connected, or none tells where its admin server is.");
    const { overview, pools: some, leftOut } = await look(looked(), query());
    if (number !== view.number) return;
    showOverview(overview);
    showPools(some, overview.now);
    notice(leftOut > 0 ? `${leftOut} more proxies are not in these figures: choose one to see it.` : "");
  } catch (error) {
    if (number !== view.number) return;
    notice(`These figures are old: ${error.message}`);
  }
  view.timer = setTimeout(refresh, EVERY);
}

/// Only a control plane has proxies, which come and go.
async function refreshProxies() {
  if (!view.known) await getToKnow();
  if (!view.control) return;
  view.proxies = await proxies();
  if (!view.proxies.includes(view.chosen)) view.chosen = "";
  const choices = [["", `all ${view.proxies.length}`], ...view.proxies.map((id) => [id, id])];
  list(by("proxy"), choices, ([id]) => id, ([id]) => element("option", { value: id }), (option, [, title]) => text(option, title));
}

/// What this page came from, and what can be done there.
async function getToKnow() {
  const { plane, changes } = await about();
  Object.assign(view, { control: plane === "control-plane", changes, known: true });
  by("proxy-label").hidden = !view.control;
  by("token-form").hidden = changes !== "token";
}

function notice(message) {
  text(by("notice"), message).hidden = message === "";
}

function turn(by) {
  view.offset = Math.max(0, view.offset + by);
  refresh();
}

function listen() {
  by("search").oninput = by("problems").onchange = () => turn(-view.offset);
  by("previous").onclick = () => turn(-PAGE);
  by("next").onclick = () => turn(PAGE);
  by("proxy").onchange = () => {
    view.chosen = by("proxy").value;
    refresh();
  };
  by("token-form").onsubmit = (event) => event.preventDefault();
  by("token").onchange = () => useToken(by("token").value);
  by("explain").onsubmit = async (event) => {
    event.preventDefault();
    const request = () => ({ method: by("explain-method").value, url: by("explain-url").value, headers: explained.parseHeaders(by("explain-headers").value) });
    try {
      explained.show(by("explained"), await explain(looked()[0], request()));
    } catch (error) {
      explained.fail(by("explained"), error);
    }
  };
  document.onkeydown = (event) => {
    if (event.key !== "/" || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
    event.preventDefault();
    by("search").focus();
  };
  // Nobody looks at a hidden page.
  document.onvisibilitychange = () => (document.hidden ? clearTimeout(view.timer) : refresh());
}

makeTiles();
setUp(refresh);
listen();
refresh();
