//! What one stream leaves in the history.

use berth::{
    Batch, Block, Correction, Gap, GapReason, Group, Record, Retire, Seq, Series, SeriesId, Subject,
};
use berth_core::{
    history::Resolution,
    node::{NodeLimits, NodeView},
    time::AxisNsec,
};

use crate::{
    agent::{Agent, START, at, container, packed},
    world::{ALWAYS, HOUR, World, attached, node},
};

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn id(number: u32) -> SeriesId {
    SeriesId::new(number).unwrap()
}

fn batch(number: u64, first_tick: u64, ticks: u64, absolute: bool, blocks: Vec<(Group, &[i64])>) -> Batch {
    let block = |(group, values): (Group, &[i64])| Block {
        group,
        values: packed(values),
        absent: bytes::Bytes::new(),
    };
    Batch {
        seq: seq(number),
        first_tick,
        times_nsec: (0..ticks).map(|tick| HOUR + (first_tick + tick) * 100_000_000).collect(),
        absolute,
        produced_before: 0,
        blocks: blocks.into_iter().map(block).collect(),
    }
}

/// All values of one group, time by time and metric by metric.
fn raw(view: &NodeView, group: Group) -> Vec<(u64, Vec<Vec<Option<i64>>>)> {
    let slices = view.history.range(Resolution::Raw, ALWAYS, |key| key.group == group);
    slices
        .flat_map(|slice| {
            let rows = slice.times.clone().into_iter().enumerate();
            rows.map(|(row, time)| {
                let series = slice.series.iter();
                let values =
                    series.map(|series| series.metrics.iter().map(|metric| metric.values[row]).collect());
                ((time.0 - START.0) / 1_000_000, values.collect())
            })
            .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_small_stream_is_kept_as_it_was_sent() {
    let mut node = attached();
    let model = container("/m-a", 7);
    for (number, group) in
        [(1, Group::ContainerCpu), (2, Group::ContainerMemory), (3, Group::ContainerThreads)]
    {
        node.series(Series { id: id(number), first_seq: seq(1), group, subject: model.clone() }).unwrap();
    }
    let blocks = vec![
        (Group::ContainerCpu, &[5_000, 70_000][..]),
        (Group::ContainerMemory, &[1 << 20, 0]),
        (Group::ContainerThreads, &[69, 70, 30, 31, 0, 0, 5, 6]),
    ];
    node.record(Record::Batch(batch(1, 0, 2, true, blocks)), at(2)).unwrap();
    let blocks = vec![
        (Group::ContainerCpu, &[60_000][..]),
        (Group::ContainerMemory, &[-(1 << 10)]),
        (Group::ContainerThreads, &[60, 40, 0, 9]),
    ];
    node.record(Record::Batch(batch(2, 2, 1, false, blocks)), at(3)).unwrap();
    // Late news: at tick 1 the container waited 7 ns longer, 2 of them throttled.
    let values = packed(&[0, 7, 2, 0]);
    let correction = Correction { seq: seq(3), series: id(3), first_tick: 1, ticks: 1, values };
    node.record(Record::Correction(correction), at(3)).unwrap();

    let view = node.view();
    let one = |values: &[i64]| vec![values.iter().copied().map(Some).collect::<Vec<_>>()];
    assert_eq!(
        raw(&view, Group::ContainerCpu),
        [(0, one(&[5_000])), (100, one(&[75_000])), (200, one(&[135_000]))]
    );
    assert_eq!(
        raw(&view, Group::ContainerMemory),
        [(0, one(&[1 << 20])), (100, one(&[1 << 20])), (200, one(&[(1 << 20) - (1 << 10)]))]
    );
    assert_eq!(
        raw(&view, Group::ContainerThreads),
        [(0, one(&[69, 30, 0, 5])), (100, one(&[70, 38, 2, 6])), (200, one(&[60, 40, 0, 9]))]
    );
    let newest: Vec<_> = view.history.newest().map(|(key, values)| (key.group, values)).collect();
    assert_eq!(newest[0], (Group::ContainerCpu, vec![Some(135_000)]));
    assert_eq!(view.history.newest_at(), Some(at(2)));
    assert_eq!((view.account.values_received, view.account.values_stored), (18, 18));
}

#[test]
fn a_long_stream_is_kept_value_by_value() {
    let mut world = World::new(NodeLimits::default());
    world.agent.add(Group::NodeCpu, &Subject::Node);
    for inode in 10..20 {
        world.agent.add_container(&format!("/m-{inode}"), inode);
    }
    world.connect();
    for flush in 0..400 {
        world.sample(1 + flush % 4);
        if flush % 3 == 0 {
            let threads = world.agent.series_of("/m-12")[2];
            world.agent.correct(threads, 1 + flush % 20, vec![vec![10], vec![-3], vec![1], vec![5]]);
        }
        world.deliver_all();
    }
    world.check_history();
    assert!(world.expected.len() > 40_000, "the test has seen traffic");
}

#[test]
fn records_that_come_again_change_no_answer() {
    let mut world = World::new(NodeLimits::default());
    world.agent.add_container("/m-a", 7);
    world.connect();
    for _ in 0..40 {
        world.sample(3);
        let threads = world.agent.series_of("/m-a")[2];
        world.agent.correct(threads, 2, vec![vec![1, 2], vec![0, 4], vec![0, 0], vec![9, 9]]);
        world.deliver_all();
    }
    let answers = |world: &mut World| {
        let view = world.view();
        let raw: Vec<_> = view.history.range(Resolution::Raw, ALWAYS, |_| true).collect();
        let seconds: Vec<_> = view.history.range(Resolution::OneSecond, ALWAYS, |_| true).collect();
        format!("{raw:?} {seconds:?} {:?} {:?} {:?}", view.subjects, view.models, world.node.episodes())
    };
    let before = answers(&mut world);
    let stored = world.view().account.values_stored;
    world.node.episodes();
    // The agent sends more than it was asked for.
    world.node.attach(world.agent.hello(), world.now);
    for series in world.agent.open(Seq::FIRST) {
        world.node.series(series).unwrap();
    }
    world.deliver_all();
    assert_eq!(answers(&mut world), before);
    let account = world.view().account;
    assert_eq!((account.values_stored, account.values_repeated), (stored, stored));
    assert_eq!(account.values_unexplained, 0);
    world.sample(2);
    world.deliver_all();
    world.check_history();
}

#[test]
fn an_error_closes_the_stream_and_the_next_one_goes_on_after_it() {
    let cpu = |values: &'static [i64]| vec![(Group::ContainerCpu, values)];
    let far = |mut batch: Batch| {
        batch.times_nsec = vec![HOUR * 2];
        batch
    };
    let no_gap = Gap { seq: seq(9), last_seq: seq(9), reason: GapReason::MissedTick, ticks: 1, values: 0 };
    let news = |first_tick, ticks: usize, values: &[i64]| {
        let values = packed(values);
        Record::Correction(Correction { seq: seq(2), series: id(1), first_tick, ticks, values })
    };
    for (bad, field, next) in [
        (Record::Batch(batch(2, 1, 1, false, cpu(&[1, 2]))), "block.values", 3),
        (Record::Batch(batch(2, 0, 1, false, cpu(&[1]))), "batch.first_nsec", 3),
        (Record::Batch(far(batch(2, 1, 1, false, cpu(&[1])))), "batch.times", 3),
        (Record::Batch(batch(3, 1, 1, false, cpu(&[1]))), "record.seq", 2),
        (Record::Gap(no_gap), "record.seq", 2),
        (news(0, 1, &[1]), "correction.series", 3),
    ] {
        let mut node = attached();
        let subject = container("/m-a", 7);
        node.series(Series { id: id(1), first_seq: seq(1), group: Group::ContainerCpu, subject }).unwrap();
        node.record(Record::Batch(batch(1, 0, 1, true, cpu(&[10]))), at(1)).unwrap();
        let error = node.record(bad.clone(), at(1)).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error:?} should name {field}");
        let good = Record::Batch(batch(2, 1, 1, true, cpu(&[20])));
        assert_eq!(node.record(good.clone(), at(1)).unwrap_err().to_string(), error, "the stream is over");
        let account = node.view().account;
        assert_eq!(
            account.values_received,
            account.values_stored + account.values_repeated + account.values_refused
        );
        let orders = node.attach(Agent::new(1).hello(), at(1));
        assert_eq!(orders[0], berth_core::node::Order::Resume(seq(next)), "after {error}");
    }
}

#[test]
fn a_stream_must_begin_with_whole_values() {
    let mut node = attached();
    let subject = container("/m-a", 7);
    node.series(Series { id: id(1), first_seq: seq(1), group: Group::ContainerCpu, subject }).unwrap();
    let difference = Record::Batch(batch(1, 0, 1, false, vec![(Group::ContainerCpu, &[5])]));
    let error = node.record(difference, at(1)).unwrap_err().to_string();
    assert!(error.starts_with("batch.absolute: false"), "{error}");
}

#[test]
fn nothing_is_taken_without_a_stream() {
    let mut node = node(NodeLimits::default());
    let retire = Record::Retire(Retire { seq: seq(1), series: vec![] });
    assert_eq!(node.record(retire, START).unwrap_err().to_string(), "hello is missing");
    assert_eq!(node.tick(START), []);
}

#[test]
fn a_gap_of_ticks_that_were_never_read_keeps_counters_going() {
    let mut world = World::new(NodeLimits::default());
    world.agent.add_container("/m-a", 7);
    world.connect();
    world.sample(5);
    world.agent.miss(3);
    world.pass(3);
    world.sample(5);
    world.deliver_all();
    world.check_history();
    let missed = world.view().account.gap(GapReason::MissedTick);
    assert_eq!((missed.gaps, missed.ticks, missed.values), (1, 3, 0));
}

#[test]
fn one_second_answers_say_the_last_value_and_the_extremes() {
    let mut node = attached();
    let subject = container("/m-a", 7);
    for (number, group) in [(1, Group::ContainerCpu), (2, Group::ContainerThreads)] {
        node.series(Series { id: id(number), first_seq: seq(1), group, subject: subject.clone() }).unwrap();
    }
    // Each tick 10 ms of CPU, but 90 ms at tick 13; each tick waits as many ns as its ordinal.
    let usage: Vec<i64> = (0..31).map(|tick| if tick == 13 { 90_000 } else { 10_000 }).collect();
    let ordinals: Vec<i64> = (0..31).collect();
    let threads: Vec<i64> = [vec![0; 31], ordinals, vec![0; 62]].concat();
    let blocks = vec![(Group::ContainerCpu, &usage[..]), (Group::ContainerThreads, &threads[..])];
    node.record(Record::Batch(batch(1, 0, 31, true, blocks)), at(31)).unwrap();
    let view = node.view();
    let seconds = view.history.range(Resolution::OneSecond, ALWAYS, |_| true);
    let rows: Vec<_> = seconds
        .map(|slice| {
            let of = |series: usize, metric: usize| {
                let metric = &slice.series[series].metrics[metric];
                (metric.values[0].unwrap(), metric.min[0].unwrap(), metric.max[0].unwrap())
            };
            ((slice.times[0].0 - START.0) / 1_000_000, of(0, 0), of(1, 1))
        })
        .collect();
    // The fourth second is not over.
    assert_eq!(
        rows,
        [
            (900, (100_000, 10_000, 10_000), (45, 0, 9)),
            (1_900, (280_000, 10_000, 90_000), (145, 10, 19)),
            (2_900, (380_000, 10_000, 10_000), (245, 20, 29)),
        ]
    );
    let wanted = START + std::time::Duration::from_millis(950)..at(20);
    let slices: Vec<_> = view.history.range(Resolution::OneSecond, wanted.clone(), |_| true).collect();
    assert_eq!(slices.len(), 1);
    let ticks = view.history.range(Resolution::Raw, wanted, |key| key.group == Group::ContainerCpu);
    let times: Vec<AxisNsec> = ticks.flat_map(|slice| slice.times).collect();
    assert_eq!(times, (10..20).map(at).collect::<Vec<_>>());
}
