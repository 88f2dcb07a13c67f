// Figures as people write them.

/// Seconds as 850 µs, 3.2 ms or 1.5 s.
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${digits(value * 1000)} ms`;
  return `${digits(value)} s`;
}

/// Three digits at most behind each other, then thousands.
export function digits(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(value < 100_000 ? 1 : 0)}k`;
  if (value >= 100) return String(Math.round(value));
  return value >= 10 ? value.toFixed(1).replace(/\.0$/, "") : value.toFixed(2).replace(/\.?0+$/, "");
}

/// How long ago, by the proxy's own clock.
export function ago(time, now) {
  const passed = Math.max(0, Math.floor((Date.parse(now) - Date.parse(time)) / 1000));
  if (passed < 60) return `${passed} s`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ${Math.floor((passed % 3600) / 60)} min`;
  return `${Math.floor(passed / 86_400)} d`;
}

/// How good a state is, as a class.
export function rating(state) {
  return { Up: "ok", Draining: "warn", Disabled: "off" }[state] ?? "bad";
}
