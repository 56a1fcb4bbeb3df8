//! How each model fares now.

use berth::wire;
use serde::Serialize;

use super::{Estimate, Share, Who, plain, word};

/// One model, hurt or not; as in the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSummary {
    /// Where it runs.
    pub node: String,
    /// The model; null if the answer left it out.
    pub who: Option<Who>,
    /// `nobody` where no episode is open.
    #[serde(serialize_with = "word::serialize")]
    pub verdict: wire::Verdict,
    /// Of the open episode; null without one.
    #[serde(serialize_with = "word::serialize_option")]
    pub severity: Option<wire::Severity>,
    /// Over the last 10 s; null while nothing was seen.
    pub slowdown: Option<Estimate>,
    /// The open episode; empty without one.
    pub episode_id: String,
    /// Of the wait over the last 10 s.
    pub shares: Vec<Share>,
    /// What the machine let us see.
    #[serde(serialize_with = "word::serialize")]
    pub tier: wire::Tier,
    /// CPU time of the threads seen over CPU time of the container.
    pub coverage: f64,
    /// CPUs in use, over the last 10 s.
    pub cpus: f64,
}

impl From<wire::ModelSummary> for ModelSummary {
    fn from(wire: wire::ModelSummary) -> Self {
        Self {
            verdict: wire.verdict(),
            severity: Some(wire.severity()).filter(|severity| *severity != wire::Severity::Unspecified),
            tier: wire.tier(),
            node: plain(&wire.node),
            who: wire.who.map(Who::from),
            slowdown: wire.slowdown.map(Estimate::from),
            episode_id: plain(&wire.episode_id),
            shares: wire.shares.into_iter().map(Share::from).collect(),
            coverage: wire.coverage,
            cpus: wire.cpus,
        }
    }
}

impl ModelSummary {
    /// The model's name.
    pub fn name(&self) -> String {
        self.who.as_ref().map_or_else(|| "?".to_owned(), Who::name)
    }
}
