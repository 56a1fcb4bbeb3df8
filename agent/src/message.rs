//! What the agent sends, on the edge between strict and generated types.

use berth::{Hello, RawThreads, Record, Series, wire};
use prost::Message as _;

/// A message to the aggregator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Opens a stream.
    Hello(Box<Hello>),
    /// Names a series.
    Series(Series),
    /// A part of the sequence.
    Record(Record),
    /// What single threads did, outside the sequence.
    RawThreads(RawThreads),
}

fn record(record: Record) -> wire::agent_message::Message {
    use wire::agent_message::Message;
    match record {
        Record::Batch(batch) => Message::Batch(batch.into()),
        Record::Correction(correction) => Message::Correction(correction.into()),
        Record::Retire(retire) => Message::Retire(retire.into()),
        Record::Gap(gap) => Message::Gap(gap.into()),
    }
}

impl From<Outgoing> for wire::AgentMessage {
    fn from(outgoing: Outgoing) -> Self {
        use wire::agent_message::Message;
        let message = match outgoing {
            Outgoing::Hello(hello) => Message::Hello((*hello).into()),
            Outgoing::Series(series) => Message::Series(series.into()),
            Outgoing::Record(of) => record(of),
            Outgoing::RawThreads(raw) => Message::RawThreads(raw.into()),
        };
        Self { message: Some(message) }
    }
}

/// How long a record is when it is encoded.
pub fn encoded_bytes(of: &Record) -> usize {
    wire::AgentMessage { message: Some(record(of.clone())) }.encoded_len()
}
