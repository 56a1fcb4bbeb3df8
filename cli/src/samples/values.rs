//! Chunks of samples as single values with the names of what they are of.

use std::collections::HashMap;
use std::time::Duration;

use berth::{Group, wire};
use serde::Serialize;
use tokio::time::Instant;
use tonic::Status;

use crate::connect::Server;
use crate::text::NONE;
use crate::view::{Time, Who, plain};

/// Above the lines.
pub(super) const HEADER: &str = "TIME   NODE   CONTAINER   METRIC   VALUE   MIN   MAX\n";

/// Some strangers stay strangers, such as those that ended: asking again this often is enough.
const STRANGERS_PERIOD: Duration = Duration::from_secs(1);

/// Who has which id. None for the node itself and for GPUs.
#[derive(Debug, Default)]
pub(super) struct Names {
    who: HashMap<String, Option<Who>>,
    asked: Option<Instant>,
}

impl Names {
    /// Asks for all of them anew.
    pub(super) async fn learn(
        &mut self,
        server: &Server,
        filter: &wire::SubjectFilter,
    ) -> Result<(), Status> {
        let request = wire::ListSubjectsRequest { filter: Some(filter.clone()) };
        let subjects = server.samples().list_subjects(request).await?.into_inner().subjects;
        self.asked = Some(Instant::now());
        self.who = subjects.into_iter().map(|subject| (subject.id, subject.who.map(Who::from))).collect();
        Ok(())
    }

    /// Whether the chunk speaks of somebody who may have come since.
    pub(super) fn is_missing(&self, chunk: &wire::SampleChunk) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= STRANGERS_PERIOD)
            && chunk.series.iter().any(|series| !self.who.contains_key(&series.subject_id))
    }
}

/// One value of one metric.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Sample<'a> {
    time: Time,
    node: String,
    /// Null for the node itself and for GPUs.
    who: Option<&'a Who>,
    subject_id: &'a str,
    metric: &'static str,
    /// Null where it is unknown.
    value: Option<i64>,
    /// Of the second, where values are a second apart.
    min: Option<i64>,
    max: Option<i64>,
}

impl Sample<'_> {
    pub(super) fn line(&self) -> String {
        let number = |value: Option<i64>| value.map_or_else(|| NONE.to_owned(), |value| value.to_string());
        let who = self.who.map_or_else(|| NONE.to_owned(), Who::name);
        let (value, min, max) = (number(self.value), number(self.min), number(self.max));
        format!("{}   {}   {who}   {}   {value}   {min}   {max}\n", self.time, self.node, self.metric)
    }
}

/// By series, then by time. Metrics that this program does not know yet are left out.
pub(super) fn of<'a>(chunk: &'a wire::SampleChunk, names: &'a Names) -> Vec<Sample<'a>> {
    chunk.series.iter().flat_map(|series| of_series(chunk, series, names)).collect()
}

fn of_series<'a>(
    chunk: &'a wire::SampleChunk,
    series: &'a wire::SampleSeries,
    names: &'a Names,
) -> impl Iterator<Item = Sample<'a>> {
    let position = usize::try_from(series.metric).ok();
    let metric = Group::try_from(series.group).ok().and_then(|group| group.metrics().get(position?));
    let times = chunk.times_unix_nsec.iter().zip(&series.values).enumerate();
    metric.into_iter().flat_map(move |metric| {
        times.clone().map(move |(index, (unix_nsec, value))| Sample {
            time: Time::from_unix_nsec(*unix_nsec),
            node: plain(&chunk.node),
            who: names.who.get(&series.subject_id).and_then(Option::as_ref),
            subject_id: &series.subject_id,
            metric: metric.name,
            value: (!series.absent.iter().any(|absent| usize::try_from(*absent) == Ok(index)))
                .then_some(*value),
            min: series.min.get(index).copied(),
            max: series.max.get(index).copied(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn a_value_is_a_line_with_its_name_and_an_unknown_one_is_a_dash() {
        let who = Who::from(sample::who("ref-models-x1", wire::Role::Model));
        let names = Names { who: HashMap::from([("1".to_owned(), Some(who))]), asked: None };
        let series = |subject: &str, metric| wire::SampleSeries {
            subject_id: subject.to_owned(),
            group: wire::Group::ContainerThrottling.into(),
            metric,
            values: vec![7, 0],
            absent: vec![1],
            ..wire::SampleSeries::default()
        };
        let chunk = wire::SampleChunk {
            node: "node-1".to_owned(),
            times_unix_nsec: vec![1_760_000_000_000_000_000, 1_760_000_001_000_000_000],
            series: vec![series("1", 1), series("2", 2), series("1", 99)],
        };
        let lines: String = of(&chunk, &names).iter().map(Sample::line).collect();
        insta::assert_snapshot!(lines);
        assert!(names.is_missing(&chunk), "nobody named 2");
    }
}
