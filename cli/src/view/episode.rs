//! Episodes: one victim, one resource, from onset to clear.

use berth::wire;
use serde::Serialize;

use super::{Time, Who, plain, word};

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The best single value.
    pub estimate: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

impl From<wire::Estimate> for Estimate {
    fn from(wire: wire::Estimate) -> Self {
        Self { estimate: wire.estimate, lo: wire.lo, hi: wire.hi }
    }
}

/// A part of the victim's wait.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// Where it came from.
    #[serde(serialize_with = "word::serialize")]
    pub cause: wire::Cause,
    /// The culprit; null for other causes.
    pub who: Option<Who>,
    /// 0 to 1.
    pub share: f64,
}

impl From<wire::Share> for Share {
    fn from(wire: wire::Share) -> Self {
        Self { cause: wire.cause(), who: wire.who.map(Who::from), share: wire.share }
    }
}

/// A number that a verdict or advice rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// With its unit.
    pub name: String,
    /// In that unit.
    pub value: f64,
}

impl From<wire::Evidence> for Evidence {
    fn from(wire: wire::Evidence) -> Self {
        Self { name: plain(&wire.name), value: wire.value }
    }
}

/// One victim, one resource, from onset to clear; as in the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Episode {
    /// The same after a replay.
    pub id: String,
    /// Grows with every change of any episode.
    pub revision: u64,
    /// Of the aggregator that made the revision.
    pub incarnation: String,
    /// Where it happened.
    pub node: String,
    /// Who suffers; null if the answer left it out.
    pub victim: Option<Who>,
    /// On what.
    #[serde(serialize_with = "word::serialize")]
    pub resource: wire::Resource,
    /// From what.
    #[serde(serialize_with = "word::serialize")]
    pub verdict: wire::Verdict,
    /// How badly.
    #[serde(serialize_with = "word::serialize")]
    pub severity: wire::Severity,
    /// When the wait began.
    pub onset: Option<Time>,
    /// When the change was noticed.
    pub alarm: Option<Time>,
    /// When the effect had held long enough.
    pub verdict_at: Option<Time>,
    /// When it had ended; null while open.
    pub cleared: Option<Time>,
    /// Wall seconds per second of the model's work.
    pub slowdown: Option<Estimate>,
    /// Its queue grows, so its response times have no bound.
    pub saturated: bool,
    /// In milliseconds.
    pub added_wait_msec_per_cpu_sec: f64,
    /// Largest first.
    pub shares: Vec<Share>,
    /// How sure the attribution is.
    #[serde(serialize_with = "word::serialize")]
    pub confidence: wire::Confidence,
    /// What the machine let us see.
    #[serde(serialize_with = "word::serialize")]
    pub tier: wire::Tier,
    /// CPU time of the threads seen over CPU time of the container.
    pub coverage: f64,
    /// The numbers behind the verdict.
    pub evidence: Vec<Evidence>,
}

impl From<wire::Episode> for Episode {
    fn from(wire: wire::Episode) -> Self {
        Self {
            resource: wire.resource(),
            verdict: wire.verdict(),
            severity: wire.severity(),
            confidence: wire.confidence(),
            tier: wire.tier(),
            id: plain(&wire.id),
            revision: wire.revision,
            incarnation: plain(&wire.incarnation),
            node: plain(&wire.node),
            victim: wire.victim.map(Who::from),
            onset: wire.onset.map(Time::from),
            alarm: wire.alarm.map(Time::from),
            verdict_at: wire.verdict_at.map(Time::from),
            cleared: wire.cleared.map(Time::from),
            slowdown: wire.slowdown.map(Estimate::from),
            saturated: wire.saturated,
            added_wait_msec_per_cpu_sec: wire.added_wait_msec_per_cpu_sec,
            shares: wire.shares.into_iter().map(Share::from).collect(),
            coverage: wire.coverage,
            evidence: wire.evidence.into_iter().map(Evidence::from).collect(),
        }
    }
}

impl Episode {
    /// Whether somebody should act: it is open, and its effect held.
    pub fn needs_action(&self) -> bool {
        self.cleared.is_none() && self.severity >= wire::Severity::Contended
    }

    /// The victim's name.
    pub fn victim_name(&self) -> String {
        self.victim.as_ref().map_or_else(|| "?".to_owned(), Who::name)
    }
}
