//! Ticks to seconds: the last value, and the smallest and largest tick within the second.
//!
//! Of a counter the smallest and largest are changes a tick, and of an amount the value is the sum
//! over the second. Invariant: no change is taken across an unknown value, nor where a counter went
//! back. A second in which nothing of that is known has no summary; it is never zero.

use std::collections::HashMap;

use berth::Kind;

use super::{Block, SeriesKey, Values};

/// Values of a metric that become a column each.
pub(super) const COLUMNS_PER_METRIC: usize = 3;

/// One second of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summary {
    value: i64,
    min: i64,
    max: i64,
}

impl Summary {
    fn of(value: i64, ticks: impl Iterator<Item = i64> + Clone) -> Option<Self> {
        Some(Self { value, min: ticks.clone().min()?, max: ticks.max()? })
    }
}

/// Summarises second after second; it remembers the newest values, because a counter's first change
/// in a second starts in the second before.
#[derive(Debug, Default)]
pub(super) struct Summarizer {
    newest: HashMap<SeriesKey, Vec<Option<i64>>>,
}

impl Summarizer {
    /// Goes on after these seconds, whose columns are those of [`seconds`].
    pub(super) fn after(summaries: &Block) -> Self {
        let newest = |columns: &Vec<Values>| {
            columns
                .iter()
                .step_by(COLUMNS_PER_METRIC)
                .map(|values| values.last().copied().flatten())
                .collect()
        };
        Self { newest: summaries.series.iter().map(|(key, columns)| (*key, newest(columns))).collect() }
    }

    /// Summarises the ticks of the next second as a block of one row: for each metric its value,
    /// smallest and largest.
    pub(super) fn second(&mut self, ticks: &Block) -> Block {
        let before = std::mem::take(&mut self.newest);
        let mut series = Vec::with_capacity(ticks.series.len());
        for (key, columns) in &ticks.series {
            let known = before.get(key);
            let mut out = Vec::with_capacity(columns.len() * COLUMNS_PER_METRIC);
            for (index, (metric, values)) in key.group.metrics().iter().zip(columns).enumerate() {
                let before = known.and_then(|known| known.get(index).copied().flatten());
                let summary = summary(metric.kind, before, values);
                out.extend([
                    vec![summary.map(|summary| summary.value)],
                    vec![summary.map(|summary| summary.min)],
                    vec![summary.map(|summary| summary.max)],
                ]);
            }
            series.push((*key, out));
            let newest = columns.iter().map(|values| values.last().copied().flatten()).collect();
            self.newest.insert(*key, newest);
        }
        Block { times: ticks.times.last().copied().into_iter().collect(), series }
    }
}

fn summary(kind: Kind, before: Option<i64>, values: &Values) -> Option<Summary> {
    let known = || values.iter().copied().flatten();
    match kind {
        Kind::Gauge => Summary::of(known().last()?, known()),
        Kind::Amount => Summary::of(known().fold(0, i64::wrapping_add), known()),
        Kind::Counter => {
            let earlier = std::iter::once(before).chain(values.iter().copied());
            let changes = earlier.zip(values).filter_map(|(earlier, later)| {
                later.as_ref()?.checked_sub(earlier?).filter(|change| *change >= 0)
            });
            Summary::of(known().last()?, changes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, before: Option<i64>, values: &[Option<i64>]) -> Option<(i64, i64, i64)> {
        summary(kind, before, &values.to_vec()).map(|summary| (summary.value, summary.min, summary.max))
    }

    #[test]
    fn each_kind_is_summarised_by_its_meaning() {
        let values = [Some(10), Some(30), Some(35)];
        assert_eq!(of(Kind::Gauge, None, &values), Some((35, 10, 35)));
        assert_eq!(of(Kind::Amount, None, &values), Some((75, 10, 35)));
        assert_eq!(of(Kind::Counter, Some(9), &values), Some((35, 1, 20)));
        assert_eq!(of(Kind::Counter, None, &values), Some((35, 5, 20)), "the first change is unknown");
    }

    #[test]
    fn nothing_known_is_no_summary() {
        for kind in [Kind::Gauge, Kind::Amount, Kind::Counter] {
            assert_eq!(of(kind, Some(1), &[None, None]), None);
        }
        assert_eq!(of(Kind::Counter, None, &[Some(5)]), None, "one value is no change");
    }

    #[test]
    fn no_change_is_taken_across_an_unknown_value_or_a_restart() {
        assert_eq!(of(Kind::Counter, Some(0), &[None, Some(50), Some(51)]), Some((51, 1, 1)));
        assert_eq!(of(Kind::Counter, Some(90), &[Some(3), Some(5)]), Some((5, 2, 2)));
    }
}
