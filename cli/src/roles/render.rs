//! Roles as a table, and suggestions as commands that can be pasted.

use super::suggest::Suggestion;
use crate::text;
use crate::view::Subject;
use crate::view::word::Word;

pub(super) fn subjects(subjects: &[Subject]) -> String {
    if subjects.is_empty() {
        return "no containers\n".to_owned();
    }
    let mut table = text::table(&["NODE", "CONTAINER", "OWNER", "ROLE", "WHY"], &[]);
    for subject in subjects {
        let owner = subject.who.owner();
        table.add_row([
            subject.node.clone(),
            subject.who.name(),
            if owner.is_empty() { text::NONE.to_owned() } else { owner },
            subject.who.role.word(),
            subject.role_reason.clone(),
        ]);
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
