//! Where a workload's object has what its pods say about nodes, and how a patch says something else.
//!
//! Invariant: the patch replaces whole values and is refused where a template does not say what its
//! pods do; other parts of its affinity are never touched.

use crate::{
    placement::{
        json::{array, object, string, term, toleration},
        patch::Edit,
    },
    scheduling::{Affinity, Rules, Term},
};

/// Where the required terms are, step by step.
const AFFINITY: &str = "affinity";
const OF_NODES: &str = "nodeAffinity";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const TERMS: &str = "nodeSelectorTerms";

/// The path of the pods' spec in an object of this kind; `None` for kinds that we do not know, and
/// where a patch of it moves nothing: the API server refuses another affinity for a pod that is there
/// (Kubernetes' pkg/apis/core/validation/validation.go, `ValidatePodUpdate`), and a `ReplicaSet` or
/// `ReplicationController` leaves the pods that it has as they are.
pub(super) fn of_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "StatefulSet" => Some("/spec/template/spec"),
        "InferenceService" => Some("/spec/predictor"),
        _ => None,
    }
}

/// What makes a template say `after` instead of `before`.
pub(super) fn edits(path: &str, before: &Rules, after: &Rules) -> Vec<Edit> {
    let tolerations = |rules: &Rules| {
        let own = rules.own_tolerations();
        (!own.is_empty()).then(|| array(own.iter().map(toleration)))
    };
    let selector = |rules: &Rules| {
        let labels = rules.node_selector.iter().map(|(key, value)| (key.as_str(), string(value)));
        (!rules.node_selector.is_empty()).then(|| object(labels))
    };
    let edits = [
        Edit::new(format!("{path}/tolerations"), tolerations(before), tolerations(after)),
        Edit::new(format!("{path}/nodeSelector"), selector(before), selector(after)),
        affinity(path, &before.affinity, &after.affinity),
    ];
    edits.into_iter().flatten().collect()
}

/// Terms are added to whatever there is, and changed, but never taken away altogether.
fn affinity(path: &str, before: &Affinity, after: &Affinity) -> Option<Edit> {
    let Affinity::Required(after) = after else { return None };
    let terms = |terms: &[Term]| array(terms.iter().map(term));
    let (old, steps): (_, &[&str]) = match before {
        Affinity::Absent => (None, &[]),
        Affinity::OfPods => (None, &[OF_NODES]),
        Affinity::Preferred => (None, &[OF_NODES, REQUIRED]),
        Affinity::Required(before) => (Some(terms(before)), &[OF_NODES, REQUIRED, TERMS]),
    };
    let at = [path, AFFINITY].iter().chain(steps).copied().collect::<Vec<_>>().join("/");
    // What is below the path must be made with it.
    let missing = [OF_NODES, REQUIRED, TERMS].into_iter().skip(steps.len());
    let value = missing.rev().fold(terms(after), |value, step| object([(step, value)]));
    Edit::new(at, old, Some(value))
}
