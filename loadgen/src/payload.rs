//! The request bodies of a run: serialised once, shared by every connection, and cycled in order.
//!
//! Invariant: request `k` of the run carries body `k mod bodies`, whichever worker sends it. Deliberately
//! absent: rows drawn at random. A run can be repeated only when its requests are known; a shuffled
//! payload is in another order, which is known too.

mod csv;
mod ndjson;
mod packed;

pub use packed::{PackedError, hash};

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use berth::limits::{PAYLOAD_BYTES, PAYLOAD_ROWS};
use bytes::Bytes;

use crate::protocol::{self, Protocol};
use crate::random::Random;

/// One request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// As it is sent.
    pub bytes: Bytes,
    /// How many predictions it asks for; `None` when it asks in none of the ways that are known.
    pub instances: Option<u32>,
}

impl Body {
    fn new(bytes: Bytes) -> Self {
        let instances = protocol::instances(&bytes);
        Self { bytes, instances }
    }
}

/// Which column of a CSV file is the answer, not the question, and is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Label {
    /// There is none: every column is sent.
    #[default]
    None,
    /// The last one.
    Last,
    /// The one of this name.
    Named(String),
}

/// Why a payload is refused, with the mend.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The file cannot be read.
    #[error("read payload {file}")]
    Read {
        /// Its path.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The file's name does not say what it holds.
    #[error("payload {file}: name it .csv, .ndjson or .jsonl, by what it holds")]
    Format {
        /// Its path.
        file: String,
    },
    /// The bodies would need more memory than a run may hold.
    #[error("payload {file}: more than {PAYLOAD_BYTES} bytes of requests: give fewer rows")]
    TooLarge {
        /// Its path.
        file: String,
    },
    /// More rows than a run may hold.
    #[error("payload {file}: more than {PAYLOAD_ROWS} rows: give fewer rows")]
    TooManyRows {
        /// Its path.
        file: String,
    },
    /// Nothing to send.
    #[error("payload {file}: it holds no row: give at least one")]
    Empty {
        /// Its path.
        file: String,
    },
    /// The label column is not there.
    #[error("payload {file}: no column {name}: the header has {header}")]
    NoColumn {
        /// Its path.
        file: String,
        /// The label column asked for.
        name: String,
        /// The columns there are.
        header: String,
    },
    /// One line is not what it has to be.
    #[error("payload {file} line {line}: {problem}")]
    Line {
        /// Its path.
        file: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong, and the mend.
        problem: String,
    },
    /// Predictions are to be counted, and this body asks for none in any way that is known.
    #[error(
        "body {number} asks for no predictions that could be counted: send {{\"payload\":{{\"instances\":[row]}}}}, \
         {{\"instances\":[row]}} or {{\"inputs\":[tensor]}}, or check the status only"
    )]
    NoInstances {
        /// Counted from 1.
        number: usize,
    },
}

/// The bodies of a run; at least one. A clone shares them.
#[derive(Debug, Clone)]
pub struct Payload {
    bodies: Arc<[Body]>,
}

impl Payload {
    /// Reads a file of rows; the extension says of which kind. The label matters to CSV only.
    /// Rows become bodies of `protocol`.
    pub fn read(path: &Path, label: &Label, protocol: Protocol) -> Result<Self, PayloadError> {
        let file = path.display().to_string();
        let kind = path.extension().and_then(|extension| extension.to_str());
        if !matches!(kind, Some("csv" | "ndjson" | "jsonl")) {
            return Err(PayloadError::Format { file });
        }
        let text = read_bounded(path, &file)?;
        match kind {
            Some("csv") => Self::csv(&file, &text, label, protocol),
            _ => Self::ndjson(&file, &text, protocol),
        }
    }

    /// Rows of a CSV text with a header: cells that are JSON numbers stay numbers, an empty cell is
    /// null, and any other is a string. `file` is for errors.
    pub fn csv(file: &str, text: &[u8], label: &Label, protocol: Protocol) -> Result<Self, PayloadError> {
        csv::bodies(file, text, label, protocol)?.build(file)
    }

    /// One body a line: an array is a row, an object is a whole body and is sent as it is.
    pub fn ndjson(file: &str, text: &[u8], protocol: Protocol) -> Result<Self, PayloadError> {
        ndjson::bodies(file, text, protocol)?.build(file)
    }

    /// The same body for each request.
    pub fn single(bytes: Bytes) -> Self {
        Self { bodies: Arc::new([Body::new(bytes)]) }
    }

    /// A whole file, of any kind, as the body of each request.
    pub fn of_file(path: &Path) -> Result<Self, PayloadError> {
        let bytes = read_bounded(path, &path.display().to_string())?;
        Ok(Self::single(bytes.into()))
    }

    /// The same bodies in a random order, which is that of the seed.
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut bodies = self.bodies.to_vec();
        Random::new(seed).shuffle(&mut bodies);
        Self { bodies: bodies.into() }
    }

    /// All bodies, in the order in which they are sent.
    pub fn bodies(&self) -> &[Body] {
        &self.bodies
    }

    /// The body of request `k` of the run.
    pub(crate) fn of_request(&self, k: u64) -> &Body {
        let bodies = u64::try_from(self.bodies.len()).expect("at most PAYLOAD_ROWS");
        let index = usize::try_from(k % bodies).expect("less than the number of bodies");
        &self.bodies[index]
    }

    /// Refuses bodies whose answers hold no predictions that could be counted.
    pub(crate) fn require_instances(&self) -> Result<(), PayloadError> {
        match self.bodies.iter().position(|body| body.instances.is_none()) {
            None => Ok(()),
            Some(index) => Err(PayloadError::NoInstances { number: index + 1 }),
        }
    }
}

/// Bodies while they are read: one buffer, cut into shared slices at the end.
struct Builder {
    buffer: Vec<u8>,
    /// Where each body ends.
    ends: Vec<usize>,
}

impl Builder {
    fn new() -> Self {
        Self { buffer: Vec::new(), ends: Vec::new() }
    }

    /// Ends the body that was written to the buffer last.
    fn end(&mut self, file: &str) -> Result<(), PayloadError> {
        if self.buffer.len() > PAYLOAD_BYTES {
            return Err(PayloadError::TooLarge { file: file.to_owned() });
        }
        if self.ends.len() == PAYLOAD_ROWS {
            return Err(PayloadError::TooManyRows { file: file.to_owned() });
        }
        self.ends.push(self.buffer.len());
        Ok(())
    }

    fn build(self, file: &str) -> Result<Payload, PayloadError> {
        if self.ends.is_empty() {
            return Err(PayloadError::Empty { file: file.to_owned() });
        }
        let mut rest = Bytes::from(self.buffer);
        let mut start = 0;
        let bodies = self.ends.into_iter().map(|end| {
            let bytes = rest.split_to(end - start);
            start = end;
            Body::new(bytes)
        });
        Ok(Payload { bodies: bodies.collect() })
    }
}

fn read_bounded(path: &Path, file: &str) -> Result<Vec<u8>, PayloadError> {
    let failed = |source| PayloadError::Read { file: file.to_owned(), source };
    // One byte more than the limit tells a file at the limit from one above it.
    let limit = u64::try_from(PAYLOAD_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    File::open(path).map_err(failed)?.take(limit).read_to_end(&mut text).map_err(failed)?;
    if text.len() > PAYLOAD_BYTES {
        return Err(PayloadError::TooLarge { file: file.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cycled_by_the_number_of_the_request() {
        let payload = Payload::ndjson("rows", b"[0]\n[1]\n[2]\n", Protocol::Predict).unwrap();
        let sent: Vec<&[u8]> = (0..7).map(|k| &payload.of_request(k).bytes[..]).collect();
        let [first, second, third] = [0, 1, 2].map(|k| sent[k]);
        assert_eq!(sent, [first, second, third, first, second, third, first]);
        assert_eq!(first, br#"{"payload":{"instances":[[0]]}}"#);
    }

    #[test]
    fn a_shuffled_payload_has_the_same_rows_in_another_order_which_its_seed_gives() {
        let lines: Vec<String> = (0..50).map(|row| format!("[{row}]")).collect();
        let payload = Payload::ndjson("rows", lines.join("\n").as_bytes(), Protocol::Predict).unwrap();
        let (once, again, other) = (payload.shuffled(1), payload.shuffled(1), payload.shuffled(2));
        assert!(once.bodies() == again.bodies() && once.bodies() != other.bodies());
        assert_ne!(once.bodies(), payload.bodies());
        let sorted = |payload: &Payload| {
            let mut bodies: Vec<Bytes> = payload.bodies().iter().map(|body| body.bytes.clone()).collect();
            bodies.sort();
            bodies
        };
        assert_eq!(sorted(&once), sorted(&payload));
    }

    #[test]
    fn a_file_is_read_by_its_extension_and_an_unknown_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("rows.csv"), "a,b\n1,x\n").unwrap();
        std::fs::write(path("rows.jsonl"), "[1,\"x\"]\n").unwrap();
        let csv = Payload::read(&path("rows.csv"), &Label::None, Protocol::Predict).unwrap();
        let jsonl = Payload::read(&path("rows.jsonl"), &Label::None, Protocol::Predict).unwrap();
        assert_eq!(csv.bodies(), jsonl.bodies());

        let error = Payload::read(&path("rows.xlsx"), &Label::None, Protocol::Predict).unwrap_err();
        assert!(matches!(error, PayloadError::Format { .. }), "{error}");
        let error = Payload::read(&path("none.csv"), &Label::None, Protocol::Predict).unwrap_err();
        assert!(error.to_string().contains("none.csv"), "{error}");
    }

    #[test]
    fn a_file_over_the_limit_is_refused_before_it_is_parsed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.csv");
        File::create(&path).unwrap().set_len(u64::try_from(PAYLOAD_BYTES).unwrap() + 1).unwrap();
        let error = Payload::read(&path, &Label::None, Protocol::Predict).unwrap_err();
        assert!(matches!(error, PayloadError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn more_rows_than_the_limit_are_refused() {
        let error =
            Payload::ndjson("rows", &b"[]\n".repeat(PAYLOAD_ROWS + 1), Protocol::Predict).unwrap_err();
        assert!(matches!(error, PayloadError::TooManyRows { .. }), "{error}");
    }

    #[test]
    fn a_body_that_cannot_be_checked_is_named() {
        let payload = Payload::ndjson("rows", b"[1]\n{\"rows\":[1]}\n", Protocol::Predict).unwrap();
        let error = payload.require_instances().unwrap_err();
        assert!(matches!(error, PayloadError::NoInstances { number: 2 }), "{error}");
    }
}
