//! Advice as data: ordered, reversible actions with their evidence, proof and cost.
//!
//! Invariant: the id follows from what is advised, never from when or on what evidence, so the same
//! advice given twice is one. Nothing here acts: a person types the commands.

use std::fmt;

use crate::{
    contention::{EpisodeId, Evidence},
    digest::Digest,
    time::AxisNsec,
};

/// What is known of the result before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The assumptions say why nothing could be shown.
    Unproven,
    /// An assignment exists that satisfies every hard predicate that we model.
    Feasible,
    /// Arithmetic without placement.
    Exact,
}

/// Something in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Such as Node, Deployment, Job.
    pub kind: String,
    /// Empty for objects without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    /// As kubectl takes it, but for the namespace: `deployment/ref-models`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

/// A step and its undoing.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// In words.
    pub title: String,
    /// What it changes.
    pub object: ObjectRef,
    /// The command that does it.
    pub command: String,
    /// The command that undoes it.
    pub inverse_command: String,
    /// RFC 6902 with `test` guards; empty where the command is not a patch.
    pub json_patch: String,
    /// The same, back.
    pub inverse_json_patch: String,
    /// Pods that this step restarts.
    pub restarts: u32,
}

/// A reason to act, and the actions in the order in which to take them.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Derived from code, target and actions.
    pub id: u64,
    /// BA101 and so on; a code never changes its meaning.
    pub code: &'static str,
    /// In one line.
    pub title: String,
    /// In a sentence or two, with the numbers.
    pub why: String,
    /// What it is about.
    pub target: ObjectRef,
    /// Undo them in the reverse order.
    pub actions: Vec<Action>,
    /// What is known of the result.
    pub proof: Proof,
    /// What the proof takes for granted, or why there is none.
    pub assumptions: Vec<String>,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
    /// The episodes that gave rise to it.
    pub episodes: Vec<EpisodeId>,
    /// When it was first given.
    pub created: AxisNsec,
}

impl Advice {
    /// The id of advice of this code for this target by these actions.
    pub fn id_of(code: &str, target: &ObjectRef, actions: &[Action]) -> u64 {
        let of = |digest: Digest, object: &ObjectRef| {
            digest.text(&object.kind).text(&object.namespace).text(&object.name)
        };
        let start = of(Digest::new().text(code), target);
        let digest = actions.iter().fold(start, |digest, action| {
            of(digest, &action.object).text(&action.command).text(&action.inverse_command)
        });
        digest.finish()
    }

    /// Pods that all actions together restart.
    pub fn restarts(&self) -> u32 {
        self.actions.iter().map(|action| action.restarts).fold(0, u32::saturating_add)
    }
}
