//! Which nodes a pod may be placed on, in Kubernetes' own words.
//!
//! Invariant: what is said here is what kube-scheduler's filters for taints, node selectors and required node
//! affinity say (Kubernetes 1.36.3: staging/src/k8s.io/api/core/v1/toleration.go,
//! staging/src/k8s.io/component-helpers/scheduling/corev1). Deliberately absent: every score and so every
//! preferred term, the operators Lt and Gt of tolerations (the gate `TaintTolerationComparisonOperators` is
//! alpha and off: we take it for off), affinity between pods, volumes, and the scheduler's own configuration.

mod affinity;
mod taints;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use affinity::{Affinity, Requirement, Term};
pub use taints::{NO_EXECUTE, NO_SCHEDULE, Taint, Toleration};

/// A node, as far as pods can ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// What pods may ask for.
    pub labels: BTreeMap<String, String>,
    /// What pods must tolerate to be placed here.
    pub taints: Vec<Taint>,
    /// It takes no new pods.
    pub cordoned: bool,
}

/// What a pod says about nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rules {
    /// The taints that do not keep it off.
    pub tolerations: Vec<Toleration>,
    /// The labels that its node must have.
    pub node_selector: BTreeMap<String, String>,
    /// What else its node must have.
    pub affinity: Affinity,
}

impl Rules {
    /// A new pod can be placed on the node of this name, as far as these rules say.
    pub fn admit(&self, name: &str, machine: &Machine) -> bool {
        let cordoned = machine.cordoned && !self.tolerate(&taints::unschedulable());
        !cordoned && self.repelled_by(&machine.taints).is_none() && self.select(name, &machine.labels)
    }

    /// A node of this name with these labels is one that it asks for.
    pub fn select(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.affinity.select(name, labels)
    }

    /// The first taint that keeps it off.
    pub fn repelled_by<'a>(&self, taints: &'a [Taint]) -> Option<&'a Taint> {
        taints.iter().filter(|taint| taint.keeps_off()).find(|taint| !self.tolerate(taint))
    }

    /// The taint does not keep it off.
    pub fn tolerate(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }

    /// The tolerations without those that the API server gives to every pod.
    pub fn own_tolerations(&self) -> &[Toleration] {
        let given = self.tolerations.iter().rev().take_while(|toleration| toleration.is_default()).count();
        self.tolerations.get(..self.tolerations.len() - given).unwrap_or_default()
    }
}
