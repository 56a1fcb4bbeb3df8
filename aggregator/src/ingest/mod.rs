//! The agents' streams: who is there, what they send, what they are told.
//!
//! Each node has one owner task, which holds its [`berth_core::node::Node`] and is reached by a
//! bounded queue; readers get what it publishes. Invariant: a message is turned into a strict type as
//! soon as it is decoded, with no wait in between, so that hostile messages take no more memory than
//! the runtime has threads to decode them; and what one stream does wrong ends that stream only.

mod nodes;
mod owner;
mod recorders;
mod service;
mod waits;

pub(crate) use nodes::Nodes;
pub(crate) use owner::Published;
pub(crate) use recorders::{Round, recorder};
pub(crate) use service::IngestService;
pub(crate) use waits::{SETTLED, Waits};
