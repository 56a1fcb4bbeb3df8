//! What the proof of BA101 takes for granted, or why there is none.

use std::collections::BTreeSet;

use crate::{
    placement::{
        fence::Fence,
        pins::is_pinned,
        plan::Plan,
        survey::{Pod, Room, Survey},
        workload::{Told, Workload, patched},
    },
    scheduling::Rules,
};

/// The gravest first.
pub(super) fn assumptions(
    survey: &Survey<'_>,
    plan: &Plan<'_>,
    workloads: &[Workload<'_>],
    fence: &Fence,
) -> Vec<String> {
    let mut assumptions: Vec<String> = room(survey, plan).into_iter().collect();
    assumptions.extend(workloads.iter().filter_map(|workload| yours(workload, fence)));
    for pod in plan.in_the_way().filter(|pod| !pod.is_owned()) {
        assumptions
            .push(format!("nothing would start {} again, so it is left to end where it is", pod.itself));
    }
    let unmoved = plan.apart.iter().filter(|pod| pod.rules.is_some_and(|rules| fence.lets_in(rules)));
    if let Some(names) = owners(unmoved.copied()) {
        assumptions.push(format!(
            "{names} tolerate {}, so it does not keep their pods off: take that toleration away",
            fence.taint()
        ));
    }
    let pinned = workloads.iter().filter(|workload| workload.told().is_some_and(is_pinned));
    assumptions.extend(pinned.map(|workload| {
        format!("{} asks for one node by its name, and has no other while that is away", workload.object)
    }));
    assumptions.extend(daemons(survey, &plan.nodes, fence));
    assumptions.extend(templates(&patched(workloads, fence)));
    assumptions.extend([
        "each pod needs its largest use so far, and each node gives all its CPUs and memory but what else was \
         seen to use them"
            .to_owned(),
        "steady state: a rolling update runs more pods for a while".to_owned(),
    ]);
    assumptions
}

/// Who has no place.
fn room(survey: &Survey<'_>, plan: &Plan<'_>) -> Option<String> {
    let sum = |pods: &[&Pod<'_>]| pods.iter().fold(Room::default(), |sum, pod| sum.and(pod.need));
    if plan.nodes.is_empty() {
        if let Some(names) = owners(plan.homeless.iter().copied()) {
            return Some(format!(
                "no node that is seen takes the pods of {names}: each has a taint that they do not tolerate, lacks \
                 a label that they ask for, has another value of the label, or is cordoned"
            ));
        }
        let Room { cpu, memory } = sum(&plan.models);
        return Some(format!(
            "the models need {cpu} CPU and {memory} of memory and do not fit on the nodes that are seen: add nodes"
        ));
    }
    let Room { cpu, memory } = sum(&plan.apart);
    if plan.proven {
        return plan.squeezed.then(|| {
            format!(
                "the scanners took up to {cpu} CPU and ask for less than that: away from the models they share what \
                 CPU time is left, and are slower by it"
            )
        });
    }
    Some(bound(survey, plan).unwrap_or_else(|| {
        format!(
            "another node is needed: the scanners need {cpu} CPU and {memory} of memory away from the models, \
             which no other node that is seen has; add it before the taint, or they will wait for a place"
        )
    }))
}

/// Who asks for nodes of the models and for no others.
fn bound(survey: &Survey<'_>, plan: &Plan<'_>) -> Option<String> {
    let asks = |rules: &Rules, node: usize| {
        let machine = survey.machine(node);
        machine.is_none_or(|machine| rules.select(survey.node_name(node), &machine.labels))
    };
    let others: Vec<usize> = (0..survey.nodes.len()).filter(|node| !plan.nodes.contains(node)).collect();
    let is_bound = |rules: &Rules| !others.is_empty() && !others.iter().any(|node| asks(rules, *node));
    let pods = plan.apart.iter().filter_map(|pod| Some((pod, pod.rules?)));
    let (pod, rules) = pods.into_iter().find(|(_, rules)| is_bound(rules))?;
    let asked: Vec<usize> = plan.nodes.iter().copied().filter(|node| asks(rules, *node)).collect();
    let may = match asked.as_slice() {
        [] => "no node that is seen".to_owned(),
        nodes => format!("{} only", survey.node_names(nodes)),
    };
    Some(format!(
        "{} may run on {may}, by its node selector and affinity: change those before the taint, or it will wait \
         for a place",
        pod.owner
    ))
}

/// Why there is no action for this one.
fn yours(workload: &Workload<'_>, fence: &Fence) -> Option<String> {
    if workload.edits(fence).is_some() {
        return None;
    }
    let owner = &workload.object;
    let why = match owner.kind.as_str() {
        _ if workload.rules == Told::Differing => {
            format!("the pods of {owner} differ in what they tolerate or ask for, as during a rollout")
        }
        "Pod" => format!("{owner} is bound to its node until it is created anew"),
        "ReplicaSet" | "ReplicationController" => {
            format!("{owner} moves no pod that it has when its template changes")
        }
        _ => format!("where {owner} keeps the spec of its pods is not known"),
    };
    Some(format!("{why}: its tolerations and affinity are yours to set, so no action is given"))
}

/// Whose pods do not come back to these nodes.
pub(super) fn daemons(survey: &Survey<'_>, nodes: &[usize], fence: &Fence) -> Vec<String> {
    let here = || survey.pods.iter().filter(|pod| pod.owner.kind == "DaemonSet" && nodes.contains(&pod.node));
    let lost = owners(here().filter(|pod| pod.rules.is_some_and(|rules| !fence.lets_in(rules))));
    let lost = lost.map(|names| {
        format!("{names} do not tolerate {}: their pods do not come back to those nodes", fence.taint())
    });
    let unknown = owners(here().filter(|pod| pod.rules.is_none())).map(|names| {
        format!(
            "{names} tolerate {}, else their pods do not come back to those nodes after a restart",
            fence.taint()
        )
    });
    lost.into_iter().chain(unknown).collect()
}

/// What is taken of the templates that are patched.
pub(super) fn templates(patched: &[&Workload<'_>]) -> Option<String> {
    if patched.iter().any(|workload| workload.rules == Told::Nothing) {
        Some(
            "the models' templates have no tolerations and no affinity yet; where they do, the patch is refused \
             and both are yours to join"
                .to_owned(),
        )
    } else {
        let said = "the models' templates say of tolerations and affinity what their pods say; where they do not, \
                    the patch is refused and both are yours to join";
        (!patched.is_empty()).then(|| said.to_owned())
    }
}

/// Each once; `None` where there are none.
fn owners<'a>(pods: impl Iterator<Item = &'a Pod<'a>>) -> Option<String> {
    let names: BTreeSet<String> = pods.map(|pod| pod.owner.to_string()).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}
