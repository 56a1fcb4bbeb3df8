//! Who else was on a victim's CPUs in a step: what each is to be blamed for, and how it fared beside the
//! victim.
//!
//! Who may not run on the victim's CPUs held none of them; of who may run on others too, they are taken to
//! have had their part.

use berth::CpuList;

use crate::{
    contention::{
        decompose::Held,
        step::{NodeHeld, Step},
    },
    frame::ContainerUse,
};

/// v2's `cpu.weight` of who asks for nothing.
const DEFAULT_WEIGHT: u64 = 100;

/// The others on the victim's CPUs.
pub(crate) struct Rivals<'a> {
    victim: &'a ContainerUse,
    dt: f64,
    node: Option<NodeHeld>,
    on_victims_cpus: f64,
    others: Vec<Rival<'a>>,
}

struct Rival<'a> {
    container: &'a ContainerUse,
    /// CPU time of the victim's CPUs.
    ran: f64,
    /// For how long it was there, running or waiting.
    there: f64,
    /// Among pods; system slices stand on another level.
    weight: Option<f64>,
}

impl<'a> Rivals<'a> {
    pub(crate) fn of(step: &'a Step, victim: &'a ContainerUse) -> Self {
        let cpus = step.node.map(|node| node.cpus);
        let rival = |(other, presence): (&'a ContainerUse, &f64)| {
            let ran = other.usage_nsec as f64 * part_on(other.cpus.as_deref(), victim.cpus.as_deref(), cpus);
            Rival { container: other, ran, there: ran * presence, weight: weight(other) }
        };
        let others = step.containers.iter().zip(&step.presences);
        let rivals = others.filter(|(other, _)| other.key != victim.key).map(rival);
        Self {
            victim,
            dt: step.dt_nsec as f64,
            node: step.node,
            on_victims_cpus: part_on(None, victim.cpus.as_deref(), cpus),
            others: rivals.filter(|rival| rival.ran > 0.0).collect(),
        }
    }

    /// What each is to be blamed for, in CPU time. Together the containers of pods are blamed for what they
    /// ran, and each in proportion to its weight and to how long it was there: a run queue parts its CPU by
    /// weight among those who are there, so a victim waits for each as long as that takes. Weights of system
    /// slices stand on another level, so these are blamed for what they ran.
    pub(crate) fn blame(&self) -> Vec<Held> {
        let in_the_way = |rival: &Rival<'_>| rival.weight.map_or(0.0, |weight| weight * rival.there);
        let pods = self.others.iter().filter(|rival| rival.weight.is_some());
        let ran: f64 = pods.map(|rival| rival.ran).sum();
        let part = ran / self.others.iter().map(in_the_way).sum::<f64>();
        let own_weight = known_weight(self.victim);
        let held = |rival: &Rival<'_>| Held {
            key: rival.container.key,
            who: rival.container.who.clone(),
            nsec: if rival.weight.is_some() { in_the_way(rival) * part } else { rival.ran },
            fair_nsec: own_weight
                .zip(known_weight(rival.container))
                .map_or(0.0, |(own, its)| rival.ran / its * own),
        };
        self.others.iter().map(held).collect()
    }

    /// CPU time that there was on the victim's CPUs; `None` where the node's was not seen.
    pub(crate) fn capacity_nsec(&self) -> Option<f64> {
        self.node.map(|node| node.cpus * self.on_victims_cpus * self.dt)
    }

    /// What no container used of the victim's CPUs.
    pub(crate) fn uncontained_nsec(&self) -> f64 {
        let node = self.node.unwrap_or_default();
        (node.irq_nsec + node.steal_nsec + node.unowned_nsec) * self.on_victims_cpus
    }

    /// The part of the node that is the victim's CPUs.
    pub(crate) fn on_victims_cpus(&self) -> f64 {
        self.on_victims_cpus
    }
}

/// A pod's, where it was read.
fn known_weight(of: &ContainerUse) -> Option<f64> {
    of.limits.and_then(|limits| limits.cpu_weight).and(weight(of))
}

/// The kernel shows 0 for a group of the idle class.
fn weight(of: &ContainerUse) -> Option<f64> {
    let weight = of.limits.and_then(|limits| limits.cpu_weight).unwrap_or(DEFAULT_WEIGHT).max(1);
    (!of.who.pod.is_empty()).then_some(weight as f64)
}

/// The part of what `other` used that can have been on CPUs of `victim`: `None` is all CPUs, of which the
/// node has `cpus`. A list may name CPUs that the agent does not answer for; then it bounds nothing.
fn part_on(other: Option<&CpuList>, victim: Option<&CpuList>, cpus: Option<f64>) -> f64 {
    let within = |list: &&CpuList| cpus.is_some_and(|cpus| (list.len() as f64) < cpus);
    let (other, victim) = (other.filter(within), victim.filter(within));
    match (other, victim) {
        (_, None) => 1.0,
        (None, Some(victim)) => cpus.map_or(1.0, |cpus| victim.len() as f64 / cpus),
        (Some(other), Some(victim)) => {
            other.iter().filter(|cpu| victim.contains(*cpu)).count() as f64 / other.len() as f64
        }
    }
}
