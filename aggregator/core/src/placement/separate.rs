//! BA101: a model is measurably slowed by what could run elsewhere, so give the models nodes of their
//! own.

use std::collections::BTreeSet;

use crate::{
    advice::{Action, Advice, ObjectRef, Proof},
    contention::{Cause, Episode, Evidence, Verdict},
    placement::{
        assumptions::assumptions,
        dedicate::Dedication,
        fence::Fence,
        plan::{Plan, is_apart, marked},
        survey::{Pod, Survey, is_system, owner_of},
        workload::Workload,
    },
    time::AxisNsec,
    who::{Role, Who},
};

/// Models and scanners apart.
pub const CODE: &str = "BA101";

/// The advice, or notes on why there is none.
pub(super) fn separate(
    survey: &Survey<'_>,
    workloads: &[Workload<'_>],
    standing: &[Fence],
    felt: &[&Episode],
    now: AxisNsec,
    notes: &mut Vec<String>,
) -> Option<Advice> {
    let reasons: Vec<&Episode> =
        felt.iter().copied().filter(|episode| !movable(episode).is_empty()).collect();
    let Some(worst) = reasons.iter().max_by(|a, b| a.slowdown.estimate.total_cmp(&b.slowdown.estimate))
    else {
        notes.extend(felt.iter().map(|episode| no_move_helps(episode)));
        if felt.is_empty() {
            notes.push(nothing_is_wrong(survey));
        }
        return None;
    };
    let culprits: BTreeSet<ObjectRef> =
        reasons.iter().flat_map(|episode| movable(episode)).map(owner_of).collect();
    let target = owner_of(&worst.victim);
    let fence = &Fence::of(standing, workloads.iter().find(|workload| workload.object == target));
    // Models that keep to a fence of their own are let alone.
    let settled = |workload: &Workload<'_>| {
        !workload.is_held(fence) && standing.iter().any(|other| workload.is_held(other))
    };
    let workloads: &Vec<Workload<'_>> =
        &workloads.iter().filter(|workload| !settled(workload)).cloned().collect();
    let steps = |nodes: &[usize]| actions(survey, nodes, workloads, fence, &culprits);
    let marked = marked(survey, fence);
    let is_shared = survey.pods.iter().any(|pod| is_apart(pod, &culprits) && marked.contains(&pod.node));
    // Whoever keeps to nodes that are the models' already has what it needs, even where it would not
    // fit there by the largest use that was ever seen.
    if !marked.is_empty() && !is_shared && steps(&marked).is_some_and(|steps| steps.is_empty()) {
        notes.push(format!("the models have nodes of their own: {}", survey.node_names(&marked)));
        return None;
    }
    let plan = Plan::new(survey, workloads, &culprits, fence);
    let actions = if plan.nodes.is_empty() { None } else { steps(&plan.nodes) }.unwrap_or_default();
    Some(Advice {
        id: Advice::id_of(CODE, &target, &actions),
        code: CODE,
        title: match plan.nodes.as_slice() {
            [] => "give the models nodes of their own".to_owned(),
            nodes => format!("give the models nodes of their own: {}", survey.node_names(nodes)),
        },
        why: why(worst),
        target,
        proof: if plan.proven && !actions.is_empty() { Proof::Feasible } else { Proof::Unproven },
        assumptions: assumptions(survey, &plan, workloads, fence),
        evidence: evidence(worst, &plan),
        episodes: reasons.iter().map(|episode| episode.id).collect(),
        actions,
        created: now,
    })
}

/// What is left to do until these nodes are the models' own; `None` where a part of it is a person's.
fn actions(
    survey: &Survey<'_>,
    nodes: &[usize],
    workloads: &[Workload<'_>],
    fence: &Fence,
    culprits: &BTreeSet<ObjectRef>,
) -> Option<Vec<Action>> {
    if workloads.iter().any(|workload| workload.edits(fence).is_none()) {
        return None;
    }
    let is_held = |pod: &Pod<'_>| pod.rules.is_some_and(|rules| fence.holds(rules));
    // A model whose template is to change is started anew by that.
    let strays = |pod: &Pod<'_>| pod.role == Role::Model && is_held(pod) && !nodes.contains(&pod.node);
    let intrudes = |pod: &Pod<'_>| is_apart(pod, culprits) && nodes.contains(&pod.node);
    let misplaced = survey.pods.iter().filter(|pod| pod.is_owned() && (strays(pod) || intrudes(pod)));
    let dedication = Dedication {
        fence,
        nodes: nodes.iter().map(|node| (survey.node_name(*node), survey.machine(*node))).collect(),
        models: workloads.iter().collect(),
        in_the_way: misplaced.map(|pod| (&pod.itself, &pod.owner)).collect(),
    };
    Some(dedication.actions())
}

/// The named culprits that could run elsewhere, where they are what slows the model.
fn movable(episode: &Episode) -> Vec<&Who> {
    if !matches!(episode.verdict, Verdict::Neighbour | Verdict::Mixed) {
        return Vec::new();
    }
    let is_daemon = |who: &Who| who.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    let culprits = episode.culprits().into_iter().map(AsRef::as_ref);
    culprits.filter(|who| who.role != Role::Model && !is_system(who) && !is_daemon(who)).collect()
}

fn nothing_is_wrong(survey: &Survey<'_>) -> String {
    match survey.mixed_nodes().as_slice() {
        [] => "no model is slowed down on its CPUs: nothing to move".to_owned(),
        nodes => format!(
            "models and scanners share {}, but no model was slowed down on its CPUs there: nothing to move",
            nodes.join(", ")
        ),
    }
}

fn no_move_helps(episode: &Episode) -> String {
    let victim = episode.victim.display_name();
    let reason = match episode.verdict {
        Verdict::SelfThrottled if episode.is_throttled_by_pod() => "waits for its pod's CPU limit".to_owned(),
        Verdict::SelfThrottled => "waits for its own CPU limit".to_owned(),
        Verdict::SliceThrottled => "waits for a CPU limit above its pod".to_owned(),
        Verdict::SelfOversubscribed => "has more threads to run than CPUs to run them on".to_owned(),
        Verdict::Hypervisor => "waits for the machine under this one".to_owned(),
        Verdict::Unowned => "waits for work on the node that is in no container".to_owned(),
        Verdict::Neighbour | Verdict::Mixed => {
            let names: Vec<String> = episode.culprits().iter().map(|who| who.display_name()).collect();
            match names.as_slice() {
                [] => "waits for many small causes".to_owned(),
                names => {
                    format!("waits for {}, which cannot be moved away from the models", names.join(", "))
                }
            }
        }
        Verdict::OverEntitlement => {
            "has all the CPU that its request entitles it to, and needs a larger request".to_owned()
        }
        Verdict::Nobody | Verdict::MemoryOwnLimit => "is not held up by another pod".to_owned(),
    };
    format!("{victim} on {} {reason}: other nodes for the scanners would not help", episode.node)
}

fn why(episode: &Episode) -> String {
    let held = |who: &Who| {
        let part: f64 = episode
            .shares
            .iter()
            .filter(|share| matches!(&share.cause, Cause::Culprit(culprit) if culprit.as_ref() == who))
            .map(|share| share.share)
            .sum();
        format!("{} holds {:.0} %", who.display_name(), part * 100.0)
    };
    let culprits: Vec<String> = movable(episode).into_iter().map(held).collect();
    let slowdown = episode.slowdown;
    format!(
        "{} on {} takes {:.2}x [{:.2}, {:.2}] as long for its work as it would alone; of its wait, {}",
        episode.victim.display_name(),
        episode.node,
        slowdown.estimate,
        slowdown.lo,
        slowdown.hi,
        culprits.join(", "),
    )
}

fn evidence(worst: &Episode, plan: &Plan<'_>) -> Vec<Evidence> {
    let count = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
    vec![
        Evidence { name: "slowdown_ratio", value: worst.slowdown.estimate },
        Evidence { name: "added_wait_msec_per_cpu_sec", value: worst.added_wait_msec_per_cpu_sec },
        Evidence { name: "model_pods", value: count(plan.models.len()) },
        Evidence { name: "model_pods_on_another_node", value: count(plan.models_moved) },
        Evidence { name: "pods_in_the_way", value: count(plan.in_the_way().count()) },
    ]
}
