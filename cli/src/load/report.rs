//! A run and its figures, as programs read them: docs/schema/load.json has every field.

use std::collections::BTreeMap;

use berth_loadgen::{
    Check, Ended, ErrorClass, Errors, Latencies, Model, Outcome, Quantiles, Spacing, SpecDraft, Summary,
    Verdict,
};
use serde::Serialize;

use super::objective::{Judged, Objective};

/// What `-o json` carries.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) target: String,
    /// Of an open run, as it was asked for; null for a closed one.
    pub(super) rate: Option<String>,
    /// Of random arrivals.
    pub(super) poisson_seed: Option<u64>,
    /// Of a closed run; null for an open one.
    pub(super) in_flight: Option<u32>,
    pub(super) connections: u32,
    pub(super) check: &'static str,
    pub(super) ended: Ended,
    /// How long requests were sent.
    pub(super) duration_seconds: f64,
    /// Became due.
    pub(super) scheduled: u64,
    pub(super) sent: u64,
    /// Answered, with success.
    pub(super) completed: u64,
    /// Never sent.
    pub(super) dropped: u64,
    /// Without an answer at the end.
    pub(super) censored: u64,
    pub(super) errors: Errors,
    /// Whole answers by their HTTP status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// In the bodies of whole answers.
    pub(super) received_bytes: u64,
    /// Requests that went out a second.
    pub(super) achieved_rps: f64,
    /// Successes a second.
    pub(super) throughput_rps: f64,
    /// From when a request was due to its last byte.
    pub(super) response_usec: Quantiles,
    /// From when it was sent to its last byte.
    pub(super) service_usec: Quantiles,
    /// From when it was sent to its first byte.
    pub(super) first_byte_usec: Quantiles,
    /// From when it was due to when it was sent.
    pub(super) send_lag_usec: Quantiles,
    /// From when it was due to when the generator was there to send it.
    pub(super) pacing_lag_usec: Quantiles,
    /// Of connections that were opened.
    pub(super) connect_usec: Quantiles,
    /// How long requests without an answer had been due at the end.
    pub(super) censored_age_usec: Quantiles,
    /// Part of the time in which the generator's thread ran.
    pub(super) cpu_share: f64,
    pub(super) verdict: Word,
    /// Why these are not the target's figures; null where they are.
    pub(super) reason: Option<String>,
    /// In the order in which they were asked for.
    pub(super) objectives: Vec<Judged>,
    /// The first error of each class, in words.
    pub(super) examples: BTreeMap<ErrorClass, String>,
    /// What text is drawn from.
    #[serde(skip)]
    pub(super) response: Latencies,
}

/// Whose figures these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// The target's.
    Ok,
    /// The generator's: it could not keep up.
    GeneratorLimited,
    /// Nobody's: nothing succeeded.
    Invalid,
}

impl Report {
    pub(super) fn new<'a>(
        draft: SpecDraft,
        outcome: Outcome,
        objectives: impl Iterator<Item = &'a Objective>,
    ) -> Self {
        let summary = Summary::of(&outcome.totals);
        let (rate, poisson_seed, in_flight) = match draft.model {
            Model::Open { rate, spacing: Spacing::Even } => (Some(rate.to_string()), None, None),
            Model::Open { rate, spacing: Spacing::Poisson { seed } } => {
                (Some(rate.to_string()), Some(seed), None)
            }
            Model::Closed { in_flight } => (None, None, Some(in_flight)),
        };
        let (verdict, reason) = match &summary.generator {
            // Latencies of nothing are no figures, whoever kept what from succeeding.
            _ if summary.counts.completed == 0 => (Word::Invalid, Some("no request succeeded".to_owned())),
            Verdict::GeneratorLimited { reason } => (Word::GeneratorLimited, Some(reason.to_string())),
            Verdict::Ok => (Word::Ok, None),
        };
        let (tally, counts) = (outcome.totals.tally(), summary.counts);
        Self {
            target: draft.target_url,
            rate,
            poisson_seed,
            in_flight,
            connections: draft.connections,
            check: match draft.check {
                Check::PredictApi => "predict",
                Check::Status => "status",
            },
            ended: outcome.ended,
            duration_seconds: summary.load_sec,
            scheduled: counts.scheduled,
            sent: counts.sent,
            completed: counts.completed,
            dropped: counts.dropped,
            censored: counts.censored,
            errors: counts.errors,
            statuses: tally.statuses,
            received_bytes: tally.received_bytes,
            achieved_rps: summary.sent_per_sec,
            throughput_rps: summary.throughput_per_sec,
            response_usec: summary.response,
            service_usec: summary.service,
            first_byte_usec: summary.first_byte,
            send_lag_usec: summary.send_lag,
            pacing_lag_usec: summary.pacing_lag,
            connect_usec: summary.connect,
            censored_age_usec: Quantiles::of(&outcome.censored_age),
            cpu_share: summary.cpu_share,
            verdict,
            reason,
            objectives: objectives.map(|objective| objective.judge(&summary)).collect(),
            examples: outcome.examples,
            response: tally.response,
        }
    }
}
