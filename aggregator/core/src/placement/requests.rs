//! BA201, BA202 and BA203: requests that are too small, far too large, or missing.
//!
//! Without requests the scheduler packs pods as if they used nothing. Jobs are passed over: the
//! template of one that runs cannot be changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    advice::{Action, Advice, ObjectRef, Proof},
    contention::{Episode, Evidence},
    placement::{
        InForce,
        kubectl::{on, word},
        survey::{Survey, owner_of},
    },
    sizing::{Peak, Request},
    time::AxisNsec,
    who::Role,
};

/// Codes of the faults.
pub(super) const TOO_SMALL: &str = "BA201";
pub(super) const TOO_LARGE: &str = "BA202";
pub(super) const MISSING: &str = "BA203";

/// Differences below this part of the request in force are noise, not advice.
const WORTH_PERCENT: u64 = 10;

/// A request this many percent of the peak's is far above it: the guide's 3000m for a peak of 1750m
/// is (171 %), and a rollout's head room is not.
const FAR_ABOVE_PERCENT: u64 = 150;

/// A cut waits until a workload was seen this long: models load and warm up in their first minutes.
const SEEN_FOR: Duration = Duration::from_secs(15 * 60);

/// What is wrong, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    TooLarge,
    TooSmall,
    Missing,
    /// It may be missing; nobody has told us.
    Unknown,
}

/// One container of a workload, over all its pods.
#[derive(Debug, Clone, Copy)]
struct Sized {
    peak: Peak,
    in_force: InForce,
}

#[derive(Debug)]
struct Workload {
    role: Role,
    nodes: BTreeSet<usize>,
    pods: BTreeSet<ObjectRef>,
    containers: BTreeMap<String, Sized>,
    /// The first of its pods.
    seen_since: AxisNsec,
}

/// The advice, and notes on pods that nothing is known to control: the API server refuses to change
/// the resources of a pod that is there (Kubernetes' pkg/apis/core/validation/validation.go,
/// `ValidatePodUpdate`).
pub(super) fn requests(
    survey: &Survey<'_>,
    felt: &[&Episode],
    now: AxisNsec,
    notes: &mut Vec<String>,
) -> Vec<Advice> {
    let workloads = workloads(survey);
    let mixed = survey.mixed_nodes();
    let is_mixed = |node: &usize| mixed.contains(&survey.node_name(*node));
    let advise = |(owner, workload): (&ObjectRef, &Workload)| {
        let hurt: Vec<&Episode> =
            felt.iter().copied().filter(|episode| is_part_of(episode, owner, workload)).collect();
        let beside = workload.nodes.iter().any(is_mixed);
        let faults = workload.containers.values().filter_map(|sized| fault(*sized));
        let fault = faults.max().filter(|fault| match fault {
            Fault::TooSmall => workload.role == Role::Model,
            // Who is held up uses less than it needs, and a peak may still come.
            Fault::TooLarge => {
                workload.role == Role::Model && hurt.is_empty() && now.since(workload.seen_since) >= SEEN_FOR
            }
            Fault::Missing => beside,
            Fault::Unknown => beside && !hurt.is_empty(),
        })?;
        Some(advice(owner, workload, fault, &hurt, now)).filter(|advice| !advice.actions.is_empty())
    };
    let (bare, given): (Vec<_>, Vec<_>) =
        workloads.iter().filter_map(advise).partition(|advice| advice.target.kind == "Pod");
    notes.extend(bare.iter().flat_map(|advice| &advice.actions).map(|action| {
        format!("{}, in whatever starts it: a pod's requests cannot be changed while it runs", action.title)
    }));
    given
}

/// Models and scanners whose requests can be changed while they run.
fn workloads(survey: &Survey<'_>) -> BTreeMap<ObjectRef, Workload> {
    let mut workloads = BTreeMap::new();
    let sizable = |kind: &str| matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Pod");
    let pods = survey.pods.iter().filter(|pod| matches!(pod.role, Role::Model | Role::Scanner));
    for pod in pods.filter(|pod| sizable(&pod.owner.kind)) {
        let workload = workloads.entry(pod.owner.clone()).or_insert_with(|| Workload {
            role: pod.role,
            nodes: BTreeSet::new(),
            pods: BTreeSet::new(),
            containers: BTreeMap::new(),
            seen_since: pod.seen_since,
        });
        workload.seen_since = workload.seen_since.min(pod.seen_since);
        workload.nodes.insert(pod.node);
        workload.pods.insert(pod.itself.clone());
        for (name, peak, in_force) in &pod.containers {
            let sized = workload
                .containers
                .entry(name.clone())
                .or_insert(Sized { peak: Peak::default(), in_force: *in_force });
            sized.peak = sized.peak.max(*peak);
        }
    }
    workloads
}

/// The victim is of the workload, or its culprit is.
fn is_part_of(episode: &Episode, owner: &ObjectRef, workload: &Workload) -> bool {
    if workload.role == Role::Model {
        owner_of(&episode.victim) == *owner
    } else {
        episode.culprits().iter().any(|who| owner_of(who) == *owner)
    }
}

fn fault(sized: Sized) -> Option<Fault> {
    let InForce::Known { cpu, memory } = sized.in_force else { return Some(Fault::Unknown) };
    let wanted = sized.peak.request();
    let cpu = wanted.cpu.and_then(|wants| compare(cpu.map(|cpu| cpu.0), wants.0));
    let memory = wanted.memory.and_then(|wants| compare(memory.map(|memory| memory.0), wants.0));
    cpu.max(memory)
}

fn compare(has: Option<u64>, wants: u64) -> Option<Fault> {
    let Some(has) = has else { return Some(Fault::Missing) };
    let percent = |percent: u64, of: u64| u128::from(percent) * u128::from(of);
    if percent(100, wants) > percent(100 + WORTH_PERCENT, has) {
        Some(Fault::TooSmall)
    } else if percent(100, has) > percent(FAR_ABOVE_PERCENT, wants) {
        Some(Fault::TooLarge)
    } else {
        None
    }
}

fn advice(owner: &ObjectRef, workload: &Workload, fault: Fault, hurt: &[&Episode], now: AxisNsec) -> Advice {
    let (code, title, why) = match fault {
        Fault::TooSmall => (TOO_SMALL, "raise the requests of", "it asks for less than it was seen to use"),
        Fault::TooLarge => (TOO_LARGE, "cut the requests of", "it asks for far more than it was seen to use"),
        Fault::Missing => {
            (MISSING, "set requests for", "it asks for nothing and shares a node with the other role")
        }
        Fault::Unknown => (
            MISSING,
            "set requests for",
            "what it asks for is not known and it shares a node with the other role",
        ),
    };
    let pods = u32::try_from(workload.pods.len()).unwrap_or(u32::MAX);
    let actions: Vec<Action> = workload
        .containers
        .iter()
        .filter_map(|(name, sized)| set(owner, name, sized.peak.request(), pods))
        .collect();
    let largest = workload.containers.values().fold(Peak::default(), |peak, sized| peak.max(sized.peak));
    let cpu = largest.cpu.map(|cpu| Evidence { name: "cpu_peak_milli", value: cpu.0 as f64 });
    let memory = largest.memory.map(|memory| Evidence { name: "memory_peak_bytes", value: memory.0 as f64 });
    Advice {
        id: Advice::id_of(code, owner, &actions),
        code,
        title: format!("{title} {owner}"),
        why: format!("{owner}: {why}, so the scheduler places it by a wrong number"),
        target: owner.clone(),
        actions,
        proof: Proof::Exact,
        assumptions: assumptions(owner, fault),
        evidence: cpu.into_iter().chain(memory).collect(),
        episodes: hurt.iter().map(|episode| episode.id).collect(),
        created: now,
    }
}

fn assumptions(owner: &ObjectRef, fault: Fault) -> Vec<String> {
    let mut assumptions = Vec::new();
    if fault == Fault::Unknown {
        assumptions.push(format!("{owner} has no requests, or others than these; which is not known here"));
    }
    assumptions.push(
        "the largest use so far is that of its best throughput; a sweep would show it, and a model that was held up \
         may want more"
            .to_owned(),
    );
    assumptions
}

/// Nothing where neither peak is known. Undone by going back one revision, which restores what was
/// there even where we do not know it.
fn set(owner: &ObjectRef, container: &str, request: Request, restarts: u32) -> Option<Action> {
    let memory = request.memory.map(|memory| format!("memory={memory}"));
    let asks: Vec<String> =
        request.cpu.map(|cpu| format!("cpu={cpu}")).into_iter().chain(memory.clone()).collect();
    if asks.is_empty() {
        return None;
    }
    let requests = asks.join(",");
    let limits = memory.map_or(String::new(), |memory| format!(" --limits={memory}"));
    let set = format!("{} -c {}", on("set resources", owner), word(container));
    Some(Action {
        title: format!("let {container} of {owner} ask for {requests}"),
        object: owner.clone(),
        command: format!("{set} --requests={requests}{limits}"),
        inverse_command: on("rollout undo", owner),
        json_patch: String::new(),
        inverse_json_patch: String::new(),
        restarts,
    })
}
