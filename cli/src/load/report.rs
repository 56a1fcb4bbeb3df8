//! A run and its figures.

use std::collections::BTreeMap;

use berth_loadgen::{Ended, ErrorClass, Model, Outcome, SpecDraft, Summary};
use serde::Serialize;

use super::objective::{Judged, Objective};

/// What `-o json` carries.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) target: String,
    /// Of an open run; null for a closed one.
    pub(super) rate_per_sec: Option<f64>,
    /// Of a closed run; null for an open one.
    pub(super) in_flight: Option<u32>,
    pub(super) duration_sec: f64,
    pub(super) connections: u32,
    pub(super) ended: Ended,
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// In the order in which they were asked for.
    pub(super) objectives: Vec<Judged>,
    /// The first error of each class, in words.
    pub(super) examples: BTreeMap<ErrorClass, String>,
}

impl Report {
    pub(super) fn new<'a>(
        draft: SpecDraft,
        outcome: Outcome,
        objectives: impl Iterator<Item = &'a Objective>,
    ) -> Self {
        let summary = Summary::of(&outcome.totals);
        let (rate_per_sec, in_flight) = match draft.model {
            Model::Open { rate_per_sec } => (Some(rate_per_sec), None),
            Model::Closed { in_flight } => (None, Some(in_flight)),
        };
        Self {
            target: draft.target_url,
            rate_per_sec,
            in_flight,
            duration_sec: draft.duration.as_secs_f64(),
            connections: draft.connections,
            ended: outcome.ended,
            objectives: objectives.map(|objective| objective.judge(&summary)).collect(),
            summary,
            examples: outcome.examples,
        }
    }
}
