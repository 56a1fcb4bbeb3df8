//! Numbers as people read them, and tables in kubectl's manner.
//!
//! Deliberately absent: wrapping. A row is a line, so that `grep` and `awk` see rows.

use std::time::Duration;

use berth::wire::{Cause, Resource, Severity, Verdict};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::view::{Estimate, Share};

/// Below this a slowdown gets a second decimal: the severities begin at 1.05, 1.10 and 1.5.
const FINE_SLOWDOWN: f64 = 1.5;

/// A smaller part of the wait is not worth a place in a table; `explain` shows all.
const SHARE_SHOWN: f64 = 0.05;

/// As many as fit beside the other columns.
const SHARES_SHOWN: usize = 2;

/// Spaces between columns, as kubectl has them.
const GAP: u16 = 3;

/// Characters before what a line of a [`Page`] says.
const LABEL_WIDTH: usize = 12;

/// Stands for what is not known, or does not apply.
pub const NONE: &str = "-";

/// `1.8x [1.6, 2.1]`, or [`NONE`].
pub fn slowdown(estimate: Option<Estimate>) -> String {
    let Some(Estimate { estimate, lo, hi }) = estimate else { return NONE.to_owned() };
    let decimals = if estimate < FINE_SLOWDOWN { 2 } else { 1 };
    format!("{estimate:.decimals$}x [{lo:.decimals$}, {hi:.decimals$}]")
}

/// `35 %`.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Who or what a part of the wait for `resource` came from.
pub fn cause(share: &Share, resource: Resource, verdict: Verdict) -> &str {
    match (share.cause, &share.who) {
        (Cause::Self_, _) if resource == Resource::Memory && verdict == Verdict::MemoryOwnLimit => {
            "own memory limit"
        }
        (Cause::Self_, _) if resource == Resource::Memory => "what it takes itself",
        (Cause::Unowned, _) if resource == Resource::Memory => "nobody seen",
        (Cause::Unowned, _) if resource == Resource::GpuTime => "work of no pod that is known",
        (Cause::Culprit, Some(who)) => who.short(),
        (Cause::Culprit, None) => "somebody",
        (Cause::Self_, _) => "own threads",
        (Cause::Throttle, _) => "own CPU limit",
        (Cause::PodThrottle, _) => "CPU limit of its pod",
        (Cause::SliceThrottle, _) => "CPU limit above its pod",
        (Cause::Irq, _) => "interrupts",
        (Cause::Steal, _) => "hypervisor",
        (Cause::Unowned, _) => "work in no sampled cgroup",
        (Cause::Unspecified, _) => "unknown",
    }
}

/// The largest parts of the wait: `61 % scanner-a, 20 % own threads`.
pub fn blame(shares: &[Share], resource: Resource, verdict: Verdict) -> String {
    let parts: Vec<String> = shares
        .iter()
        .filter(|share| share.share >= SHARE_SHOWN)
        .take(SHARES_SHOWN)
        .map(|share| format!("{} {}", percent(share.share), cause(share, resource, verdict)))
        .collect();
    if parts.is_empty() { NONE.to_owned() } else { parts.join(", ") }
}

/// `12.3s`, `2m05s`, `1h02m`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600.. => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `240Mi`, as Kubernetes writes memory.
pub fn memory(bytes: u64) -> String {
    const MIB: f64 = 1_048_576.0;
    format!("{:.0}Mi", bytes as f64 / MIB)
}

/// A table without lines; columns in `right` hold numbers.
pub fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The lines of a table, header first.
pub fn lines(table: &Table) -> impl Iterator<Item = String> {
    table.lines().map(|line| line.trim_end().to_owned())
}

/// Lines that each begin with a label, or with its room.
#[derive(Debug, Default)]
pub struct Page {
    lines: Vec<String>,
}

impl Page {
    /// Adds a line.
    pub fn line(&mut self, label: &str, text: &str) {
        self.lines.push(format!("{label:<LABEL_WIDTH$}{text}"));
    }

    /// All lines.
    pub fn finish(self) -> String {
        self.lines.into_iter().fold(String::new(), |page, line| page + line.trim_end() + "\n")
    }
}

/// What draws the eye to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    /// Look here.
    Yellow,
    /// Look here first.
    Red,
}

impl Hue {
    /// Of an episode that is open.
    pub fn of(severity: Severity) -> Option<Self> {
        match severity {
            Severity::Unspecified | Severity::Transient => None,
            Severity::Contended => Some(Self::Yellow),
            Severity::Severe => Some(Self::Red),
        }
    }
}

/// The line in its hue: ECMA-48 "select graphic rendition".
pub fn painted(line: String, hue: Option<Hue>) -> String {
    match hue {
        None => line,
        Some(Hue::Yellow) => format!("\u{1b}[33m{line}\u{1b}[0m"),
        Some(Hue::Red) => format!("\u{1b}[31m{line}\u{1b}[0m"),
    }
}

/// Adds a table to the page, each row but the header in its hue.
pub fn add_table(page: &mut String, table: &Table, hues: impl IntoIterator<Item = Option<Hue>>) {
    let hues = std::iter::once(None).chain(hues).chain(std::iter::repeat(None));
    for (line, hue) in lines(table).zip(hues) {
        page.push_str(&painted(line, hue));
        page.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slowdown_shows_the_decimals_that_decide() {
        let estimate = |estimate, lo, hi| slowdown(Some(Estimate { estimate, lo, hi }));
        assert_eq!(estimate(1.84, 1.61, 2.08), "1.8x [1.6, 2.1]");
        assert_eq!(estimate(1.07, 1.04, 1.12), "1.07x [1.04, 1.12]");
        assert_eq!(slowdown(None), "-");
    }

    #[test]
    fn a_duration_has_two_units_at_most() {
        for (millis, text) in
            [(0, "0.0s"), (12_340, "12.3s"), (125_000, "2m05s"), (3_599_000, "59m59s"), (3_720_000, "1h02m")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn blame_leaves_out_what_does_not_matter() {
        let share = |cause, share| Share { cause, who: None, share };
        let shares = [share(Cause::Self_, 0.6), share(Cause::Throttle, 0.35), share(Cause::Irq, 0.04)];
        let of = |shares: &[Share], resource| blame(shares, resource, Verdict::MemoryOwnLimit);
        assert_eq!(of(&shares, Resource::Cpu), "60 % own threads, 35 % own CPU limit");
        assert_eq!(of(&shares[..1], Resource::Memory), "60 % own memory limit");
        assert_eq!(blame(&shares[..1], Resource::Memory, Verdict::Mixed), "60 % what it takes itself");
        assert_eq!(of(&[], Resource::Cpu), "-");
    }

    #[test]
    fn a_row_is_a_line_with_numbers_to_the_right() {
        let mut table = table(&["NAME", "CPU"], &[1]);
        table.add_row(["a", "10.5"]).add_row(["longer", "1.0"]);
        let lines: Vec<String> = lines(&table).collect();
        assert_eq!(lines, ["NAME      CPU", "a        10.5", "longer    1.0"]);
    }
}
