//! What is sampled, with its role.

use berth::wire;
use serde::Serialize;

use super::{Time, Who, plain};

/// A sampled container or system slice; the contract's other subjects have no role.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subject {
    /// For the life of the aggregator.
    pub id: String,
    /// Where it runs.
    pub node: String,
    /// Who it is.
    pub who: Who,
    /// Why it has its role.
    pub role_reason: String,
    /// It has not ended.
    pub live: bool,
    /// When it was first seen.
    pub first_sample: Option<Time>,
}

impl Subject {
    /// `None` for the node itself and for GPUs.
    pub fn from_wire(wire: wire::Subject) -> Option<Self> {
        Some(Self {
            who: Who::from(wire.who?),
            id: plain(&wire.id),
            node: plain(&wire.node),
            role_reason: plain(&wire.role_reason),
            live: wire.live,
            first_sample: wire.first_sample.map(Time::from),
        })
    }
}
