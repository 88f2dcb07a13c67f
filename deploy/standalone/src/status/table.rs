//! Figures as a table.

use std::time::Duration;

use super::figures::{Backend, Figures, Overview, Pace, Pool, State};
use crate::ink::{Ink, Tone};

const TITLES: [&str; 12] = [
    "POOL / BACKEND",
    "ADDRESS",
    "STATE",
    "SINCE",
    "WEIGHT",
    "ROLE",
    "IN FLIGHT",
    "REQ/S",
    "P50 / P99",
    "QUEUED",
    "FAILED",
    "REASON",
];
/// Those with figures, which stand at the right.
const RIGHT: [bool; 12] = [false, false, false, true, true, false, true, true, true, true, true, false];
const GAP: &str = "  ";

struct Line {
    cells: [String; 12],
    /// Of the state; a pool's name is bold besides.
    tone: Tone,
    is_pool: bool,
}

/// The figures in so many lines; pools with more requests go first if there is not room for all.
pub(super) fn render(figures: &Figures, ink: Ink, room: usize) -> String {
    let mut text = heading(&figures.overview, ink);
    for failed in &figures.failed {
        text += &format!("{}\n", ink.paint(failed, Tone::Bad));
    }
    text.push('\n');
    let room = room.saturating_sub(text.lines().count() + 2);
    let mut pools: Vec<&Pool> = figures.pools.iter().collect();
    if figures.pools.iter().map(|pool| 1 + pool.backends.len()).sum::<usize>() > room {
        pools.sort_by(|a, b| b.pace.requests_per_second.total_cmp(&a.pace.requests_per_second));
    }
    let lines: Vec<Line> = pools.into_iter().flat_map(|pool| lines(pool, &figures.overview)).collect();
    let left_out = lines.len().saturating_sub(room);
    text += &table(&lines[..lines.len() - left_out], ink);
    if left_out > 0 {
        text += &ink.paint(&format!("{left_out} more lines: name a pool, or ask for --problems\n"), Tone::Off);
    }
    text
}

fn heading(overview: &Overview, ink: Ink) -> String {
    let Overview { node, missing, pools, endpoints, in_flight, queued, pace, .. } = overview;
    let ready = if missing.is_empty() { "ready".to_owned() } else { format!("not ready: {}", missing.join(", ")) };
    let shares = format!("pools {}/{} up, endpoints {}/{} up", pools.up, pools.total, endpoints.up, endpoints.total);
    let tone = if pools.up == pools.total && endpoints.up == endpoints.total { Tone::Good } else { Tone::Bad };
    format!(
        "{} {ready}, {}\n{} requests/s, {} errors/s, {}, {in_flight} in flight, {queued} queued\n",
        ink.paint(node, Tone::Title),
        ink.paint(&shares, tone),
        rate(pace.requests_per_second),
        rate(pace.errors_per_second),
        latency(pace, "p50 ", ", p99 ").unwrap_or_else(|| "no latency".to_owned()),
    )
}

fn lines(pool: &Pool, overview: &Overview) -> Vec<Line> {
    let backends = pool.backends.iter().map(|backend| backend_line(backend, overview));
    std::iter::once(pool_line(pool)).chain(backends).collect()
}

fn pool_line(pool: &Pool) -> Line {
    let (up, total) = (pool.endpoints_up(), pool.backends.iter().filter(|backend| backend.enabled).count());
    let tone = match () {
        () if !pool.enabled => Tone::Off,
        () if !pool.up => Tone::Bad,
        () if up < total => Tone::Careful,
        () => Tone::Good,
    };
    let state = if pool.enabled { format!("{up}/{total} up") } else { "Disabled".to_owned() };
    Line {
        cells: [
            pool.name.clone(),
            pool.method.clone(),
            state,
            String::new(),
            String::new(),
            if pool.panic { "panic".to_owned() } else { String::new() },
            pool.in_flight.current.to_string(),
            rate(pool.pace.requests_per_second),
            latency(&pool.pace, "", " / ").unwrap_or_default(),
            pool.queued.current.to_string(),
            pool.dropped.total.to_string(),
            String::new(),
        ],
        tone,
        is_pool: true,
    }
}

fn backend_line(backend: &Backend, overview: &Overview) -> Line {
    let since = backend.since.duration_until(overview.now).as_secs().max(0).unsigned_abs();
    let in_flight = match backend.capacity {
        0 => backend.in_flight.current.to_string(),
        capacity => format!("{}/{capacity}", backend.in_flight.current),
    };
    Line {
        cells: [
            format!("  {}", backend.name),
            backend.address.clone(),
            backend.state.as_str().to_owned(),
            passed(since),
            backend.weight.to_string(),
            backend.role.clone(),
            in_flight,
            rate(backend.requests_per_second),
            String::new(),
            String::new(),
            backend.failed.values().sum::<u64>().to_string(),
            backend.reason.clone(),
        ],
        tone: tone_of(backend.state),
        is_pool: false,
    }
}

fn tone_of(state: State) -> Tone {
    match state {
        State::Up => Tone::Good,
        State::Draining => Tone::Careful,
        State::Disabled => Tone::Off,
        State::Ejected | State::Down => Tone::Bad,
    }
}

fn table(lines: &[Line], ink: Ink) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line.cells[column].chars().count());
        cells.chain([TITLES[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; 12] = std::array::from_fn(width);
    let titles = TITLES.map(str::to_owned);
    let mut text = row(&titles, &widths, |_, cell| ink.paint(cell, Tone::Off));
    for Line { cells, tone, is_pool } in lines {
        text += &row(cells, &widths, |column, cell| match column {
            0 if *is_pool => ink.paint(cell, Tone::Title),
            2 | 11 => ink.paint(cell, *tone),
            _ => ink.paint(cell, Tone::Plain),
        });
    }
    text
}

fn row(cells: &[String; 12], widths: &[usize; 12], paint: impl Fn(usize, &str) -> String) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.chars().count());
        let painted = paint(column, cell);
        text += &if RIGHT[column] { padding + &painted } else { painted + &padding };
        text += GAP;
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Three digits that matter.
fn rate(value: f64) -> String {
    match value {
        _ if value >= 10_000.0 => format!("{:.1}k", value / 1000.0),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value > 0.0 => format!("{value:.1}"),
        _ => "0".to_owned(),
    }
}

fn latency(pace: &Pace, before: &str, between: &str) -> Option<String> {
    let latency = pace.latency?;
    Some(format!("{before}{}{between}{}", seconds(latency.p50), seconds(latency.p99)))
}

fn seconds(value: f64) -> String {
    match Duration::from_secs_f64(value.max(0.0)) {
        time if time < Duration::from_millis(1) => format!("{}us", time.as_micros()),
        time if time < Duration::from_secs(1) => format!("{:.1}ms", value * 1e3),
        _ => format!("{value:.2}s"),
    }
}

/// As kubectl writes ages.
fn passed(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::figures::Pools;
    use crate::status::merge;

    fn overview(node: &str, up: usize) -> Overview {
        let value = json!({
            "node": node, "now": "2026-11-22T10:00:00Z", "missing": [], "pools": {"total": 1, "up": 1},
            "endpoints": {"total": 2, "up": up}, "inFlight": 3, "queued": 0,
            "pace": {"requestsPerSecond": 84.6, "errorsPerSecond": 0.0, "latency": {"p50": 0.0042, "p90": 0.02, "p99": 1.25}},
        });
        serde_json::from_value(value).unwrap()
    }

    fn pools(second: &str) -> Pools {
        let backend = |name: &str, state: &str| -> Value {
            json!({
                "name": name, "address": "127.0.0.1:9701", "state": state, "since": "2026-11-22T09:57:00Z", "reason": if state == "Up" { "" } else { "connect_failure" },
                "role": "Active", "weight": 1, "capacity": 5, "enabled": true, "inFlight": {"current": 1}, "requestsPerSecond": 20.04,
                "failed": {"reset": 2, "timeout": 1},
            })
        };
        let value = json!({"pools": [{
            "name": "shop/web", "enabled": true, "up": true, "panic": false, "method": "RoundRobin", "inFlight": {"current": 2},
            "queued": {"current": 0}, "dropped": {"total": 7},
            "pace": {"requestsPerSecond": 12_345.0, "errorsPerSecond": 0.0, "latency": null},
            "backends": [backend("web-1", "Up"), backend("web-2", second)],
        }]});
        serde_json::from_value(value).unwrap()
    }

    fn figures(second: &str) -> Figures {
        Figures { overview: overview("node-1", 1), pools: pools(second).pools, failed: Vec::new() }
    }

    #[test]
    fn t2_columns_stand_under_their_titles_and_nothing_is_coloured_in_a_pipe() {
        let text = render(&figures("Ejected"), Ink::Plain, usize::MAX);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "node-1 ready, pools 1/1 up, endpoints 1/2 up");
        assert_eq!(lines[1], "84.6 requests/s, 0 errors/s, p50 4.2ms, p99 1.25s, 3 in flight, 0 queued");
        assert!(
            lines[4].starts_with("shop/web") && lines[4].contains("1/2 up") && lines[4].contains("12.3k"),
            "{text}"
        );
        assert_eq!(lines[3].find("STATE"), lines[6].find("Ejected"));
        assert_eq!(lines[3].find("REASON"), lines[6].find("connect_failure"));
        assert!(lines[6].contains(" 3m ") && lines[6].contains("1/5"), "{text}");
        assert!(!text.contains('\x1b') && lines.iter().all(|line| !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn what_is_down_is_red_on_a_terminal() {
        let text = render(&figures("Down"), Ink::Coloured, usize::MAX);
        assert!(text.contains("\x1b[31;1mDown\x1b[0m") && text.contains("\x1b[32mUp\x1b[0m"), "{text}");
    }

    #[test]
    fn t2_several_proxies_are_shown_as_one() {
        let both = Figures {
            overview: overview("node-1", 2).and(overview("node-2", 1)),
            pools: merge::pools(pools("Up").pools.into_iter().chain(pools("Down").pools)),
            failed: Vec::new(),
        };
        let text = render(&both, Ink::Plain, usize::MAX);
        assert!(text.starts_with("node-1, node-2 ready, pools 1/1 up, endpoints 1/2 up\n169 requests/s"), "{text}");
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("24.7k") && text.contains("Down") && text.contains("40.1"), "{text}");
        assert!(!both.all_up());
    }

    #[test]
    fn what_has_no_room_is_said() {
        let text = render(&figures("Up"), Ink::Plain, 6);
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.ends_with("2 more lines: name a pool, or ask for --problems\n"), "{text}");
    }
}
