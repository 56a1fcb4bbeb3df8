//! Nodes of their own for the models: label, affinity and toleration, taint, and a fresh start for
//! what is in the way.
//!
//! The taint keeps others off the nodes, the label and the affinity keep the models on them; either
//! alone does half. So the actions come from one value and all at once. Label first, taint after the
//! models tolerate it: at no point has a pod nowhere to go that had somewhere before.

use crate::{
    advice::{Action, ObjectRef},
    placement::{
        fence::Fence,
        kubectl::{on, patch, word},
        patch::{Edit, patches},
        workload::Workload,
    },
    scheduling::Machine,
};

/// The whole of it. What is done already is no step.
#[derive(Debug)]
pub(super) struct Dedication<'a> {
    pub(super) fence: &'a Fence,
    /// By name; what they bear is not known off Kubernetes.
    pub(super) nodes: Vec<(&'a str, Option<&'a Machine>)>,
    pub(super) models: Vec<&'a Workload<'a>>,
    /// Pods that something would start again where they belong, and what.
    pub(super) in_the_way: Vec<(&'a ObjectRef, &'a ObjectRef)>,
}

impl Dedication<'_> {
    /// In the order in which to take them.
    pub(super) fn actions(&self) -> Vec<Action> {
        let without = |bears: fn(&Fence, &Machine) -> bool| {
            let lacks =
                move |machine: Option<&Machine>| machine.is_none_or(|machine| !bears(self.fence, machine));
            self.nodes.iter().filter(move |(_, machine)| lacks(*machine)).map(|(name, _)| *name)
        };
        let labels = without(Fence::is_label_of).map(|node| label(self.fence, node));
        let models = self.models.iter().filter_map(|workload| {
            let edits = workload.edits(self.fence)?;
            let title = format!("let {} run on those nodes only; wait until its pods do", workload.object);
            (!edits.is_empty()).then(|| bind(workload, title, &edits))
        });
        let taints = without(Fence::is_taint_of).map(|node| taint(self.fence, node));
        let fresh = self.in_the_way.iter().map(|(pod, owner)| start_again(pod, owner));
        labels.chain(models).chain(taints).chain(fresh).collect()
    }
}

pub(super) fn label(fence: &Fence, node: &str) -> Action {
    let set = |label: &str| format!("kubectl label node {} {}", word(node), word(label));
    Action {
        title: format!("mark {node} as a node for models"),
        command: set(&fence.label()),
        inverse_command: set(&format!("{}-", fence.key)),
        ..plain(node_ref(node))
    }
}

fn taint(fence: &Fence, node: &str) -> Action {
    let set = |taint: &str| format!("kubectl taint node {} {}", word(node), word(taint));
    Action {
        title: format!("keep other pods off {node}, once the models run there"),
        command: set(&fence.taint()),
        inverse_command: set(&format!("{}-", fence.taint())),
        ..plain(node_ref(node))
    }
}

/// All fields in one patch, so that a restart never sees one without the other. Where the template
/// says something else than its pods do, the patch is refused.
pub(super) fn bind(workload: &Workload<'_>, title: String, edits: &[Edit]) -> Action {
    let (json_patch, inverse_json_patch) = patches(edits);
    Action {
        title,
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
