//! An agent, an aggregator's node, and what lies between them; and the oracle that knows what the
//! history must hold.

use std::{collections::BTreeMap, sync::Arc};

use berth::{Group, NodeName, ProtocolError, Record, Seq};
use berth_core::{
    history::{Resolution, SubjectId},
    node::{Node, NodeLimits, NodeView, Order},
    roles::{Roster, RosterConfig},
    time::AxisNsec,
    timeline::Pong,
};

use crate::agent::{Agent, START, TICK_NSEC, at, inode, value};

/// Everything that is kept.
pub(crate) const ALWAYS: std::ops::Range<AxisNsec> = AxisNsec(0)..AxisNsec(u64::MAX);

pub(crate) fn roster(json: &str) -> Arc<Roster> {
    Arc::new(Roster::new(serde_json::from_str::<RosterConfig>(json).unwrap()).unwrap())
}

/// `/m-*` are models, everything else is other.
pub(crate) fn models() -> Arc<Roster> {
    roster(
        r#"{"workloads": [
            {"cgroup": "/m-*", "namespace": "demo", "pod": "${1}", "labels": {"berth.dev/role": "model"}},
            {"cgroup": "/s-*", "namespace": "demo", "pod": "${1}", "labels": {"berth.dev/role": "scanner"}}
        ]}"#,
    )
}

pub(crate) fn node(limits: NodeLimits) -> Node {
    Node::new(NodeName::new("node-a").unwrap(), models(), limits)
}

/// What the clock of an [`attached`] node reads when the axis reads `START`.
pub(crate) const HOUR: u64 = 3_600_000_000_000;

/// A node with a stream and a known clock, and no series.
pub(crate) fn attached() -> Node {
    let mut node = node(NodeLimits::default());
    node.attach(Agent::new(1).hello(), START);
    node.pong(START, Pong { received_nsec: HOUR, sent_nsec: HOUR }, START);
    node
}

/// Inode, group, metric and tick of the world: the place of one value.
pub(crate) type Cell = (u64, Group, usize, u64);

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) node: Node,
    pub(crate) limits: NodeLimits,
    pub(crate) now: AxisNsec,
    /// The next tick of the world that is not sampled.
    pub(crate) tick: u64,
    pub(crate) connected: bool,
    /// Orders that no test has looked at.
    pub(crate) orders: Vec<Order>,
    /// What reached this node, late news included.
    pub(crate) expected: BTreeMap<Cell, i64>,
    /// The newest record that reached this node, of the present agent.
    newest: Option<Seq>,
    /// By ordinal of the present agent.
    tick_of: BTreeMap<u64, u64>,
}

impl World {
    pub(crate) fn new(limits: NodeLimits) -> Self {
        Self {
            agent: Agent::new(1),
            node: node(limits),
            limits,
            now: at(0),
            tick: 0,
            connected: false,
            orders: Vec::new(),
            expected: BTreeMap::new(),
            newest: None,
            tick_of: BTreeMap::new(),
        }
    }

    /// Time goes on by `count` ticks, which the agent samples into one batch.
    pub(crate) fn sample(&mut self, count: u64) {
        self.agent.sample(self.tick..self.tick + count);
        self.pass(count);
    }

    /// Time goes on, unsampled.
    pub(crate) fn pass(&mut self, count: u64) {
        self.tick += count;
        self.now = AxisNsec(at(self.tick).0.max(self.now.0) + 1_000);
    }

    /// A stream begins, its clock is known at once, and the series are named.
    pub(crate) fn connect(&mut self) {
        let orders = self.node.attach(self.agent.hello(), self.now);
        let [Order::Resume(from), Order::Ping { .. }] = orders[..] else { panic!("{orders:?}") };
        for series in self.agent.open(from) {
            self.node.series(series).unwrap();
        }
        self.node.pong(self.now, self.agent.pong(self.now), self.now);
        self.connected = true;
    }

    pub(crate) fn disconnect(&mut self) {
        self.node.detach(self.now);
        self.connected = false;
    }

    /// Up to `count` records reach the node.
    pub(crate) fn deliver(&mut self, count: usize) -> Result<(), ProtocolError> {
        for _ in 0..count {
            let Some((series, record)) = self.agent.send() else { break };
            for series in series {
                self.node.series(series)?;
            }
            self.witness(&record);
            self.orders.extend(self.node.record(record, self.now)?);
        }
        Ok(())
    }

    pub(crate) fn deliver_all(&mut self) {
        self.deliver(usize::MAX).unwrap();
    }

    /// The aggregator dies and another one starts.
    pub(crate) fn restart_aggregator(&mut self) {
        self.node = node(self.limits);
        self.connected = false;
        self.expected.clear();
        self.newest = None;
        self.tick_of.clear();
    }

    /// The agent dies and another one starts; its containers are the same.
    pub(crate) fn restart_agent(&mut self, containers: &[(&str, u64)]) {
        let ring_records = self.agent.ring_records;
        self.agent = Agent::new(self.agent.incarnation + 1);
        self.agent.ring_records = ring_records;
        for (cgroup, inode) in containers {
            self.agent.add_container(cgroup, *inode);
        }
        self.disconnect();
        self.newest = None;
        self.tick_of.clear();
    }

    pub(crate) fn view(&mut self) -> NodeView {
        self.node.view()
    }

    pub(crate) fn id_of(&mut self, cgroup: &str) -> SubjectId {
        let view = self.view();
        let is = |who: &berth_core::who::WhoRef| who.cgroup == cgroup;
        view.subjects.iter().rev().find(|subject| subject.who.as_ref().is_some_and(is)).unwrap().id
    }

    /// It did not reach this node before.
    pub(crate) fn is_news(&self, record: &Record) -> bool {
        self.newest.is_none_or(|newest| record.last_seq() > newest)
    }

    /// What the oracle learns from a record on its way.
    pub(crate) fn witness(&mut self, record: &Record) {
        if !self.is_news(record) {
            return;
        }
        self.newest = Some(record.last_seq());
        match record {
            Record::Batch(batch) => {
                for (tick, nsec) in (batch.first_tick..).zip(&batch.times_nsec) {
                    let world = (nsec + self.agent.offset_nsec - at(0).0) / TICK_NSEC;
                    self.tick_of.insert(tick, world);
                    for series in &self.agent.carried {
                        for metric in 0..series.group.metrics().len() {
                            let cell = (inode(&series.subject), series.group, metric, world);
                            let value = value(&series.subject, series.group, metric, world);
                            self.expected.extend(value.map(|value| (cell, value)));
                        }
                    }
                }
            }
            Record::Correction(correction) => {
                let named = self.agent.named();
                let Some(series) = named.iter().find(|series| series.id == correction.series) else { return };
                let amounts = correction.unpack(Group::ContainerThreads).unwrap();
                for (metric, amounts) in amounts.iter().enumerate() {
                    for (tick, amount) in (correction.first_tick..).zip(amounts) {
                        let Some(world) = self.tick_of.get(&tick) else { continue };
                        let cell = (inode(&series.subject), series.group, metric, *world);
                        self.expected.entry(cell).and_modify(|value| *value += amount);
                    }
                }
            }
            Record::Retire(_) | Record::Gap(_) => {}
        }
    }

    /// What the history holds, value by value.
    pub(crate) fn kept(&mut self) -> BTreeMap<Cell, i64> {
        let view = self.view();
        let subjects: BTreeMap<SubjectId, u64> =
            view.subjects.iter().map(|subject| (subject.id, inode(&subject.subject))).collect();
        let mut kept = BTreeMap::new();
        let mut last = AxisNsec(0);
        for slice in view.history.range(Resolution::Raw, ALWAYS, |_| true) {
            for (row, time) in slice.times.iter().enumerate() {
                let tick = (time.0 - at(0).0) / TICK_NSEC;
                assert_eq!(*time, at(tick), "a tick is off its time");
                assert!(*time > last, "a tick is kept twice, or out of order");
                last = *time;
                for series in &slice.series {
                    for (metric, columns) in series.metrics.iter().enumerate() {
                        let cell = (subjects[&series.key.subject], series.key.group, metric, tick);
                        kept.extend(columns.values[row].map(|value| (cell, value)));
                    }
                }
            }
        }
        kept
    }

    /// The history holds what reached the node, and nothing else.
    pub(crate) fn check_history(&mut self) {
        let kept = self.kept();
        let differs = |cell: &&Cell| kept.get(cell) != self.expected.get(cell);
        let wrong = self.expected.keys().chain(kept.keys()).find(differs);
        if let Some(cell) = wrong {
            panic!("{cell:?}: kept {:?}, expected {:?}", kept.get(cell), self.expected.get(cell));
        }
    }
}
