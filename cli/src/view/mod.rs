//! What there is to show: the answers of the aggregator, made strict.
//!
//! Invariant: no string here holds a control character, whatever a node, a pod or an answer is
//! called, so that no name can move the cursor of the terminal that shows it. Serialised, these types
//! are what `-o json` promises; their keys are those of the contract.

pub mod advice;
mod core;
pub mod episode;
pub mod model;
#[cfg(test)]
#[path = "../../tests/cli/sample.rs"]
pub(crate) mod sample;
pub mod subject;
pub mod time;
pub mod who;
pub mod word;

pub use advice::{Action, Advice, ObjectRef};
pub use episode::{Episode, Estimate, Evidence, Share};
pub use model::ModelSummary;
pub use subject::Subject;
pub use time::Time;
pub use who::Who;

/// Stands for a character that a terminal would obey.
const REPLACEMENT: char = '\u{fffd}';

/// The text without control characters.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { REPLACEMENT } else { c }).collect()
}

/// The text as lines, each without control characters.
pub fn plain_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { REPLACEMENT } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(plain_lines("a\u{9b}2J\nb"), "a\u{fffd}2J\nb");
    }
}
