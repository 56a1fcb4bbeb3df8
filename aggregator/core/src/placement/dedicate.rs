//! Nodes of their own for the models: label, affinity and toleration, taint, and a fresh start for
//! what is in the way.
//!
//! The taint keeps others off the nodes, the label and the affinity keep the models on them; either
//! alone does half. So the actions come from one value and all at once. Label first, taint after the
//! models tolerate it: at no point has a pod nowhere to go that had somewhere before.

use crate::{
    advice::{Action, ObjectRef},
    placement::kubectl::{on, patch, word},
};

/// How nodes for the models are marked, as the guide for model scaling has it: their label.
const LABEL: &str = "node_for=models";

/// Takes the label away.
const NO_LABEL: &str = "node_for-";

/// Their taint, as kubectl writes it.
pub(super) const TAINT: &str = "node_for=models:NoSchedule";

/// What a template says to tolerate the taint. Text: the core knows no JSON, and nothing in it varies.
const TOLERATIONS: &str = r#"[{"effect":"NoSchedule","key":"node_for","operator":"Equal","value":"models"}]"#;

/// What a template says to ask for the label.
const AFFINITY: &str = concat!(
    r#"{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":"#,
    r#"[{"matchExpressions":[{"key":"node_for","operator":"In","values":["models"]}]}]}}}"#
);

/// A workload whose pods get the nodes.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) object: ObjectRef,
    /// Of its pods' spec within it.
    pub(super) template: &'static str,
    pub(super) pods: u32,
}

/// Where a kind keeps the spec of its pods; `None` for kinds that we do not know, and where a patch
/// of it moves nothing: the API server refuses another affinity for a pod that is there
/// (Kubernetes' pkg/apis/core/validation/validation.go, `ValidatePodUpdate`), and a `ReplicaSet` or
/// `ReplicationController` leaves the pods that it has as they are.
pub(super) fn template(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "StatefulSet" => Some("/spec/template/spec"),
        "InferenceService" => Some("/spec/predictor"),
        _ => None,
    }
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Dedication<'a> {
    pub(super) nodes: Vec<&'a str>,
    pub(super) models: Vec<Workload>,
    /// Pods on those nodes that something would start again elsewhere, and what.
    pub(super) in_the_way: Vec<(&'a ObjectRef, &'a ObjectRef)>,
}

impl Dedication<'_> {
    /// In the order in which to take them.
    pub(super) fn actions(&self) -> Vec<Action> {
        let labels = self.nodes.iter().map(|node| label(node));
        let models = self.models.iter().map(bind);
        let taints = self.nodes.iter().map(|node| taint(node));
        let fresh = self.in_the_way.iter().map(|(pod, owner)| start_again(pod, owner));
        labels.chain(models).chain(taints).chain(fresh).collect()
    }
}

fn label(node: &str) -> Action {
    Action {
        title: format!("mark {node} as a node for models"),
        command: format!("kubectl label node {} {LABEL}", word(node)),
        inverse_command: format!("kubectl label node {} {NO_LABEL}", word(node)),
        ..plain(node_ref(node))
    }
}

fn taint(node: &str) -> Action {
    Action {
        title: format!("keep other pods off {node}, once the models run there"),
        command: format!("kubectl taint node {} {TAINT}", word(node)),
        inverse_command: format!("kubectl taint node {} {TAINT}-", word(node)),
        ..plain(node_ref(node))
    }
}

/// Both fields in one patch, so that a restart never sees one without the other. The guards: the
/// API server reads a `test` for null as "is not there" (evanphx/json-patch v4, patch.go), so
/// where the template has tolerations or affinity of its own the patch is refused, not merged.
fn bind(workload: &Workload) -> Action {
    let fields = [("tolerations", TOLERATIONS), ("affinity", AFFINITY)];
    let path = |field: &str| format!("{}/{field}", workload.template);
    let add = fields.map(|(field, value)| {
        let path = path(field);
        format!(
            r#"{{"op":"test","path":"{path}","value":null}},{{"op":"add","path":"{path}","value":{value}}}"#
        )
    });
    let remove = fields.map(|(field, value)| {
        let path = path(field);
        format!(r#"{{"op":"test","path":"{path}","value":{value}}},{{"op":"remove","path":"{path}"}}"#)
    });
    let json_patch = format!("[{}]", add.join(","));
    let inverse_json_patch = format!("[{}]", remove.join(","));
    Action {
        title: format!("let {} run on those nodes only; wait until its pods do", workload.object),
        command: patch(&workload.object, &json_patch),
        inverse_command: patch(&workload.object, &inverse_json_patch),
        json_patch,
        inverse_json_patch,
        restarts: workload.pods,
        ..plain(workload.object.clone())
    }
}

/// Whatever runs on a node stays there: `NoSchedule` stops new pods only.
fn start_again(pod: &ObjectRef, owner: &ObjectRef) -> Action {
    Action {
        title: format!("let {owner} start {pod} again elsewhere, or let it end where it is"),
        command: on("delete", pod),
        inverse_command: format!("# nothing to undo: {owner} starts its pod again"),
        restarts: 1,
        ..plain(pod.clone())
    }
}

fn node_ref(name: &str) -> ObjectRef {
    ObjectRef { kind: "Node".to_owned(), namespace: String::new(), name: name.to_owned() }
}

fn plain(object: ObjectRef) -> Action {
    Action {
        title: String::new(),
        object,
        command: String::new(),
        inverse_command: String::new(),
        json_patch: String::new(),
        inverse_json_patch: String::new(),
        restarts: 0,
    }
}
