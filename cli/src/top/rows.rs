//! Subjects, samples and models, joined into one row a container.

use std::collections::HashMap;

use berth::wire;
use serde::Serialize;

use super::meter::Meter;
use crate::view::{Estimate, ModelSummary, Subject, Time, Who, word};

/// A container and what it does now. What is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) node: String,
    pub(super) who: Who,
    pub(super) cpus: Option<f64>,
    /// Part of the CFS periods; null without a limit.
    pub(super) throttled_share: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
    /// Of models, over the last 10 s.
    pub(super) added_wait_msec_per_cpu_sec: Option<f64>,
    /// Of models, over the last 10 s.
    pub(super) slowdown: Option<Estimate>,
    /// Of models.
    #[serde(serialize_with = "word::serialize_option")]
    pub(super) verdict: Option<wire::Verdict>,
    /// Of the model's open episode.
    #[serde(serialize_with = "word::serialize_option")]
    pub(super) severity: Option<wire::Severity>,
}

/// All containers at one time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Table {
    /// Of the newest sample; null while there is none.
    pub(super) time: Option<Time>,
    /// By node, then models before scanners before the rest, then the busiest first.
    pub(super) containers: Vec<Row>,
}

impl Table {
    pub(super) fn new(subjects: &[Subject], meter: &Meter, models: &[ModelSummary]) -> Self {
        // A cgroup path is unique on its node.
        let models: HashMap<(&str, &str), &ModelSummary> = models
            .iter()
            .filter_map(|model| Some(((model.node.as_str(), model.who.as_ref()?.cgroup.as_str()), model)))
            .collect();
        let mut containers: Vec<Row> = subjects
            .iter()
            .map(|subject| {
                let model = models.get(&(subject.node.as_str(), subject.who.cgroup.as_str())).copied();
                row(subject, meter, model)
            })
            .collect();
        containers.sort_by(|a, b| {
            let place = |row: &Row| (row.node.clone(), row.who.role);
            let busy = |row: &Row| row.cpus.unwrap_or(0.0);
            place(a).cmp(&place(b)).then(busy(b).total_cmp(&busy(a)))
        });
        Self { time: meter.newest_unix_nsec().map(Time::from_unix_nsec), containers }
    }
}

fn row(subject: &Subject, meter: &Meter, model: Option<&ModelSummary>) -> Row {
    let slowdown = model.and_then(|model| model.slowdown);
    Row {
        node: subject.node.clone(),
        who: subject.who.clone(),
        cpus: meter.cpus(&subject.id),
        throttled_share: meter.throttled_share(&subject.id),
        memory_bytes: meter.memory_bytes(&subject.id),
        // What exceeds a second of work is the wait that was added to it.
        added_wait_msec_per_cpu_sec: slowdown.map(|slowdown| (slowdown.estimate - 1.0).max(0.0) * 1e3),
        slowdown,
        verdict: model.map(|model| model.verdict),
        severity: model.and_then(|model| model.severity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    fn subject(node: &str, pod: &str, role: wire::Role) -> Subject {
        let wire = wire::Subject {
            id: pod.to_owned(),
            node: node.to_owned(),
            who: Some(sample::who(pod, role)),
            ..wire::Subject::default()
        };
        Subject::from_wire(wire).unwrap()
    }

    #[test]
    fn a_model_has_its_slowdown_and_its_wait_and_others_have_none() {
        let subjects = [
            subject("node-1", "scanner-a", wire::Role::Scanner),
            subject("node-1", "ref-models-x1", wire::Role::Model),
        ];
        let table = Table::new(&subjects, &Meter::default(), &[ModelSummary::from(sample::model())]);
        let [model, scanner] = &table.containers[..] else { panic!("two rows") };
        assert_eq!(model.who.pod, "ref-models-x1", "models come first");
        assert!((model.added_wait_msec_per_cpu_sec.unwrap() - 840.0).abs() < 1e-6);
        assert_eq!((scanner.slowdown, scanner.verdict, scanner.cpus), (None, None, None));
    }
}
