//! Samples this node at high frequency and streams it.

pub mod clock;
pub mod columns;
pub mod cpus;
pub mod discovery;
pub mod encode;
pub mod fold;
pub mod handover;
pub mod host;
pub mod identity;
pub mod message;
pub mod pack;
pub mod ring;
pub mod session;
