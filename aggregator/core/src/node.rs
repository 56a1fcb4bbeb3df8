//! One node: everything that its agent's stream means, owned by one task of the aggregator.
//!
//! The caller attaches a stream, hands over its messages, and sends the orders that come back;
//! readers get a [`NodeView`]. Invariants: a record changes the node once, however often it comes;
//! ticks reach history and detector in their order. After an error the stream is over: what it
//! still brings is turned away, until the next `attach`. Deliberately absent: the stream itself, and
//! any clock.

mod frames;
mod gpus;
mod hold;
mod intake;
mod orders;
mod peaks;
mod raw;
mod subjects;
mod tap;
mod view;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth::{Hello, NodeName, ProtocolError, Record, Schema, Seq, Series, SeriesId, batch::Bases, limits};

use self::{
    frames::Frames,
    hold::Hold,
    orders::{FOCUS_THREAD_HZ, Pings},
    raw::Raw,
    subjects::Subjects,
    tap::Tap,
};
pub use self::{orders::Order, peaks::Peaks, subjects::SubjectView, tap::Overflow, view::NodeView};
use crate::{
    cluster::Cluster,
    contention::{Detector, Episode, Input, ModelState},
    delivery::Delivery,
    history::History,
    roles::Roster,
    time::AxisNsec,
    timeline::{Pong, Timeline},
};

/// An agent that is away for longer brings back nothing of what went before: what was open then is
/// closed, and nothing is lost by it.
const SILENT_FOR: Duration = limits::REPLAY_WINDOW;

/// What one node may take.
#[derive(Debug, Clone, Copy)]
pub struct NodeLimits {
    /// Memory of its history.
    pub history_bytes: usize,
    /// Records that are asked for when a stream begins; the rest is declined, and counted.
    pub refill_records: u64,
    /// The base rate that its agent is asked for; `None` leaves it as it is.
    pub tick_hz: Option<u32>,
}

impl Default for NodeLimits {
    /// 300 containers at 10 Hz, 7,800 values a tick, fill 24 MiB in a quarter of an hour, and 30 of
    /// them 3 MiB; the agent's ring bounds a refill.
    fn default() -> Self {
        Self { history_bytes: 32 * 1024 * 1024, refill_records: u64::MAX, tick_hz: None }
    }
}

/// The state of one node.
#[derive(Debug)]
pub struct Node {
    name: NodeName,
    roster: Arc<Roster>,
    limits: NodeLimits,
    /// The newest Hello.
    agent: Option<Arc<Hello>>,
    connected: bool,
    failed: Option<ProtocolError>,
    stream: Stream,
    retired: BTreeMap<SeriesId, Retired>,
    delivery: Delivery,
    timeline: Timeline,
    hold: Hold,
    history: History,
    subjects: Subjects,
    frames: Frames,
    detector: Detector,
    tap: Tap,
    raw: Raw,
    pings: Pings,
    changed: Vec<Episode>,
    models: Arc<[ModelState]>,
    models_at: AxisNsec,
    newest: Option<Newest>,
    /// Nothing came for so long that the detector was told to start over.
    silent: bool,
    /// The news of the cluster by which the containers were named.
    named_at: Option<u64>,
}

/// What is known of one stream only.
#[derive(Debug, Default)]
struct Stream {
    schema: Schema,
    bases: Bases,
    /// Differences have something to start from.
    whole: bool,
    /// Its first record came, so every series that lives has been named.
    begun: bool,
    /// The Focus that was asked for.
    focus: Option<Order>,
}

/// A series that ended; the agent may name it again while it still has data of it.
#[derive(Debug, Clone, Copy)]
struct Retired {
    seq: Seq,
    at: AxisNsec,
}

/// The newest tick of this incarnation.
#[derive(Debug, Clone, Copy)]
struct Newest {
    tick: u64,
    nsec: u64,
    at: AxisNsec,
}

impl Node {
    /// A node that was never heard.
    pub fn new(name: NodeName, roster: Arc<Roster>, limits: NodeLimits) -> Self {
        Self {
            detector: Detector::new(name.to_string()),
            history: History::new(limits.history_bytes),
            name,
            roster,
            limits,
            agent: None,
            connected: false,
            failed: None,
            stream: Stream::default(),
            retired: BTreeMap::new(),
            delivery: Delivery::default(),
            timeline: Timeline::default(),
            hold: Hold::default(),
            subjects: Subjects::default(),
            frames: Frames::default(),
            tap: Tap::default(),
            raw: Raw::default(),
            pings: Pings::default(),
            changed: Vec::new(),
            models: Arc::default(),
            models_at: AxisNsec::default(),
            newest: None,
            silent: true,
            named_at: None,
        }
    }

    /// A stream begins; one that is still there is over. The first order says where to resume.
    pub fn attach(&mut self, hello: Hello, now: AxisNsec) -> Vec<Order> {
        self.detach(now);
        let before = self.agent.take();
        let same_boot = before.as_ref().is_some_and(|before| before.boot_id == hello.boot_id);
        if before.is_none_or(|before| before.incarnation != hello.incarnation) {
            self.history.seal();
            self.subjects.end_unless(|_| false, now);
            self.retired.clear();
            self.newest = None;
            self.start_over(now);
        }
        if !same_boot {
            self.subjects.reboot();
        }
        self.timeline.attach(same_boot, now);
        self.hold.attach(self.timeline.is_synchronised(), now);
        self.stream = Stream::default();
        self.retired.retain(|_, retired| now.since(retired.at) <= 2 * SILENT_FOR);
        let from = self.delivery.attach(&hello, self.limits.refill_records);
        let rate = self.limits.tick_hz.filter(|tick_hz| *tick_hz != hello.tick_hz);
        self.agent = Some(Arc::new(hello));
        self.connected = true;
        let mut orders = vec![Order::Resume(from), self.pings.first(now)];
        orders.extend(rate.map(|tick_hz| Order::Rate { tick_hz }));
        orders
    }

    /// A series that records will carry. Errors close the stream.
    pub fn series(&mut self, series: Series) -> Result<(), ProtocolError> {
        self.usable()?;
        let id = series.id;
        let added = self.stream.schema.add(series);
        self.judge(added)?;
        // One that we know has ended is named for the sake of records that we may not need.
        let lives = !self.retired.contains_key(&id);
        if let Some(series) = self.stream.schema.get(id).filter(|_| lives) {
            self.subjects.add(series, &self.roster);
        }
        Ok(())
    }

    /// Names containers by what the cluster knows of their pods; costs next to nothing when there is
    /// nothing new. An episode that is open goes on under the new name.
    pub fn name(&mut self, cluster: &Cluster) {
        let revision = cluster.revision(self.name.as_str());
        let news = self.named_at.replace(revision) != Some(revision);
        self.subjects.name(news, |container| cluster.identify(self.name.as_str(), container));
    }

    /// The next record of the stream. Errors close the stream. While nothing is known of the node's
    /// clock, records wait for a moment; an error in one of those comes with a later record.
    pub fn record(&mut self, record: Record, now: AxisNsec) -> Result<Vec<Order>, ProtocolError> {
        self.usable()?;
        if let Record::Batch(batch) = &record
            && let Some(newest) = batch.times_nsec.last()
        {
            self.timeline.arrived(*newest, now);
        }
        if let Some(record) = self.hold.keep(record) {
            let taken = self.take(&record, now);
            self.judge(taken)?;
        } else if self.hold.is_over(now) {
            self.release(now);
            self.usable()?;
        }
        Ok(self.focus().into_iter().collect())
    }

    /// The answer to a ping that left at `ping_sent`.
    pub fn pong(&mut self, ping_sent: AxisNsec, pong: Pong, now: AxisNsec) {
        if self.connected && self.timeline.pong(ping_sent, pong, now) {
            self.release(now);
        }
    }

    /// The stream ended.
    pub fn detach(&mut self, now: AxisNsec) {
        self.release(now);
        self.connected = false;
        self.failed = None;
    }

    /// Time goes on; to be called about five times a second.
    pub fn tick(&mut self, now: AxisNsec) -> Vec<Order> {
        if self.hold.is_over(now) {
            self.release(now);
        }
        self.history.age(now);
        self.subjects.forget(now);
        if !self.silent && self.newest.is_some_and(|newest| now.since(newest.at) > SILENT_FOR) {
            self.start_over(now);
        }
        if !self.connected {
            return Vec::new();
        }
        self.pings.due(now).into_iter().chain(self.focus()).collect()
    }

    /// The episodes that changed since the last call, each as it is now.
    pub fn episodes(&mut self) -> Vec<Episode> {
        std::mem::take(&mut self.changed)
    }

    /// Keeps a copy of what the detector takes from now on, or keeps none.
    pub fn record_input(&mut self, on: bool) {
        self.tap.turn(on);
    }

    /// What the detector took since the last call, in its order. Errors: it took more than is kept.
    pub fn recorded_input(&mut self) -> Result<Vec<Input>, Overflow> {
        self.tap.empty()
    }

    /// Lets the history take this much memory from now on.
    pub fn resize_history(&mut self, bytes: usize) {
        self.history.resize(bytes);
    }

    /// What readers may see, as it is now.
    pub fn view(&mut self) -> NodeView {
        NodeView {
            name: self.name.clone(),
            agent: self.agent.clone(),
            connected: self.connected,
            account: self.delivery.account(),
            aged: self.history.aged(),
            clock_error_nsec: self.timeline.error_nsec(),
            history: self.history.view(),
            subjects: self.subjects.view(),
            models: self.models.clone(),
        }
    }

    fn usable(&self) -> Result<(), ProtocolError> {
        if !self.connected {
            return Err(ProtocolError::Missing { field: "hello" });
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Remembers an error, so that the stream is over.
    fn judge(&mut self, done: Result<(), ProtocolError>) -> Result<(), ProtocolError> {
        if let Err(error) = &done {
            self.failed = Some(error.clone());
        }
        done
    }

    /// Takes in what waited for the clock.
    fn release(&mut self, now: AxisNsec) {
        for record in self.hold.release() {
            let taken = self.take(&record, now);
            if self.judge(taken).is_err() {
                return;
            }
        }
    }

    /// The Focus to ask for, if it is another than the last one. Before the first record it is not
    /// known which series live.
    fn focus(&mut self) -> Option<Order> {
        if !self.stream.begun || self.failed.is_some() {
            return None;
        }
        let mut series = self.subjects.models();
        series.truncate(limits::FOCUS_SERIES);
        let raw_threads = self.raw.is_wanted();
        let focus = Order::Focus { series, thread_hz: FOCUS_THREAD_HZ, raw_threads };
        if self.stream.focus.as_ref() == Some(&focus) {
            return None;
        }
        self.stream.focus = Some(focus.clone());
        Some(focus)
    }

    /// Nothing that was seen so far goes on.
    fn start_over(&mut self, now: AxisNsec) {
        self.cut(now);
        self.feed(Input::Step(now));
        self.models = self.detector.models().into();
        self.silent = true;
    }

    /// Something is missing: no difference is taken across it.
    fn cut(&mut self, now: AxisNsec) {
        self.frames.cut();
        self.subjects.cut();
        self.feed(Input::Reset(now));
    }

    /// The one way to the detector.
    fn feed(&mut self, input: Input) {
        self.tap.keep(&input);
        let changed = self.detector.take(input);
        self.note(changed);
    }

    /// The newest state of an episode replaces one that nobody has asked for.
    fn note(&mut self, changed: Vec<Episode>) {
        for episode in changed {
            self.changed.retain(|known| known.id != episode.id);
            self.changed.push(episode);
        }
    }
}
