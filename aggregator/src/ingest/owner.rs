//! One node's owner: the only task that changes its state.
//!
//! Invariant: at most one stream is current, the newest; what comes from an older one changes
//! nothing. After each round of messages the owner publishes a view and hands changed episodes to
//! the journal. Deliberately absent: waiting for anybody but its own queue.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use berth::{Hello, NodeName, ProtocolError, RawThreads, Record, Series};
use berth_core::{
    history::SubjectId,
    node::{Node, NodeLimits, NodeView, Order},
    roles::Roster,
    time::AxisNsec,
    timeline::Pong,
};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tonic::{Code, Status};

use super::{
    recorders::{Recorder, Recorders},
    waits::{WaitMeter, Waits},
};
use crate::{clock::Clock, counters::Counters, downlink::Sender, journal::Journal, kubernetes::Directory};

/// Messages that wait for the owner; beyond them the transport's flow control holds the agent back.
const EVENTS_WAITING: usize = 4;

/// Recorders that wait for the owner, which takes them at once.
const RECORDERS_WAITING: usize = 4;

/// How often the node hears that time goes on.
const TICK: Duration = Duration::from_millis(200);

/// A stream of the node, for the life of the aggregator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session(pub(super) u64);

/// What happened on a stream.
#[derive(Debug)]
pub(super) enum Event {
    /// It has begun.
    Attach(Box<Hello>, Sender<Order>),
    /// A series was named.
    Series(Box<Series>),
    /// A record came.
    Record(Record, AxisNsec),
    /// What single threads did.
    RawThreads(RawThreads),
    /// A ping that left then was answered.
    Pong(AxisNsec, Pong, AxisNsec),
    /// It has ended, or is to be ended with this status.
    Detach(Option<Status>),
}

/// What readers see of a node.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Its state.
    pub(crate) view: Arc<NodeView>,
    /// How long its containers have waited.
    pub(crate) waits: Arc<BTreeMap<SubjectId, Waits>>,
}

/// The way to an owner.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) events: mpsc::Sender<(Session, Event)>,
    /// Who wants to record what its detector takes.
    pub(super) recorders: mpsc::Sender<Recorder>,
    pub(super) published: watch::Receiver<Published>,
}

/// What every owner is given.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) clock: Clock,
    pub(super) roster: Arc<Roster>,
    /// Who is who on the cluster; `None` off Kubernetes.
    pub(super) directory: Option<Arc<Directory>>,
    pub(super) limits: NodeLimits,
    /// The memory that each node's history may take now, in bytes.
    pub(super) history_share: Arc<AtomicUsize>,
    pub(super) journal: Arc<Journal>,
    pub(super) counters: Arc<Counters>,
}

/// An owner before it runs, and the way to it.
pub(super) fn owner(name: NodeName, setting: Setting) -> (Owner, Handle) {
    let mut node = Node::new(name.clone(), Arc::clone(&setting.roster), setting.limits);
    let waits = WaitMeter::default();
    let (publish, published) =
        watch::channel(Published { view: Arc::new(node.view()), waits: waits.totals() });
    let (events, inbox) = mpsc::channel(EVENTS_WAITING);
    let (recorders, newcomers) = mpsc::channel(RECORDERS_WAITING);
    let recording = Recorders::default();
    let owner = Owner { name, node, setting, inbox, newcomers, recording, publish, waits, stream: None };
    (owner, Handle { events, recorders, published })
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Owner {
    name: NodeName,
    node: Node,
    setting: Setting,
    inbox: mpsc::Receiver<(Session, Event)>,
    newcomers: mpsc::Receiver<Recorder>,
    recording: Recorders,
    publish: watch::Sender<Published>,
    waits: WaitMeter,
    stream: Option<(Session, Sender<Order>)>,
}

impl Owner {
    /// Runs until nobody can reach it any more.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Vec::with_capacity(EVENTS_WAITING);
        loop {
            tokio::select! {
                // What comes after a recorder was let in is in its recording; ticks and recorders are rare.
                biased;
                Some(recorder) = self.newcomers.recv() => self.recording.add(recorder, &mut self.node),
                _ = ticks.tick() => {
                    self.node.resize_history(self.setting.history_share.load(Ordering::Relaxed));
                    self.name();
                    let orders = self.node.tick(self.setting.clock.now());
                    self.order(orders);
                }
                count = self.inbox.recv_many(&mut round, EVENTS_WAITING) => if count == 0 { return },
            }
            for (session, event) in round.drain(..) {
                self.take(session, event);
            }
            self.publish();
        }
    }

    fn take(&mut self, session: Session, event: Event) {
        let now = self.setting.clock.now();
        if let Event::Attach(hello, link) = event {
            self.attach(session, *hello, link, now);
            return;
        }
        if self.stream.as_ref().is_none_or(|(current, _)| *current != session) {
            return;
        }
        match event {
            Event::Attach(..) => {}
            Event::Series(series) => {
                let taken = self.node.series(*series);
                self.name();
                self.judge(taken.map(|()| Vec::new()), now);
            }
            Event::Record(record, at) => {
                let taken = self.node.record(record, at);
                self.judge(taken, now);
            }
            Event::RawThreads(raw) => self.node.raw_threads(raw),
            Event::Pong(ping_sent, pong, at) => self.node.pong(ping_sent, pong, at),
            Event::Detach(end) => self.detach(end, now),
        }
    }

    fn name(&mut self) {
        if let Some(directory) = &self.setting.directory {
            self.node.name(&directory.read());
        }
    }

    fn attach(&mut self, session: Session, hello: Hello, link: Sender<Order>, now: AxisNsec) {
        if self.stream.is_some() {
            Counters::add(&self.setting.counters.takeovers);
            self.detach(Some(Status::aborted("a newer stream of this node took over")), now);
        }
        if let Some(left_out) = self.setting.counters.connected_lines.due(now) {
            let incarnation = hello.incarnation;
            tracing::info!(node = %self.name, %incarnation, left_out, "agent connected");
        }
        let orders = self.node.attach(hello, now);
        self.stream = Some((session, link));
        self.order(orders);
    }

    fn judge(&mut self, taken: Result<Vec<Order>, ProtocolError>, now: AxisNsec) {
        match taken {
            Ok(orders) => self.order(orders),
            Err(error) => {
                Counters::add(&self.setting.counters.streams_refused);
                self.detach(Some(error.into()), now);
            }
        }
    }

    fn detach(&mut self, end: Option<Status>, now: AxisNsec) {
        self.node.detach(now);
        let (Some((_, link)), Some(status)) = (self.stream.take(), end) else { return };
        if status.code() != Code::Unavailable
            && let Some(left_out) = self.setting.counters.closed_lines.due(now)
        {
            tracing::warn!(node = %self.name, error = status.message(), left_out, "agent's stream closed");
        }
        // An agent that has gone already needs no reason.
        drop(link.end.send(status));
    }

    fn order(&mut self, orders: Vec<Order>) {
        let Some((_, link)) = &self.stream else { return };
        let unread = orders
            .into_iter()
            .any(|order| matches!(link.items.try_send(order), Err(mpsc::error::TrySendError::Full(_))));
        if unread {
            let status = Status::resource_exhausted("orders are not read");
            self.detach(Some(status), self.setting.clock.now());
        }
    }

    fn publish(&mut self) {
        let view = self.node.view();
        let subjects = Arc::clone(&view.subjects);
        self.waits.update(&view.history, |id| {
            subjects.binary_search_by_key(&id, |subject| subject.id).is_ok_and(|at| subjects[at].live)
        });
        self.publish.send_replace(Published { view: Arc::new(view), waits: self.waits.totals() });
        self.recording.hand_on(&mut self.node);
        self.setting.journal.take(self.node.episodes(), self.setting.clock.now());
    }
}
