//! Nodes of their own for the models: label, affinity and toleration, taint, and a fresh start for
//! what is in the way.
//!
//! The taint keeps others off the nodes, the label and the affinity keep the models on them; either
//! alone does half. So the actions come from one value and all at once. Label first, taint after the
//! models tolerate it: at no point has a pod nowhere to go that had somewhere before.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    advice::{Action, ObjectRef},
    placement::kubectl::{on, patch, word},
};

/// How nodes for the models are marked: the key and value of their label and of their taint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFor {
    key: String,
    value: String,
}

/// Why a mark for nodes cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeForError {
    /// Not the key of a Kubernetes label.
    #[error(
        "`{0}` is not a label key: use letters, digits, -, _ and . in up to 63, with an optional DNS prefix and /"
    )]
    Key(String),
    /// Not the value of a Kubernetes label.
    #[error("`{0}` is not a label value: use up to 63 letters, digits, -, _ and .")]
    Value(String),
}

impl Default for NodeFor {
    /// `node_for=models`, as the guide for model scaling has it.
    fn default() -> Self {
        Self { key: "node_for".to_owned(), value: "models".to_owned() }
    }
}

impl fmt::Display for NodeFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl NodeFor {
    /// Errors: either would be refused as part of a label.
    pub fn new(key: &str, value: &str) -> Result<Self, NodeForError> {
        let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        if !is_label_text(name) || prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
            return Err(NodeForError::Key(key.to_owned()));
        }
        if !is_label_text(value) {
            return Err(NodeForError::Value(value.to_owned()));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// The taint, as kubectl writes it.
    pub(super) fn taint(&self) -> String {
        format!("{self}:NoSchedule")
    }

    fn toleration(&self) -> Value {
        json!([{"key": self.key, "operator": "Equal", "value": self.value, "effect": "NoSchedule"}])
    }

    fn affinity(&self) -> Value {
        let expression = json!({"key": self.key, "operator": "In", "values": [self.value]});
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [expression]}]
        }}})
    }
}

/// `[A-Za-z0-9]`, with `-_.` inside, 1 to 63 (apimachinery pkg/util/validation/validation.go).
fn is_label_text(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.len() <= 63 && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inside)
}

fn is_dns_name(text: &str) -> bool {
    let label = |part: &str| {
        is_label_text(part)
            && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A workload whose pods get the nodes.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) object: ObjectRef,
    /// Of its pods' spec within it.
    pub(super) template: &'static str,
    pub(super) pods: u32,
}

/// Where a kind keeps the spec of its pods; `None` for kinds that we do not know.
pub(super) fn template(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => Some("/spec/template/spec"),
        "InferenceService" => Some("/spec/predictor"),
        "Pod" => Some("/spec"),
        _ => None,
    }
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Dedication<'a> {
    pub(super) node_for: &'a NodeFor,
    pub(super) nodes: Vec<&'a str>,
    pub(super) models: Vec<Workload>,
    /// Pods on those nodes that something would start again elsewhere, and what.
    pub(super) in_the_way: Vec<(&'a ObjectRef, &'a ObjectRef)>,
}

impl Dedication<'_> {
    /// In the order in which to take them.
    pub(super) fn actions(&self) -> Vec<Action> {
        let labels = self.nodes.iter().map(|node| self.label(node));
        let models = self.models.iter().map(|workload| self.bind(workload));
        let taints = self.nodes.iter().map(|node| self.taint(node));
        let fresh = self.in_the_way.iter().map(|(pod, owner)| start_again(pod, owner));
        labels.chain(models).chain(taints).chain(fresh).collect()
    }

    fn label(&self, node: &str) -> Action {
        Action {
            title: format!("mark {node} as a node for models"),
            command: format!("kubectl label node {} {}", word(node), self.node_for),
            inverse_command: format!("kubectl label node {} {}-", word(node), self.node_for.key),
            ..plain(node_ref(node))
        }
    }

    fn taint(&self, node: &str) -> Action {
        let (node_word, taint) = (word(node), self.node_for.taint());
        Action {
            title: format!("keep other pods off {node}, once the models run there"),
            command: format!("kubectl taint node {node_word} {taint}"),
            inverse_command: format!("kubectl taint node {node_word} {taint}-"),
            ..plain(node_ref(node))
        }
    }

    /// Both fields in one patch, so that a restart never sees one without the other. The guards: the
    /// API server reads a `test` for null as "is not there" (evanphx/json-patch v4, patch.go), so
    /// where the template has tolerations or affinity of its own the patch is refused, not merged.
    fn bind(&self, workload: &Workload) -> Action {
        let fields = [
            (format!("{}/tolerations", workload.template), self.node_for.toleration()),
            (format!("{}/affinity", workload.template), self.node_for.affinity()),
        ];
        let both = |steps: [fn(&str, &Value) -> Value; 2]| {
            let patch = fields.iter().flat_map(|(path, value)| steps.map(|step| step(path, value)));
            Value::Array(patch.collect()).to_string()
        };
        let json_patch = both([
            |path, _| json!({"op": "test", "path": path, "value": null}),
            |path, value| json!({"op": "add", "path": path, "value": value}),
        ]);
        let inverse_json_patch = both([
            |path, value| json!({"op": "test", "path": path, "value": value}),
            |path, _| json!({"op": "remove", "path": path}),
        ]);
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
