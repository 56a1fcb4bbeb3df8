//! Frames laid together into steps of about 100 ms, and what the node itself did in each.
//!
//! Invariant: every nanosecond of every frame is in exactly one step. At 10 Hz a step is a frame, at
//! 100 Hz it is eight, so that what is behind this module hardly depends on the agent's rate.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    contention::{history::Moment, presence::Presences},
    frame::{
        ContainerUse, Frame, GpuUse, IoUse, Late, NodeUse, Pressure, QuotaUse, Reclaim, ThreadUse, Throttling,
    },
    time::AxisNsec,
    who::ContainerKey,
};

/// A step ends once it spans this. A cgroup's CPU time advances on a tick or a switch only, up to
/// 4 ms late at HZ=250, so a window of less than 50 ms would blame noise; the rest up to 100 ms
/// leaves an agent at 10 Hz its jitter.
const STEP_AT_LEAST: Duration = Duration::from_millis(80);

/// Steps jitter by some milliseconds: what is told over a time that ends within a step takes the whole step.
pub(crate) const STEP_SLACK: Duration = Duration::from_millis(40);

/// The node's counters are read in quanta of 10 ms (`USER_HZ`, fs/proc/stat.c) and compared with
/// cgroup counters that lag, so what the node did is a mean over this long.
const NODE_WINDOW: Duration = Duration::from_secs(1);

/// What five truncated counters (idle, iowait, irq, softirq, steal) can be off by over a window:
/// about 10 ms together by their spread, taken twice.
const QUANTUM_NOISE_NSEC: f64 = 20e6;

/// What the cgroups' lag can add, for each CPU that is busy at the window's edges; the errors of
/// several CPUs are independent, so they grow with the root of their number.
const LAG_NOISE_NSEC: f64 = 4e6;

/// About 100 ms of one node.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Counts up; never the agent's tick.
    pub(crate) ordinal: u64,
    first_tick: u64,
    last_tick: u64,
    /// Its end.
    pub(crate) at: AxisNsec,
    pub(crate) dt_nsec: u64,
    /// None when the node's own counters were not seen.
    pub(crate) node: Option<NodeHeld>,
    /// Memory that could be had without swapping, now.
    pub(crate) available_bytes: Option<u64>,
    /// By rising key.
    pub(crate) containers: Vec<ContainerUse>,
    /// Of each: how much longer it was there, running or waiting, than it ran.
    pub(crate) presences: Vec<f64>,
    /// By rising key, as they were at its end: the driver's figures are means over longer than a step.
    pub(crate) gpus: Vec<GpuUse>,
}

/// CPU time of a step that no container used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct NodeHeld {
    pub(crate) cpus: f64,
    pub(crate) irq_nsec: f64,
    pub(crate) steal_nsec: f64,
    /// Used by work in no sampled cgroup, beyond what the counters' noise explains.
    pub(crate) unowned_nsec: f64,
}

impl NodeHeld {
    fn and(self, after: Self) -> Self {
        Self {
            cpus: after.cpus,
            irq_nsec: self.irq_nsec + after.irq_nsec,
            steal_nsec: self.steal_nsec + after.steal_nsec,
            unowned_nsec: self.unowned_nsec + after.unowned_nsec,
        }
    }
}

impl Step {
    #[cfg(test)]
    pub(crate) fn for_test(dt_nsec: u64, node: Option<NodeHeld>, containers: Vec<ContainerUse>) -> Self {
        Self {
            ordinal: 0,
            first_tick: 0,
            last_tick: 0,
            at: AxisNsec(dt_nsec),
            dt_nsec,
            node,
            available_bytes: None,
            presences: vec![1.0; containers.len()],
            containers,
            gpus: Vec::new(),
        }
    }

    pub(crate) fn container(&self, key: ContainerKey) -> Option<&ContainerUse> {
        let at = self.containers.binary_search_by_key(&key, |container| container.key).ok()?;
        self.containers.get(at)
    }

    pub(crate) fn moment(&self) -> Moment {
        let start = self.at - Duration::from_nanos(self.dt_nsec);
        Moment { ordinal: self.ordinal, start, at: self.at, dt_nsec: self.dt_nsec as f64 }
    }

    /// Both as one longer step: amounts are added, gauges are the later ones.
    pub(crate) fn and(self, after: &Self) -> Self {
        let presences = |of: &Self| {
            let keys = of.containers.iter().map(|container| container.key);
            keys.zip(of.presences.iter().copied()).collect::<Vec<_>>()
        };
        let known: BTreeMap<ContainerKey, f64> =
            presences(&self).into_iter().chain(presences(after)).collect();
        let containers = joined_containers(self.containers, after.containers.clone());
        Self {
            first_tick: self.first_tick,
            dt_nsec: self.dt_nsec.saturating_add(after.dt_nsec),
            node: both(self.node, after.node, NodeHeld::and),
            available_bytes: after.available_bytes.or(self.available_bytes),
            presences: containers.iter().filter_map(|container| known.get(&container.key).copied()).collect(),
            containers,
            gpus: after.gpus.clone(),
            ..*after
        }
    }

    pub(crate) fn holds(&self, tick: u64) -> bool {
        (self.first_tick..=self.last_tick).contains(&tick)
    }

    /// Says whether the container was there to correct.
    pub(crate) fn correct(&mut self, late: &Late) -> bool {
        correct(&mut self.containers, late)
    }
}

fn correct(containers: &mut [ContainerUse], late: &Late) -> bool {
    let Ok(at) = containers.binary_search_by_key(&late.key, |container| container.key) else { return false };
    match containers.get_mut(at).and_then(|container| container.threads.as_mut()) {
        Some(threads) => {
            *threads = threads.and(late.add);
            true
        }
        None => false,
    }
}

/// Lays frames together.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    next_ordinal: u64,
    last_tick: Option<u64>,
    /// The first tick of the step under way, and what it holds so far.
    pending: Option<(u64, Frame)>,
    window: NodeWindow,
    presences: Presences,
}

impl Assembler {
    /// Gives the step that this frame completes. A repeated tick is passed over.
    pub(crate) fn push(&mut self, frame: Frame) -> Option<Step> {
        if self.last_tick.is_some_and(|last| frame.tick <= last) {
            return None;
        }
        self.last_tick = Some(frame.tick);
        let (first_tick, frame) = match self.pending.take() {
            None => (frame.tick, frame),
            Some((first_tick, before)) => (first_tick, join(before, frame)),
        };
        if Duration::from_nanos(frame.dt_nsec) < STEP_AT_LEAST {
            self.pending = Some((first_tick, frame));
            return None;
        }
        Some(self.complete(first_tick, frame))
    }

    /// Says whether the tick is in the step under way.
    pub(crate) fn correct(&mut self, late: &Late) -> bool {
        match &mut self.pending {
            Some((first, frame)) if (*first..=frame.tick).contains(&late.tick) => {
                correct(&mut frame.containers, late)
            }
            _ => false,
        }
    }

    fn complete(&mut self, first_tick: u64, frame: Frame) -> Step {
        let known_nsec = frame.containers.iter().map(|container| container.usage_nsec).sum();
        let node = frame.node.map(|node| self.window.add(frame.dt_nsec, node, known_nsec));
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        Step {
            ordinal,
            first_tick,
            last_tick: frame.tick,
            at: frame.at,
            dt_nsec: frame.dt_nsec,
            node,
            available_bytes: frame.available_bytes,
            presences: self.presences.add(frame.dt_nsec as f64, &frame.containers),
            containers: frame.containers,
            gpus: frame.gpus,
        }
    }
}

/// Both, by rising key.
fn joined_containers(mut containers: Vec<ContainerUse>, after: Vec<ContainerUse>) -> Vec<ContainerUse> {
    for container in after {
        match containers.binary_search_by_key(&container.key, |known| known.key) {
            Err(at) => containers.insert(at, container),
            Ok(at) => {
                let known = containers.get_mut(at).expect("the search found it there");
                *known = joined(known, container);
            }
        }
    }
    containers
}

fn join(before: Frame, after: Frame) -> Frame {
    let containers = joined_containers(before.containers, after.containers);
    let node = before.node.zip(after.node).map(|(a, b)| NodeUse {
        cpus: b.cpus,
        idle_nsec: a.idle_nsec.saturating_add(b.idle_nsec),
        irq_nsec: a.irq_nsec.saturating_add(b.irq_nsec),
        steal_nsec: a.steal_nsec.saturating_add(b.steal_nsec),
    });
    let node_pressure = both(before.node_pressure, after.node_pressure, Pressure::and);
    Frame { dt_nsec: before.dt_nsec.saturating_add(after.dt_nsec), node, node_pressure, containers, ..after }
}

/// Amounts are added, gauges are the later ones.
pub(crate) fn joined(before: &ContainerUse, after: ContainerUse) -> ContainerUse {
    ContainerUse {
        usage_nsec: before.usage_nsec.saturating_add(after.usage_nsec),
        threads: both(before.threads, after.threads, ThreadUse::and),
        throttling: both(before.throttling, after.throttling, Throttling::and),
        pressure: both(before.pressure, after.pressure, Pressure::and),
        reclaim: both(before.reclaim, after.reclaim, Reclaim::and),
        io: both(before.io, after.io, IoUse::and),
        quotas: both(before.quotas, after.quotas, QuotaUse::and),
        ..after
    }
}

fn both<T: Copy>(before: Option<T>, after: Option<T>, and: fn(T, T) -> T) -> Option<T> {
    match (before, after) {
        (Some(before), Some(after)) => Some(and(before, after)),
        (before, after) => after.or(before),
    }
}

/// The last second of the node's own counters.
#[derive(Debug, Default)]
struct NodeWindow {
    steps: VecDeque<NodeStep>,
}

#[derive(Debug, Clone, Copy)]
struct NodeStep {
    dt_nsec: u64,
    node: NodeUse,
    known_nsec: u64,
}

impl NodeWindow {
    fn add(&mut self, dt_nsec: u64, node: NodeUse, known_nsec: u64) -> NodeHeld {
        self.steps.push_back(NodeStep { dt_nsec, node, known_nsec });
        let window_nsec = NODE_WINDOW.as_nanos();
        let mut span: u128 = self.steps.iter().map(|step| u128::from(step.dt_nsec)).sum();
        while let Some(first) = self.steps.front()
            && span - u128::from(first.dt_nsec) >= window_nsec
        {
            span -= u128::from(first.dt_nsec);
            self.steps.pop_front();
        }
        let total = |of: fn(&NodeStep) -> u64| self.steps.iter().map(|step| of(step) as f64).sum::<f64>();
        let cpus = f64::from(node.cpus);
        let (irq, steal) = (total(|step| step.node.irq_nsec), total(|step| step.node.steal_nsec));
        let capacity =
            self.steps.iter().map(|step| f64::from(step.node.cpus) * step.dt_nsec as f64).sum::<f64>();
        let unknown =
            capacity - total(|step| step.node.idle_nsec) - irq - steal - total(|step| step.known_nsec);
        let noise = QUANTUM_NOISE_NSEC + LAG_NOISE_NSEC * cpus.sqrt();
        let part = dt_nsec as f64 / total(|step| step.dt_nsec).max(1.0);
        NodeHeld {
            cpus,
            irq_nsec: irq * part,
            steal_nsec: steal * part,
            unowned_nsec: if unknown < noise { 0.0 } else { unknown * part },
        }
    }
}

#[cfg(test)]
mod tests;
