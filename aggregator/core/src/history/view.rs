//! What readers see of a node's history.
//!
//! Invariant: a view never changes. It shares its chunks with the history and with every other
//! view, and unpacks them one at a time, so that reading all of a large node costs little memory.

use std::{iter::once, ops::Range, sync::Arc};

use super::{
    Block, Chunk, SeriesKey, Values,
    rows::{self, Rows},
    summary::{COLUMNS_PER_METRIC, Summarizer},
};
use crate::time::AxisNsec;

/// How finely to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Each tick.
    Raw,
    /// The last value of each second that is over, and the smallest and largest tick within it.
    OneSecond,
}

/// One metric's values, one a time of the slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricValues {
    /// `None` where it is unknown. At one second: the last value of a counter or gauge, the sum of
    /// an amount.
    pub values: Values,
    /// At one second: the smallest gauge, amount, or change a tick of a counter. Empty for ticks.
    pub min: Values,
    /// The largest, likewise.
    pub max: Values,
}

/// One series over the times of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceSeries {
    /// Whose.
    pub key: SeriesKey,
    /// Metric by metric.
    pub metrics: Vec<MetricValues>,
}

/// Some consecutive times of some series; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Rising.
    pub times: Vec<AxisNsec>,
    /// By rising key.
    pub series: Vec<SliceSeries>,
}

/// A node's history at one moment.
#[derive(Debug, Clone, Default)]
pub struct HistoryView {
    pub(super) seconds: Arc<[Arc<Chunk>]>,
    pub(super) sealed: Arc<[Arc<Chunk>]>,
    pub(super) recent: Vec<Arc<Rows>>,
}

impl HistoryView {
    /// The oldest time that is kept, at one second's resolution at least.
    pub fn begins(&self) -> Option<AxisNsec> {
        let chunk = self.seconds.first().or(self.sealed.first());
        let recent = || self.recent.first().and_then(|rows| rows.times().first().copied());
        chunk.and_then(|chunk| chunk.times.first().copied()).or_else(recent)
    }

    /// The newest tick.
    pub fn newest_at(&self) -> Option<AxisNsec> {
        self.recent.last().and_then(|rows| rows.times().last().copied())
    }

    /// The newest known value of each metric of each series in the newest ticks. A series that
    /// ended is not among them.
    pub fn newest(&self) -> impl Iterator<Item = (SeriesKey, Vec<Option<i64>>)> {
        self.recent.last().into_iter().flat_map(|rows| rows.columns()).map(|column| {
            let newest = |values: &Values| values.iter().rev().find_map(|value| *value);
            (column.key, column.metrics.iter().map(newest).collect())
        })
    }

    /// What is kept of the wanted series at the times from `during.start` to before `during.end`,
    /// by rising time.
    pub fn range<'a>(
        &'a self,
        resolution: Resolution,
        during: Range<AxisNsec>,
        wanted: impl Fn(SeriesKey) -> bool + Send + 'a,
    ) -> Box<dyn Iterator<Item = Slice> + Send + 'a> {
        match resolution {
            Resolution::Raw => Box::new(self.ticks(during, wanted)),
            Resolution::OneSecond => Box::new(self.seconds(during, wanted)),
        }
    }

    fn ticks<'a>(
        &'a self,
        during: Range<AxisNsec>,
        wanted: impl Fn(SeriesKey) -> bool + Send + 'a,
    ) -> impl Iterator<Item = Slice> + Send + 'a {
        let pieces = self.sealed.iter().map(Piece::Sealed).chain(self.recent.iter().map(Piece::Recent));
        let inside = during.clone();
        pieces.filter(move |piece| overlaps(piece.times(), &inside)).filter_map(move |piece| {
            let block = match piece {
                Piece::Sealed(chunk) => chunk.block(&wanted, 1),
                Piece::Recent(rows) => rows::join(std::slice::from_ref(rows), &wanted),
            };
            slice(within(block, &during), 1)
        })
    }

    fn seconds<'a>(
        &'a self,
        during: Range<AxisNsec>,
        wanted: impl Fn(SeriesKey) -> bool + Send + 'a,
    ) -> impl Iterator<Item = Slice> + Send + 'a {
        // The second before the first one wanted tells how its counters begin.
        let before = self.sealed.partition_point(|chunk| chunk.ends() < during.start).saturating_sub(1);
        let mut summarizer = match self.seconds.last().filter(|_| before == 0) {
            Some(last) => Summarizer::after(&last.block(&wanted, COLUMNS_PER_METRIC)),
            None => Summarizer::default(),
        };
        let newest = self.recent.last().map(|rows| rows.second());
        let begun = |times: &[AxisNsec]| times.first().is_some_and(|first| *first < during.end);
        let done = self.seconds.iter().filter(|chunk| overlaps(&chunk.times, &during)).map(Part::Done);
        let sealed = self.sealed.iter().skip(before).filter(|chunk| begun(&chunk.times)).map(Part::Sealed);
        let recent = self.recent.chunk_by(|a, b| a.second() == b.second());
        let over = recent.filter(|rows| begun(rows[0].times()) && Some(rows[0].second()) != newest);
        let parts: Vec<_> = done.chain(sealed).chain(over.map(Part::Recent)).collect();
        parts.into_iter().filter_map(move |part| {
            let block = match part {
                Part::Done(chunk) => chunk.block(&wanted, COLUMNS_PER_METRIC),
                Part::Sealed(chunk) => summarizer.summarise(once(chunk.block(&wanted, 1))),
                Part::Recent(rows) => summarizer.summarise(once(rows::join(rows, &wanted))),
            };
            slice(within(block, &during), COLUMNS_PER_METRIC)
        })
    }
}

enum Piece<'a> {
    Sealed(&'a Arc<Chunk>),
    Recent(&'a Arc<Rows>),
}

impl<'a> Piece<'a> {
    fn times(&self) -> &'a [AxisNsec] {
        match self {
            Self::Sealed(chunk) => &chunk.times,
            Self::Recent(rows) => rows.times(),
        }
    }
}

enum Part<'a> {
    /// Some seconds, summarised when they aged.
    Done(&'a Arc<Chunk>),
    /// The ticks of one second.
    Sealed(&'a Arc<Chunk>),
    /// Likewise.
    Recent(&'a [Arc<Rows>]),
}

fn overlaps(times: &[AxisNsec], during: &Range<AxisNsec>) -> bool {
    times.first().is_some_and(|first| *first < during.end)
        && times.last().is_some_and(|last| *last >= during.start)
}

/// The rows of a block whose times are wanted.
fn within(block: Block, during: &Range<AxisNsec>) -> Block {
    if block.times.iter().all(|at| during.contains(at)) {
        return block;
    }
    let keep: Vec<bool> = block.times.iter().map(|at| during.contains(at)).collect();
    let kept = |values: Values| {
        // One mark a row, column after column.
        values
            .into_iter()
            .zip(keep.iter().cycle())
            .filter_map(|(value, keep)| keep.then_some(value))
            .collect()
    };
    Block {
        times: block.times.into_iter().filter(|at| during.contains(at)).collect(),
        series: block.series.into_iter().map(|(key, values)| (key, kept(values))).collect(),
    }
}

fn slice(block: Block, columns_per_metric: usize) -> Option<Slice> {
    if block.times.is_empty() || block.series.is_empty() {
        return None;
    }
    let metrics = |values: &Values| {
        let columns: Vec<&[Option<i64>]> = block.columns(values).collect();
        let metric = |columns: &[&[Option<i64>]]| {
            let column = |index: usize| columns.get(index).map(|values| values.to_vec()).unwrap_or_default();
            MetricValues { values: column(0), min: column(1), max: column(2) }
        };
        columns.chunks(columns_per_metric).map(metric).collect()
    };
    let series = block.series.iter().map(|(key, values)| SliceSeries { key: *key, metrics: metrics(values) });
    Some(Slice { series: series.collect(), times: block.times })
}
