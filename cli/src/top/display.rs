//! Where tables go: a screen, lines of text, or JSON lines.

use std::io;

use tonic::Status;

use super::render;
use super::rows::Table;
use super::screen::Screen;
use crate::connect::lost;
use crate::output::{Format, Output};
use crate::text;

/// One of the three, for as long as tables come.
#[derive(Debug)]
pub(super) enum Display<'a> {
    /// Refreshed in place.
    Screen(Screen<'a>),
    /// One after the other, each line with its time.
    Lines { output: &'a Output, with_header: bool },
    /// An object a table.
    Objects { output: &'a Output },
}

impl<'a> Display<'a> {
    /// By what stdout is, and what it is to carry.
    pub(super) fn new(output: &'a Output) -> io::Result<Self> {
        Ok(match output.format() {
            Format::Json | Format::Yaml => Self::Objects { output },
            _ if output.is_terminal() => Self::Screen(Screen::enter(output)?),
            Format::Table | Format::Wide | Format::Name => Self::Lines { output, with_header: true },
        })
    }

    /// One table.
    pub(super) fn show(&mut self, table: &Table) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                let time = table.time.map_or_else(|| "no samples yet".to_owned(), |time| time.to_string());
                let headline = format!("berth top  {time}  {} containers", table.containers.len());
                screen.show(&headline, &render::lines(table, screen.is_wide()))
            }
            Self::Lines { output, with_header } => {
                // Lines cannot be taken back: the first ones wait for samples.
                if table.time.is_none() {
                    return Ok(());
                }
                output.text(&render::plain(table, output.is_wide(), std::mem::take(with_header)))
            }
            Self::Objects { output } => output.object(table),
        }
    }

    /// Why the table shown last is getting old.
    pub(super) fn lost(&self, status: &Status) -> io::Result<()> {
        let news = lost(status);
        match self {
            Self::Screen(screen) => screen.headline(&news),
            Self::Lines { output, .. } | Self::Objects { output } => {
                output.note(&news);
                Ok(())
            }
        }
    }
}

/// One table, once, without times.
pub(super) fn once(table: &Table, output: &Output) -> io::Result<()> {
    match output.format() {
        Format::Json | Format::Yaml => output.object(table),
        Format::Table | Format::Wide | Format::Name => {
            let lines = render::lines(table, output.is_wide()).into_iter();
            let painted = lines.map(|(line, hue)| text::painted(line, hue.filter(|_| output.colour())));
            output.text(&painted.fold(String::new(), |page, line| page + &line + "\n"))
        }
    }
}
