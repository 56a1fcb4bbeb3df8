//! All that a detector ever takes, as one value: what is recorded, and replayed.

use crate::{
    frame::{ContainerUse, Frame, GpuUse, GpuUser, Late},
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
    /// What comes does not go on from what came: the agent has started over, or some of what it sent is
    /// lost.
    Reset(AxisNsec),
}

impl Input {
    /// Its memory, but for what is shared: names, and lists of CPUs.
    pub fn bytes(&self) -> usize {
        let inside = match self {
            Self::Frame(frame) => {
                let users: usize = frame.gpus.iter().map(|gpu| gpu.users.len()).sum();
                frame.containers.len() * size_of::<ContainerUse>()
                    + frame.gpus.len() * size_of::<GpuUse>()
                    + users * size_of::<GpuUser>()
            }
            Self::Late(_) | Self::Step(_) | Self::Reset(_) => 0,
        };
        size_of::<Self>() + inside
    }
}
