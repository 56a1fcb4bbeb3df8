//! Advice as a paragraph a piece: why, what it rests on, what to run, what undoes it.

use berth::wire::ProofLevel;

use crate::text::Page;
use crate::view::word::Word;
use crate::view::{Action, Advice, ObjectRef};

pub(super) fn advice(all: &[Advice]) -> String {
    if all.is_empty() {
        return "no advice\n".to_owned();
    }
    all.iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

fn paragraph(advice: &Advice) -> String {
    let mut page = Page::default();
    let target = advice.target.as_ref().map(ObjectRef::name).unwrap_or_default();
    page.line(&advice.code, &format!("{}  ({target}, {})", advice.title, advice.id));
    page.line("why", &advice.why);
    page.line("proof", &format!("{}: {}", advice.proof.word(), meaning(advice.proof)));
    for (index, assumption) in advice.assumptions.iter().enumerate() {
        page.line(if index == 0 { "assumes" } else { "" }, assumption);
    }
    if !advice.episode_ids.is_empty() {
        page.line("episodes", &advice.episode_ids.join(", "));
    }
    page.line("restarts", &pods(advice.restarts));
    steps(&mut page, &advice.actions);
    page.finish()
}

/// What to run, and how to take it back; nothing for advice that leaves the doing to a person.
fn steps(page: &mut Page, actions: &[Action]) {
    if actions.is_empty() {
        return;
    }
    page.line("run", "in this order:");
    for (action, nth) in actions.iter().zip(1..) {
        let comment = format!("{nth}. {}, restarts {}", action.title, pods(action.restarts));
        step(page, &comment, &action.command);
    }
    page.line("undo", "in this order:");
    for (action, nth) in actions.iter().rev().zip(1..) {
        let comment = format!("{nth}. takes back {}", actions.len() + 1 - nth);
        step(page, &comment, &action.inverse_command);
    }
}

/// Comment and command can be pasted into a shell together.
fn step(page: &mut Page, comment: &str, command: &str) {
    page.line("", &format!("# {comment}"));
    command.lines().for_each(|line| page.line("", line));
}

fn pods(restarts: u32) -> String {
    match restarts {
        0 => "no pod".to_owned(),
        1 => "1 pod".to_owned(),
        more => format!("{more} pods"),
    }
}

fn meaning(proof: ProofLevel) -> &'static str {
    match proof {
        ProofLevel::Unproven => "nothing could be shown beforehand",
        ProofLevel::Feasible => {
            "an assignment exists that satisfies every hard rule of the scheduler that we model"
        }
        ProofLevel::SchedulerRealised => {
            "a model of the scheduler finds it, in every order of arrival that was tried"
        }
        ProofLevel::AnyOrder => "no order of arrival can strand a pod",
        ProofLevel::Exact => "plain arithmetic",
        ProofLevel::Unspecified => "this version of berth does not know it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn advice_comes_with_its_commands_in_order_and_its_undoing_in_reverse() {
        insta::assert_snapshot!(advice(&[Advice::from(sample::advice())]));
    }

    #[test]
    fn advice_without_actions_promises_no_commands() {
        let mut one = Advice::from(sample::advice());
        one.actions.clear();
        let text = advice(&[one]);
        assert!(!text.contains("in this order") && text.ends_with("pods\n"), "{text}");
    }

    #[test]
    fn no_advice_is_said() {
        assert_eq!(advice(&[]), "no advice\n");
    }
}
