//! An episode of a replay as one line of JSON.

use berth::wire;
use serde::Serialize;

use crate::view::{Episode, Estimate, Share, Time, Who, word};

/// What `-o json` promises: an episode as every other command shows it, but for what only an aggregator has.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    id: &'a str,
    victim: Option<&'a Who>,
    #[serde(serialize_with = "word::serialize")]
    verdict: wire::Verdict,
    #[serde(serialize_with = "word::serialize")]
    resource: wire::Resource,
    #[serde(serialize_with = "word::serialize")]
    severity: wire::Severity,
    onset: Option<Time>,
    alarm: Option<Time>,
    verdict_at: Option<Time>,
    /// Null: it was open when the trace ended.
    cleared: Option<Time>,
    slowdown: Option<Estimate>,
    saturated: bool,
    shares: Vec<ShareLine<'a>>,
    #[serde(serialize_with = "word::serialize")]
    confidence: wire::Confidence,
    #[serde(serialize_with = "word::serialize")]
    tier: wire::Tier,
    coverage: f64,
}

#[derive(Debug, Serialize)]
struct ShareLine<'a> {
    #[serde(serialize_with = "word::serialize")]
    cause: wire::Cause,
    /// The culprit; null for other causes.
    who: Option<&'a Who>,
    /// Of the culprit.
    #[serde(serialize_with = "word::serialize_option")]
    role: Option<wire::Role>,
    share: f64,
}

impl<'a> From<&'a Share> for ShareLine<'a> {
    fn from(share: &'a Share) -> Self {
        let who = share.who.as_ref();
        Self { cause: share.cause, who, role: who.map(|who| who.role), share: share.share }
    }
}

impl<'a> From<&'a Episode> for Line<'a> {
    fn from(episode: &'a Episode) -> Self {
        Self {
            id: &episode.id,
            victim: episode.victim.as_ref(),
            verdict: episode.verdict,
            resource: episode.resource,
            severity: episode.severity,
            onset: episode.onset,
            alarm: episode.alarm,
            verdict_at: episode.verdict_at,
            cleared: episode.cleared,
            slowdown: episode.slowdown,
            saturated: episode.saturated,
            shares: episode.shares.iter().map(ShareLine::from).collect(),
            confidence: episode.confidence,
            tier: episode.tier,
            coverage: episode.coverage,
        }
    }
}
