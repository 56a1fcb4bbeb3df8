//! The pure half of the aggregator: what the samples mean.
//!
//! Time comes in as a value on the aggregator's one axis ([`time::AxisNsec`]), so a recorded input
//! replays to the same answer, byte for byte. Deliberately absent: async, I/O, clocks, Kubernetes
//! clients, and the wire types.

#![forbid(unsafe_code)]

pub mod advice;
pub mod cluster;
pub mod contention;
pub mod delivery;
mod digest;
pub mod frame;
pub mod history;
pub mod node;
pub mod placement;
pub mod roles;
pub mod scheduling;
pub mod sizing;
pub mod time;
pub mod timeline;
pub mod trace;
pub mod who;
