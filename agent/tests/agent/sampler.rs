//! The sampler on a fake host and a clock of our own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
    mpsc::{SyncSender, sync_channel},
};

use berth::{CpuList, GapReason, Group, Seq, wire};
use berth_agent::{
    clock::SECOND_NSEC,
    container::{Container, Key, Throttle},
    discovery::Discovery,
    encode::Encoder,
    handover::{Taken, Taker, handover},
    host::{HostRoot, KeptFile},
    limits::{LimitReader, QuotaFile, cpu_dir},
    message::Outgoing,
    node::Node,
    sampler::{Orders, Sampler, Settings},
    threads::ThreadFile,
    watch::{CHANGES, Change},
};

use crate::{fake_host::FakeHost, server::Known};

const START_NSEC: u64 = 1_000 * SECOND_NSEC;

/// A sampler, its host, and a receiver that decodes what it gives.
struct Rig {
    fake: FakeHost,
    sampler: Sampler,
    changes: SyncSender<Change>,
    orders: Arc<Orders>,
    taker: Taker,
    encoder: Encoder,
    known: Known,
}

impl Rig {
    fn new(fake: FakeHost, tick_hz: u32) -> Self {
        let host = fake.root();
        let (changes, change_receiver) = sync_channel(CHANGES);
        let (giver, taker) = handover();
        let orders = Arc::new(Orders {
            tick_hz: AtomicU32::new(tick_hz),
            thread_hz: AtomicU32::new(50),
            raw_threads: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let node = Node::open(&host, &CpuList::parse("0").unwrap(), true, START_NSEC);
        let settings = Settings { cpu_budget: 0.0, cpus: 1 };
        let sampler = Sampler::new(node, settings, Arc::clone(&orders), change_receiver, giver, START_NSEC);
        add_all(&host, &changes);
        let mut known = Known::default();
        known.begin(Seq::FIRST);
        Self { fake, sampler, changes, orders, taker, encoder: Encoder::default(), known }
    }

    /// Lets the sampler do what is due so many nanoseconds after its start.
    fn pass(&mut self, after_nsec: u64) {
        self.sampler.pass(START_NSEC + after_nsec);
        while let Taken::Flush(flush) = self.taker.take() {
            let (records, begun) = self.encoder.encode(&flush);
            let records = records.into_iter().map(|produced| Outgoing::Record(produced.record));
            for outgoing in records.chain(begun.into_iter().map(Outgoing::Series)) {
                self.known.hear(wire::AgentMessage::from(outgoing).message.unwrap());
            }
            self.taker.give_back(flush.chunk);
        }
    }

    fn newest(&self, group: Group, cgroup: &str) -> Option<i64> {
        self.known.column(self.known.find(group, cgroup)?, 0).last().copied().flatten()
    }
}

fn add_all(host: &HostRoot, changes: &SyncSender<Change>) {
    let mut discovery = Discovery::new(host, vec!["/demo".into()], vec![]).unwrap();
    let mut limits = LimitReader::new(host);
    for (key, found) in (0..).zip(discovery.sweep(host)) {
        let own = limits.limits(&found.cgroup, cpu_dir(host, &found.cgroup).as_ref());
        let holders = limits.quota_holders(&found.cgroup);
        let quota = (own, holders.first());
        let container = Container::open(host, &found, Key(key), quota, true, START_NSEC).unwrap();
        changes.send(Change::Add(Box::new(container))).unwrap();
    }
}

fn focus(rig: &Rig, threads: usize) {
    let host = rig.fake.root();
    let quotas = QuotaFile::open_all(&host, "/demo/c0", &LimitReader::new(&host).quota_holders("/demo/c0"));
    assert_eq!(quotas.len(), 1, "its own");
    rig.changes.send(Change::Focus(Key(0), quotas)).unwrap();
    let thread = |thread: usize| ThreadFile {
        tid: u32::try_from(100 + thread).unwrap(),
        file: KeptFile::open(&host.proc(format!("{}/schedstat", 100 + thread))).unwrap(),
        started_nsec: None,
        ended: Arc::new(AtomicBool::new(false)),
    };
    rig.changes.send(Change::Threads(Key(0), (0..threads).map(thread).collect())).unwrap();
}

/// Eight seconds of a sampler that has gone for two: allocations, ticks, and messages of single threads.
fn steady(raw_threads: bool) -> [u64; 3] {
    let mut rig = Rig::new(FakeHost::new(8, 8), 10);
    rig.orders.raw_threads.store(raw_threads, Ordering::Relaxed);
    focus(&rig, 8);
    let mut counts = [0; 3];
    for step in 0..500_u64 {
        if step % 50 == 0 {
            rig.fake.advance(step);
        }
        let now_nsec = START_NSEC + step * SECOND_NSEC / 50;
        let allocations = allocation_counter::measure(|| rig.sampler.pass(now_nsec)).count_total;
        let (mut ticks, mut messages) = (0, 0);
        while let Taken::Flush(flush) = rig.taker.take() {
            ticks += flush.chunk.ticks();
            messages += flush.chunk.readings.as_ref().map_or(0, |readings| readings.messages().len());
            rig.taker.give_back(flush.chunk);
        }
        // The first two seconds open, lay out and fill the pool.
        if step >= 100 {
            let now = [allocations, u64::try_from(ticks).unwrap(), u64::try_from(messages).unwrap()];
            counts = std::array::from_fn(|at| counts[at] + now[at]);
        }
    }
    counts
}

#[test]
fn a_steady_tick_allocates_nothing_flushes_and_threads_included() {
    assert_eq!(steady(false), [0, 80, 0]);
    assert_eq!(steady(true), [0, 80, 8], "a message each time that the threads moved");
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 64])));
    assert_eq!(counted.count_total, 1, "the counter counts");
}

#[test]
fn what_each_thread_did_is_kept_while_it_is_asked_for_and_no_longer() {
    let mut rig = Rig::new(FakeHost::new(1, 2), 10);
    focus(&rig, 2);
    let mut kept = Vec::new();
    for step in 0..200_u64 {
        rig.orders.raw_threads.store((50..150).contains(&step), Ordering::Relaxed);
        rig.fake.advance(step);
        rig.sampler.pass(START_NSEC + step * SECOND_NSEC / 50);
        while let Taken::Flush(flush) = rig.taker.take() {
            for message in flush.chunk.readings.iter().flat_map(|readings| readings.messages()) {
                assert_eq!(message.lost, 0);
                kept.extend(message.containers);
            }
            rig.taker.give_back(flush.chunk);
        }
    }
    let steps: Vec<u64> = kept.iter().map(|of| (of.at_nsec - START_NSEC) * 50 / SECOND_NSEC).collect();
    let (first, last) = (steps[0], *steps.last().unwrap());
    assert!((50..=61).contains(&first) && (149..=161).contains(&last), "within a flush: {first}, {last}");
    assert!(steps.iter().copied().eq(first..=last), "each reading once: {steps:?}");
    for of in &kept {
        let mut tids: Vec<u32> = of.threads.iter().map(|thread| thread.tid).collect();
        tids.sort_unstable();
        assert_eq!((tids, of.dt_nsec), (vec![100, 101], SECOND_NSEC / 50));
        assert!(of.threads.iter().all(|thread| thread.run_nsec == 1_000_000 && thread.wait_nsec > 0));
    }
}

#[test]
fn a_missed_tick_is_a_gap_and_nothing_is_put_in_its_place() {
    let mut rig = Rig::new(FakeHost::new(1, 0), 10);
    // Every 100 ms, but for the seventh to the ninth time.
    for step in (0..7).chain(10..14) {
        rig.fake.advance(step);
        rig.pass(step * SECOND_NSEC / 10);
    }
    let gaps: Vec<_> = rig.known.gaps.iter().map(|gap| (gap.reason, gap.ticks, gap.values)).collect();
    assert_eq!(gaps, [(GapReason::MissedTick, 3, 0)]);
    let times: Vec<u64> =
        rig.known.times_nsec.values().map(|at| (at - START_NSEC) / (SECOND_NSEC / 10)).collect();
    assert_eq!(times, [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13]);
    let ordinals: Vec<u64> = rig.known.times_nsec.keys().copied().collect();
    assert!(ordinals.iter().copied().eq(0..11), "a tick that was never read has no ordinal");
    let missed = rig.known.column(rig.known.find(Group::Agent, "").unwrap(), 2);
    assert_eq!(missed.last(), Some(&Some(3)));
}

#[test]
fn a_counter_that_fell_is_another_series_and_never_a_difference() {
    let mut rig = Rig::new(FakeHost::new(2, 0), 10);
    for step in 0..10 {
        rig.fake.advance(100 + step);
        rig.pass(step * SECOND_NSEC / 10);
    }
    let old = rig.known.find(Group::ContainerCpu, "/demo/c1").unwrap();
    for step in 10..20 {
        rig.fake.advance(step);
        rig.pass(step * SECOND_NSEC / 10);
    }
    let new = rig.known.find(Group::ContainerCpu, "/demo/c1").unwrap();
    assert_ne!(old, new);
    assert!(rig.known.retired.contains(&old));
    for series in [old, new] {
        let values: Vec<i64> = rig.known.column(series, 0).into_iter().flatten().collect();
        assert!(values.is_sorted() && !values.is_empty(), "{values:?}");
    }
    assert_eq!(rig.newest(Group::ContainerCpu, "/demo/c1"), Some(19));
}

#[test]
fn a_quota_that_comes_or_goes_changes_one_series_and_keeps_the_others() {
    let mut rig = Rig::new(FakeHost::new(2, 0), 10);
    let mut steps = 0..;
    let mut pass = |rig: &mut Rig| {
        for step in steps.by_ref().take(10) {
            rig.fake.advance(step);
            rig.pass(step * SECOND_NSEC / 10);
        }
    };
    pass(&mut rig);
    let series = |rig: &Rig, group| rig.known.find(group, "/demo/c0").unwrap();
    let (usage, first) = (series(&rig, Group::ContainerCpu), series(&rig, Group::ContainerThrottling));
    rig.changes.send(Change::Throttle(Key(0), Throttle::None)).unwrap();
    pass(&mut rig);
    assert_eq!(rig.known.retired, [first]);
    let host = rig.fake.root();
    let holders = LimitReader::new(&host).quota_holders("/demo/c0");
    let throttle = Throttle::of(&host, "/demo/c0", holders.first());
    rig.changes.send(Change::Throttle(Key(0), throttle)).unwrap();
    pass(&mut rig);
    let second = series(&rig, Group::ContainerThrottling);
    assert!(second > first && series(&rig, Group::ContainerCpu) == usage);
    let other = rig.known.find(Group::ContainerThrottling, "/demo/c1").unwrap();
    for (series, ticks) in [(usage, 30), (other, 30)] {
        assert!(rig.known.column(series, 0).len() >= ticks - 5, "it goes on");
    }
    assert_eq!(rig.known.column(second, 0).last(), rig.known.column(other, 0).last());
}

#[test]
fn stall_is_read_once_a_second_however_fast_the_ticks_are() {
    let mut rig = Rig::new(FakeHost::new(3, 0), 100);
    for step in 0..400_u64 {
        rig.fake.write("cgroup/demo/c1/cpu.pressure", &format!("some avg10=0 total={step}\n"));
        rig.pass(step * SECOND_NSEC / 100);
    }
    let column = rig.known.column(rig.known.find(Group::ContainerPressure, "/demo/c1").unwrap(), 0);
    let mut seen: Vec<i64> = column.into_iter().flatten().collect();
    seen.dedup();
    assert!((2..=4).contains(&seen.len()), "about one reading a second: {seen:?}");
    assert!(seen.windows(2).all(|pair| pair[1] - pair[0] >= 99), "{seen:?}");
}

#[test]
fn a_memory_limit_comes_with_the_stall_that_it_explains() {
    const BEFORE: u64 = 15;
    for container in ["/demo/c0", "/demo/c1", "/demo/c2"] {
        let mut rig = Rig::new(FakeHost::new(3, 0), 10);
        for step in 0..40 {
            let (limit, stall) = if step < BEFORE { ("max", 0) } else { ("4096", 9) };
            rig.fake.write(&format!("cgroup{container}/memory.max"), &format!("{limit}\n"));
            rig.fake.write(&format!("cgroup{container}/memory.pressure"), &format!("some total={stall}\n"));
            rig.pass(step * SECOND_NSEC / 10);
        }
        let column = |group, metric| rig.known.column(rig.known.find(group, container).unwrap(), metric);
        let changed =
            |column: Vec<Option<i64>>, to| column.iter().position(|value| *value == Some(to)).unwrap();
        let limit = changed(column(Group::ContainerLimits, 2), 4096);
        assert_eq!(limit, changed(column(Group::ContainerPressure, 2), 9), "in the same tick");
    }
}

#[test]
fn what_the_node_and_a_container_show_is_what_is_sent() {
    let mut rig = Rig::new(FakeHost::new(1, 0), 10);
    for step in 0..30 {
        rig.fake.advance(step);
        rig.pass(step * SECOND_NSEC / 10);
    }
    let row = |group: Group, cgroup: &str| -> Vec<Option<i64>> {
        let series = rig.known.find(group, cgroup).unwrap();
        (0..group.metrics().len()).map(|metric| *rig.known.column(series, metric).last().unwrap()).collect()
    };
    assert_eq!(row(Group::NodeCpu, ""), [Some(290_000), Some(290_000), Some(0), Some(0)]);
    assert_eq!(row(Group::NodeMemory, ""), [Some(8 * 1_024), Some(7 * 1_024)]);
    assert_eq!(row(Group::ContainerThrottling, "/demo/c0"), [Some(29), Some(29), Some(29_000)]);
    assert_eq!(row(Group::ContainerMemory, "/demo/c0"), [Some(29)]);
    assert_eq!(row(Group::ContainerLimits, "/demo/c0"), [Some(200), Some(100), Some(-1)]);
    let [some, full, ..] = row(Group::ContainerPressure, "/demo/c0")[..] else { panic!("six metrics") };
    assert!(some.is_some() && full.is_none(), "a line that the kernel does not write is unknown");
}
