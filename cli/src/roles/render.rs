//! Roles as a table, and suggestions as commands that can be pasted.

use super::suggest::Suggestion;
use crate::text;
use crate::view::Subject;
use crate::view::word::Word;

/// Columns where there is no room for more.
const NARROW_COLUMNS: usize = 5;

pub(super) fn subjects(subjects: &[Subject], wide: bool) -> String {
    if subjects.is_empty() {
        return "no containers\n".to_owned();
    }
    let header = ["NODE", "CONTAINER", "OWNER", "ROLE", "WHY", "POD UID", "CGROUP"];
    let columns = if wide { header.len() } else { NARROW_COLUMNS };
    let mut table = text::table(&header[..columns], &[]);
    for subject in subjects {
        let owner = subject.who.owner();
        let or_none = |text: String| if text.is_empty() { text::NONE.to_owned() } else { text };
        let row = [
            subject.node.clone(),
            subject.who.name(),
            or_none(owner),
            subject.who.role.word(),
            subject.role_reason.clone(),
            or_none(subject.who.pod_uid.clone()),
            subject.who.cgroup.clone(),
        ];
        table.add_row(row.into_iter().take(columns));
    }
    let mut page = String::new();
    text::add_table(&mut page, &table, []);
    page
}

pub(super) fn suggestions(suggestions: &[Suggestion]) -> String {
    suggestions.iter().map(suggestion).collect()
}

fn suggestion(one: &Suggestion) -> String {
    let Suggestion { who, role, why, mend } = one;
    let owner = if who.owner().is_empty() { String::new() } else { format!(" of {}", who.owner()) };
    // What cannot be pasted stands in a comment too.
    let mark = if one.is_command() { "" } else { "# " };
    format!("# {}{owner}: is it a {}? {why}\n{mark}{mend}\n", who.name(), role.name())
}
