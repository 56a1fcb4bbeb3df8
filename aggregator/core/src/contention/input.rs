//! All that a detector ever takes, as one value: what is recorded, and replayed.

use crate::{
    frame::{Frame, Late},
    time::AxisNsec,
};

/// Something that a [`super::Detector`] takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The next tick.
    Frame(Frame),
    /// Late news of an earlier one.
    Late(Late),
    /// What has changed, by this time?
    Step(AxisNsec),
    /// The agent has started over.
    Reset(AxisNsec),
}
