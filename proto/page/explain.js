// Shows what explain answers: what comes of the request, then why.

import { element } from "./dom.js";

/// The headers of a text with one a line.
export function parseHeaders(lines) {
  return lines.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const at = line.indexOf(":");
    if (at < 1) throw new Error(`${line}: no header: write name: value`);
    return { name: line.slice(0, at).trim(), value: line.slice(at + 1).trim() };
  });
}

/// Replaces what is in `place`.
export function show(place, explained) {
  const { rules, chain, plugins, candidates, supposed } = explained;
  place.replaceChildren(
    element("p", { className: "summary" }, element("strong", {}, summary(explained)), explained.certain ? "" : " (chance or what was supposed may change that)"),
    section("Supposed", supposed.map((what) => line(what))),
    section("Rules", rules.map(rule)),
    section("Chain", chain.map(({ pool, priority, outcome, reason }) => line(`${pool}, priority ${priority}: ${outcomes[outcome]}`, reason))),
    section("Plugins", plugins.map(plugin)),
    section("Candidates", candidates.map(candidate)),
  );
}

/// Shows why there is no answer.
export function fail(place, error) {
  place.replaceChildren(element("p", { className: "bad" }, error.message));
}

function summary({ choice, answer, queued }) {
  if (choice) return `Goes to ${choice.pool} → ${choice.backend} (${choice.address})`;
  if (queued) return `Waits in the queue of ${queued.pool}`;
  if (answer) return `Is answered ${answer.status}${answer.reason ? ` (${answer.reason})` : ""}`;
  return "No answer is known";
}

function section(title, lines) {
  return lines.length === 0 ? "" : element("section", { "aria-label": title }, element("h3", {}, title), element("ul", {}, ...lines));
}

const outcomes = { taken: "taken", passed: "passed over", not_reached: "not reached" };

const line = (what, more) => element("li", {}, what, more ? element("span", { className: "quiet" }, ` – ${more}`) : "");

function rule({ rule: text, pools, matched, misses }) {
  const told = misses.map(({ condition, name, expected, found }) => condition === "order" ? `holds, but ${expected} goes before it` : `${condition}${name ? ` ${name}` : ""} is ${found ?? "missing"}, not ${expected}`);
  return element("li", { className: matched ? "ok" : "" }, `${matched ? "✓" : "✗"} ${text}`, element("span", { className: "quiet" }, ` – ${[pools.join(", "), ...told].join("; ")}`));
}

function plugin({ pool, plugin: name, hook, answer, status, kept, of, reason, text, changes }) {
  const said = { halted: `halts with ${status}`, kept: `keeps ${kept?.join(", ")} of ${of}`, failed: `fails: ${reason}: ${text}` }[answer] ?? "goes on";
  return line(`${hook} of ${name} in ${pool}: ${said}`, changes.join("; "));
}

function candidate({ backend, address, state, kept, share, detail }) {
  const part = kept && share < 1 ? ` (${Math.round(share * 100)}%)` : "";
  return element("li", { className: kept ? "ok" : "" }, `${kept ? "✓" : "✗"} ${backend} ${address}, ${state}${part}`, element("span", { className: "quiet" }, detail ? ` – ${detail}` : ""));
}
