//! Shows the figures: a table that is drawn over itself on a terminal, a line each time anywhere else.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::figures::{Figures, Row};

/// Up one line, and erase it.
const ERASE_LINE: &str = "\x1b[1A\x1b[2K";

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    /// Lines of the table that is on the terminal now.
    drawn: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), drawn: 0 }
    }

    /// How often figures are worth showing.
    pub(super) fn period(&self) -> Duration {
        if self.terminal { Duration::from_millis(250) } else { Duration::from_secs(1) }
    }

    /// Writes lines that stay.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        let erase = self.erase();
        let mut out = io::stdout().lock();
        writeln!(out, "{erase}{text}")?;
        out.flush()
    }

    /// Writes the figures in place of those before.
    pub(super) fn show(&mut self, figures: &Figures) -> io::Result<()> {
        if !self.terminal {
            return self.say(&line(figures));
        }
        let table = table(figures);
        self.say(&table)?;
        self.drawn = table.lines().count();
        Ok(())
    }

    fn erase(&mut self) -> String {
        ERASE_LINE.repeat(std::mem::take(&mut self.drawn))
    }
}

fn line(figures: &Figures) -> String {
    let mut out = String::new();
    for Row { backend, demo, .. } in &figures.rows {
        write_to(&mut out, format_args!("{} {} {demo}, ", backend.name, backend.state));
    }
    out + &totals(figures)
}

fn table(figures: &Figures) -> String {
    let mut out = format!(
        "{:<10} {:<22} {:<9} {:>6} {:>9} {:>9} {:>7} {:>7}\n",
        "BACKEND", "ADDRESS", "STATE", "WEIGHT", "IN FLIGHT", "REQUESTS", "SHARE", "YOURS"
    );
    let all: u64 = figures.rows.iter().map(|row| row.demo).sum();
    for Row { backend: b, demo, yours } in &figures.rows {
        write_to(
            &mut out,
            format_args!(
                "{:<10} {:<22} {:<9} {:>6} {:>9} {demo:>9} {:>6}% {yours:>7}\n",
                b.name,
                b.address,
                b.state,
                b.weight,
                b.in_flight.current,
                percent(*demo, all),
            ),
        );
    }
    out + &totals(figures)
}

fn totals(figures: &Figures) -> String {
    let tally = &figures.tally;
    format!("sent {}, answered {}, failed {}", tally.sent, tally.all_answered(), tally.failed)
}

fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).checked_div(whole).unwrap_or(0)
}

fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::super::figures::{BackendState, InFlight};
    use super::super::traffic::Tally;
    use super::*;

    fn figures() -> Figures {
        let row = |name: &str, state: &str, demo| Row {
            backend: BackendState {
                name: name.into(),
                address: "127.0.0.1:9701".into(),
                state: state.into(),
                weight: 1,
                in_flight: InFlight { current: 0 },
            },
            demo,
            yours: 2,
        };
        let answered = [("web-1".to_owned(), 30), ("web-2".to_owned(), 10)].into();
        let tally = Tally { sent: 41, failed: 0, answered };
        Figures { rows: vec![row("web-1", "Up", 30), row("web-2", "Ejected", 10)], tally }
    }

    #[test]
    fn a_line_names_each_backend_and_the_totals() {
        assert_eq!(line(&figures()), "web-1 Up 30, web-2 Ejected 10, sent 41, answered 40, failed 0");
    }

    #[test]
    fn columns_of_the_table_stand_under_their_names() {
        let table = table(&figures());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].find("STATE"), lines[2].find("Ejected"));
        assert!(lines[1].contains(" 75% ") && lines[2].contains(" 25% "), "{table}");
        assert_eq!(lines[0].len(), lines[1].len());
    }

    #[test]
    fn shares_of_nothing_are_zero() {
        assert_eq!(percent(0, 0), 0);
    }
}
