//! Whatever fails, nothing is lost uncounted and nothing is kept twice.

use berth::GapReason;
use berth_core::node::NodeLimits;
use proptest::prelude::*;

use crate::world::World;

#[derive(Debug, Clone)]
enum Event {
    /// Ticks into one batch, and late news about them.
    Sample {
        ticks: u64,
        late: bool,
    },
    /// The agent misses ticks.
    Miss(u64),
    /// Records arrive, where there is a stream.
    Deliver(usize),
    /// The stream breaks; the agent believes that these records arrived.
    Drop {
        in_flight: usize,
    },
    Connect,
    RestartAgent,
    RestartAggregator,
    Start(u64),
    Stop(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (1..6_u64, any::<bool>()).prop_map(|(ticks, late)| Event::Sample { ticks, late }),
        1 => (1..20_u64).prop_map(Event::Miss),
        8 => (1..8_usize).prop_map(Event::Deliver),
        2 => (0..6_usize).prop_map(|in_flight| Event::Drop { in_flight }),
        4 => Just(Event::Connect),
        1 => Just(Event::RestartAgent),
        1 => Just(Event::RestartAggregator),
        1 => (0..5_u64).prop_map(Event::Start),
        1 => (0..5_u64).prop_map(Event::Stop),
    ]
}

/// The law: what the agents produced, as far as this aggregator heard of it.
#[derive(Default)]
struct Books {
    /// Produced by agents before the present one, up to what arrived of each.
    earlier: u64,
    /// Where this aggregator's history of the present agent begins; `None` before it does.
    begins: Option<u64>,
    /// It knew the node already when the present agent came.
    known: bool,
}

struct Run {
    world: World,
    books: Books,
    /// The present agent's count after the newest batch that arrived.
    arrived: u64,
}

impl Run {
    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            if self.world.agent.must_reconnect {
                self.world.disconnect();
                self.world.connect();
            }
            let Some((series, record)) = self.world.agent.send() else { return };
            for series in series {
                self.world.node.series(series).unwrap();
            }
            if let berth::Record::Batch(batch) = &record {
                let whole = self.books.known || record.seq() == berth::Seq::FIRST;
                let begins = if whole { 0 } else { batch.produced_before };
                self.books.begins.get_or_insert(begins);
                let width: usize =
                    self.world.agent.carried.iter().map(|series| series.group.metrics().len()).sum();
                self.arrived = batch.produced_before + u64::try_from(width * batch.times_nsec.len()).unwrap();
            } else if record.seq() == berth::Seq::FIRST {
                self.books.begins.get_or_insert(0);
            }
            if let berth::Record::Gap(gap) = &record
                && self.books.begins.is_some_and(|_| self.world.is_news(&record))
            {
                self.arrived += gap.values;
            }
            self.world.witness(&record);
            let new = self.world.view().account.values_stored == 0;
            self.world.node.record(record, self.world.now).unwrap();
            let account = self.world.view().account;
            if new && account.values_stored > 0 {
                // Of what a new aggregator declines it has an estimate only: history begins so much earlier.
                let declined =
                    if self.books.begins == Some(0) { 0 } else { account.gap(GapReason::Declined).values };
                self.books.begins = self.books.begins.map(|begins| begins - declined);
            }
        }
    }

    fn happen(&mut self, event: &Event) {
        let world = &mut self.world;
        match *event {
            Event::Sample { ticks, late } => {
                world.sample(ticks);
                let threads = world.agent.series_of("/m-7").get(2).copied();
                if let Some(threads) = threads.filter(|_| late) {
                    world.agent.correct(threads, 1, vec![vec![3], vec![5], vec![-1], vec![8]]);
                }
            }
            Event::Miss(ticks) => {
                world.agent.miss(ticks);
                world.pass(ticks);
            }
            Event::Deliver(count) if world.connected => self.deliver(count),
            Event::Drop { in_flight } => {
                (0..in_flight).for_each(|_| drop(world.agent.send()));
                world.disconnect();
            }
            Event::Connect => world.connect(),
            Event::RestartAgent => {
                world.pass(7);
                world.restart_agent(&[("/m-7", 7)]);
                if let Some(begins) = self.books.begins.take() {
                    self.books.earlier += self.arrived - begins;
                    self.books.known = world.view().account.values_stored > 0;
                }
                self.arrived = 0;
            }
            Event::RestartAggregator => {
                world.restart_aggregator();
                self.books = Books::default();
                self.arrived = 0;
            }
            Event::Start(number) => {
                let cgroup = format!("/s-{number}");
                if world.agent.series_of(&cgroup).is_empty() {
                    world.agent.add_container(&cgroup, 100 + number + 10 * world.tick);
                }
            }
            Event::Stop(number) => {
                let series = world.agent.series_of(&format!("/s-{number}"));
                if !series.is_empty() {
                    world.agent.retire(&series);
                }
            }
            Event::Deliver(_) => {}
        }
    }

    fn check(&mut self) {
        let account = self.world.view().account;
        prop_assert_law(
            account.values_received,
            account.values_stored + account.values_repeated + account.values_refused,
        );
        let lost: u64 = account.gaps().map(|(_, gap)| gap.values).sum();
        let produced =
            self.books.earlier + self.books.begins.map_or(0, |begins| self.arrived.max(begins) - begins);
        prop_assert_law(produced, account.values_stored + lost);
        assert_eq!(account.values_unexplained, 0);
        assert_eq!(account.gap(GapReason::Refused).gaps, 0);
        self.world.check_history();
    }
}

#[track_caller]
fn prop_assert_law(left: u64, right: u64) {
    assert_eq!(left, right, "produced or received against what became of it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn produced_is_stored_or_a_counted_gap(
        ring_records in prop_oneof![Just(10_000_usize), 4..40_usize],
        refill_records in prop_oneof![3 => Just(u64::MAX), 1 => 1..60_u64],
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(NodeLimits { refill_records, ..NodeLimits::default() });
        world.agent.ring_records = ring_records;
        world.agent.add_container("/m-7", 7);
        let mut run = Run { world, books: Books::default(), arrived: 0 };
        for event in &events {
            run.happen(event);
        }
        run.world.connect();
        run.happen(&Event::Sample { ticks: 3, late: false });
        run.deliver(usize::MAX);
        run.check();
    }
}
