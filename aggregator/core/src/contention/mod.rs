//! Who hurts a model, how much, on what, or nobody.

mod episode;

pub use episode::{
    Cause, Confidence, Episode, EpisodeId, Estimate, Evidence, ModelState, Resource, Severity, Share, Tier,
    Verdict,
};
