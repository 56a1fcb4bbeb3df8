//! What people and sweeps ask: episodes, models, advice, samples, traces.
//!
//! Invariant: answers are made from what the owners published, never from their state, so no reader
//! delays a stream. Requests are parsed strictly: a value that this version does not know is refused
//! with its field, not passed over. Bounded: pages, chunks, streams at once, and how slow a reader
//! may be.

mod advisor;
mod chunks;
mod episodes;
mod filter;
mod models;
mod pseudonyms;
mod samples;
mod show;
mod subjects;
mod tail;
mod traces;

pub(crate) use advisor::AdvisorService;
pub(crate) use episodes::EpisodeService;
pub(crate) use samples::SampleService;
pub(crate) use traces::TraceService;

use prost::Message;
use tonic::{Response, Status};

/// An answer that is not a stream: what gRPC's clients take unless told otherwise.
pub(crate) const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// An answer that is small enough. Errors say how to ask for less.
fn answer<M: Message>(message: M, narrower: &str) -> Result<Response<M>, Status> {
    let bytes = message.encoded_len();
    if bytes <= ANSWER_BYTES {
        Ok(Response::new(message))
    } else {
        Err(Status::resource_exhausted(format!("the answer would have {bytes} bytes: {narrower}")))
    }
}
