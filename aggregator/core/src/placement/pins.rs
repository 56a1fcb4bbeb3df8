//! BA107: models that ask for one node by its name. When that node is lost, they have no other.
//!
//! Deliberately absent: a pin by `nodeName` in the template, which looks like the scheduler's own
//! choice in a pod, and one by a volume of a node, which says where its data is.

use std::collections::BTreeSet;

use crate::{
    advice::{Advice, Proof},
    placement::{
        assumptions::templates,
        dedicate::{bind, label},
        fence::Fence,
        survey::Survey,
        template::edits,
        workload::Workload,
    },
    scheduling::{Affinity, Requirement, Rules, Term},
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
) -> Vec<Advice> {
    let unpin = |workload| unpin(survey, workload, &Fence::of(standing, Some(workload)), now);
    workloads.iter().filter_map(unpin).collect()
}

/// Nothing where the node is not seen, cannot bear the label, or no patch would move the pods.
fn unpin(survey: &Survey<'_>, workload: &Workload<'_>, fence: &Fence, now: AxisNsec) -> Option<Advice> {
    let rules = workload.told().filter(|rules| is_pinned(rules))?;
    let asked = |node: &usize| {
        let machine = survey.machine(*node);
        machine.is_some_and(|machine| rules.select(survey.node_name(*node), &machine.labels))
    };
    let node = (0..survey.nodes.len()).find(asked)?;
    let (name, machine) =
        (survey.node_name(node), survey.machine(node).filter(|machine| fence.fits(machine))?);
    let owner = &workload.object;
    let edits = edits(workload.template?, rules, &unpinned(rules, fence));
    let title = format!("let {owner} run on every node with the label");
    let labels = (!fence.is_label_of(machine)).then(|| label(fence, name));
    let actions: Vec<_> = labels.into_iter().chain([bind(workload, title, &edits)]).collect();
    let mut assumptions = vec![format!("no volume of theirs is on {name}; volumes are not read")];
    if survey.which(|machine| fence.is_label_of(machine)).iter().all(|labelled| *labelled == node) {
        assumptions.push(format!(
            "{name} alone bears {} so far: once another node that takes these pods does, they outlive either",
            fence.label()
        ));
    }
    assumptions.extend(templates(&[workload]));
    Some(Advice {
        id: Advice::id_of(CODE, owner, &actions),
        code: CODE,
        title: format!("ask for a label in {owner}, not for {name} by its name"),
        why: format!("{owner} may run on {name} only: while that node is away, so are its pods"),
        target: owner.clone(),
        actions,
        // The pods may stay where they are.
        proof: Proof::Exact,
        assumptions,
        evidence: Vec::new(),
        episodes: Vec::new(),
        created: now,
    })
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
