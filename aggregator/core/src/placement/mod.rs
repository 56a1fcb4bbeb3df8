//! Where everything should run instead: what is seen on the nodes in, advice out.
//!
//! Invariant: no contention, no plan to move; a plan is whole or it is not given; a placement that is
//! called feasible has passed a check that shares nothing with the search. Without contention only what
//! somebody began is completed (`halves`, `pins`). Deliberately absent so far: the scheduler's other
//! predicates, quotas, disruption budgets, the order of arrival. The assumptions of each advice say so.

mod assign;
mod assumptions;
mod changes;
mod check;
mod dedicate;
mod fence;
mod halves;
mod json;
mod kubectl;
mod patch;
mod pins;
mod plan;
mod requests;
mod separate;
mod survey;
mod template;
mod workload;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    advice::Advice,
    contention::{Episode, Resource, Severity},
    scheduling::{Machine, Rules},
    sizing::{CpuMilli, MemoryBytes, Peak},
    time::AxisNsec,
    who::{Role, WhoRef},
};
use fence::Fence;
pub use fence::KEY as FENCE_KEY;
pub use separate::CODE as SEPARATE;
use survey::Survey;
use workload::workloads;

/// Every code there is. A code never changes its meaning.
pub const CODES: [&str; 8] = [
    SEPARATE,
    halves::NO_LABEL,
    halves::NO_TAINT,
    halves::NO_AFFINITY,
    pins::CODE,
    requests::TOO_SMALL,
    requests::TOO_LARGE,
    requests::MISSING,
];

/// What is known of the nodes, and of who was hurt there.
#[derive(Debug, Clone, Default)]
pub struct Landscape {
    /// Every node that is seen.
    pub nodes: Vec<NodeSpace>,
    /// Those that are open, and those closed ones that still count.
    pub episodes: Vec<Episode>,
}

/// One node and what runs on it.
#[derive(Debug, Clone)]
pub struct NodeSpace {
    /// Its name.
    pub name: String,
    /// Its logical CPUs.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// What pods can ask of it; `None` where nobody told us, as off Kubernetes: then it takes any.
    pub machine: Option<Machine>,
    /// What is seen on it, system slices included.
    pub containers: Vec<Tenant>,
}

/// One container on a node.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Who that is.
    pub who: WhoRef,
    /// The most that it was seen to use.
    pub peak: Peak,
    /// What it asks for.
    pub requests: InForce,
    /// Since when its use is known.
    pub seen_since: AxisNsec,
    /// What its pod says about nodes; `None` where nobody told us, as off Kubernetes.
    pub rules: Option<Arc<Rules>>,
}

/// The requests in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InForce {
    /// Nobody has told us, as off Kubernetes.
    #[default]
    Unknown,
    /// As the pod's template has them; `None` where it has none.
    Known {
        /// CPU.
        cpu: Option<CpuMilli>,
        /// Memory.
        memory: Option<MemoryBytes>,
    },
}

/// What to change, and why there may be nothing to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advised {
    /// By code, then by target.
    pub advice: Vec<Advice>,
    /// In words for a person.
    pub notes: Vec<String>,
}

/// What to change in the cluster as it is seen `now`. Advice that was given before has the same id: whoever
/// keeps it keeps when it was created. It takes milliseconds for a hundred nodes and a second for thousands.
pub fn advise(landscape: &Landscape, now: AxisNsec) -> Advised {
    let survey = Survey::new(landscape);
    let mut advised = Advised::default();
    if survey.pods.iter().all(|pod| pod.role != Role::Model) {
        advised.notes.push(
            "no pod is known as a model: label the pods that serve with berth.dev/role=model".to_owned(),
        );
        return advised;
    }
    let of_models = |resource| {
        let of_it = move |of: &&Episode| of.resource == resource && of.victim.role == Role::Model;
        landscape.episodes.iter().filter(of_it)
    };
    advised.notes.extend(of_models(Resource::GpuTime).map(no_advice_on_gpus));
    let felt: Vec<&Episode> = of_models(Resource::Cpu).filter(|episode| is_felt(episode)).collect();
    let workloads = workloads(&survey);
    let standing = Fence::standing(&survey, &workloads);
    let separate = separate::separate(&survey, &workloads, &standing, &felt, now, &mut advised.notes);
    // One change of nodes and templates at a time: that which ends what is felt.
    if separate.as_ref().is_none_or(|separate| separate.actions.is_empty()) {
        let mut found = halves::halves(&survey, &workloads, &standing, now);
        found.extend(pins::pins(&survey, &workloads, &standing, now));
        let advice = changes::at_once(found, &mut advised.notes);
        advised.advice.extend(advice);
    }
    advised.advice.extend(separate);
    let requests = requests::requests(&survey, &felt, now, &mut advised.notes);
    advised.advice.extend(requests);
    advised.advice.sort_by(|a, b| (a.code, &a.target).cmp(&(b.code, &b.target)));
    advised
}

/// Worth moving something for: held up for seconds.
fn is_felt(episode: &Episode) -> bool {
    episode.severity >= Severity::Contended
}

/// Nodes, requests and fences say nothing of who shares a GPU with whom. However long it waits it is never
/// told as more than transient, because it may have had no work.
fn no_advice_on_gpus(episode: &Episode) -> String {
    format!(
        "{} on {} may wait for its GPU, which Berth has no advice on: `berth explain {}` says who holds it",
        episode.victim.display_name(),
        episode.node,
        episode.id
    )
}
