//! Colours, where there are some.

use std::io::IsTerminal;

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Coloured,
}

/// What a line is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Title,
    Good,
    Careful,
    Bad,
    Off,
}

impl Ink {
    /// Coloured on a terminal, unless the variable NO_COLOR forbids it.
    pub(crate) fn of(out: &impl IsTerminal) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !forbidden { Self::Coloured } else { Self::Plain }
    }

    /// The text in its tone.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if self == Self::Plain => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Title => "1",
            Tone::Good => "32",
            Tone::Careful => "33",
            Tone::Bad => "31;1",
            Tone::Off => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
