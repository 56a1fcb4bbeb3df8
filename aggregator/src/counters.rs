//! What the aggregator counts of itself, and the lines in its log that peers cause.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::seldom::Seldom;

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Agents' streams that began.
    pub(crate) streams: AtomicU64,
    /// Agents' streams that were closed because they broke the contract.
    pub(crate) streams_refused: AtomicU64,
    /// Agents' streams that a newer one replaced.
    pub(crate) takeovers: AtomicU64,
    /// Tokens that the API server was asked about.
    pub(crate) token_reviews: AtomicU64,
    /// Calls that were refused for their token, or for want of one.
    pub(crate) tokens_refused: AtomicU64,
    /// When agents connect.
    pub(crate) connected_lines: Seldom,
    /// When agents' streams are closed, for whatever reason.
    pub(crate) closed_lines: Seldom,
}

impl Counters {
    /// One more.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
