//! An agent that needs no kernel: what it samples is a function of the time, so a test knows every
//! value without keeping it. Its ring, sequence, gaps and packing follow the contract.

use std::collections::{BTreeMap, VecDeque};

use berth::{
    Batch, Block, CgroupVersion, ContainerSubject, Correction, Gap, GapReason, Group, Hello, Incarnation,
    Kind, NodeFacts, NodeName, Record, Retire, Seq, Series, SeriesId, Subject,
    columns::{Packer, put_unsigned},
};
use berth_core::{time::AxisNsec, timeline::Pong};

pub(crate) const TICK_NSEC: u64 = 100_000_000;
pub(crate) const START: AxisNsec = AxisNsec(1_700_000_000_000_000_000);

/// When the world's tick `tick` happens.
pub(crate) fn at(tick: u64) -> AxisNsec {
    AxisNsec(START.0 + tick * TICK_NSEC)
}

/// What a series reads at a tick of the world.
pub(crate) fn value(subject: &Subject, group: Group, metric: usize, tick: u64) -> Option<i64> {
    let who = match subject {
        Subject::Node => 3,
        Subject::Container(container) => container.inode,
        Subject::Gpu(_) | Subject::GpuContainer(_) => unreachable!("this agent has no GPU"),
    };
    let metric_number = u64::try_from(metric).unwrap();
    let mixed = (who * 31 + metric_number * 7 + tick).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if mixed.is_multiple_of(23) && group != Group::ContainerThreads {
        return None;
    }
    let value = match group.metrics()[metric].kind {
        Kind::Counter => tick * (1_000 + who * 100) + (mixed % 900),
        Kind::Gauge | Kind::Amount => mixed % 100_000,
    };
    Some(i64::try_from(value).unwrap())
}

#[derive(Debug, Clone)]
enum What {
    Batch { first_tick: u64, world_ticks: Vec<u64>, series: Vec<SeriesId>, produced_before: u64, values: u64 },
    Correction { series: SeriesId, first_tick: u64, amounts: Vec<Vec<i64>> },
    Retire(Vec<SeriesId>),
    Gap { last_seq: u64, reason: GapReason, ticks: u64, values: u64 },
}

#[derive(Debug, Clone)]
struct Kept {
    seq: u64,
    what: What,
}

impl Kept {
    fn last_seq(&self) -> u64 {
        if let What::Gap { last_seq, .. } = self.what { last_seq } else { self.seq }
    }

    /// As part of a gap: ticks, values.
    fn loss(&self) -> (u64, u64) {
        match &self.what {
            What::Batch { world_ticks, values, .. } => (u64::try_from(world_ticks.len()).unwrap(), *values),
            What::Gap { ticks, values, .. } => (*ticks, *values),
            What::Correction { .. } | What::Retire(_) => (0, 0),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) incarnation: u64,
    pub(crate) boot_id: &'static str,
    /// The axis less this node's clock.
    pub(crate) offset_nsec: u64,
    pub(crate) ring_records: usize,
    pub(crate) produced: u64,
    next_tick: u64,
    next_seq: u64,
    next_id: u32,
    live: BTreeMap<SeriesId, Series>,
    ended: BTreeMap<SeriesId, Series>,
    ring: VecDeque<Kept>,
    /// The next record to send: what lies before it was sent.
    cursor: u64,
    bases: BTreeMap<SeriesId, Vec<i64>>,
    whole: bool,
    /// News for an open stream: series that were not named yet.
    unnamed: Vec<SeriesId>,
    /// A Retire was lost with the ring: only a new stream can tell.
    pub(crate) must_reconnect: bool,
    /// The series of the newest batch that was sent.
    pub(crate) carried: Vec<Series>,
}

impl Agent {
    pub(crate) fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            boot_id: "boot-1",
            offset_nsec: START.0 - 7_200_000_000_000,
            ring_records: 10_000,
            produced: 0,
            next_tick: 0,
            next_seq: 1,
            next_id: 1,
            live: BTreeMap::new(),
            ended: BTreeMap::new(),
            ring: VecDeque::new(),
            cursor: 1,
            bases: BTreeMap::new(),
            whole: false,
            unnamed: Vec::new(),
            must_reconnect: false,
            carried: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, group: Group, subject: &Subject) -> SeriesId {
        let id = SeriesId::new(self.next_id).unwrap();
        self.next_id += 1;
        let series =
            Series { id, first_seq: Seq::new(self.next_seq).unwrap(), group, subject: subject.clone() };
        self.live.insert(id, series);
        self.unnamed.push(id);
        id
    }

    /// The usual groups of a container.
    pub(crate) fn add_container(&mut self, cgroup: &str, inode: u64) -> Vec<SeriesId> {
        let groups = [Group::ContainerCpu, Group::ContainerMemory, Group::ContainerThreads];
        groups.map(|group| self.add(group, &container(cgroup, inode))).to_vec()
    }

    pub(crate) fn series_of(&self, cgroup: &str) -> Vec<SeriesId> {
        let is = |series: &&Series| matches!(&series.subject, Subject::Container(c) if c.cgroup == cgroup);
        self.live.values().filter(is).map(|series| series.id).collect()
    }

    pub(crate) fn retire(&mut self, series: &[SeriesId]) {
        for id in series {
            let ended = self.live.remove(id).unwrap();
            self.ended.insert(*id, ended);
        }
        self.keep(What::Retire(series.to_vec()));
    }

    /// Reads these ticks of the world into one batch.
    pub(crate) fn sample(&mut self, world_ticks: impl IntoIterator<Item = u64>) {
        let world_ticks: Vec<u64> = world_ticks.into_iter().collect();
        let series: Vec<SeriesId> = self.live.keys().copied().collect();
        let width: usize = self.live.values().map(|series| series.group.metrics().len()).sum();
        let values = u64::try_from(width * world_ticks.len()).unwrap();
        let (first_tick, produced_before) = (self.next_tick, self.produced);
        self.next_tick += u64::try_from(world_ticks.len()).unwrap();
        self.produced += values;
        self.keep(What::Batch { first_tick, world_ticks, series, produced_before, values });
    }

    /// Says that ticks were never read.
    pub(crate) fn miss(&mut self, ticks: u64) {
        let last_seq = self.next_seq;
        self.keep(What::Gap { last_seq, reason: GapReason::MissedTick, ticks, values: 0 });
    }

    /// Late news of a threads series, for the ticks before the newest `back` ones.
    pub(crate) fn correct(&mut self, series: SeriesId, back: u64, amounts: Vec<Vec<i64>>) {
        let first_tick = self.next_tick - back;
        self.keep(What::Correction { series, first_tick, amounts });
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            node: NodeName::new("node-a").unwrap(),
            incarnation: Incarnation::new(self.incarnation).unwrap(),
            boot_id: self.boot_id.into(),
            agent_version: "test".into(),
            oldest_seq: Seq::new(self.oldest()).unwrap(),
            next_seq: Seq::new(self.next_seq).unwrap(),
            tick_hz: 10,
            facts: NodeFacts {
                cpus: 2,
                cpu_list: "0-1".into(),
                memory_bytes: 1 << 33,
                cgroup_version: CgroupVersion::V2,
                pressure: true,
                thread_waits: true,
                kernel: "6.1".into(),
                gpus: 0,
                hidden_processes: 0,
            },
        }
    }

    /// A stream begins: the series that there is still data of, by what the aggregator asked for.
    pub(crate) fn open(&mut self, from: Seq) -> Vec<Series> {
        self.cursor = from.get().clamp(self.oldest(), self.next_seq);
        // The record that holds the place asked for may be a gap that begins before it.
        if let Some(kept) = self.ring.iter().find(|kept| kept.last_seq() >= self.cursor) {
            self.cursor = kept.seq;
        }
        self.whole = false;
        self.bases.clear();
        self.must_reconnect = false;
        self.unnamed.clear();
        // What ended before needs no name: its end will not be told.
        let ended_before = |id: &SeriesId| {
            let ends = |kept: &Kept| matches!(&kept.what, What::Retire(series) if series.contains(id));
            self.ended.contains_key(id) && !self.ring.iter().any(|kept| kept.seq >= self.cursor && ends(kept))
        };
        self.named().into_iter().filter(|series| !ended_before(&series.id)).collect()
    }

    /// The series to name first, and the next record; `None` when all is sent.
    pub(crate) fn send(&mut self) -> Option<(Vec<Series>, Record)> {
        let kept = self.ring.iter().find(|kept| kept.seq >= self.cursor)?.clone();
        self.cursor = kept.last_seq() + 1;
        let unnamed = std::mem::take(&mut self.unnamed);
        let series =
            unnamed.iter().filter_map(|id| self.live.get(id).or_else(|| self.ended.get(id))).cloned();
        let series = series.collect();
        Some((series, self.encode(&kept)))
    }

    pub(crate) fn pong(&self, tick_nsec: AxisNsec) -> Pong {
        let nsec = tick_nsec.0 - self.offset_nsec;
        Pong { received_nsec: nsec, sent_nsec: nsec }
    }

    fn oldest(&self) -> u64 {
        self.ring.front().map_or(self.next_seq, |kept| kept.seq)
    }

    pub(crate) fn named(&self) -> Vec<Series> {
        let mut named: Vec<Series> = self.live.values().chain(self.ended.values()).cloned().collect();
        named.sort_by_key(|series| series.id);
        named
    }

    fn keep(&mut self, what: What) {
        self.ring.push_back(Kept { seq: self.next_seq, what });
        self.next_seq += 1;
        while self.ring.len() > self.ring_records {
            self.evict();
        }
        let retired = |id: &SeriesId| {
            self.ring.iter().any(|kept| matches!(&kept.what, What::Retire(series) if series.contains(id)))
        };
        let gone: Vec<SeriesId> = self.ended.keys().copied().filter(|id| !retired(id)).collect();
        for id in gone {
            self.ended.remove(&id);
        }
    }

    /// The oldest record leaves the ring. What was never sent becomes a gap, with its neighbour.
    fn evict(&mut self) {
        let first = self.ring.pop_front().unwrap();
        if first.seq < self.cursor {
            return;
        }
        let second = self.ring.pop_front().unwrap();
        self.must_reconnect |= [&first, &second].iter().any(|kept| matches!(kept.what, What::Retire(_)));
        let (ticks, values) = (first.loss().0 + second.loss().0, first.loss().1 + second.loss().1);
        let what = What::Gap { last_seq: second.last_seq(), reason: GapReason::ReplayFull, ticks, values };
        self.ring.push_front(Kept { seq: first.seq, what });
    }

    fn encode(&mut self, kept: &Kept) -> Record {
        let seq = Seq::new(kept.seq).unwrap();
        match &kept.what {
            What::Batch { first_tick, world_ticks, series, produced_before, .. } => {
                let absolute = !self.whole;
                self.whole = true;
                let named: Vec<Series> =
                    self.named().into_iter().filter(|named| series.contains(&named.id)).collect();
                let groups: Vec<Group> = Group::ALL
                    .iter()
                    .copied()
                    .filter(|group| named.iter().any(|series| series.group == *group))
                    .collect();
                self.carried.clone_from(&named);
                let blocks = groups
                    .into_iter()
                    .map(|group| self.block(group, &named, world_ticks, absolute))
                    .collect();
                Record::Batch(Batch {
                    seq,
                    first_tick: *first_tick,
                    times_nsec: world_ticks.iter().map(|tick| at(*tick).0 - self.offset_nsec).collect(),
                    absolute,
                    produced_before: *produced_before,
                    blocks,
                })
            }
            What::Correction { series, first_tick, amounts } => {
                let values = packed(&amounts.concat());
                let (series, first_tick) = (*series, *first_tick);
                Record::Correction(Correction { seq, series, first_tick, ticks: amounts[0].len(), values })
            }
            What::Retire(series) => Record::Retire(Retire { seq, series: series.clone() }),
            What::Gap { last_seq, reason, ticks, values } => {
                if *values > 0 {
                    self.whole = false;
                    self.bases.clear();
                }
                let last_seq = Seq::new(*last_seq).unwrap();
                Record::Gap(Gap { seq, last_seq, reason: *reason, ticks: *ticks, values: *values })
            }
        }
    }

    fn block(&mut self, group: Group, named: &[Series], world_ticks: &[u64], absolute: bool) -> Block {
        let of_group: Vec<&Series> = named.iter().filter(|series| series.group == group).collect();
        let (mut values, mut absent) = (Vec::new(), Vec::new());
        let (mut here, mut run) = (true, 0);
        let mut packer = Packer::new(&mut values);
        for (metric, description) in group.metrics().iter().enumerate() {
            for series in &of_group {
                let bases = self.bases.entry(series.id).or_default();
                bases.resize(group.metrics().len(), 0);
                if absolute {
                    bases[metric] = 0;
                }
                for tick in world_ticks {
                    let known = value(&series.subject, group, metric, *tick);
                    if known.is_some() != here {
                        put_unsigned(&mut absent, run);
                        (here, run) = (!here, 0);
                    }
                    run += 1;
                    if description.kind == Kind::Amount {
                        packer.push(known.unwrap_or(0));
                    } else {
                        let known = known.unwrap_or(bases[metric]);
                        packer.push(known - bases[metric]);
                        bases[metric] = known;
                    }
                }
            }
        }
        packer.finish();
        put_unsigned(&mut absent, run);
        Block { group, values: values.into(), absent: absent.into() }
    }
}

pub(crate) fn packed(values: &[i64]) -> bytes::Bytes {
    let mut out = Vec::new();
    let mut packer = Packer::new(&mut out);
    for value in values {
        packer.push(*value);
    }
    packer.finish();
    out.into()
}

/// What tells the subjects of a test apart: the inode, and 0 for the node.
pub(crate) fn inode(subject: &Subject) -> u64 {
    match subject {
        Subject::Container(container) => container.inode,
        Subject::Node | Subject::Gpu(_) | Subject::GpuContainer(_) => 0,
    }
}

pub(crate) fn container(cgroup: &str, inode: u64) -> Subject {
    Subject::Container(ContainerSubject {
        cgroup: cgroup.into(),
        inode,
        pod_uid: None,
        container_id: None,
        qos: None,
        system: false,
        cpu_list: None,
    })
}
