//! What `weir plugin test` shows to people.

use std::io::{self, Write};
use std::time::Duration;

use http::HeaderMap;
use weir_data_plane::plugin::Halt;
use weir_data_plane::plugin::rehearsal::{Answer, Call, Run};

use super::totals::Totals;

/// The first run in full, and the sums.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) title: String,
    pub(super) first: Option<Run>,
    pub(super) totals: Totals,
    /// Those that failed and are not shown.
    pub(super) failures: Vec<Call>,
}

/// Failures that are shown besides those of the first run.
const MOST_FAILURES: usize = 10;

impl Report {
    pub(super) fn new(title: String) -> Self {
        Self { title, first: None, totals: Totals::default(), failures: Vec::new() }
    }

    pub(super) fn add(&mut self, run: Run) {
        self.totals.add(&run);
        if self.first.is_none() {
            self.first = Some(run);
        } else {
            let room = MOST_FAILURES - self.failures.len();
            self.failures.extend(run.calls.into_iter().filter(Call::has_failed).take(room));
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.totals.has_failed()
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", self.title)?;
        if let Some(run) = &self.first {
            run.calls.iter().try_for_each(|call| write_call(out, call))?;
            writeln!(out, "{}", end(run))?;
        }
        self.failures.iter().try_for_each(|call| write_call(out, call))?;
        if self.totals.runs > 1 { self.write_totals(out) } else { Ok(()) }
    }

    fn write_totals(&self, out: &mut impl Write) -> io::Result<()> {
        let Totals { runs, calls, servers } = &self.totals;
        writeln!(out, "\n{runs} runs")?;
        for (plugin, hook, calls) in calls {
            let (mean, slowest) = (time(calls.mean()), time(calls.slowest));
            let counts = format!("{} calls, {} halts, {} failures", calls.number, calls.halted, calls.failed);
            writeln!(out, "  {plugin} {}: {counts}, mean {mean}, slowest {slowest}", hook.as_str())?;
        }
        servers.iter().try_for_each(|(name, count)| writeln!(out, "  {name}: chosen {count} times"))
    }
}

fn write_call(out: &mut impl Write, call: &Call) -> io::Result<()> {
    let Call { plugin, hook, took, answer, changes, lines, .. } = call;
    writeln!(out, "  {plugin} {}: {}, in {}", hook.as_str(), words(answer), time(*took))?;
    changes.iter().try_for_each(|change| writeln!(out, "    {change}"))?;
    lines.iter().try_for_each(|line| writeln!(out, "    says: {line}"))
}

fn end(run: &Run) -> String {
    match (&run.halt, &run.server) {
        (Some(halt), _) => format!("answered {}", halt.status.as_u16()),
        (None, Some(server)) => format!("goes to {server}"),
        (None, None) => "no backend is left: the next pool, or 503".to_owned(),
    }
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::GoesOn => "goes on".to_owned(),
        Answer::Halts(halt) => format!("halts with {}", halt_words(halt)),
        Answer::Keeps { kept, of, .. } if kept.len() == *of => format!("keeps all {of}"),
        Answer::Keeps { kept, .. } if kept.is_empty() => "keeps none".to_owned(),
        Answer::Keeps { kept, of, .. } => format!("keeps {} of {of}", kept.join(", ")),
        Answer::Fails(failure) => format!("FAILS ({}): {failure}", failure.cause.as_str()),
        Answer::Stopped => "FAILS: it panicked, or was waiting when its time was over".to_owned(),
    }
}

fn halt_words(halt: &Halt) -> String {
    let Halt { status, headers, body, plugin: _ } = halt;
    let text = String::from_utf8_lossy(body);
    format!("{} {:?}{}", status.as_u16(), text, header_words(headers))
}

fn header_words(headers: &HeaderMap) -> String {
    headers.iter().map(|(name, value)| format!(", {name}: {}", super::json::text(value))).collect()
}

/// Microseconds, or milliseconds if there are many.
fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1_000.0 { format!("{micros:.1} us") } else { format!("{:.1} ms", micros / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(time(Duration::from_nanos(1_250)), "1.2 us");
        assert_eq!(time(Duration::from_micros(999)), "999.0 us");
        assert_eq!(time(Duration::from_millis(52)), "52.0 ms");
    }
}
