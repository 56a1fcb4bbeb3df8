//! Samples this node at high frequency and streams it.

pub mod clock;
pub mod cpus;
pub mod discovery;
pub mod fold;
pub mod host;
pub mod identity;
