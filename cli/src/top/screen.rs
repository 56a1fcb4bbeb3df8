//! The terminal, refreshed in place.
//!
//! Invariant: however `top` ends, the cursor and the former screen come back, as [`Screen`] restores
//! them when it is dropped. Seven escape sequences (ECMA-48, and xterm's alternate screen) are all
//! that is needed: no key is read, so there is no raw mode, and no terminal library.

use std::io;

use rustix::termios::tcgetwinsize;

use crate::output::Output;
use crate::text::{self, Hue};

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// What a terminal has that does not say: a VT100's.
const DEFAULT_SIZE: Size = Size { columns: 80, rows: 24 };

/// Of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    columns: usize,
    rows: usize,
}

/// The terminal while `top` has it.
#[derive(Debug)]
pub(super) struct Screen<'a> {
    output: &'a Output,
}

impl<'a> Screen<'a> {
    /// Puts the former screen aside.
    pub(super) fn enter(output: &'a Output) -> io::Result<Self> {
        let screen = Self { output };
        output.text(ENTER)?;
        Ok(screen)
    }

    /// Whether there is room for more columns.
    pub(super) fn is_wide(&self) -> bool {
        self.output.is_wide()
    }

    /// Shows these lines, as many and as much of them as fit.
    pub(super) fn show(&self, headline: &str, lines: &[(String, Option<Hue>)]) -> io::Result<()> {
        let first = std::iter::once((headline, None));
        let rest = lines.iter().map(|(line, hue)| (line.as_str(), hue.filter(|_| self.output.colour())));
        self.output.text(&(frame(first.chain(rest), size()) + CLEAR_BELOW))
    }

    /// Replaces the first line.
    pub(super) fn headline(&self, headline: &str) -> io::Result<()> {
        self.output.text(&frame(std::iter::once((headline, None)), size()))
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to restore.
        drop(self.output.text(LEAVE));
    }
}

fn size() -> Size {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
        }
        Ok(_) | Err(_) => DEFAULT_SIZE,
    }
}

fn frame<'a>(lines: impl Iterator<Item = (&'a str, Option<Hue>)>, size: Size) -> String {
    let mut frame = HOME.to_owned();
    // The last row stays free: writing its last column would scroll some terminals.
    for (line, hue) in lines.take(size.rows.saturating_sub(1)) {
        let cut: String = line.chars().take(size.columns).collect();
        frame.push_str(&text::painted(cut, hue));
        frame.push_str(CLEAR_LINE);
        frame.push_str("\r\n");
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_writes_past_the_screen() {
        let lines = ["abcdef", "abcdef", "abcdef", "abcdef"].map(|line| (line, None));
        let frame = frame(lines.into_iter(), Size { columns: 3, rows: 3 });
        assert_eq!(frame, format!("{HOME}abc{CLEAR_LINE}\r\nabc{CLEAR_LINE}\r\n"));
    }

    #[test]
    fn a_cut_line_still_ends_its_colour() {
        let frame = frame(std::iter::once(("severe", Some(Hue::Red))), Size { columns: 2, rows: 9 });
        assert!(frame.contains("\u{1b}[31mse\u{1b}[0m"), "{frame:?}");
    }
}
