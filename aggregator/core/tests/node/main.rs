//! A node of the aggregator against an agent that needs no kernel.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agent;
mod clock;
mod conservation;
mod identity;
mod orders;
mod pods;
mod stream;
mod threads;
mod verdict;
mod world;
