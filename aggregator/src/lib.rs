//! Takes the agents' streams in, runs load, and answers.
//!
//! One task owns each node's state and publishes views of it; all readers (gRPC, /metrics, advice)
//! use those. Load runs have one coordinator. `wire::*` stops in the service files. Deliberately
//! absent: a database; what is here comes back from the agents or is computed again.

#![forbid(unsafe_code)]

mod access;
mod advisory;
mod aggregator;
pub mod args;
mod clock;
pub mod config;
mod counters;
mod downlink;
mod edge;
mod entropy;
mod error;
mod http;
mod ingest;
mod journal;
mod kubernetes;
mod listener;
mod load;
mod metrics;
mod parts;
mod pings;
mod program;
mod query;
mod seldom;
mod settings;
mod tasks;
pub mod trust;

pub use access::{Access, TlsFiles};
pub use aggregator::Aggregator;
pub use error::StartError;
pub use program::run;
pub use settings::Settings;
