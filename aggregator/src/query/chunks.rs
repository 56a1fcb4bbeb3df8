//! Samples in pieces that fit in a message.

use std::collections::BTreeSet;

use berth::{Group, NodeName, limits, wire};
use berth_core::{
    history::{MetricValues, SeriesKey, Slice, SubjectId},
    node::NodeView,
};
use prost::Message as _;

use super::filter::{SubjectFilter, subject_id};

/// Bytes of series in a chunk: half a message, so that the series that passes it still fits.
const CHUNK_BYTES: usize = limits::MESSAGE_BYTES / 2;

/// Which series of one node are wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    subjects: BTreeSet<SubjectId>,
    groups: Vec<Group>,
}

impl Wanted {
    /// Those of the subjects that match, as they are now.
    pub(super) fn of(view: &NodeView, filter: &SubjectFilter, groups: &[Group]) -> Self {
        let matching = view.subjects.iter().filter(|subject| filter.matches(subject));
        Self { subjects: matching.map(|subject| subject.id).collect(), groups: groups.to_vec() }
    }

    /// This one is.
    pub(super) fn holds(&self, key: SeriesKey) -> bool {
        self.groups.contains(&key.group) && self.subjects.contains(&key.subject)
    }
}

/// A slice of a node's history, as chunks.
pub(super) fn chunks(node: &NodeName, slice: &Slice) -> Vec<wire::SampleChunk> {
    let nsec = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    let times: Vec<i64> = slice.times.iter().map(|at| nsec(at.0)).collect();
    let mut out = Vec::new();
    let mut series = Vec::new();
    let mut bytes = 0;
    let mut flush = |series: Vec<wire::SampleSeries>| {
        if !series.is_empty() {
            out.push(wire::SampleChunk { node: node.to_string(), times_unix_nsec: times.clone(), series });
        }
    };
    for one in &slice.series {
        for (metric, values) in (0_u32..).zip(&one.metrics) {
            let Some(next) = sample_series(node, one.key, metric, values) else { continue };
            bytes += next.encoded_len();
            series.push(next);
            if bytes > CHUNK_BYTES {
                flush(std::mem::take(&mut series));
                bytes = 0;
            }
        }
    }
    flush(series);
    out
}

/// `None`: nothing of it is known at these times.
fn sample_series(
    node: &NodeName,
    key: SeriesKey,
    metric: u32,
    values: &MetricValues,
) -> Option<wire::SampleSeries> {
    if values.values.iter().all(Option::is_none) {
        return None;
    }
    let numbers = |values: &[Option<i64>]| values.iter().map(|value| value.unwrap_or(0)).collect();
    let absent = (0_u32..).zip(&values.values).filter(|(_, value)| value.is_none());
    Some(wire::SampleSeries {
        subject_id: subject_id(node, key.subject),
        group: key.group.to_wire().into(),
        metric,
        values: numbers(&values.values),
        absent: absent.map(|(at, _)| at).collect(),
        min: numbers(&values.min),
        max: numbers(&values.max),
    })
}

#[cfg(test)]
mod tests {
    use berth_core::{history::SliceSeries, time::AxisNsec};

    use super::*;

    fn slice(series: u32, ticks: u64) -> Slice {
        let values: Vec<Option<i64>> = (0..ticks).map(|tick| (tick != 1).then_some(i64::MAX)).collect();
        let metric = MetricValues { values, min: Vec::new(), max: Vec::new() };
        let key = |id| SeriesKey { subject: SubjectId(id), group: Group::ContainerCpu };
        Slice {
            times: (0..ticks).map(AxisNsec).collect(),
            series: (0..series)
                .map(|id| SliceSeries { key: key(id), metrics: vec![metric.clone()] })
                .collect(),
        }
    }

    #[test]
    fn what_is_unknown_is_named_and_nothing_is_lost_between_chunks() {
        let node = NodeName::new("node-1").unwrap();
        let chunks = chunks(&node, &slice(3_000, 10));
        assert!(chunks.len() > 1);
        assert!(chunks.iter().all(|chunk| chunk.encoded_len() < limits::MESSAGE_BYTES));
        let ids: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.series).map(|one| &one.subject_id).collect();
        assert_eq!((ids.len(), ids[2_999].as_str()), (3_000, "node-1:2999"));
        assert_eq!(chunks[0].series[0].absent, [1]);
    }

    #[test]
    fn a_batch_of_the_most_ticks_still_fits() {
        let node = NodeName::new("n".repeat(253)).unwrap();
        let ticks = u64::try_from(limits::BATCH_TICKS).unwrap();
        for chunk in chunks(&node, &slice(100, ticks)) {
            assert!(chunk.encoded_len() < limits::MESSAGE_BYTES, "{}", chunk.encoded_len());
        }
    }
}
