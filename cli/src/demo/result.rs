//! What the demonstration found: the one object of `-o json`.

use berth_loadgen::Ratio;
use serde::Serialize;

use crate::{
    exit::Exit,
    view::{
        Action, Estimate, Share,
        word::{self, Word as _},
    },
};
use berth::wire::{Cause, Resource, Verdict};

/// Everything, in the order in which it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// The model alone.
    pub(super) baseline: Baseline,
    /// One entry a model, hurt or not.
    pub(super) contention: Vec<Contention>,
    /// What Berth advises.
    pub(super) advice: Vec<AdviceGiven>,
    /// After the move against before it.
    pub(super) verification: Verification,
}

/// The model alone, at the steady rate.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Baseline {
    /// Successes a second.
    pub(super) rps: f64,
    /// From the real send to the last byte.
    pub(super) service_mean_usec: f64,
    /// From the intended send to the last byte.
    pub(super) response_p99_usec: u64,
}

/// What Berth says of a model, beside what the load generator saw.
#[derive(Debug, Serialize)]
pub(super) struct Contention {
    /// As `namespace/pod`.
    pub(super) victim: String,
    /// From what.
    #[serde(serialize_with = "word::serialize")]
    pub(super) verdict: Verdict,
    /// On what.
    #[serde(serialize_with = "word::serialize")]
    pub(super) resource: Resource,
    /// Berth's estimate, from the node alone.
    pub(super) slowdown: Option<Estimate>,
    /// Mean service time with the scanner to that without, from the load generator alone.
    pub(super) measured_slowdown: f64,
    /// Largest first.
    pub(super) shares: Vec<Blame>,
}

/// A part of the wait.
#[derive(Debug, Serialize)]
pub(super) struct Blame {
    /// The culprit's name, or the cause.
    pub(super) who: String,
    /// Of a culprit; null for other causes.
    pub(super) role: Option<String>,
    /// 0 to 1.
    pub(super) share: f64,
}

impl From<&Share> for Blame {
    fn from(share: &Share) -> Self {
        let who = match (share.cause, &share.who) {
            (Cause::Culprit, Some(who)) => who.name(),
            (cause, _) => cause.word(),
        };
        Self { who, role: share.who.as_ref().map(|who| who.role.word()), share: share.share }
    }
}

/// A piece of advice.
#[derive(Debug, Serialize)]
pub(super) struct AdviceGiven {
    /// The same while the advice is the same.
    pub(super) id: String,
    /// BA101 and so on.
    pub(super) code: String,
    /// In one line.
    pub(super) title: String,
    /// In the order in which to take them.
    pub(super) actions: Vec<Action>,
}

/// Whether the move helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// Throughput is higher and p99 lower, each by its whole interval.
    Improved,
    /// One of them is not.
    NotImproved,
    /// No scanner ran, so there was nothing to move.
    NothingToMove,
    /// A scanner ran, and no advice said to move it.
    NotAdvised,
    /// There is but one CPU, so there is nowhere to move to.
    NowhereToMove,
}

impl Change {
    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::NotImproved => "not improved",
            Self::NothingToMove => "nothing to move",
            Self::NotAdvised => "not advised",
            Self::NowhereToMove => "nowhere to move",
        }
    }
}

/// After the move against before it, each ratio after / before.
#[derive(Debug, Serialize)]
pub(super) struct Verification {
    /// Closed loop.
    pub(super) throughput_ratio: Option<Ratio>,
    /// At the steady rate.
    pub(super) p99_ratio: Option<Ratio>,
    /// At the steady rate.
    pub(super) service_mean_ratio: Option<Ratio>,
    /// At the steady rate, after the move; null without one.
    pub(super) service_mean_usec: Option<f64>,
    /// Whether it helped.
    pub(super) verdict: Change,
    /// Why runs were measured again, each time that one was.
    pub(super) repeated: Vec<String>,
    /// `ok`, or why the generator was the limit in a run that nothing came after.
    pub(super) generator: String,
}

/// The generator's word when it kept its schedule in every run.
pub(super) const GENERATOR_OK: &str = "ok";

impl Outcome {
    /// Why the figures are the generator's and not the model's; `None` when they are good.
    pub(super) fn generator_limit(&self) -> Option<&str> {
        Some(self.verification.generator.as_str()).filter(|&word| word != GENERATOR_OK)
    }

    /// Found when the move was made and did not help, or was not advised where it should be.
    pub(super) fn exit(&self) -> Exit {
        match self.verification.verdict {
            Change::NotImproved | Change::NotAdvised => Exit::Found,
            Change::Improved | Change::NothingToMove | Change::NowhereToMove => Exit::Done,
        }
    }
}
