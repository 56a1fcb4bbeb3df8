//! Changes of nodes and templates, as many as may be made at once.
//!
//! Invariant: each is right for the cluster as it is seen, so of two that meet (on a node, in a workload,
//! under one fence) only the first is given; the other is found again, if it is still right, once that one
//! is carried out. Deliberately absent: changes that are right only after another.

use crate::{
    advice::{Advice, ObjectRef},
    placement::{fence::Fence, halves, pins},
};

/// A piece of advice, and what it goes by.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) advice: Advice,
    pub(super) fence: Fence,
    pub(super) nodes: Vec<usize>,
    pub(super) models: Vec<ObjectRef>,
}

impl Change {
    fn meets(&self, other: &Self) -> bool {
        let both = |code| self.advice.code == code && other.advice.code == code;
        self.nodes.iter().any(|node| other.nodes.contains(node))
            || self.models.iter().any(|model| other.models.contains(model))
            // Two taints could take the last node from a pod that each of them leaves another.
            || both(halves::NO_TAINT)
            // Pins reckon with each other: to mend one of them keeps nobody from the next.
            || (self.fence == other.fence && !both(pins::CODE))
    }
}

/// Those that can be made at once, the first ones first; a note tells of the others.
pub(super) fn at_once(changes: Vec<Change>, notes: &mut Vec<String>) -> Vec<Advice> {
    let mut chosen: Vec<Change> = Vec::new();
    let mut waiting = Vec::new();
    for change in changes {
        if chosen.iter().any(|other| other.meets(&change)) {
            waiting.push(format!("{} for {}", change.advice.code, change.advice.target));
        } else {
            chosen.push(change);
        }
    }
    if let Some(first) = waiting.first() {
        let more = match waiting.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        notes.push(format!(
            "{first}{more} must wait: one change at a time of a node, a workload or a fence; ask again after it"
        ));
    }
    chosen.into_iter().map(|change| change.advice).collect()
}
