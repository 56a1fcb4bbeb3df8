//! The sampler: one thread that reads what the watcher opened, straight into integer columns.
//!
//! Invariants: a tick neither opens, lists, waits nor allocates; every tick of the grid is either in
//! a chunk or counted as missed, and nothing is interpolated. Series begin and end between chunks
//! only. Deliberately absent: any knowledge of the wire, and of who asks.

mod focus;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
    mpsc::Receiver,
};

use berth::{Group, SeriesId, Subject, limits};
use tracing::warn;

use crate::{
    clock::{self, SECOND_NSEC, nsec_of, process_cpu_nsec, sleep_until},
    columns::{Chunk, Layout},
    container::{Container, Health, Key, signed},
    due::Due,
    governor::{Governor, Rates},
    handover::{FLUSHES, Flush, Giver, NewSeries},
    host::Reader,
    node::Node,
    series::{Ids, Track},
    watch::Change,
};
use focus::Focused;

/// One buffer for every file. Only /proc/stat may be longer.
const BUFFER_BYTES: usize = 4_096;

/// Chunks in being: those that may lie ready, the one that is being filled, and the one that is being
/// packed.
const CHUNKS: usize = FLUSHES + 2;

/// A stop is seen within this time, also at one tick a second.
const STOP_NSEC: u64 = SECOND_NSEC / 10;

/// What others ask of the sampler, at any time.
#[derive(Debug)]
pub struct Orders {
    /// Base ticks a second, before the budget.
    pub tick_hz: AtomicU32,
    /// Reads of each thread in Focus a second, before the budget.
    pub thread_hz: AtomicU32,
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

struct Slot {
    container: Container,
    track: Track,
    health: Health,
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
    settings: Settings,
    changes: Receiver<Change>,
    giver: Giver,
    reader: Reader,
    governor: Governor,
    rates: Rates,
    tick_due: Due,
    threads_due: Due,
    second_due: Due,
    cpu_nsec: u64,
    node: Node,
    node_track: Track,
    own: Own,
    own_track: Track,
    slots: Vec<Slot>,
    focus: Vec<Focused>,
    ids: Ids,
    layout: Arc<Layout>,
    /// The chunk being filled; none while all of them are with the uplink.
    chunk: Option<Chunk>,
    capacity: usize,
    chunks: usize,
    next_tick: u64,
    /// Ticks missed since the last one that was read.
    missed_ticks: u64,
    /// Ticks missed before the first one of the chunk.
    missed_before: u64,
    /// Series that began before the first chunk.
    begun: Vec<NewSeries>,
    /// A flush for which there was no room.
    stuck: Option<Box<Flush>>,
    /// That the budget was passed is said once.
    is_warned: bool,
}

impl Sampler {
    /// A sampler whose first tick is due now.
    pub fn new(
        node: Node,
        settings: Settings,
        orders: Arc<Orders>,
        changes: Receiver<Change>,
        giver: Giver,
        start_nsec: u64,
    ) -> Self {
        let (mut ids, mut begun) = (Ids::default(), Vec::new());
        let node_track = ids.begin(node.groups(), &Subject::Node, &mut begun);
        let own_track = ids.begin(std::iter::once(Group::Agent), &Subject::Node, &mut begun);
        let rates = Rates {
            tick_hz: orders.tick_hz.load(Ordering::Relaxed),
            thread_hz: orders.thread_hz.load(Ordering::Relaxed),
        };
        let mut sampler = Self {
            orders,
            settings,
            changes,
            giver,
            reader: Reader::new(BUFFER_BYTES.max(node.stat_bytes())),
            governor: Governor::new(settings.cpu_budget),
            rates,
            tick_due: Due::starting(period_nsec(rates.tick_hz), start_nsec),
            threads_due: Due::starting(period_nsec(rates.thread_hz), start_nsec),
            second_due: Due::starting(SECOND_NSEC, start_nsec + SECOND_NSEC),
            cpu_nsec: process_cpu_nsec(),
            node,
            node_track,
            own: Own::default(),
            own_track,
            slots: Vec::new(),
            focus: Vec::new(),
            ids,
            layout: Arc::new(Layout::default()),
            chunk: None,
            capacity: 1,
            chunks: 0,
            next_tick: 0,
            missed_ticks: 0,
            missed_before: 0,
            begun,
            stuck: None,
            is_warned: false,
        };
        sampler.flush(start_nsec);
        sampler
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        while !self.orders.stop.load(Ordering::Relaxed) {
            let now_nsec = clock::now_nsec();
            sleep_until(self.next_nsec().min(now_nsec.saturating_add(STOP_NSEC)));
            self.pass(clock::now_nsec());
        }
        self.flush(clock::now_nsec());
    }

    fn next_nsec(&self) -> u64 {
        let threads = if self.focus.is_empty() { u64::MAX } else { self.threads_due.next_nsec() };
        self.tick_due.next_nsec().min(threads).min(self.second_due.next_nsec())
    }

    /// Does all that is due at `now_nsec`.
    pub fn pass(&mut self, now_nsec: u64) {
        if self.threads_due.is_due(now_nsec) && !self.focus.is_empty() {
            self.read_threads(now_nsec);
        }
        if let Some(missed) = self.tick_due.missed(now_nsec) {
            self.miss(missed);
            self.tick(now_nsec);
        }
        if self.second_due.is_due(now_nsec) {
            self.govern();
        }
    }

    fn read_threads(&mut self, now_nsec: u64) {
        let start_nsec = clock::now_nsec();
        for focused in &mut self.focus {
            focused.read(now_nsec, &mut self.reader);
        }
        self.own.read_nsec += clock::now_nsec().saturating_sub(start_nsec);
    }

    fn miss(&mut self, ticks: u64) {
        self.missed_ticks += ticks;
        self.own.missed_ticks += ticks;
    }

    fn tick(&mut self, now_nsec: u64) {
        let holds_ticks = self.chunk.as_ref().is_some_and(|chunk| chunk.ticks() > 0);
        // Ticks of one chunk follow one another, so what was read before a gap goes first.
        if self.chunk.is_none() || holds_ticks && self.missed_ticks > 0 {
            self.flush(now_nsec);
        }
        let cut = |chunk: &Chunk| chunk.ticks() > 0 && self.missed_ticks > 0;
        let Some(mut chunk) = self.chunk.take_if(|chunk| !chunk.is_full() && !cut(chunk)) else {
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
        self.node.sample(now_nsec, &mut self.reader, &self.node_track, chunk);
        for slot in &mut self.slots {
            if slot.health == Health::Alive {
                slot.health = slot.container.sample(now_nsec, &mut self.reader, &slot.track, chunk);
            }
        }
        for focused in &mut self.focus {
            focused.tick(self.next_tick, now_nsec);
        }
        self.own.ticks += 1;
        self.own.read_nsec += clock::now_nsec().saturating_sub(start_nsec);
        let Own { ticks, missed_ticks, read_nsec } = self.own;
        let cpu_usec = process_cpu_nsec() / 1_000;
        let row = [cpu_usec, ticks, missed_ticks, read_nsec, self.reader.reads()].map(signed);
        self.own_track.put(Group::Agent, chunk, row);
    }

    /// Hands over what there is, and takes in what changed meanwhile.
    fn flush(&mut self, now_nsec: u64) {
        if let Some(stuck) = self.stuck.take() {
            self.give(*stuck);
            if self.stuck.is_some() {
                return;
            }
        }
        let Some(mut chunk) = self.chunk.take().or_else(|| self.empty_chunk()) else { return };
        let horizon_nsec = now_nsec.saturating_sub(nsec_of(limits::CORRECTION_HORIZON));
        self.focus.iter_mut().for_each(|focused| focused.settle(horizon_nsec, &mut chunk));
        let (mut added, mut retired) = (std::mem::take(&mut self.begun), Vec::new());
        self.apply_changes(now_nsec, &mut added, &mut retired);
        self.replace_ended(&mut added, &mut retired);
        let is_new = !added.is_empty() || !retired.is_empty();
        if chunk.ticks() == 0 && !is_new {
            self.chunk = Some(chunk);
            return;
        }
        let missed_ticks = std::mem::take(&mut self.missed_before);
        self.give(Flush { missed_ticks, chunk, retired, added });
        self.apply_rates(now_nsec);
        if is_new {
            self.lay_out();
        }
        self.capacity = self.ticks_per_chunk();
        self.chunk = self.empty_chunk();
    }

    fn give(&mut self, flush: Flush) {
        self.stuck = self.giver.give(flush).err();
    }

    /// An emptied chunk of the layout in force, or a new one while there are few.
    fn empty_chunk(&mut self) -> Option<Chunk> {
        while let Some(mut chunk) = self.giver.emptied() {
            if Arc::ptr_eq(chunk.layout(), &self.layout) && chunk.capacity() == self.capacity {
                chunk.restart(self.next_tick);
                return Some(chunk);
            }
            self.chunks -= 1;
        }
        if self.chunks == CHUNKS {
            return None;
        }
        self.chunks += 1;
        let late = self.focus.len() * limits::CORRECTION_TICKS;
        let mut chunk = Chunk::new(Arc::clone(&self.layout), self.capacity, late);
        chunk.restart(self.next_tick);
        Some(chunk)
    }

    /// As many as fit into a flush period, and into a batch.
    fn ticks_per_chunk(&self) -> usize {
        let period_nsec = u64::from(self.rates.tick_hz) * nsec_of(limits::FLUSH_PERIOD) / SECOND_NSEC;
        let fit = limits::BATCH_VALUES / self.layout.columns().max(1);
        usize::try_from(period_nsec).unwrap_or(1).min(fit).clamp(1, limits::BATCH_TICKS)
    }

    fn apply_rates(&mut self, now_nsec: u64) {
        let rates = self.governor.rates(self.asked(), !self.focus.is_empty());
        if rates.tick_hz != self.rates.tick_hz {
            let period = period_nsec(rates.tick_hz);
            self.tick_due = Due::starting(period, now_nsec.saturating_add(period));
        }
        if rates.thread_hz != self.rates.thread_hz {
            self.threads_due = Due::starting(period_nsec(rates.thread_hz), self.tick_due.next_nsec());
        }
        self.rates = rates;
    }

    fn asked(&self) -> Rates {
        Rates {
            tick_hz: self.orders.tick_hz.load(Ordering::Relaxed),
            thread_hz: self.orders.thread_hz.load(Ordering::Relaxed),
        }
    }

    /// Once a second: what we cost.
    fn govern(&mut self) {
        let cpu_nsec = process_cpu_nsec();
        let cpus = cpu_nsec.saturating_sub(std::mem::replace(&mut self.cpu_nsec, cpu_nsec)) as f64 / 1e9;
        let has_focus = !self.focus.is_empty();
        if self.governor.second(cpus, self.asked(), has_focus)
            && !std::mem::replace(&mut self.is_warned, true)
        {
            let Rates { tick_hz, thread_hz } = self.governor.rates(self.asked(), has_focus);
            let budget = self.settings.cpu_budget;
            warn!(cpus, budget, tick_hz, thread_hz, "over the CPU budget: sampling less often");
        }
    }

    fn apply_changes(&mut self, now_nsec: u64, added: &mut Vec<NewSeries>, retired: &mut Vec<SeriesId>) {
        while let Ok(change) = self.changes.try_recv() {
            match change {
                Change::Add(container) => self.begin(*container, added),
                Change::Remove(key) => {
                    if let Some(at) = self.slots.iter().position(|slot| slot.container.key == key) {
                        self.end(at, retired);
                    }
                }
                Change::Limit(key, limits) => {
                    let of_key = self.slots.iter_mut().filter(|slot| slot.container.key == key);
                    of_key.for_each(|slot| slot.container.limits = limits);
                }
                Change::Focus(key, quotas) => {
                    let Some(slot) = self.slots.iter().find(|slot| slot.container.key == key) else {
                        continue;
                    };
                    let subject = Subject::Container(slot.container.subject.clone());
                    let track = self.ids.begin(std::iter::once(Group::ContainerThreads), &subject, added);
                    self.focus.push(Focused::new(key, track, quotas, self.settings.cpus, now_nsec));
                }
                Change::Threads(key, threads) => {
                    let of_key = self.focus.iter_mut().find(|focused| focused.key() == key);
                    if let Some(focused) = of_key {
                        focused.add(threads);
                    }
                }
                Change::Unfocus(key) => self.unfocus(key, retired),
            }
        }
    }

    fn begin(&mut self, container: Container, added: &mut Vec<NewSeries>) {
        let subject = Subject::Container(container.subject.clone());
        let track = self.ids.begin(container.groups(), &subject, added);
        self.slots.push(Slot { container, track, health: Health::Alive });
    }

    fn end(&mut self, at: usize, retired: &mut Vec<SeriesId>) {
        let slot = self.slots.remove(at);
        retired.extend(slot.track.ids());
        self.unfocus(slot.container.key, retired);
    }

    fn unfocus(&mut self, key: Key, retired: &mut Vec<SeriesId>) {
        let gone = |focused: &Focused| focused.key() == key;
        self.focus.iter().filter(|focused| gone(focused)).for_each(|focused| retired.extend(focused.ids()));
        self.focus.retain(|focused| !gone(focused));
    }

    /// Ends the series of what has gone, and begins new ones for what has started over.
    fn replace_ended(&mut self, added: &mut Vec<NewSeries>, retired: &mut Vec<SeriesId>) {
        while let Some(at) = self.slots.iter().position(|slot| slot.health != Health::Alive) {
            match self.slots[at].health {
                Health::Gone | Health::Alive => self.end(at, retired),
                Health::Reset => {
                    let slot = self.slots.remove(at);
                    retired.extend(slot.track.ids());
                    self.begin(slot.container, added);
                }
            }
        }
    }

    /// Gives every series its columns: the node's first, then by rising number.
    fn lay_out(&mut self) {
        let tracks = || {
            let node = [&self.node_track, &self.own_track].into_iter();
            let slots = self.slots.iter().map(|slot| &slot.track);
            node.chain(slots).chain(self.focus.iter().map(Focused::track))
        };
        let series: Vec<_> = tracks().flat_map(|track| track.series().iter().copied()).collect();
        let (layout, places) = Layout::new(&series);
        self.layout = Arc::new(layout);
        let mut places = places.into_iter();
        self.node_track.settle(&mut places);
        self.own_track.settle(&mut places);
        self.slots.iter_mut().for_each(|slot| slot.track.settle(&mut places));
        self.focus.iter_mut().for_each(|focused| focused.track_mut().settle(&mut places));
    }
}

fn period_nsec(hz: u32) -> u64 {
    SECOND_NSEC / u64::from(hz.max(1))
}
