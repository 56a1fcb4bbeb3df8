//! BA101: a model is measurably slowed by what could run elsewhere, so give the models nodes of their
//! own.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    advice::{Advice, ObjectRef, Proof},
    contention::{Cause, Episode, Evidence, Verdict},
    placement::{
        assign::{Assignment, Item, Problem, assign},
        check,
        dedicate::{Dedication, TAINT, Workload, template},
        survey::{Pod, Room, Survey, is_system, owner_of},
    },
    sizing::CpuMilli,
    time::AxisNsec,
    who::{Role, Who},
};

/// Models and scanners apart.
pub const CODE: &str = "BA101";

/// The advice, or notes on why there is none.
pub(super) fn separate(
    survey: &Survey,
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
    let plan = Plan::new(survey, &culprits);
    let workloads = workloads(survey);
    let known = workloads.iter().all(|(_, workload)| workload.is_some());
    let dedication = Dedication {
        nodes: plan.nodes.iter().map(|node| survey.node_name(*node)).collect(),
        models: workloads.values().flatten().cloned().collect(),
        in_the_way: plan
            .in_the_way()
            .filter(|pod| pod.is_owned())
            .map(|pod| (&pod.itself, &pod.owner))
            .collect(),
    };
    let actions = if known && !plan.nodes.is_empty() { dedication.actions() } else { Vec::new() };
    let target = owner_of(&worst.victim);
    Some(Advice {
        id: Advice::id_of(CODE, &target, &actions),
        code: CODE,
        title: match dedication.nodes.as_slice() {
            [] => "give the models nodes of their own".to_owned(),
            nodes => format!("give the models nodes of their own: {}", nodes.join(", ")),
        },
        why: why(worst),
        target,
        proof: if plan.proven && !actions.is_empty() { Proof::Feasible } else { Proof::Unproven },
        assumptions: assumptions(survey, &plan, &workloads),
        evidence: evidence(worst, &plan),
        episodes: reasons.iter().map(|episode| episode.id).collect(),
        actions,
        created: now,
    })
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

fn nothing_is_wrong(survey: &Survey) -> String {
    match survey.mixed_nodes().as_slice() {
        [] => "no model is slowed down: nothing to move".to_owned(),
        nodes => format!(
            "models and scanners share {}, but no model was slowed down there: nothing to move",
            nodes.join(", ")
        ),
    }
}

fn no_move_helps(episode: &Episode) -> String {
    let victim = episode.victim.display_name();
    let reason = match episode.verdict {
        Verdict::SelfThrottled => "waits for its own CPU limit".to_owned(),
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
        Verdict::Nobody | Verdict::OverEntitlement | Verdict::MemoryOwnLimit => {
            "is not held up by another pod".to_owned()
        }
    };
    format!("{victim} on {} {reason}: other nodes for the scanners would not help", episode.node)
}

/// Where everything would go.
struct Plan<'a> {
    nodes: Vec<usize>,
    /// All of it fits, and was checked.
    proven: bool,
    /// It fits only where what is kept apart takes the CPU time that is left.
    squeezed: bool,
    models: Vec<&'a Pod>,
    apart: Vec<&'a Pod>,
    models_moved: usize,
}

impl<'a> Plan<'a> {
    fn new(survey: &'a Survey, culprits: &BTreeSet<ObjectRef>) -> Self {
        let is_apart = |pod: &Pod| {
            pod.role != Role::Model
                && pod.is_movable()
                && (pod.role == Role::Scanner || culprits.contains(&pod.owner))
        };
        let items = |of: &dyn Fn(&Pod) -> bool| {
            let pods = survey.pods.iter().enumerate().filter(|(_, pod)| of(pod));
            pods.map(|(at, pod)| Item { pod: at, node: pod.node, need: pod.need }).collect::<Vec<_>>()
        };
        let mut room = survey.capacity.clone();
        for pod in survey.pods.iter().filter(|pod| pod.role != Role::Model && !is_apart(pod)) {
            if let Some(left) = room.get_mut(pod.node) {
                *left = left.less(pod.need).unwrap_or_default();
            }
        }
        let mut problem =
            Problem { room, models: items(&|pod| pod.role == Role::Model), others: items(&is_apart) };
        let checked = |problem: &Problem| assign(problem).filter(|found| check::holds(problem, found));
        let both = checked(&problem);
        // Batch work needs its memory, and is only slower with less CPU time than it could take.
        let squeezed = both.is_none();
        let fitting = both.or_else(|| {
            problem.others.iter_mut().for_each(|other| other.need.cpu = CpuMilli::default());
            checked(&problem)
        });
        let proven = fitting.is_some();
        let found: Option<Assignment> = fitting.or_else(|| {
            problem.others.clear();
            checked(&problem)
        });
        let home = |pod: &usize| survey.pods.get(*pod).map(|pod| pod.node);
        let is_model = |pod: &usize| survey.pods.get(*pod).is_some_and(|pod| pod.role == Role::Model);
        let (nodes, places) = found.map(|found| (found.nodes, found.places)).unwrap_or_default();
        Self {
            nodes,
            proven,
            squeezed,
            models: survey.pods.iter().filter(|pod| pod.role == Role::Model).collect(),
            apart: survey.pods.iter().filter(|pod| is_apart(pod)).collect(),
            models_moved: places
                .iter()
                .filter(|(pod, node)| is_model(pod) && home(pod) != Some(*node))
                .count(),
        }
    }

    fn in_the_way(&self) -> impl Iterator<Item = &'a Pod> {
        self.apart.iter().copied().filter(|pod| self.nodes.contains(&pod.node))
    }
}

/// The models' owners; `None` for those whose pod template we do not know how to reach.
fn workloads(survey: &Survey) -> BTreeMap<ObjectRef, Option<Workload>> {
    let mut workloads: BTreeMap<ObjectRef, Option<Workload>> = BTreeMap::new();
    for pod in survey.pods.iter().filter(|pod| pod.role == Role::Model) {
        let new = || {
            template(&pod.owner.kind).map(|template| Workload {
                object: pod.owner.clone(),
                template,
                pods: 0,
            })
        };
        if let Some(workload) = workloads.entry(pod.owner.clone()).or_insert_with(new) {
            workload.pods += 1;
        }
    }
    workloads
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

/// What the plan takes for granted, the gravest first.
fn assumptions(
    survey: &Survey,
    plan: &Plan<'_>,
    workloads: &BTreeMap<ObjectRef, Option<Workload>>,
) -> Vec<String> {
    let sum = |pods: &[&Pod]| pods.iter().fold(Room::default(), |sum, pod| sum.and(pod.need));
    let mut assumptions = Vec::new();
    if plan.nodes.is_empty() {
        let Room { cpu, memory } = sum(&plan.models);
        assumptions.push(format!(
            "the models need {cpu} CPU and {memory} of memory and do not fit on the nodes that are seen: add nodes"
        ));
    } else if !plan.proven {
        let Room { cpu, memory } = sum(&plan.apart);
        assumptions.push(format!(
            "another node is needed: the scanners need {cpu} CPU and {memory} of memory away from the models, \
             which no other node that is seen has; add it before the taint, or they will wait for a place"
        ));
    } else if plan.squeezed {
        let Room { cpu, .. } = sum(&plan.apart);
        assumptions.push(format!(
            "the scanners took up to {cpu} CPU and ask for less than that: away from the models they share what \
             CPU time is left, and are slower by it"
        ));
    }
    for (owner, workload) in workloads {
        if workload.is_some() {
            continue;
        }
        let why = match owner.kind.as_str() {
            "Pod" => format!("{owner} is bound to its node until it is created anew"),
            "ReplicaSet" | "ReplicationController" => {
                format!("{owner} moves no pod that it has when its template changes")
            }
            _ => format!("where {owner} keeps the spec of its pods is not known"),
        };
        assumptions
            .push(format!("{why}: its tolerations and affinity are yours to set, so no action is given"));
    }
    for pod in plan.in_the_way().filter(|pod| !pod.is_owned()) {
        assumptions
            .push(format!("nothing would start {} again, so it is left to end where it is", pod.itself));
    }
    let daemons: BTreeSet<String> = survey
        .pods
        .iter()
        .filter(|pod| plan.nodes.contains(&pod.node) && pod.owner.kind == "DaemonSet")
        .map(|pod| pod.owner.to_string())
        .collect();
    if !daemons.is_empty() {
        let names: Vec<String> = daemons.into_iter().collect();
        assumptions.push(format!(
            "{} tolerate {TAINT}, else their pods do not come back to those nodes after a restart",
            names.join(", ")
        ));
    }
    assumptions.extend([
        "the models' templates have no tolerations and no affinity yet; where they do, the patch is refused \
         and both are yours to join"
            .to_owned(),
        "each pod needs its largest use so far, and each node gives all its CPUs and memory but what else was \
         seen to use them"
            .to_owned(),
        "steady state: a rolling update runs more pods for a while".to_owned(),
    ]);
    assumptions
}
