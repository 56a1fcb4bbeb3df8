//! BA107: models that ask for one node by its name. When that node is lost, they have no other.
//!
//! Deliberately absent: a pin by `nodeName` in the template, which looks like the scheduler's own
//! choice in a pod, and one by a volume of a node, which says where its data is.

use std::collections::BTreeSet;

use crate::{
    advice::{Advice, Proof},
    placement::{
        assumptions::templates,
        changes::Change,
        dedicate::{bind, label},
        fence::Fence,
        survey::Survey,
        template::edits,
        workload::Workload,
    },
    scheduling::{Affinity, Machine, Requirement, Rules, Term},
    time::AxisNsec,
};

/// Pinned to one node.
pub(super) const CODE: &str = "BA107";

/// The label that the kubelet gives to each node, and the field: a pod that asks for either asks for
/// one node.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// One for each workload that is pinned.
pub(super) fn pins(
    survey: &Survey<'_>,
    workloads: &[Workload<'_>],
    standing: &[Fence],
    now: AxisNsec,
) -> Vec<Change> {
    let pinned: Vec<Pin<'_>> = workloads.iter().filter_map(|workload| Pin::of(survey, workload)).collect();
    let own = |pin: &Pin<'_>| standing.iter().find(|fence| pin.workload.is_held(fence)).cloned();
    pinned.iter().filter_map(|pin| pin.unpin(own(pin).unwrap_or_default(), survey, &pinned, now)).collect()
}

/// A workload, and the one node that it asks for.
struct Pin<'a> {
    workload: &'a Workload<'a>,
    rules: &'a Rules,
    node: usize,
    machine: &'a Machine,
}

impl<'a> Pin<'a> {
    /// Nothing where the node is not seen.
    fn of(survey: &Survey<'a>, workload: &'a Workload<'a>) -> Option<Self> {
        let rules = workload.told().filter(|rules| is_pinned(rules))?;
        let asked = |node: &usize| {
            let machine = survey.machine(*node);
            machine.is_some_and(|machine| rules.select(survey.node_name(*node), &machine.labels))
        };
        let node = (0..survey.nodes.len()).find(asked)?;
        Some(Self { workload, rules, node, machine: survey.machine(node)? })
    }

    /// Nothing where the node cannot bear the label, or no patch would move the pods. Under a key that fences
    /// nodes only for a workload that keeps to those: for another, the label would open the fence, and lead
    /// its pods to nodes that keep them off.
    fn unpin(&self, fence: Fence, survey: &Survey<'_>, pinned: &[Self], now: AxisNsec) -> Option<Change> {
        let is_fenced = survey.machines.iter().flatten().any(|machine| fence.is_taint_of(machine));
        if !fence.fits(self.machine) || (is_fenced && !self.workload.is_held(&fence)) {
            return None;
        }
        let (owner, name) = (&self.workload.object, survey.node_name(self.node));
        let edits = edits(self.workload.template?, self.rules, &unpinned(self.rules, &fence));
        let title = format!("let {owner} run on every node with the label");
        let labels = (!fence.is_label_of(self.machine)).then(|| label(&fence, name));
        let actions: Vec<_> = labels.into_iter().chain([bind(self.workload, title, &edits)]).collect();
        let elsewhere = self.elsewhere(survey, pinned, &fence);
        let proof = if elsewhere.is_empty() { Proof::Exact } else { Proof::Unproven };
        let mut assumptions = vec![format!("no volume of theirs is on {name}; volumes are not read")];
        assumptions.extend(elsewhere);
        assumptions.push(format!("starting the pods of {owner} again, as the patch does, does no harm"));
        if survey.which(|machine| fence.is_label_of(machine)).iter().all(|labelled| *labelled == self.node) {
            assumptions.push(format!(
                "{name} alone bears {} so far: once another node that takes these pods does, they outlive either",
                fence.label()
            ));
        }
        assumptions.extend(templates(&[self.workload]));
        let advice = Advice {
            id: Advice::id_of(CODE, owner, &actions),
            code: CODE,
            title: format!("ask for a label in {owner}, not for {name} by its name"),
            why: format!("{owner} may run on {name} only: while that node is away, so are its pods"),
            target: owner.clone(),
            actions,
            // Exact: its pods start again on the same node, and no others come there.
            proof,
            assumptions,
            evidence: Vec::new(),
            episodes: Vec::new(),
            created: now,
        };
        Some(Change { advice, fence, nodes: vec![self.node], models: vec![owner.clone()] })
    }

    /// Who may be placed elsewhere than now, for all that is seen.
    fn elsewhere(&self, survey: &Survey<'_>, pinned: &[Self], fence: &Fence) -> Vec<String> {
        let (name, owner) = (survey.node_name(self.node), &self.workload.object);
        let others = survey.which(|machine| fence.is_label_of(machine));
        let others: Vec<usize> = others.into_iter().filter(|node| *node != self.node).collect();
        let mut labels = self.machine.labels.clone();
        labels.insert(fence.key.clone(), fence.value.clone());
        let asks = |rules: &Rules| {
            fence.attracts(rules) || rules.select(name, &self.machine.labels) != rules.select(name, &labels)
        };
        let guests = survey.pods.iter().filter(|pod| pod.owner != *owner && pod.rules.is_some_and(asks));
        let guests: BTreeSet<String> = guests.map(|pod| pod.owner.to_string()).collect();
        let apart = pinned.iter().filter(|other| other.node != self.node).map(|other| &other.workload.object);
        let apart: Vec<String> = apart.map(ToString::to_string).collect();
        let mut told = Vec::new();
        if !others.is_empty() {
            told.push(format!(
                "{} may take its pods as well, for it bears {} too",
                survey.node_names(&others),
                fence.label()
            ));
        }
        if !guests.is_empty() {
            let guests = guests.into_iter().collect::<Vec<_>>().join(", ");
            told.push(format!("{guests} may share nodes with it, by what they say of {}", fence.label()));
        }
        if !apart.is_empty() {
            told.push(format!(
                "it need not be kept apart from {}, bound to another node by its name: with one label for both, \
                 they may share a node",
                apart.join(", ")
            ));
        }
        told
    }
}

/// Each way to be placed names the same one node.
pub(super) fn is_pinned(rules: &Rules) -> bool {
    let by_terms = || match &rules.affinity {
        Affinity::Absent | Affinity::OfPods | Affinity::Preferred => false,
        Affinity::Required(terms) => {
            let terms = terms.iter().filter(|term| !term.is_empty());
            let names: BTreeSet<Option<&str>> = terms.map(pin_of).collect();
            names.len() == 1 && !names.contains(&None)
        }
    };
    rules.node_selector.contains_key(HOSTNAME) || by_terms()
}

fn pin_of(term: &Term) -> Option<&str> {
    let by_label = term.expressions.iter().find(|one| one.key == HOSTNAME).and_then(Requirement::only);
    by_label.or_else(|| term.fields.iter().find_map(Requirement::only))
}

/// The label instead of the name.
fn unpinned(rules: &Rules, fence: &Fence) -> Rules {
    let mut rules = rules.clone();
    rules.node_selector.remove(HOSTNAME);
    if let Affinity::Required(terms) = &mut rules.affinity {
        for term in terms.iter_mut().filter(|term| !term.is_empty()) {
            term.expressions.retain(|one| one.key != HOSTNAME || one.only().is_none());
            term.fields.retain(|one| one.only().is_none());
            // One that says nothing would match nothing.
            if term.is_empty() {
                term.expressions.push(fence.ask());
            }
        }
    }
    if !fence.attracts(&rules) {
        rules.affinity = fence.drawn(&rules.affinity);
    }
    rules
}
