//! Where words go: data to stdout, talk to stderr.
//!
//! Invariant: what a script reads from stdout never changes with the terminal; colour, progress and
//! refreshing in place appear on terminals only.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// A person starts to wonder after about two seconds.
const SILENCE: Duration = Duration::from_secs(2);

/// How often a spinner turns: smooth enough, and no load on a slow link.
const SPIN: Duration = Duration::from_millis(120);

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For people with room for more columns.
    Wide,
    /// For programs: an object a line.
    Json,
    /// For programs and people: a document an object.
    Yaml,
    /// For `xargs`: what kubectl calls each row, a line each.
    Name,
}

/// Both streams, and what may be done to them.
#[derive(Debug)]
pub struct Output {
    format: Format,
    terminal: bool,
    colour: bool,
}

impl Output {
    /// Looks whether stdout is a terminal.
    pub fn new(format: Format, no_colour: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { format, terminal, colour: terminal && !no_colour }
    }

    /// What stdout carries.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether stdout is a terminal that a table may be refreshed on.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether escapes for colour may be written to stdout.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Data: text to stdout, as it is.
    pub fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Data: one object, as a document where YAML is asked for, else on one line, so that many make
    /// JSON lines.
    pub fn object(&self, value: &impl Serialize) -> io::Result<()> {
        let text = if self.format == Format::Yaml {
            format!("---\n{}", serde_saphyr::to_string(value).map_err(io::Error::other)?)
        } else {
            serde_json::to_string(value)?
        };
        self.text(if text.ends_with('\n') { text } else { text + "\n" }.as_str())
    }

    /// Data: names, a line each, none twice in a row.
    pub fn names(&self, names: impl IntoIterator<Item = String>) -> io::Result<()> {
        let mut names: Vec<String> = names.into_iter().collect();
        names.dedup();
        self.text(&names.into_iter().fold(String::new(), |text, name| text + &name + "\n"))
    }

    /// Whether there is room for more columns.
    pub fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }

    /// Talk: one line to stderr. It is lost when stderr is closed, as there is nowhere to say so.
    pub fn note(&self, text: &str) {
        drop(writeln!(io::stderr(), "{text}"));
    }

    /// A spinner on stderr while `work` goes on longer than a person likes to see nothing.
    pub async fn during<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(SILENCE, work.as_mut()).await {
            return done;
        }
        let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
        spinner.enable_steady_tick(SPIN);
        let done = work.await;
        spinner.finish_and_clear();
        done
    }

    /// A bar on stderr that fills as `total` comes; nothing where stderr is no terminal.
    pub fn bar(&self, total: u64, template: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(total).with_style(style)
    }
}
