// Small plots of requests over time, with errors below them in red.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 30;

function line(kind) {
  const made = document.createElementNS(SVG, "polyline");
  made.setAttribute("class", kind);
  return made;
}

/// A plot without anything in it.
export function plot(title) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "plot");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const ground = document.createElementNS(SVG, "line");
  ground.setAttribute("class", "ground");
  for (const [name, value] of [["x1", 0], ["x2", WIDTH], ["y1", HEIGHT - 0.5], ["y2", HEIGHT - 0.5]]) ground.setAttribute(name, value);
  svg.append(ground, line("requests"), line("errors"));
  return svg;
}

/// Draws a history; its last point is not complete and left out.
export function draw(svg, history, slots = 60) {
  const requests = history.requests.slice(0, -1);
  const errors = history.errors.slice(0, -1);
  const top = Math.max(1, ...requests);
  const points = (values) => {
    const first = slots - 1 - values.length;
    return values.map((value, at) => `${(((first + at) * WIDTH) / (slots - 2)).toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`).join(" ");
  };
  const [, drawn, wrong] = svg.children;
  drawn.setAttribute("points", points(requests));
  wrong.setAttribute("points", errors.some((count) => count > 0) ? points(errors) : "");
  const most = requests.length ? `up to ${Math.round(top / history.step)} a second` : "no requests yet";
  if (svg.dataset.most !== most) {
    svg.dataset.most = most;
    svg.setAttribute("aria-label", `Requests in the last five minutes, ${most}`);
  }
}
