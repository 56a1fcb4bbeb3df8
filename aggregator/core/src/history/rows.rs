//! The newest ticks, unpacked, because late news may still change them.
//!
//! Invariant: the rows of one piece lie within one second of the axis. What is never corrected is
//! shared, so that changing a piece which a reader holds copies the few amounts only.

use std::{sync::Arc, time::Duration};

use berth::Kind;

use super::{Block, SeriesKey, Values};
use crate::time::AxisNsec;

const SECOND: Duration = Duration::from_secs(1);

/// One series' columns over some ticks, metric by metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Whose.
    pub key: SeriesKey,
    /// For each metric of the group, one value a tick.
    pub metrics: Vec<Values>,
}

/// Some consecutive ticks of a node.
#[derive(Debug, Clone)]
pub struct Rows {
    first_tick: u64,
    times: Vec<AxisNsec>,
    settled: Arc<[Column]>,
    amounts: Vec<Column>,
}

impl Rows {
    /// The ticks of one batch; `columns` in any order, each with one value a time.
    pub fn new(first_tick: u64, times: Vec<AxisNsec>, mut columns: Vec<Column>) -> Self {
        columns.sort_by_key(|column| column.key);
        let (amounts, settled): (Vec<_>, Vec<_>) = columns.into_iter().partition(is_amount);
        Self { first_tick, times, settled: settled.into(), amounts }
    }

    /// The same ticks, cut where a second of the axis ends.
    pub(super) fn by_second(self) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = 0;
        while let Some(&first) = self.times.get(start) {
            let count = self.times.iter().skip(start).take_while(|at| second(**at) == second(first)).count();
            if count == self.times.len() {
                return vec![self];
            }
            parts.push(self.part(start, start + count));
            start += count;
        }
        parts
    }

    fn part(&self, from: usize, to: usize) -> Self {
        let cut = |column: &Column| Column {
            key: column.key,
            metrics: column.metrics.iter().map(|values| values[from..to].to_vec()).collect(),
        };
        Self {
            first_tick: self.first_tick.saturating_add(u64::try_from(from).unwrap_or(u64::MAX)),
            times: self.times[from..to].to_vec(),
            settled: self.settled.iter().map(cut).collect(),
            amounts: self.amounts.iter().map(cut).collect(),
        }
    }

    /// When its ticks were read; at least one.
    pub(super) fn times(&self) -> &[AxisNsec] {
        &self.times
    }

    /// The second of the axis in which all its ticks lie.
    pub(super) fn second(&self) -> u64 {
        self.times.first().map_or(0, |&at| second(at))
    }

    /// Every column, by rising key.
    pub(super) fn columns(&self) -> impl Iterator<Item = &Column> {
        let mut settled = self.settled.iter().peekable();
        let mut amounts = self.amounts.iter().peekable();
        std::iter::from_fn(move || match (settled.peek(), amounts.peek()) {
            (Some(left), Some(right)) if left.key < right.key => settled.next(),
            (_, Some(_)) => amounts.next(),
            (_, None) => settled.next(),
        })
    }

    /// Adds late news: for each metric one amount a tick, from `first_tick` on. What is unknown
    /// stays so. `true`: some of its ticks are here.
    pub(super) fn correct(rows: &mut Arc<Self>, key: SeriesKey, first_tick: u64, add: &[Vec<i64>]) -> bool {
        let ticks = add.first().map_or(0, Vec::len);
        let end = first_tick.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX));
        let until = rows.first_tick.saturating_add(u64::try_from(rows.times.len()).unwrap_or(u64::MAX));
        if end <= rows.first_tick || until <= first_tick {
            return false;
        }
        let Ok(position) = rows.amounts.binary_search_by_key(&key, |column| column.key) else {
            return false;
        };
        let skip = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let (theirs, ours) = (skip(first_tick, rows.first_tick), skip(rows.first_tick, first_tick));
        let column = &mut Arc::make_mut(rows).amounts[position];
        for (values, add) in column.metrics.iter_mut().zip(add) {
            let due = values.iter_mut().skip(ours).zip(add.iter().skip(theirs));
            for (value, add) in due {
                *value = value.map(|value| value.wrapping_add(*add));
            }
        }
        true
    }

    /// Columns of all its series.
    pub(super) fn width(&self) -> usize {
        self.columns().map(|column| column.metrics.len()).sum()
    }

    pub(super) fn has_series_of(&self, other: &Self) -> bool {
        self.columns().map(|column| column.key).eq(other.columns().map(|column| column.key))
    }

    /// Values that it holds, unknown ones included.
    pub(super) fn value_count(&self) -> u64 {
        u64::try_from(self.width() * self.times.len()).unwrap_or(u64::MAX)
    }

    /// About what it keeps in memory.
    pub(super) fn heap_bytes(&self) -> usize {
        let values = size_of::<Values>() + self.times.len() * size_of::<Option<i64>>();
        self.columns().map(|column| size_of::<Column>() + column.metrics.len() * values).sum()
    }
}

fn is_amount(column: &Column) -> bool {
    column.key.group.metrics().iter().all(|metric| metric.kind == Kind::Amount)
}

fn second(at: AxisNsec) -> u64 {
    u64::try_from(u128::from(at.0) / SECOND.as_nanos()).unwrap_or(u64::MAX)
}

/// Pieces in the order of time as one block; where a series is not in a piece, it is unknown.
pub(super) fn join(pieces: &[Arc<Rows>], wanted: &dyn Fn(SeriesKey) -> bool) -> Block {
    let times: Vec<AxisNsec> = pieces.iter().flat_map(|piece| &piece.times).copied().collect();
    let mut series: Vec<(SeriesKey, Values)> = Vec::new();
    let mut before = 0;
    for piece in pieces {
        let mut position = 0;
        for column in piece.columns().filter(|column| wanted(column.key)) {
            // Nearly always the next piece has the same series in the same order.
            if series.get(position).is_none_or(|(key, _)| *key != column.key) {
                position = series.binary_search_by_key(&column.key, |(key, _)| *key).unwrap_or_else(|at| {
                    series.insert(at, (column.key, vec![None; column.metrics.len() * times.len()]));
                    at
                });
            }
            for (metric, values) in column.metrics.iter().enumerate() {
                let start = metric * times.len() + before;
                series[position].1[start..start + values.len()].copy_from_slice(values);
            }
            position += 1;
        }
        before += piece.times.len();
    }
    Block { times, series }
}
