//! Advice: what to change, why, and how to take it back.

use berth::wire;
use serde::Serialize;

use super::{Evidence, Time, plain, plain_lines, word};

/// Something in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectRef {
    /// Such as Node, Deployment, Job.
    pub kind: String,
    /// Empty for objects without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<wire::ObjectRef> for ObjectRef {
    fn from(wire: wire::ObjectRef) -> Self {
        Self { kind: plain(&wire.kind), namespace: plain(&wire.namespace), name: plain(&wire.name) }
    }
}

impl ObjectRef {
    /// Such as `Deployment refmodels/ref-models`.
    pub fn name(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// A step and its undoing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// In words.
    pub title: String,
    /// What it changes.
    pub object: Option<ObjectRef>,
    /// Does it.
    pub command: String,
    /// Undoes it.
    pub inverse_command: String,
    /// RFC 6902, as JSON text; empty where the command is not a patch.
    pub json_patch: String,
    /// The same, back.
    pub inverse_json_patch: String,
    /// Pods that this step restarts.
    pub restarts: u32,
}

impl From<wire::Action> for Action {
    fn from(wire: wire::Action) -> Self {
        Self {
            title: plain(&wire.title),
            object: wire.object.map(ObjectRef::from),
            command: plain_lines(&wire.command),
            inverse_command: plain_lines(&wire.inverse_command),
            json_patch: plain_lines(&wire.json_patch),
            inverse_json_patch: plain_lines(&wire.inverse_json_patch),
            restarts: wire.restarts,
        }
    }
}

/// A reason to act, and the actions; as in the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The same while the advice is the same.
    pub id: String,
    /// BA101 and so on.
    pub code: String,
    /// In one line.
    pub title: String,
    /// With the numbers.
    pub why: String,
    /// What it is about.
    pub target: Option<ObjectRef>,
    /// In the order in which to take them.
    pub actions: Vec<Action>,
    /// What is known of the result.
    #[serde(serialize_with = "word::serialize")]
    pub proof: wire::ProofLevel,
    /// What the proof takes for granted.
    pub assumptions: Vec<String>,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
    /// The episodes that gave rise to it.
    pub episode_ids: Vec<String>,
    /// When it was first given.
    pub created: Option<Time>,
    /// Pods that all actions together restart.
    pub restarts: u32,
}

impl From<wire::Advice> for Advice {
    fn from(wire: wire::Advice) -> Self {
        Self {
            proof: wire.proof(),
            id: plain(&wire.id),
            code: plain(&wire.code),
            title: plain(&wire.title),
            why: plain(&wire.why),
            target: wire.target.map(ObjectRef::from),
            actions: wire.actions.into_iter().map(Action::from).collect(),
            assumptions: wire.assumptions.iter().map(|text| plain(text)).collect(),
            evidence: wire.evidence.into_iter().map(Evidence::from).collect(),
            episode_ids: wire.episode_ids.iter().map(|id| plain(id)).collect(),
            created: wire.created.map(Time::from),
            restarts: wire.restarts,
        }
    }
}
