//! Who hurts a model, how much, on what, or nobody.
//!
//! [`Detector`] is the whole of it: `step` lays frames together, `decompose` splits each wait by who held
//! the CPUs (`rivals` says who that can be, `presence` for how long each was there), `concurrency` tells
//! the model's own load from it, `cusum` raises the alarm, `severity` says whether it is felt, `account`
//! adds up what was felt, `slowdown` and `verdict` say what it means, `track` keeps the episode of one
//! model and resource. `window` is the second that a reading of pressure files speaks of; in it `stall`
//! does for memory and I/O what `decompose` does for CPU time, `gpu` for time on a GPU, and `pressure`
//! for CPU time where few threads can be read. All that it takes is an [`Input`], so that it can be
//! recorded and [`Replay`]ed; a [`Part`] can be left out, to show what it gains.

mod account;
mod concurrency;
mod cusum;
mod decompose;
mod detector;
mod episode;
#[cfg(test)]
mod fixtures;
mod gpu;
mod history;
mod input;
mod part;
mod presence;
mod pressure;
mod replay;
mod rivals;
mod severity;
mod slowdown;
mod stall;
mod step;
mod track;
mod verdict;
mod victim;
mod window;

pub use detector::Detector;
pub use episode::{
    Cause, Confidence, Episode, EpisodeId, Estimate, Evidence, ModelState, Resource, Severity, Share, Tier,
    Verdict,
};
pub use input::Input;
pub use part::Part;
pub use replay::Replay;
