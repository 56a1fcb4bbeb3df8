//! Ticks to seconds: the last value, and the smallest and largest tick within the second.
//!
//! Of a counter the smallest and largest are changes a tick, and of an amount the value is the sum
//! over the second. Invariant: no change is taken across an unknown value, nor where a counter went
//! back. A second in which nothing of that is known has no summary; it is never zero.

use berth::Kind;

use super::{Block, Values};

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

/// Summarises second after second; it remembers the one before, in which a counter's first change
/// starts.
#[derive(Debug, Default)]
pub(super) struct Summarizer {
    before: Block,
}

impl Summarizer {
    /// Goes on after these summaries.
    pub(super) fn after(summaries: &Block) -> Self {
        let newest = |values: &Values| {
            let columns = summaries.columns(values).step_by(COLUMNS_PER_METRIC);
            columns.map(|values| values.last().copied().flatten()).collect()
        };
        let series = summaries.series.iter().map(|(key, values)| (*key, newest(values))).collect();
        Self { before: Block { times: summaries.times.last().copied().into_iter().collect(), series } }
    }

    /// Summarises seconds, each the ticks of one: a block of one row a second, in which each metric
    /// has its value, smallest and largest.
    pub(super) fn summarise(&mut self, seconds: impl ExactSizeIterator<Item = Block>) -> Block {
        let rows = seconds.len();
        let mut out = Block::default();
        for (row, ticks) in seconds.enumerate() {
            out.times.extend(ticks.times.last());
            let mut position = 0;
            for (key, values) in &ticks.series {
                let metrics = key.group.metrics();
                if out.series.get(position).is_none_or(|(known, _)| known != key) {
                    position = out.series.binary_search_by_key(key, |(key, _)| *key).unwrap_or_else(|at| {
                        let unknown = vec![None; metrics.len() * COLUMNS_PER_METRIC * rows];
                        out.series.insert(at, (*key, unknown));
                        at
                    });
                }
                let before = self.before.values(*key);
                for (metric, (of, values)) in metrics.iter().zip(ticks.columns(values)).enumerate() {
                    let before = before.and_then(|before| self.before.columns(before).nth(metric));
                    let before = before.and_then(|before| before.last().copied().flatten());
                    let Some(Summary { value, min, max }) = summary(of.kind, before, values) else {
                        continue;
                    };
                    for (column, value) in (metric * COLUMNS_PER_METRIC..).zip([value, min, max]) {
                        out.series[position].1[column * rows + row] = Some(value);
                    }
                }
                position += 1;
            }
            self.before = ticks;
        }
        out
    }
}

fn summary(kind: Kind, before: Option<i64>, values: &[Option<i64>]) -> Option<Summary> {
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
        summary(kind, before, values).map(|summary| (summary.value, summary.min, summary.max))
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
