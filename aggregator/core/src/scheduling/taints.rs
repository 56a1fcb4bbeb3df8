//! Taints, and what tolerates them.

/// The effect that keeps new pods off.
pub const NO_SCHEDULE: &str = "NoSchedule";

/// The effect that also ends the pods that run there.
pub const NO_EXECUTE: &str = "NoExecute";

/// What the admission plugin `DefaultTolerationSeconds` lets every pod tolerate, and for how long.
const DEFAULT_KEYS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const DEFAULT_SECONDS: i64 = 300;

/// A mark on a node that keeps pods off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// May be empty.
    pub value: String,
    /// Such as `NoSchedule`.
    pub effect: String,
}

impl Taint {
    /// The scheduler filters by it; `PreferNoSchedule` only costs a node some score.
    pub fn keeps_off(&self) -> bool {
        matches!(self.effect.as_str(), NO_SCHEDULE | NO_EXECUTE)
    }
}

/// The taint that a pod must tolerate to be placed on a cordoned node, whether that bears it or not.
pub(super) fn unschedulable() -> Taint {
    Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: NO_SCHEDULE.to_owned(),
    }
}

/// A pod's leave to ignore taints, as it is written: what is empty is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Toleration {
    /// Empty: every effect.
    pub effect: String,
    /// Empty, with `Exists`: every taint.
    pub key: String,
    /// `Equal`, which may be left out, or `Exists`.
    pub operator: String,
    /// For how long `NoExecute` is tolerated.
    pub seconds: Option<i64>,
    /// For `Equal`.
    pub value: String,
}

impl Toleration {
    /// The taint is one that this pod may ignore.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        effect
            && match self.operator.as_str() {
                "Exists" => self.key.is_empty() || self.key == taint.key,
                // Without a key the API server refuses it.
                "" | "Equal" => self.key == taint.key && self.value == taint.value && !self.key.is_empty(),
                _ => false,
            }
    }

    pub(super) fn is_default(&self) -> bool {
        DEFAULT_KEYS.contains(&self.key.as_str())
            && (self.operator.as_str(), self.effect.as_str()) == ("Exists", NO_EXECUTE)
            && self.seconds == Some(DEFAULT_SECONDS)
    }
}
