//! The sampler: one thread that reads what the watcher opened, straight into integer columns.
//!
//! Invariants: a tick neither opens, lists, waits nor allocates; every tick of the grid is either in
//! a chunk or counted as missed, and nothing is interpolated. Series begin and end between chunks
//! only. Deliberately absent: any knowledge of the wire, and of who asks.

mod focus;
mod pace;
mod pool;
mod roster;

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::Receiver,
    },
};

use berth::{Group, limits};
use tracing::debug;

use crate::{
    clock::{self, SECOND_NSEC, nsec_of, process_cpu_nsec, sleep_until},
    columns::Chunk,
    container::signed,
    handover::{Flush, Giver},
    host::Reader,
    node::Node,
    readings::Readings,
    watch::Change,
};
use pace::Pace;
use pool::Pool;
use roster::Roster;

/// One buffer for every file. Only /proc/stat may be longer.
const BUFFER_BYTES: usize = 4_096;

/// A stop is seen within this time, also at one tick a second.
const STOP_NSEC: u64 = SECOND_NSEC / 10;

/// What others ask of the sampler, at any time.
#[derive(Debug)]
pub struct Orders {
    /// Base ticks a second, before the budget.
    pub tick_hz: AtomicU32,
    /// Reads of each thread in Focus a second, before the budget.
    pub thread_hz: AtomicU32,
    /// Keep what each thread in Focus did, for a recording.
    pub raw_threads: AtomicBool,
    /// Flush, and end.
    pub stop: AtomicBool,
}

/// The sampler's settings.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// CPUs that the agent may use; 0 for no bound.
    pub cpu_budget: f64,
    /// Logical CPUs of the node.
    pub cpus: u32,
}

/// What is counted about the agent itself.
#[derive(Default)]
struct Own {
    ticks: u64,
    missed_ticks: u64,
    read_nsec: u64,
}

/// The sampler's state.
pub struct Sampler {
    orders: Arc<Orders>,
    changes: Receiver<Change>,
    reader: Reader,
    pace: Pace,
    node: Node,
    own: Own,
    roster: Roster,
    pool: Pool,
    /// The chunk being filled; none while all of them are with the uplink.
    chunk: Option<Chunk>,
    /// What single threads did since the last flush; none while nobody records them.
    readings: Option<Box<Readings>>,
    next_tick: u64,
    /// Ticks missed since the last one that was read.
    missed_ticks: u64,
    /// Ticks missed before the first one of the chunk.
    missed_before: u64,
}

impl Sampler {
    /// A sampler whose first tick is due at `start_nsec`.
    pub fn new(
        node: Node,
        settings: Settings,
        orders: Arc<Orders>,
        changes: Receiver<Change>,
        giver: Giver,
        start_nsec: u64,
    ) -> Self {
        let mut sampler = Self {
            changes,
            reader: Reader::new(BUFFER_BYTES.max(node.stat_bytes())),
            pace: Pace::new(Arc::clone(&orders), settings.cpu_budget, start_nsec),
            orders,
            roster: Roster::new(node.groups(), settings.cpus),
            node,
            own: Own::default(),
            pool: Pool::new(giver),
            chunk: None,
            readings: None,
            next_tick: 0,
            missed_ticks: 0,
            missed_before: 0,
        };
        sampler.flush(start_nsec);
        sampler
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        // Else the kernel may wake us 50 us late, to save wake-ups.
        if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
            debug!(%error, "the timer keeps its slack");
        }
        while !self.orders.stop.load(Ordering::Relaxed) {
            let next_nsec = self.pace.next_nsec(self.roster.has_focus());
            sleep_until(next_nsec.min(clock::now_nsec().saturating_add(STOP_NSEC)));
            self.pass(clock::now_nsec());
        }
        self.flush(clock::now_nsec());
    }

    /// Does all that is due at `now_nsec`.
    pub fn pass(&mut self, now_nsec: u64) {
        if self.pace.are_threads_due(now_nsec) && self.roster.has_focus() {
            let start_nsec = clock::now_nsec();
            self.roster.read_threads(now_nsec, &mut self.reader, self.readings.as_deref_mut());
            self.own.read_nsec += clock::now_nsec().saturating_sub(start_nsec);
        }
        if let Some(missed) = self.pace.missed_ticks(now_nsec) {
            self.miss(missed);
            self.tick(now_nsec);
        }
        self.pace.look_at_cost(now_nsec, self.roster.has_focus());
    }

    fn miss(&mut self, ticks: u64) {
        self.missed_ticks += ticks;
        self.own.missed_ticks += ticks;
    }

    fn tick(&mut self, now_nsec: u64) {
        // Ticks of one chunk follow one another, so what was read before a gap goes first.
        let is_cut = |chunk: &Chunk, missed: u64| chunk.is_full() || chunk.ticks() > 0 && missed > 0;
        if self.chunk.as_ref().is_none_or(|chunk| is_cut(chunk, self.missed_ticks)) {
            self.flush(now_nsec);
        }
        let Some(mut chunk) = self.chunk.take_if(|chunk| !is_cut(chunk, self.missed_ticks)) else {
            self.miss(1);
            return;
        };
        if chunk.ticks() == 0 {
            self.missed_before = std::mem::take(&mut self.missed_ticks);
        }
        self.fill(now_nsec, &mut chunk);
        self.next_tick += 1;
        let is_full = chunk.is_full();
        self.chunk = Some(chunk);
        if is_full {
            self.flush(now_nsec);
        }
    }

    fn fill(&mut self, now_nsec: u64, chunk: &mut Chunk) {
        let start_nsec = clock::now_nsec();
        chunk.begin_tick(now_nsec);
        self.node.sample(now_nsec, &mut self.reader, &self.roster.node, chunk);
        self.roster.sample(now_nsec, &mut self.reader, chunk);
        self.roster.close_tick(self.next_tick, now_nsec);
        self.own.ticks += 1;
        self.own.read_nsec += clock::now_nsec().saturating_sub(start_nsec);
        let Own { ticks, missed_ticks, read_nsec } = self.own;
        let cpu_usec = process_cpu_nsec() / 1_000;
        let row = [cpu_usec, ticks, missed_ticks, read_nsec, self.reader.reads()].map(signed);
        self.roster.agent.put(Group::Agent, chunk, row);
    }

    /// Hands over what there is, and takes in what changed meanwhile.
    fn flush(&mut self, now_nsec: u64) {
        if !self.pool.is_free() {
            return;
        }
        let chunk = self.chunk.take().or_else(|| self.empty_chunk());
        let Some(mut chunk) = chunk else { return };
        let horizon_nsec = now_nsec.saturating_sub(nsec_of(limits::CORRECTION_HORIZON));
        self.roster.settle(horizon_nsec, &mut chunk);
        while let Ok(change) = self.changes.try_recv() {
            self.roster.apply(change, now_nsec);
        }
        self.roster.replace_ended();
        let (added, retired) = self.roster.take_news();
        let is_new = !added.is_empty() || !retired.is_empty();
        if chunk.ticks() == 0 && !is_new {
            self.chunk = Some(chunk);
            return;
        }
        self.exchange_readings(&mut chunk);
        let missed_ticks = std::mem::take(&mut self.missed_before);
        self.pool.give(Flush { missed_ticks, chunk, retired, added });
        self.pace.settle(now_nsec, self.roster.has_focus());
        if is_new {
            self.pool.set_layout(self.roster.lay_out());
        }
        self.pool.set_rate(self.pace.tick_hz());
        self.chunk = self.empty_chunk();
    }

    /// Puts the readings of single threads into the chunk, and goes on with the room that it brought.
    fn exchange_readings(&mut self, chunk: &mut Chunk) {
        let is_on = self.orders.raw_threads.load(Ordering::Relaxed);
        let room = std::mem::replace(&mut chunk.readings, self.readings.take());
        self.readings = is_on.then(|| room.unwrap_or_default());
    }

    fn empty_chunk(&mut self) -> Option<Chunk> {
        self.pool.empty(self.next_tick, self.roster.focused())
    }
}
