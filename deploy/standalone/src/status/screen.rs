//! Where `weir top` is shown: a screen of its own on a terminal, one text after the other anywhere else.

use std::io::{self, Write};

use rustix::termios::tcgetwinsize;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// Restores the terminal when dropped.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
}

impl Screen {
    /// Takes the terminal, if it is one.
    pub(super) fn open(terminal: bool) -> io::Result<Self> {
        if terminal {
            write(ENTER)?;
        }
        Ok(Self { terminal })
    }

    /// How many lines there is room for.
    pub(super) fn lines(&self) -> usize {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| self.terminal && size.ws_row > 1);
        size.map_or(usize::MAX, |size| usize::from(size.ws_row) - 1)
    }

    /// Shows a text in place of the one before.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        if !self.terminal {
            return write(&format!("{text}\n"));
        }
        // Written over the one before, which flickers less than clearing it first.
        let lines: String = text.lines().map(|line| format!("{line}{REST_OF_LINE}\n")).collect();
        write(&format!("{HOME}{lines}{REST_OF_SCREEN}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            // Nobody could be told.
            let _ = write(LEAVE);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
