//! What readers see of a node: everything is shared, so that it is cheap to make and to keep.

use std::sync::Arc;

use berth::{Hello, NodeName};

use super::SubjectView;
use crate::{
    contention::ModelState,
    delivery::Account,
    history::{Aged, HistoryView},
};

/// A node at one moment.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Its agent's newest Hello: facts, versions, incarnation. `None`: it was never heard.
    pub agent: Option<Arc<Hello>>,
    /// A stream is there now.
    pub connected: bool,
    /// What was delivered, and what is missing.
    pub account: Account,
    /// What left the history.
    pub aged: Aged,
    /// Half the round trip of the ping that maps its clock; `None` before there was one.
    pub clock_error_nsec: Option<u64>,
    /// Its samples.
    pub history: HistoryView,
    /// What is sampled, by rising id.
    pub subjects: Arc<[SubjectView]>,
    /// How each model fares, at the newest second; stale while the node is not connected.
    pub models: Arc<[ModelState]>,
}
