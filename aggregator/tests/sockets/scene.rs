//! A node as its agent would tell it: a model, and a scanner that takes its CPUs for a while.
//!
//! Every value is a function of its tick, so a test knows what must have arrived.

use berth::{Group, columns::Packer, wire};
use rustix::time::{ClockId, clock_gettime};

/// Names the two containers and gives them their roles.
pub(crate) const ROSTER: &str = "
workloads:
  - {cgroup: /model, namespace: prod, pod: model-0, container: main, owner: {kind: Deployment, name: model}, labels: {berth.dev/role: model}}
  - {cgroup: /scan, namespace: batch, pod: scan-0, container: main, owner: {kind: Job, name: scan}, labels: {berth.dev/role: scanner}}
";

pub(crate) const TICK_NSEC: u64 = 100_000_000;
pub(crate) const TICKS_PER_BATCH: u64 = 2;

/// Values of one tick, over all series.
pub(crate) const VALUES_PER_TICK: u64 = 16;

const MODEL_USEC: i64 = 50_000;
const SCAN_USEC: i64 = 150_000;

pub(crate) fn boottime_nsec() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) node: String,
    pub(crate) incarnation: u64,
    /// When its tick 0 was read.
    pub(crate) began_nsec: u64,
    /// While the scanner runs.
    pub(crate) contended: std::ops::Range<u64>,
}

impl Scene {
    /// A node of which so many batches lie in the past.
    pub(crate) fn new(node: &str, batches: u64, contended: std::ops::Range<u64>) -> Self {
        let began_nsec = boottime_nsec() - batches * TICKS_PER_BATCH * TICK_NSEC;
        Self { node: node.to_owned(), incarnation: 7, began_nsec, contended }
    }

    pub(crate) fn hello(&self, oldest_seq: u64, next_seq: u64) -> wire::Hello {
        wire::Hello {
            protocol: 1,
            node: self.node.clone(),
            incarnation: self.incarnation,
            boot_id: "boot".into(),
            agent_version: "test".into(),
            oldest_seq,
            next_seq,
            tick_hz: 10,
            facts: Some(wire::NodeFacts {
                cpus: 2,
                cpu_list: "0-1".into(),
                memory_bytes: 8 << 30,
                cgroup_version: wire::CgroupVersion::V2.into(),
                pressure: true,
                thread_waits: true,
                kernel: "6.18".into(),
                gpus: 0,
                hidden_processes: 0,
            }),
        }
    }

    pub(crate) fn series() -> Vec<wire::Series> {
        use wire::series::Subject;
        let container = |name: &str| {
            Subject::Container(wire::ContainerSubject {
                cgroup: format!("/{name}"),
                inode: if name == "model" { 1 } else { 2 },
                ..Default::default()
            })
        };
        let node = || Subject::Node(wire::NodeSubject {});
        [
            (1, Group::NodeCpu, node()),
            (2, Group::ContainerCpu, container("model")),
            (3, Group::ContainerCpu, container("scan")),
            (4, Group::ContainerThreads, container("model")),
            (5, Group::ContainerMemory, container("model")),
            (6, Group::Agent, node()),
        ]
        .into_iter()
        .map(|(id, group, subject)| wire::Series {
            id,
            first_seq: 1,
            group: group.to_wire().into(),
            subject: Some(subject),
        })
        .collect()
    }

    /// Ticks of the contention before this one.
    fn contended_before(&self, tick: u64) -> i64 {
        i64::try_from(tick.clamp(self.contended.start, self.contended.end) - self.contended.start).unwrap()
    }

    /// The model's CPU counter at a tick.
    pub(crate) fn model_usec(tick: u64) -> i64 {
        i64::try_from(tick).unwrap() * MODEL_USEC
    }

    /// The columns of a group at a tick, metric by metric, series by series.
    fn row(&self, group: Group, tick: u64) -> Vec<i64> {
        let (all, hot) = (i64::try_from(tick).unwrap(), self.contended_before(tick));
        let busy = all * (MODEL_USEC + 5_000) + hot * SCAN_USEC;
        match group {
            Group::NodeCpu => vec![busy, all * 200_000 - busy, 0, 0],
            Group::ContainerCpu => vec![Self::model_usec(tick), hot * SCAN_USEC],
            Group::ContainerThreads => {
                let wait = if self.contended.contains(&tick) { 50_000_000 } else { 0 };
                vec![MODEL_USEC * 1_000, wait, 0, 0]
            }
            Group::ContainerMemory => vec![100 << 20],
            Group::Agent => vec![all * 100, all, 0, 0, 0],
            _ => unreachable!("the scene has no such series"),
        }
    }

    fn block(&self, group: Group, ticks: std::ops::Range<u64>) -> wire::Block {
        packed(group, &ticks.map(|tick| self.row(group, tick)).collect::<Vec<_>>())
    }

    /// The batch of that sequence; each is whole in itself.
    pub(crate) fn batch(&self, seq: u64) -> wire::Batch {
        let first = (seq - 1) * TICKS_PER_BATCH;
        let ticks = first..first + TICKS_PER_BATCH;
        let groups = [
            Group::NodeCpu,
            Group::ContainerCpu,
            Group::ContainerThreads,
            Group::ContainerMemory,
            Group::Agent,
        ];
        let mut times = Vec::new();
        berth::columns::put_unsigned(&mut times, TICK_NSEC);
        wire::Batch {
            seq,
            first_tick: first,
            ticks: u32::try_from(TICKS_PER_BATCH).unwrap(),
            first_nsec: self.began_nsec + first * TICK_NSEC,
            times: times.into(),
            absolute: true,
            produced_before: first * VALUES_PER_TICK,
            blocks: groups.map(|group| self.block(group, ticks.clone())).into(),
        }
    }
}

/// A block of these rows: a tick each, metric by metric and series by series, whole in itself.
pub(crate) fn packed(group: Group, rows: &[Vec<i64>]) -> wire::Block {
    let mut values = Vec::new();
    let mut packer = Packer::new(&mut values);
    for column in 0..rows[0].len() {
        let mut before = 0;
        for row in rows {
            packer.push(row[column] - before);
            before = if group == Group::ContainerThreads { 0 } else { row[column] };
        }
    }
    packer.finish();
    wire::Block { group: group.to_wire().into(), values: values.into(), absent: bytes::Bytes::new() }
}
