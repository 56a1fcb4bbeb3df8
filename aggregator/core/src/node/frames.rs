//! A batch's columns as the detector reads them: tick by tick, counters as differences.
//!
//! Invariant: an amount is in a frame only where it is known: no difference is taken across a gap or
//! an unknown value, and a counter that went back yields none.

use std::{collections::BTreeMap, time::Duration};

use berth::{Batch, Group, SeriesId, batch::Columns};

use super::subjects::Subjects;
use crate::{
    frame::{ContainerUse, Frame, NodeUse, ThreadUse},
    history::Values,
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// A tick longer than this says nothing of contention within it: the slowest agent takes one a
/// second, and may be late by as much again.
const LONGEST_TICK: Duration = Duration::from_secs(2);

const NSEC_PER_USEC: u64 = 1_000;

/// The newest counters, which the next tick's differences start from.
#[derive(Debug, Default)]
pub(super) struct Frames {
    newest_nsec: Option<u64>,
    node: [Option<i64>; 4],
    usage_usec: BTreeMap<SeriesId, i64>,
}

/// One container's columns in a batch.
struct Container<'a> {
    key: ContainerKey,
    who: &'a WhoRef,
    usage_usec: &'a Values,
    threads: Option<&'a Columns>,
}

impl Frames {
    /// Something is missing before the next tick.
    pub(super) fn cut(&mut self) {
        *self = Self::default();
    }

    /// The frames of one batch, whose ticks were read at `times` of the axis.
    pub(super) fn of(
        &mut self,
        batch: &Batch,
        times: &[AxisNsec],
        columns: &[Columns],
        subjects: &Subjects,
        cpus: u32,
    ) -> Vec<Frame> {
        let containers = containers(columns, subjects);
        let node = columns.iter().find(|columns| columns.group == Group::NodeCpu);
        let mut frames = Vec::with_capacity(times.len());
        for (index, (at, node_nsec)) in times.iter().zip(&batch.times_nsec).enumerate() {
            let before = self.newest_nsec.replace(*node_nsec);
            let dt_nsec = before.map_or(0, |before| node_nsec.saturating_sub(before));
            let within = (1..=LONGEST_TICK.as_nanos()).contains(&u128::from(dt_nsec));
            let node_use = node.and_then(|node| self.node_use(node, index, cpus));
            let mut uses = Vec::with_capacity(containers.len());
            for container in &containers {
                let Some(now) = container.usage_usec[index] else {
                    self.usage_usec.remove(&container.key.0);
                    continue;
                };
                let before = self.usage_usec.insert(container.key.0, now);
                let Some(usage_nsec) = difference(before, now) else { continue };
                let threads = container.threads.and_then(|threads| thread_use(threads, index));
                uses.push(ContainerUse {
                    key: container.key,
                    who: container.who.clone(),
                    usage_nsec,
                    threads,
                });
            }
            if within {
                let tick = batch.first_tick.saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
                frames.push(Frame { tick, at: *at, dt_nsec, node: node_use, containers: uses });
            }
        }
        // What is not in this batch has ended.
        let lives = |id: &SeriesId| containers.binary_search_by_key(id, |container| container.key.0).is_ok();
        self.usage_usec.retain(|id, _| lives(id));
        frames
    }

    fn node_use(&mut self, node: &Columns, index: usize, cpus: u32) -> Option<NodeUse> {
        let mut differences = [None; 4];
        for ((difference_nsec, before), values) in
            differences.iter_mut().zip(&mut self.node).zip(&node.metrics)
        {
            let now = values[index];
            *difference_nsec = now.and_then(|now| difference(*before, now));
            *before = now;
        }
        let [_busy, idle, irq, steal] = differences;
        Some(NodeUse { cpus, idle_nsec: idle?, irq_nsec: irq?, steal_nsec: steal? })
    }
}

fn containers<'a>(columns: &'a [Columns], subjects: &'a Subjects) -> Vec<Container<'a>> {
    let of = |group: Group| columns.iter().filter(move |columns| columns.group == group);
    let threads: BTreeMap<ContainerKey, &Columns> = of(Group::ContainerThreads)
        .filter_map(|columns| subjects.container(columns.series).map(|(key, _)| (key, columns)))
        .collect();
    // Columns come by rising series, so the containers do too.
    of(Group::ContainerCpu)
        .filter_map(|columns| {
            let (key, who) = subjects.container(columns.series)?;
            let usage_usec = columns.metrics.first()?;
            Some(Container { key, who, usage_usec, threads: threads.get(&key).copied() })
        })
        .collect()
}

/// Nanoseconds between two readings of a counter of microseconds.
fn difference(before: Option<i64>, now: i64) -> Option<u64> {
    let usec = u64::try_from(now.checked_sub(before?)?).ok()?;
    Some(usec.saturating_mul(NSEC_PER_USEC))
}

fn thread_use(columns: &Columns, index: usize) -> Option<ThreadUse> {
    let value = |metric: usize| columns.metrics.get(metric).and_then(|values| values[index]);
    Some(ThreadUse {
        run_nsec: value(0)?,
        wait_nsec: value(1)?,
        throttled_nsec: value(2)?,
        sibling_nsec_cpus: value(3)?,
    })
}
