//! The containers as a table, for a screen or as lines.

use super::rows::{Row, Table};
use crate::text::{self, Hue, NONE};
use crate::view::word::Word;

const HEADER: [&str; 10] =
    ["NODE", "CONTAINER", "ROLE", "CPU", "THROTTLED", "MEMORY", "ADDED ms/s", "SLOWDOWN", "VERDICT", "OWNER"];

/// Columns where there is no room for more.
const NARROW_COLUMNS: usize = 8;

/// The columns that hold numbers.
const NUMBERS: [usize; 4] = [3, 4, 5, 6];

/// Lines with their hues, header first.
pub(super) fn lines(table: &Table, wide: bool) -> Vec<(String, Option<Hue>)> {
    let columns = if wide { HEADER.len() } else { NARROW_COLUMNS };
    let mut text = text::table(&HEADER[..columns], &NUMBERS);
    for row in &table.containers {
        text.add_row(cells(row).into_iter().take(columns));
    }
    let hues = std::iter::once(None).chain(table.containers.iter().map(|row| row.severity.and_then(Hue::of)));
    text::lines(&text).zip(hues).collect()
}

/// The same for a pipe: each line begins with the time, and the header comes once.
pub(super) fn plain(table: &Table, wide: bool, with_header: bool) -> String {
    let time = table.time.map_or_else(|| NONE.to_owned(), |time| time.to_string());
    let width = time.len();
    let stamps = std::iter::once("TIME").chain(std::iter::repeat(time.as_str()));
    let lines = lines(table, wide).into_iter().zip(stamps).skip(usize::from(!with_header));
    lines.fold(String::new(), |page, ((line, _), stamp)| page + &format!("{stamp:<width$}   {line}\n"))
}

fn cells(row: &Row) -> [String; 10] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    [
        row.node.clone(),
        row.who.name(),
        row.who.role.word(),
        or_none(row.cpus.map(|cpus| format!("{cpus:.2}"))),
        or_none(row.throttled_share.map(text::percent)),
        or_none(row.memory_bytes.map(text::memory)),
        or_none(row.added_wait_msec_per_cpu_sec.map(|wait| format!("{wait:.0}"))),
        text::slowdown(row.slowdown),
        or_none(row.verdict.map(Word::word)),
        or_none(Some(row.who.owner()).filter(|owner| !owner.is_empty())),
    ]
}

#[cfg(test)]
mod tests {
    use berth::wire::{Role, Verdict};

    use super::*;
    use crate::view::{Estimate, Time, Who, sample};

    fn table() -> Table {
        let model = Row {
            node: "node-1".to_owned(),
            who: Who::from(sample::who("ref-models-x1", Role::Model)),
            cpus: Some(1.5),
            throttled_share: Some(0.25),
            memory_bytes: Some(251_658_240),
            added_wait_msec_per_cpu_sec: Some(840.0),
            slowdown: Some(Estimate { estimate: 1.84, lo: 1.61, hi: 2.08 }),
            verdict: Some(Verdict::Neighbour),
            severity: None,
        };
        let scanner = Row {
            who: Who::from(sample::who("scanner-a", Role::Scanner)),
            throttled_share: None,
            memory_bytes: None,
            added_wait_msec_per_cpu_sec: None,
            slowdown: None,
            verdict: None,
            ..model.clone()
        };
        Table { time: Some(Time::from(sample::at(0))), containers: vec![model, scanner] }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        insta::assert_snapshot!(plain(&table(), false, true));
    }

    #[test]
    fn a_wide_table_says_whose_a_container_is_and_what_hurts_it() {
        let lines: Vec<String> = lines(&table(), true).into_iter().map(|(line, _)| line).collect();
        assert!(lines[0].ends_with("SLOWDOWN          VERDICT     OWNER"), "{}", lines[0]);
        assert!(lines[1].ends_with("1.8x [1.6, 2.1]   neighbour   Deployment ref-models"), "{}", lines[1]);
    }

    #[test]
    fn a_pipe_gets_the_header_once() {
        assert_eq!(plain(&table(), false, false).lines().count(), 2);
    }
}
