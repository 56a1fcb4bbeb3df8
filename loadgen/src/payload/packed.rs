//! A payload as it travels: for each body its length and its bytes, then a hash over all of it.

use berth::{columns, limits, load::PayloadHash};
use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};

use super::{Body, Payload};

/// A packed payload that cannot be taken apart, or is not the one that was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PackedError {
    /// The bytes end within a body, or hold none.
    #[error("the payload is cut short or empty: leave it with the aggregator again")]
    Cut,
    /// More bodies than one payload may have.
    #[error("the payload has more than {limit} bodies")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// Another payload came.
    #[error("the payload is not the one that the run names: leave it with the aggregator again")]
    Hash,
}

/// The name of a packed payload.
pub fn hash(packed: &[u8]) -> PayloadHash {
    Sha256::digest(packed).into()
}

impl Payload {
    /// As it travels; [`berth::limits::PAYLOAD_CHUNK_BYTES`] is the most for one message.
    pub fn pack(&self) -> Bytes {
        let mut packed = Vec::new();
        for body in self.bodies() {
            let length = u64::try_from(body.bytes.len()).expect("a body fits in memory");
            columns::put_unsigned(&mut packed, length);
            packed.extend_from_slice(&body.bytes);
        }
        packed.into()
    }

    /// Takes it apart again; the bodies share the bytes. Errors: it is not what `expected` names.
    pub fn unpack(mut packed: Bytes, expected: &PayloadHash) -> Result<Self, PackedError> {
        if hash(&packed) != *expected {
            return Err(PackedError::Hash);
        }
        let mut bodies = Vec::new();
        while packed.has_remaining() {
            if bodies.len() == limits::PAYLOAD_ROWS {
                return Err(PackedError::TooMany { limit: limits::PAYLOAD_ROWS });
            }
            let length = columns::take_unsigned("payload", &mut packed).map_err(|_| PackedError::Cut)?;
            let length = usize::try_from(length).ok().filter(|&length| length <= packed.len());
            bodies.push(Body::new(packed.split_to(length.ok_or(PackedError::Cut)?)));
        }
        if bodies.is_empty() { Err(PackedError::Cut) } else { Ok(Self { bodies: bodies.into() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    #[test]
    fn a_payload_that_is_packed_and_taken_apart_is_the_same() {
        let payload = Payload::ndjson("rows", b"[1,2]\n[3,4]\n", Protocol::Predict).unwrap();
        let packed = payload.pack();
        let again = Payload::unpack(packed.clone(), &hash(&packed)).unwrap();
        let bytes =
            |payload: &Payload| payload.bodies().iter().map(|body| body.bytes.clone()).collect::<Vec<_>>();
        assert_eq!(bytes(&again), bytes(&payload));
        assert_eq!(again.bodies()[1].instances, Some(1));
    }

    #[test]
    fn a_payload_that_is_cut_short_or_another_is_refused() {
        let packed = Payload::ndjson("rows", b"[1,2]\n", Protocol::Predict).unwrap().pack();
        let cut = packed.slice(..packed.len() - 1);
        assert_eq!(Payload::unpack(cut.clone(), &hash(&cut)).unwrap_err(), PackedError::Cut);
        assert_eq!(Payload::unpack(Bytes::new(), &hash(&[])).unwrap_err(), PackedError::Cut);
        assert_eq!(Payload::unpack(cut, &hash(&packed)).unwrap_err(), PackedError::Hash);
    }
}
