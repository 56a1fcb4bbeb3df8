//! One node's samples: the newest ticks, sealed seconds of ticks, and one-second summaries.
//!
//! Ticks that late news may still change are kept as they came ([`Rows`]). Older ones are sealed
//! into packed chunks of one second, which never change. What is older than the raw window becomes
//! one-second summaries, ten to a chunk. Each of the three has its share of the byte budget, and
//! beyond it the oldest goes first.
//!
//! Invariant: raw values appended = kept + aged out, and nothing appended is kept twice.
//! Deliberately absent: files, and any longer history; that is Prometheus's.

mod packed;
mod rows;
mod summary;
mod view;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use berth::{Group, limits};

use self::{
    packed::Packed,
    summary::{COLUMNS_PER_METRIC, Summarizer},
};
pub use self::{
    rows::{Column, Rows},
    view::{HistoryView, MetricValues, Resolution, Slice, SliceSeries},
};
use crate::time::AxisNsec;

/// How long ticks are kept: as long as the agents keep theirs, so that a refill finds its place.
pub const RAW_WINDOW: Duration = limits::REPLAY_WINDOW;

/// How long one-second summaries are kept: a sweep's step and the episodes that a person asks about
/// lie within it; what is older is Prometheus's.
pub const SECONDS_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Ticks stay open this long: late news reaches back 2 s from when it was made, and comes a flush
/// and a second's rounding later.
const OPEN_WINDOW: Duration = limits::CORRECTION_HORIZON.saturating_add(Duration::from_secs(1));

/// Seconds that are summarised into one chunk. Columns of ten rows pack about as well as longer
/// ones, and so raw ticks outstay their window by ten seconds only.
const SECONDS_PER_CHUNK: usize = 10;

/// The same as a time.
const CHUNK_SPAN: Duration = Duration::from_secs(10);

/// Cells of one chunk before it is packed, 32 MiB of them: a second of 800 containers at 100 Hz. An
/// agent that names other series at each tick could otherwise make a chunk far larger than what it
/// was made of.
const CHUNK_CELLS: usize = 4 * limits::BATCH_VALUES;

/// Something that is sampled on a node, for the life of the aggregator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub u32);

/// A subject's group of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// Which metrics.
    pub group: Group,
    /// Whose.
    pub subject: SubjectId,
}

/// A value a row, `None` where it is unknown.
pub type Values = Vec<Option<i64>>;

/// Rows and columns, unpacked; series by rising key, and of each its columns one after another.
#[derive(Debug, Default)]
struct Block {
    times: Vec<AxisNsec>,
    series: Vec<(SeriesKey, Values)>,
}

impl Block {
    /// The columns of one of its series.
    fn columns<'a>(&self, values: &'a Values) -> std::slice::Chunks<'a, Option<i64>> {
        values.chunks(self.times.len().max(1))
    }

    fn values(&self, key: SeriesKey) -> Option<&Values> {
        let position = self.series.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&self.series[position].1)
    }
}

/// Rows that never change again.
#[derive(Debug)]
struct Chunk {
    times: Box<[AxisNsec]>,
    /// Values appended, for the account.
    values: u64,
    /// Columns of all its series.
    width: usize,
    packed: Packed,
}

impl Chunk {
    fn new(block: &Block, values: u64, like: Option<&Arc<Self>>) -> Arc<Self> {
        let packed = Packed::new(block, like.map(|like| &like.packed));
        let cells: usize = block.series.iter().map(|(_, values)| values.len()).sum();
        let width = cells / block.times.len().max(1);
        Arc::new(Self { times: block.times.as_slice().into(), values, width, packed })
    }

    fn ends(&self) -> AxisNsec {
        self.times.last().copied().unwrap_or_default()
    }

    fn block(&self, wanted: &dyn Fn(SeriesKey) -> bool, columns_per_metric: usize) -> Block {
        let keys = self.packed.keys().iter().enumerate().filter(|(_, key)| wanted(**key));
        let series = keys.map(|(position, key)| {
            (*key, self.packed.columns(position, key.group.metrics().len() * columns_per_metric))
        });
        Block { series: series.collect(), times: self.times.to_vec() }
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.times.len() * size_of::<AxisNsec>() + self.packed.heap_bytes()
    }
}

/// What left the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aged {
    /// Raw values that became summaries.
    pub raw_values: u64,
    /// Seconds whose summaries are gone.
    pub seconds: u64,
}

/// A queue of chunks, with what they weigh.
#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
    /// For views; made again after a change.
    shared: Option<Arc<[Arc<Chunk>]>>,
}

impl Queue {
    fn push(&mut self, chunk: Arc<Chunk>) {
        self.bytes += chunk.heap_bytes();
        self.chunks.push_back(chunk);
        self.shared = None;
    }

    fn pop(&mut self) -> Option<Arc<Chunk>> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.heap_bytes();
        self.shared = None;
        Some(chunk)
    }

    fn share(&mut self) -> Arc<[Arc<Chunk>]> {
        Arc::clone(self.shared.get_or_insert_with(|| self.chunks.iter().cloned().collect()))
    }
}

/// The samples of one node.
#[derive(Debug)]
pub struct History {
    budget_bytes: usize,
    recent: VecDeque<Arc<Rows>>,
    recent_bytes: usize,
    sealed: Queue,
    seconds: Queue,
    summarizer: Summarizer,
    aged: Aged,
}

impl History {
    /// An empty history that keeps to `budget_bytes`, however the node's agent behaves: a quarter
    /// for open ticks, a quarter for sealed ones, half for summaries. So a full window of each takes
    /// about the same part of its share.
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            budget_bytes,
            recent: VecDeque::new(),
            recent_bytes: 0,
            sealed: Queue::default(),
            seconds: Queue::default(),
            summarizer: Summarizer::default(),
            aged: Aged::default(),
        }
    }

    /// Takes the next ticks in; their times and ordinals are later than those before.
    pub fn append(&mut self, rows: Rows) {
        for piece in rows.by_second() {
            self.recent_bytes += piece.heap_bytes();
            self.recent.push_back(Arc::new(piece));
        }
        let newest = self.recent.back().and_then(|rows| rows.times().last().copied()).unwrap_or_default();
        self.seal_until(newest - OPEN_WINDOW);
        self.fit();
    }

    /// Keeps to another budget from now on.
    pub fn resize(&mut self, budget_bytes: usize) {
        let shrinks = budget_bytes < self.budget_bytes;
        self.budget_bytes = budget_bytes;
        if shrinks {
            self.fit();
        }
    }

    /// Moves what is beyond each share of the budget on to the next.
    fn fit(&mut self) {
        while self.recent_bytes > self.budget_bytes / 4 && self.recent.len() > 1 {
            self.seal_second(self.recent.len() - 1);
        }
        while self.sealed.bytes > self.budget_bytes / 4 {
            self.summarise(|_| true);
        }
        self.keep_seconds(AxisNsec::default());
    }

    /// Adds late news to open ticks: for each metric of the series' group one amount a tick.
    /// `false`: none of those ticks is open, or the series is not in them.
    pub fn correct(&mut self, key: SeriesKey, first_tick: u64, add: &[Vec<i64>]) -> bool {
        let mut landed = false;
        for rows in &mut self.recent {
            landed |= Rows::correct(rows, key, first_tick, add);
        }
        landed
    }

    /// Seals everything, as when tick ordinals begin anew.
    pub fn seal(&mut self) {
        while !self.recent.is_empty() {
            self.seal_second(self.recent.len());
        }
    }

    /// Lets go of what is too old.
    pub fn age(&mut self, now: AxisNsec) {
        self.seal_until(now - RAW_WINDOW);
        let old = |chunk: &Chunk, window: Duration| chunk.ends() + window < now;
        while self.sealed.chunks.front().is_some_and(|chunk| old(chunk, RAW_WINDOW + CHUNK_SPAN)) {
            self.summarise(|chunk| old(chunk, RAW_WINDOW));
        }
        self.keep_seconds(now - SECONDS_WINDOW);
    }

    /// What left so far.
    pub fn aged(&self) -> Aged {
        self.aged
    }

    /// Raw values that are kept.
    pub fn kept_values(&self) -> u64 {
        let sealed: u64 = self.sealed.chunks.iter().map(|chunk| chunk.values).sum();
        sealed + self.recent.iter().map(|rows| rows.value_count()).sum::<u64>()
    }

    /// About what it keeps in memory.
    pub fn heap_bytes(&self) -> usize {
        self.recent_bytes + self.sealed.bytes + self.seconds.bytes
    }

    /// What readers may see, as it is now.
    pub fn view(&mut self) -> HistoryView {
        HistoryView {
            seconds: self.seconds.share(),
            sealed: self.sealed.share(),
            recent: self.recent.iter().cloned().collect(),
        }
    }

    /// Seals the seconds that ended before `until`.
    fn seal_until(&mut self, until: AxisNsec) {
        while self
            .recent
            .front()
            .is_some_and(|rows| AxisNsec((rows.second() + 1).saturating_mul(1_000_000_000)) <= until)
        {
            self.seal_second(self.recent.len());
        }
    }

    /// Seals the oldest second, of the first `limit` pieces at most.
    fn seal_second(&mut self, limit: usize) {
        let second = self.recent.front().map(|rows| rows.second());
        let pieces = self.recent.iter().take(limit).take_while(|rows| Some(rows.second()) == second);
        let mut like: Option<&Rows> = None;
        let count = fitting(pieces.map(|rows| {
            let same = like.replace(rows).is_some_and(|like| like.has_series_of(rows));
            (if same { 0 } else { rows.width() }, rows.times().len())
        }));
        let pieces: Vec<Arc<Rows>> = self.recent.drain(..count).collect();
        self.recent_bytes -= pieces.iter().map(|rows| rows.heap_bytes()).sum::<usize>();
        let values = pieces.iter().map(|rows| rows.value_count()).sum();
        let block = rows::join(&pieces, &|_| true);
        self.sealed.push(Chunk::new(&block, values, self.sealed.chunks.back()));
    }

    /// Summarises the oldest sealed seconds that are `old`, as many as go into one chunk.
    fn summarise(&mut self, old: impl Fn(&Chunk) -> bool) {
        let chunks = self.sealed.chunks.iter().take(SECONDS_PER_CHUNK).take_while(|chunk| old(chunk));
        let mut is_first = true;
        let count = fitting(chunks.map(|chunk| {
            let same = !std::mem::take(&mut is_first) && chunk.packed.has_keys_before();
            (if same { 0 } else { chunk.width * COLUMNS_PER_METRIC }, 1)
        }));
        let chunks: Vec<Arc<Chunk>> = (0..count).map_while(|_| self.sealed.pop()).collect();
        self.aged.raw_values += chunks.iter().map(|chunk| chunk.values).sum::<u64>();
        let block = self.summarizer.summarise(chunks.iter().map(|chunk| chunk.block(&|_| true, 1)));
        self.seconds.push(Chunk::new(&block, 0, self.seconds.chunks.back()));
    }

    /// Drops the summaries from before `oldest`, and those beyond their share.
    fn keep_seconds(&mut self, oldest: AxisNsec) {
        while self.seconds.chunks.front().is_some_and(|chunk| chunk.ends() < oldest)
            || self.seconds.bytes > self.budget_bytes / 2
        {
            let Some(chunk) = self.seconds.pop() else { break };
            self.aged.seconds += u64::try_from(chunk.times.len()).unwrap_or(u64::MAX);
        }
    }
}

/// How many of the first parts go into one chunk, at least one. Each part has columns that those
/// before it do not have, and rows.
fn fitting(parts: impl Iterator<Item = (usize, usize)>) -> usize {
    let (mut columns, mut rows) = (0_usize, 0_usize);
    let fits = |(more_columns, more_rows): &(usize, usize)| {
        let is_first = rows == 0;
        columns += more_columns;
        rows += more_rows;
        is_first || columns.saturating_mul(rows) <= CHUNK_CELLS
    };
    parts.take_while(fits).count()
}

#[cfg(test)]
mod tests;
