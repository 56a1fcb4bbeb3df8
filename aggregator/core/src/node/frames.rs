//! A batch's columns as the detector reads them: tick by tick, counters as differences.
//!
//! Invariant: an amount is in a frame only where it is known: no difference is taken across a gap or
//! an unknown value, and a counter that went back yields none.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth::{Batch, CpuList, Group, Kind, SeriesId, batch::Columns};

use super::{gpus::gpus, subjects::Subjects};
use crate::{
    frame::{
        ContainerUse, Frame, IoUse, Limits, NodeUse, Pressure, QuotaUse, Reclaim, ThreadUse, Throttling,
    },
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
    before: BTreeMap<SeriesId, Vec<Option<i64>>>,
}

/// One container's columns in a batch.
struct Container<'a> {
    key: ContainerKey,
    who: &'a WhoRef,
    cpus: Option<&'a Arc<CpuList>>,
    usage: &'a Columns,
    others: BTreeMap<Group, &'a Columns>,
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
        let (containers, gpus) = (containers(columns, subjects), gpus(columns, subjects));
        let node = |group: Group| columns.iter().find(move |columns| columns.group == group);
        let mut frames = Vec::with_capacity(times.len());
        for (index, (at, node_nsec)) in times.iter().zip(&batch.times_nsec).enumerate() {
            let before = self.newest_nsec.replace(*node_nsec);
            let dt_nsec = before.map_or(0, |before| node_nsec.saturating_sub(before));
            let within = (1..=LONGEST_TICK.as_nanos()).contains(&u128::from(dt_nsec));
            let tick = batch.first_tick.saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
            let frame = Frame {
                tick,
                at: *at,
                dt_nsec,
                node: node(Group::NodeCpu).and_then(|columns| self.node_use(columns, index, cpus)),
                node_pressure: node(Group::NodePressure)
                    .and_then(|columns| self.node_pressure(columns, index)),
                available_bytes: node(Group::NodeMemory).and_then(|columns| gauge(columns, 0, index)),
                containers: containers.iter().filter_map(|of| self.container_use(of, index)).collect(),
                gpus: gpus.iter().map(|gpu| gpu.at(index)).collect(),
            };
            if within {
                frames.push(frame);
            }
        }
        // What is not in this batch has ended.
        let lives = |id: &SeriesId| columns.iter().any(|columns| columns.series == *id);
        if self.before.len() > columns.len() {
            self.before.retain(|id, _| lives(id));
        }
        frames
    }

    fn container_use(&mut self, of: &Container<'_>, index: usize) -> Option<ContainerUse> {
        let usage = self.amounts(of.usage, index);
        let throttling = self.amounts_of(of, Group::ContainerThrottling, index);
        let pressure = self.amounts_of(of, Group::ContainerPressure, index);
        let reclaim = self.amounts_of(of, Group::ContainerReclaim, index);
        let io = self.amounts_of(of, Group::ContainerIo, index);
        let quotas = self.amounts_of(of, Group::ContainerQuotas, index);
        let threads = of.others.get(&Group::ContainerThreads);
        Some(ContainerUse {
            key: of.key,
            who: of.who.clone(),
            cpus: of.cpus.cloned(),
            usage_nsec: first(&usage)?.saturating_mul(NSEC_PER_USEC),
            threads: threads.and_then(|threads| thread_use(threads, index)),
            throttling: throttling.and_then(|[periods, throttled_periods, throttled_usec]| {
                Some(Throttling {
                    periods: periods?,
                    throttled_periods: throttled_periods?,
                    throttled_usec: throttled_usec?,
                })
            }),
            pressure: pressure.and_then(pressure_of),
            memory_bytes: of.others.get(&Group::ContainerMemory).and_then(|memory| gauge(memory, 0, index)),
            reclaim: reclaim.and_then(reclaim_of),
            io: io.and_then(|[read_bytes, write_bytes, read_ops, write_ops]| {
                Some(IoUse {
                    read_bytes: read_bytes?,
                    write_bytes: write_bytes?,
                    read_ops: read_ops?,
                    write_ops: write_ops?,
                })
            }),
            limits: of.others.get(&Group::ContainerLimits).map(|limits| Limits {
                cpu_millicpu: gauge(limits, 0, index),
                cpu_weight: gauge(limits, 1, index),
                memory_bytes: gauge(limits, 2, index),
            }),
            quotas: quotas.and_then(quota_use),
        })
    }

    fn amounts_of<const N: usize>(
        &mut self,
        of: &Container<'_>,
        group: Group,
        index: usize,
    ) -> Option<[Option<u64>; N]> {
        of.others.get(&group).map(|columns| self.amounts(columns, index))
    }

    /// Counters as differences from the tick before, gauges as they are.
    fn amounts<const N: usize>(&mut self, columns: &Columns, index: usize) -> [Option<u64>; N] {
        let before = self.before.entry(columns.series).or_default();
        before.resize(N, None);
        let mut amounts = [None; N];
        let kinds = columns.group.metrics().iter().map(|metric| metric.kind);
        for (((amount, before), values), kind) in
            amounts.iter_mut().zip(before).zip(&columns.metrics).zip(kinds)
        {
            let now = values[index];
            *amount = match kind {
                Kind::Counter => now.and_then(|now| u64::try_from(now.checked_sub((*before)?)?).ok()),
                Kind::Gauge | Kind::Amount => now.and_then(|now| u64::try_from(now).ok()),
            };
            *before = now;
        }
        amounts
    }

    fn node_use(&mut self, node: &Columns, index: usize, cpus: u32) -> Option<NodeUse> {
        let [_busy, idle, irq, steal] = self.amounts(node, index);
        let nsec = |usec: Option<u64>| usec.map(|usec| usec.saturating_mul(NSEC_PER_USEC));
        Some(NodeUse { cpus, idle_nsec: nsec(idle)?, irq_nsec: nsec(irq)?, steal_nsec: nsec(steal)? })
    }

    fn node_pressure(&mut self, node: &Columns, index: usize) -> Option<Pressure> {
        let [cpu_some, memory_some, memory_full, io_some, io_full] = self.amounts(node, index);
        pressure_of([cpu_some, Some(0), memory_some, memory_full, io_some, io_full])
    }
}

fn containers<'a>(columns: &'a [Columns], subjects: &'a Subjects) -> Vec<Container<'a>> {
    let mut others: BTreeMap<ContainerKey, BTreeMap<Group, &Columns>> = BTreeMap::new();
    for columns in columns.iter().filter(|columns| columns.group != Group::ContainerCpu) {
        if let Some((key, ..)) = subjects.container(columns.series) {
            others.entry(key).or_default().insert(columns.group, columns);
        }
    }
    // Columns come by rising series, so the containers do too.
    let usages = columns.iter().filter(|columns| columns.group == Group::ContainerCpu);
    let container = |usage: &'a Columns| {
        let (key, who, cpus) = subjects.container(usage.series)?;
        Some(Container { key, who, cpus, usage, others: others.remove(&key).unwrap_or_default() })
    };
    usages.filter_map(container).collect()
}

fn first([value]: &[Option<u64>; 1]) -> Option<u64> {
    *value
}

/// `None` where it is unknown, and where it is negative: no limit.
pub(super) fn gauge(columns: &Columns, metric: usize, index: usize) -> Option<u64> {
    columns.metrics.get(metric)?[index].and_then(|value| u64::try_from(value).ok())
}

fn pressure_of(
    [cpu_some, cpu_full, memory_some, memory_full, io_some, io_full]: [Option<u64>; 6],
) -> Option<Pressure> {
    Some(Pressure {
        cpu_some_usec: cpu_some?,
        cpu_full_usec: cpu_full?,
        memory_some_usec: memory_some?,
        memory_full_usec: memory_full?,
        io_some_usec: io_some?,
        io_full_usec: io_full?,
    })
}

fn reclaim_of(
    [anon, file, _inactive, major_faults, refaults, direct, hits, kills]: [Option<u64>; 8],
) -> Option<Reclaim> {
    Some(Reclaim {
        anon_bytes: anon?,
        file_bytes: file?,
        major_faults: major_faults?,
        refaults: refaults?,
        direct_reclaim_pages: direct?,
        limit_hits: hits?,
        oom_kills: kills?,
    })
}

fn quota_use([own, pod, any, pod_cpu_millicpu, slice_cpu_millicpu]: [Option<u64>; 5]) -> Option<QuotaUse> {
    Some(QuotaUse { own_usec: own?, pod_usec: pod?, any_usec: any?, pod_cpu_millicpu, slice_cpu_millicpu })
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
