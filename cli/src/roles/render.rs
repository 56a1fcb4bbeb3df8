//! Roles as a table, and suggestions as commands that can be pasted.

use super::suggest::{Suggestion, label};
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
    let Suggestion { namespace, owner_kind, owner_name, role, command } = one;
    let label = label(*role);
    let question = format!("# {owner_kind} {namespace}/{owner_name}: is it a {}?", role.word());
    format!("{question} To outlive its pods, {label} must stand in its pod template.\n{command}\n")
}
