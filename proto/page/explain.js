// Shows what explain answers: what comes of the request, then why, as a tree.

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
  const { choice, answer, ...why } = explained;
  place.replaceChildren(element("p", {}, element("strong", {}, summary(choice, answer))), tree(why));
}

/// Shows why there is no answer.
export function fail(place, error) {
  place.replaceChildren(element("p", { className: "bad" }, error.message));
}

function summary(choice, answer) {
  if (choice) return `Goes to ${[choice.pool, choice.backend, choice.address].filter(Boolean).join(" → ")}`;
  if (answer) return `Is answered ${answer.status}${answer.reason ? ` (${answer.reason})` : ""}`;
  return "No answer is known";
}

function tree(value) {
  const entries = Array.isArray(value) ? value.map((item) => ["", item]) : Object.entries(value);
  const shown = entries.filter(([, item]) => item !== null && item !== "" && !(Array.isArray(item) && item.length === 0));
  return element("ul", {}, ...shown.map(([key, item]) => entry(key, item)));
}

function entry(key, item) {
  const label = element("span", { className: "key" }, key ? `${key}: ` : "");
  if (typeof item !== "object") return element("li", {}, label, String(item));
  const flat = inline(item);
  return flat === null ? element("li", {}, label, tree(item)) : element("li", {}, label, flat);
}

/// One line of what has nothing within it.
function inline(item) {
  const values = Object.values(item);
  if (values.some((value) => typeof value === "object" && value !== null)) return null;
  if (Array.isArray(item)) return item.join(", ");
  return Object.entries(item).filter(([, value]) => value !== null && value !== "").map(([key, value]) => `${key} ${value}`).join(", ");
}
