use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use berth::{
    CgroupVersion, ContainerSubject, Group, Incarnation, Kind, NodeFacts, NodeName, Subject, batch::Bases,
    wire,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    clock::SECOND_NSEC,
    columns::{Chunk, Layout},
    encode::Encoder,
    handover::{Flush, NewSeries},
};

fn hello() -> Hello {
    Hello {
        node: NodeName::new("n1").unwrap(),
        incarnation: Incarnation::new(7).unwrap(),
        boot_id: "b".into(),
        agent_version: "0".into(),
        oldest_seq: Seq::FIRST,
        next_seq: Seq::FIRST,
        tick_hz: 10,
        facts: NodeFacts {
            cpus: 1,
            cpu_list: "0".into(),
            memory_bytes: 1,
            cgroup_version: CgroupVersion::V2,
            pressure: false,
            thread_waits: true,
            kernel: "6".into(),
            gpus: 0,
            hidden_processes: 0,
        },
    }
}

type Cell = (SeriesId, usize, u64);

/// What a sampler would hand over, and the truth about it.
struct Source {
    encoder: Encoder,
    live: Vec<(Group, SeriesId)>,
    next_id: u32,
    next_tick: u64,
    now_nsec: u64,
    /// Every value ever produced.
    truth: BTreeMap<Cell, Option<i64>>,
    /// Every amount ever corrected.
    late: BTreeMap<Cell, i64>,
}

const GROUPS: [Group; 4] =
    [Group::ContainerCpu, Group::ContainerMemory, Group::ContainerThrottling, Group::ContainerThreads];

/// One flush: which values, whose end, whose beginning.
#[derive(Debug, Clone)]
struct Round {
    ticks: usize,
    values: Vec<Option<i64>>,
    missed_ticks: u64,
    after_nsec: u64,
    retire: Option<usize>,
    add: Option<usize>,
    correct: bool,
}

impl Source {
    fn new() -> Self {
        Self {
            encoder: Encoder::default(),
            live: Vec::new(),
            next_id: 1,
            next_tick: 0,
            now_nsec: SECOND_NSEC,
            truth: BTreeMap::new(),
            late: BTreeMap::new(),
        }
    }

    fn round(&mut self, round: &Round) -> (Vec<Produced>, Vec<Series>) {
        let (layout, places) = Layout::new(&self.live);
        let mut chunk = Chunk::new(Arc::new(layout), round.ticks, 8);
        chunk.restart(self.next_tick);
        let mut values = round.values.iter().copied().cycle();
        self.now_nsec += round.after_nsec;
        for _ in 0..round.ticks {
            self.now_nsec += SECOND_NSEC / 10;
            chunk.begin_tick(self.now_nsec);
            for (&(group, id), &place) in self.live.iter().zip(&places) {
                let row: [Option<i64>; 4] = std::array::from_fn(|_| values.next().unwrap());
                let metrics = group.metrics().len();
                match metrics {
                    1 => chunk.put(place, [row[0]]),
                    3 => chunk.put(place, [row[0], row[1], row[2]]),
                    _ => chunk.put(place, row),
                }
                for (metric, value) in row.into_iter().enumerate().take(metrics) {
                    self.truth.insert((id, metric, self.next_tick), value);
                }
            }
            self.next_tick += 1;
        }
        let threads = self.live.iter().find(|(group, _)| *group == Group::ContainerThreads);
        if let Some(&(_, id)) = threads.filter(|_| round.correct && round.ticks > 0) {
            chunk.put_late(id, self.next_tick - 1, [5, 6, 7, 8]);
            for (metric, amount) in [5, 6, 7, 8].into_iter().enumerate() {
                *self.late.entry((id, metric, self.next_tick - 1)).or_default() += amount;
            }
        }
        let retired =
            round.retire.filter(|_| !self.live.is_empty()).map(|at| self.live.remove(at % self.live.len()).1);
        let added = round.add.map(|at| {
            let id = SeriesId::new(self.next_id).unwrap();
            self.next_id += 1;
            let group = GROUPS[at % GROUPS.len()];
            self.live.push((group, id));
            let subject = Subject::Container(ContainerSubject {
                cgroup: format!("/{id:?}"),
                inode: 1,
                pod_uid: None,
                container_id: None,
                qos: None,
                system: false,
                cpu_list: None,
            });
            NewSeries { id, group, subject }
        });
        self.encoder.encode(&Flush {
            missed_ticks: round.missed_ticks,
            chunk,
            retired: retired.into_iter().collect(),
            added: added.into_iter().collect(),
        })
    }
}

/// An aggregator that believes nothing: it decodes from the contract alone, and checks every rule.
#[derive(Default)]
struct Receiver {
    schema: Schema,
    bases: Bases,
    /// The next record that it wants; none before it ever heard anything.
    next: Option<Seq>,
    is_whole_due: bool,
    stored: u64,
    gaps: u64,
    /// Values that the agent no longer had when the stream began.
    declared_lost: u64,
    values: BTreeMap<Cell, Option<i64>>,
    corrections: BTreeMap<Cell, i64>,
}

impl Receiver {
    fn greet(&mut self, hello: &Hello) -> Seq {
        self.is_whole_due = true;
        let wanted = self.next.unwrap_or(hello.oldest_seq);
        self.next = Some(wanted.max(hello.oldest_seq));
        wanted
    }

    fn hear(&mut self, outgoing: Outgoing) {
        let bytes = wire::AgentMessage::from(outgoing).encode_to_vec();
        assert!(bytes.len() <= limits::MESSAGE_BYTES);
        let message = wire::AgentMessage::decode(&bytes[..]).unwrap().message.unwrap();
        match message {
            wire::agent_message::Message::Series(series) => {
                self.schema.add(series.try_into().unwrap()).unwrap();
            }
            wire::agent_message::Message::Batch(batch) => self.store(&batch.try_into().unwrap()),
            wire::agent_message::Message::Correction(wire) => {
                let correction: berth::Correction = wire.try_into().unwrap();
                self.advance(correction.seq, correction.seq);
                let amounts = correction.unpack(Group::ContainerThreads).unwrap();
                for (metric, amounts) in amounts.into_iter().enumerate() {
                    for (tick, amount) in (correction.first_tick..).zip(amounts) {
                        *self.corrections.entry((correction.series, metric, tick)).or_default() += amount;
                    }
                }
            }
            wire::agent_message::Message::Retire(retire) => {
                let retire: berth::Retire = retire.try_into().unwrap();
                self.advance(retire.seq, retire.seq);
                self.schema.retire(&retire);
                retire.series.iter().for_each(|&id| self.bases.forget(id));
            }
            wire::agent_message::Message::Gap(gap) => {
                let gap: Gap = gap.try_into().unwrap();
                self.advance(gap.seq, gap.last_seq);
                self.is_whole_due = true;
                self.gaps += gap.values;
            }
            other => panic!("not in a stream: {other:?}"),
        }
    }

    fn advance(&mut self, first: Seq, last: Seq) {
        assert_eq!(Some(first), self.next, "records come in order, without a hole, once");
        self.next = Some(last.next());
    }

    fn store(&mut self, batch: &berth::Batch) {
        self.advance(batch.seq, batch.seq);
        assert!(batch.absolute || !self.is_whole_due, "the first batch, and one after a gap, is absolute");
        self.is_whole_due = false;
        if self.stored == 0 {
            self.declared_lost = batch.produced_before - self.gaps;
        }
        let explained = self.stored + self.gaps + self.declared_lost;
        if batch.produced_before > explained {
            self.declared_lost += batch.produced_before - explained;
        }
        assert_eq!(batch.produced_before, self.stored + self.gaps + self.declared_lost);
        self.stored += batch.value_count(&self.schema);
        for columns in batch.unpack(&self.schema, &mut self.bases).unwrap() {
            for (metric, values) in columns.metrics.into_iter().enumerate() {
                for (tick, value) in (batch.first_tick..).zip(values) {
                    let twice = self.values.insert((columns.series, metric, tick), value);
                    assert_eq!(twice, None, "each value comes once");
                }
            }
        }
    }
}

/// What a network and two processes may do.
#[derive(Debug, Clone)]
enum Happening {
    Round(Round),
    /// The link carries some messages, and the aggregator hears all but the last few of them.
    Carry {
        messages: usize,
        unheard: usize,
    },
    Break,
    /// The aggregator starts anew and knows nothing.
    Restart,
}

fn rounds() -> impl Strategy<Value = Round> {
    let value =
        prop_oneof![1 => Just(None), 4 => (0..1_000_i64).prop_map(Some), 1 => (0..i64::MAX).prop_map(Some)];
    let after = prop_oneof![12 => Just(0), 1 => Just(4 * SECOND_NSEC), 1 => Just(50 * SECOND_NSEC)];
    (
        0..4_usize,
        prop::collection::vec(value, 1..20),
        prop_oneof![9 => Just(0), 1 => 1..5_u64],
        after,
        prop::option::weighted(0.2, 0..10_usize),
        prop::option::weighted(0.4, 0..4_usize),
        any::<bool>(),
    )
        .prop_map(|(ticks, values, missed_ticks, after_nsec, retire, add, correct)| Round {
            ticks,
            values,
            missed_ticks,
            after_nsec,
            retire,
            add,
            correct,
        })
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => rounds().prop_map(Happening::Round),
        4 => (1..20_usize, 0..4_usize).prop_map(|(messages, unheard)| Happening::Carry { messages, unheard }),
        1 => Just(Happening::Break),
        1 => Just(Happening::Restart),
    ]
}

/// Both ends and the link between them.
struct World {
    source: Source,
    session: Session,
    receiver: Receiver,
    in_flight: VecDeque<Outgoing>,
}

impl World {
    fn new() -> Self {
        Self {
            source: Source::new(),
            session: Session::new(hello(), Backoff::new(3)),
            receiver: Receiver::default(),
            in_flight: VecDeque::new(),
        }
    }

    fn produce(&mut self, round: &Round) {
        let (records, begun) = self.source.round(round);
        self.session.produce(records, begun, self.source.now_nsec);
        let Balance { produced, sent, pending, gaps } = self.session.balance();
        assert_eq!(produced, sent + pending + gaps);
        assert_eq!(produced, self.source.encoder.produced());
    }

    /// Takes steps until `messages` were sent or there is nothing to do; opens the link if needed.
    fn carry(&mut self, messages: usize) {
        let mut sent = 0;
        while sent < messages {
            let now = self.source.now_nsec;
            match self.session.step(now) {
                Step::Dial => self.session.on(Event::Opened, now),
                Step::Send(Outgoing::Hello(hello)) => {
                    let from = self.receiver.greet(&hello);
                    self.session.on(Event::Resume(from), now);
                }
                Step::Send(outgoing) => {
                    sent += 1;
                    self.in_flight.push_back(outgoing);
                }
                Step::WaitUntil(at) => self.source.now_nsec = at,
                Step::Idle => return,
                Step::HangUp => panic!("the aggregator answers at once"),
            }
        }
    }

    fn hear_all_but(&mut self, unheard: usize) {
        while self.in_flight.len() > unheard {
            let outgoing = self.in_flight.pop_front().unwrap();
            self.receiver.hear(outgoing);
        }
    }

    fn lose(&mut self) {
        self.in_flight.clear();
        self.session.on(Event::Lost, self.source.now_nsec);
        // A new stream begins with what is live now: the schema is the stream's.
        self.receiver.schema = Schema::new();
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Round(round) => self.produce(round),
            Happening::Carry { messages, unheard } => {
                self.carry(*messages);
                self.hear_all_but(*unheard);
            }
            Happening::Break => self.lose(),
            Happening::Restart => {
                self.lose();
                self.receiver = Receiver::default();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_breaks_a_receiver_rebuilds_what_was_produced_once_each(
        happenings in prop::collection::vec(happenings(), 1..80)) {
        let mut world = World::new();
        for happening in &happenings {
            world.happen(happening);
        }
        world.carry(usize::MAX);
        world.hear_all_but(0);
        prop_assert!(world.session.is_drained());
        let World { source, receiver, .. } = world;
        for (cell, value) in &receiver.values {
            prop_assert_eq!(Some(value), source.truth.get(cell), "{:?}", cell);
        }
        prop_assert_eq!(u64::try_from(receiver.values.len()).unwrap(), receiver.stored);
        let explained = receiver.stored + receiver.gaps + receiver.declared_lost;
        prop_assert!(receiver.stored == 0 || explained == source.encoder.produced());
        for (cell, amount) in &receiver.corrections {
            prop_assert_eq!(Some(amount), source.late.get(cell), "{:?}", cell);
        }
    }
}

fn plain_round(ticks: usize) -> Round {
    Round {
        ticks,
        values: vec![Some(5)],
        missed_ticks: 0,
        after_nsec: 0,
        retire: None,
        add: None,
        correct: false,
    }
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_over_a_break_within_the_window() {
    let mut world = World::new();
    world.produce(&Round { add: Some(0), ..plain_round(0) });
    // The waits before each dial take time too: 16 s for five tries, at most.
    for _ in 0..5 {
        (0..10).for_each(|_| world.produce(&plain_round(2)));
        world.carry(8);
        world.hear_all_but(3);
        world.lose();
    }
    world.carry(usize::MAX);
    world.hear_all_but(0);
    assert_eq!(world.receiver.values, world.source.truth);
    assert_eq!((world.receiver.gaps, world.receiver.declared_lost), (0, 0));
}

#[test]
fn what_leaves_the_ring_unsent_is_one_gap_that_takes_its_sequences() {
    let mut world = World::new();
    world.produce(&Round { add: Some(0), ..plain_round(0) });
    for _ in 0..300 {
        world.produce(&Round { after_nsec: SECOND_NSEC, ..plain_round(2) });
    }
    world.carry(usize::MAX);
    let gaps: Vec<Gap> = world
        .in_flight
        .iter()
        .filter_map(|outgoing| match outgoing {
            Outgoing::Record(Record::Gap(gap)) => Some(gap.clone()),
            _ => None,
        })
        .collect();
    let [gap] = &gaps[..] else { panic!("one gap: {gaps:?}") };
    assert_eq!((gap.seq, gap.reason), (Seq::FIRST, GapReason::ReplayFull));
    assert_eq!((gap.ticks, gap.values), (2 * gap.last_seq.get(), 2 * gap.last_seq.get()));
    world.hear_all_but(0);
    assert_eq!(world.receiver.stored + world.receiver.gaps, 600);
    let kept_nsec = 1_200_000_000 * (300 - gap.last_seq.get());
    assert!(kept_nsec >= nsec_of(limits::REPLAY_WINDOW), "the window is kept whole");
}

#[test]
fn an_end_within_a_gap_is_told_to_a_receiver_that_knew_the_series() {
    let mut world = World::new();
    (0..2).for_each(|_| world.produce(&Round { add: Some(0), ..plain_round(1) }));
    world.carry(usize::MAX);
    world.hear_all_but(0);
    world.produce(&Round { retire: Some(0), ..plain_round(1) });
    for _ in 0..300 {
        world.produce(&Round { after_nsec: SECOND_NSEC, ..plain_round(1) });
    }
    // The stream never broke: it was only slow.
    world.carry(usize::MAX);
    world.hear_all_but(0);
    assert_eq!(world.receiver.schema.len(), 1);
    assert!(world.receiver.gaps > 0);
}

#[test]
fn a_silent_aggregator_is_hung_up_on_and_dialled_again_later() {
    let mut session = Session::new(hello(), Backoff::new(1));
    assert_eq!(session.step(0), Step::Dial);
    assert_eq!(session.step(0), Step::Idle);
    session.on(Event::Opened, 0);
    assert!(matches!(session.step(0), Step::Send(Outgoing::Hello(_))));
    let Step::WaitUntil(deadline) = session.step(0) else { panic!("it waits for an answer") };
    assert_eq!(deadline, nsec_of(limits::FIRST_MESSAGE_TIMEOUT));
    assert_eq!(session.step(deadline), Step::HangUp);
    let Step::WaitUntil(again) = session.step(deadline) else { panic!("it backs off") };
    assert!(again <= deadline + SECOND_NSEC / 2);
    assert_eq!(session.step(again), Step::Dial);
}

#[test]
fn nothing_is_sent_before_the_aggregator_said_where_to_go_on() {
    let mut world = World::new();
    world.produce(&Round { add: Some(0), ..plain_round(1) });
    world.session.on(Event::Resume(Seq::FIRST), 0);
    assert_eq!(world.session.step(0), Step::Dial);
    world.session.on(Event::Opened, 0);
    world.session.on(Event::Resume(Seq::FIRST), 0);
    assert!(matches!(world.session.step(0), Step::Send(Outgoing::Hello(_))), "Hello comes first");
    assert!(matches!(world.session.step(0), Step::WaitUntil(_)));
}

#[test]
fn amounts_are_no_differences() {
    assert!(Group::ContainerThreads.metrics().iter().all(|metric| metric.kind == Kind::Amount));
    let mut world = World::new();
    world.produce(&Round { add: Some(3), ..plain_round(0) });
    world.produce(&Round { values: vec![Some(1), Some(2), Some(3), Some(4)], ..plain_round(3) });
    world.carry(usize::MAX);
    world.hear_all_but(0);
    assert_eq!(world.receiver.values, world.source.truth);
}
