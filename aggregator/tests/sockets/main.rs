//! The aggregator over real sockets, with agents and load workers played by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agent;
mod authority;
mod delivery;
mod episodes;
mod gpu;
mod load;
mod metrics;
mod process;
mod samples;
mod scene;
mod server;
mod traces;
mod transport;
mod trust;
mod worker;
