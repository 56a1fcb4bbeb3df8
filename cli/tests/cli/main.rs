//! The real binaries against servers that answer by heart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aggregator;
mod answers;
mod api;
mod cluster;
mod follow;
mod forward;
mod load;
mod program;
mod reach;
mod sample;
mod target;
mod terminal;
mod trace;
