//! Between the sampler and the aggregator: packs what was sampled, and plays the session's steps on
//! a real connection.
//!
//! Invariant: the sampler never waits for any of this; what the network cannot take stays in the
//! session's ring. All decisions are the session's.

mod link;
mod raw;

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use berth::{Group, Seq, SeriesId, Subject, limits, wire};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, info, warn};

use crate::{
    args::Server,
    clock::now_nsec,
    encode::Encoder,
    handover::{Taken, Taker},
    message::Outgoing,
    sampler::Orders,
    session::{Event, Session, Step},
    watch::{CgroupId, FocusOrder},
};
use link::{Heard, Link, MESSAGES};
use raw::Raw;

/// How long a stop may take: a flush over a working link is done in a fraction of it, and a pod gets
/// 30 s before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The uplink's state.
pub struct Uplink {
    server: Server,
    session: Session,
    encoder: Encoder,
    taker: Taker,
    orders: Arc<Orders>,
    raw: Raw,
    focus: SyncSender<FocusOrder>,
    /// The newest order to focus that the watcher has not taken yet: it is asked for once only.
    wanted: Option<FocusOrder>,
    /// A failure was said; the next ones are the same failure until something works.
    is_failing: bool,
    has_sampler_ended: bool,
}

/// The connection in being, if any.
struct Current {
    outgoing: mpsc::Sender<wire::AgentMessage>,
    heard: mpsc::Receiver<Heard>,
    task: JoinSet<anyhow::Result<()>>,
}

/// What woke the uplink.
enum Woken {
    Heard(Heard),
    LinkEnded(anyhow::Result<()>),
    Nothing,
}

impl Current {
    fn open(server: &Server) -> Self {
        let (outgoing, to_send) = mpsc::channel(MESSAGES);
        let (heard_sender, heard) = mpsc::channel(MESSAGES);
        let answers = outgoing.downgrade();
        let mut task = JoinSet::new();
        task.spawn(Link { server: server.clone(), outgoing: to_send, answers, heard: heard_sender }.run());
        Self { outgoing, heard, task }
    }

    async fn next(&mut self, is_blocked: bool) -> Woken {
        tokio::select! {
            biased;
            Some(heard) = self.heard.recv() => Woken::Heard(heard),
            ended = self.task.join_next() => {
                let result = ended.map_or(Ok(()), |ended| ended.context("run the connection").and_then(|result| result));
                Woken::LinkEnded(result)
            }
            _ = self.outgoing.reserve(), if is_blocked => Woken::Nothing,
        }
    }
}

impl Uplink {
    /// An uplink to `server` that takes flushes from `taker`.
    pub fn new(
        server: Server,
        session: Session,
        taker: Taker,
        orders: Arc<Orders>,
        focus: SyncSender<FocusOrder>,
    ) -> Self {
        let (encoder, raw) = (Encoder::default(), Raw::new(Arc::clone(&orders)));
        Self {
            server,
            session,
            encoder,
            taker,
            orders,
            raw,
            focus,
            wanted: None,
            is_failing: false,
            has_sampler_ended: false,
        }
    }

    /// Runs until `stop`, then flushes what it can. Errors: the sampler ended by itself.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let mut current: Option<Current> = None;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                done = self.turn(&mut current) => done?,
            }
        }
        self.orders.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + STOP_TIMEOUT;
        // Without a stream nobody is there to flush to.
        while current.is_some() && !self.is_done() {
            if timeout_at(deadline, self.turn(&mut current)).await.is_err() {
                break;
            }
        }
        if let Some(Current { outgoing, heard: _heard, mut task }) = current {
            drop(outgoing);
            // The stream's end, or the deadline: either is a stop.
            drop(timeout_at(deadline, task.join_next()).await);
        }
        let balance = self.session.balance();
        info!(
            produced = balance.produced,
            sent = balance.sent,
            pending = balance.pending,
            gaps = balance.gaps,
            "stopped"
        );
        Ok(())
    }

    /// Does all that can be done now, then waits for something to happen.
    async fn turn(&mut self, current: &mut Option<Current>) -> anyhow::Result<()> {
        self.take_flushes()?;
        self.give_focus()?;
        let (is_blocked, until) = self.play_steps(current);
        if self.is_done() {
            return Ok(());
        }
        let link = async {
            match current {
                Some(link) => link.next(is_blocked).await,
                None => std::future::pending().await,
            }
        };
        let woken = tokio::select! {
            woken = link => woken,
            () = self.taker.ready() => Woken::Nothing,
            () = wait_until(until) => Woken::Nothing,
        };
        match woken {
            Woken::Heard(heard) => self.hear(heard),
            Woken::LinkEnded(result) => {
                *current = None;
                self.session.on(Event::Lost, now_nsec());
                // Who asked for it is gone, or will ask again.
                self.raw.ask(false);
                self.say_lost(result);
            }
            Woken::Nothing => {}
        }
        Ok(())
    }

    /// All that will ever be sampled has been sent.
    fn is_done(&self) -> bool {
        self.has_sampler_ended && self.session.is_drained()
    }

    fn take_flushes(&mut self) -> anyhow::Result<()> {
        loop {
            match self.taker.take() {
                Taken::Flush(flush) => {
                    let (records, begun) = self.encoder.encode(&flush);
                    self.session.produce(records, begun, now_nsec());
                    flush.chunk.readings.iter().for_each(|readings| self.raw.take(readings));
                    self.taker.give_back(flush.chunk);
                }
                Taken::Nothing => return Ok(()),
                Taken::Ended if self.orders.stop.load(Ordering::Relaxed) => {
                    self.has_sampler_ended = true;
                    return Ok(());
                }
                Taken::Ended => bail!("the sampler has ended by itself; this is a defect"),
            }
        }
    }

    /// Plays the session's steps as far as the connection takes them. Says whether it is full, and
    /// when the session wants to be asked again.
    fn play_steps(&mut self, current: &mut Option<Current>) -> (bool, Option<u64>) {
        loop {
            let permit = match current.as_ref().map(|link| link.outgoing.try_reserve()) {
                Some(Err(mpsc::error::TrySendError::Full(()))) => return (true, None),
                // It is ending, and will say why.
                Some(Err(mpsc::error::TrySendError::Closed(()))) => return (false, None),
                Some(Ok(permit)) => Some(permit),
                None => None,
            };
            match self.session.step(now_nsec()) {
                Step::Send(outgoing) => {
                    if let Some(permit) = permit {
                        permit.send(outgoing.into());
                    }
                }
                Step::Dial => {
                    drop(permit);
                    *current = Some(Current::open(&self.server));
                }
                Step::HangUp => {
                    drop(permit);
                    *current = None;
                    self.say_lost(Err(anyhow::anyhow!("no answer to Hello")));
                }
                Step::WaitUntil(at_nsec) => return (false, Some(at_nsec)),
                Step::Idle => {
                    let Some(permit) = permit.filter(|_| self.session.is_drained()) else {
                        return (false, None);
                    };
                    let Some(raw) = self.raw.next() else { return (false, None) };
                    permit.send(Outgoing::RawThreads(raw).into());
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        use wire::aggregator_message::Message;
        match heard {
            Heard::Opened => self.session.on(Event::Opened, now_nsec()),
            Heard::Message(Message::Resume(wire::Resume { from_seq })) => {
                info!(server = %self.server.uri, from_seq, "streaming");
                self.is_failing = false;
                // Zero is no sequence; the session clamps it to the oldest.
                self.session.on(Event::Resume(Seq::new(from_seq).unwrap_or(Seq::FIRST)), now_nsec());
            }
            Heard::Message(Message::Focus(focus)) => self.focus(&focus),
            Heard::Message(Message::Rate(wire::Rate { tick_hz })) => {
                let tick_hz = tick_hz.clamp(*limits::TICK_HZ.start(), *limits::TICK_HZ.end());
                self.orders.tick_hz.store(tick_hz, Ordering::Relaxed);
                self.session.set_tick_hz(tick_hz);
            }
            // The connection answers pings itself, at once.
            Heard::Message(Message::Ping(_)) => {}
        }
    }

    fn focus(&mut self, focus: &wire::Focus) {
        let thread_hz = focus.thread_hz.clamp(*limits::THREAD_HZ.start(), *limits::THREAD_HZ.end());
        self.orders.thread_hz.store(thread_hz, Ordering::Relaxed);
        self.raw.ask(focus.raw_threads);
        let container = |&id: &u32| -> Option<CgroupId> {
            let series = self.session.series(SeriesId::new(id)?)?;
            match &series.subject {
                Subject::Container(container) if series.group == Group::ContainerCpu => {
                    Some((container.cgroup.clone(), container.inode))
                }
                _ => None,
            }
        };
        let wanted: FocusOrder =
            focus.series.iter().take(limits::FOCUS_SERIES).filter_map(container).collect();
        debug!(containers = wanted.len(), thread_hz, "focus");
        self.wanted = Some(wanted);
    }

    /// Hands the newest order to the watcher, which may be in a sweep: then the next turn does, and
    /// a flush brings that within a fifth of a second.
    fn give_focus(&mut self) -> anyhow::Result<()> {
        let Some(wanted) = self.wanted.take() else { return Ok(()) };
        match self.focus.try_send(wanted) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(wanted)) => {
                self.wanted = Some(wanted);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) if self.orders.stop.load(Ordering::Relaxed) => Ok(()),
            Err(TrySendError::Disconnected(_)) => bail!("the watcher has ended by itself; this is a defect"),
        }
    }

    fn say_lost(&mut self, result: anyhow::Result<()>) {
        let error = result.err().unwrap_or_else(|| anyhow::anyhow!("the aggregator closed the stream"));
        if std::mem::replace(&mut self.is_failing, true) {
            debug!(error = format!("{error:#}"), "still no stream");
        } else {
            let server = &self.server.uri;
            warn!(%server, error = format!("{error:#}"), "no stream; samples are kept, and it is tried again until it works");
        }
    }
}

async fn wait_until(at_nsec: Option<u64>) {
    match at_nsec {
        Some(at_nsec) => {
            let wait = Duration::from_nanos(at_nsec.saturating_sub(now_nsec()));
            sleep_until(Instant::now() + wait).await;
        }
        None => std::future::pending().await,
    }
}
