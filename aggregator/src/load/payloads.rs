//! Payloads that clients left here for workers to fetch, by their SHA-256.
//!
//! Invariant: what is kept is whole, is what its hash says, and together is not larger than the
//! budget; a payload that a run still uses is never dropped. Deliberately absent: a disk; a client
//! whose payload was crowded out puts it again.

use std::{collections::HashMap, sync::Arc};

use berth::{ProtocolError, columns::take_unsigned, limits, load::PayloadHash};
use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};

use crate::edge::{at_most, refused};

/// All payloads together: two of the largest, or hundreds of the usual 1 MiB.
pub(crate) const STORE_BYTES: usize = 2 * limits::PAYLOAD_BYTES;

/// Request bodies, each behind its LEB128 length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Of all the bytes.
    pub sha256: PayloadHash,
    /// As they came.
    pub(crate) bytes: Bytes,
    /// Request bodies in it.
    pub(crate) rows: u32,
}

impl Payload {
    /// Checks the framing and takes the hash. Errors: there is no row, there are too many, or the
    /// last one is cut short.
    pub(crate) fn new(bytes: Bytes) -> Result<Self, ProtocolError> {
        at_most("payload", bytes.len(), limits::PAYLOAD_BYTES)?;
        let (mut rest, mut rows) = (bytes.clone(), 0_usize);
        while rest.has_remaining() {
            let length = take_unsigned("payload", &mut rest)?;
            let length = usize::try_from(length).ok().filter(|&length| length <= rest.remaining());
            let length =
                length.ok_or_else(|| refused("payload", bytes.len(), "bodies as long as they say"))?;
            rest.advance(length);
            rows += 1;
            at_most("payload", rows, limits::PAYLOAD_ROWS)?;
        }
        let rows = u32::try_from(rows).ok().filter(|&rows| rows > 0);
        let rows = rows.ok_or_else(|| refused("payload", 0, "at least one request body"))?;
        Ok(Self { sha256: Sha256::digest(&bytes).into(), bytes, rows })
    }
}

#[derive(Debug)]
struct Kept {
    payload: Arc<Payload>,
    used: u64,
}

/// What is kept.
#[derive(Debug)]
pub(crate) struct Payloads {
    budget_bytes: usize,
    kept: HashMap<PayloadHash, Kept>,
    uses: u64,
}

impl Payloads {
    /// Nothing yet; together they may become as large as this.
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, kept: HashMap::new(), uses: 0 }
    }

    /// Keeps it, in the place of those that were not used for longest. `false`: no room could be
    /// made, because runs still use the others.
    pub(crate) fn put(&mut self, payload: Arc<Payload>) -> bool {
        self.kept.remove(&payload.sha256);
        while self.bytes() + payload.bytes.len() > self.budget_bytes {
            let unused = self.kept.iter().filter(|(_, kept)| Arc::strong_count(&kept.payload) == 1);
            let Some(oldest) = unused.min_by_key(|(_, kept)| kept.used).map(|(hash, _)| *hash) else {
                return false;
            };
            self.kept.remove(&oldest);
        }
        self.uses += 1;
        self.kept.insert(payload.sha256, Kept { payload, used: self.uses });
        true
    }

    /// The payload of that hash, if it is still kept.
    pub(crate) fn get(&mut self, hash: &PayloadHash) -> Option<Arc<Payload>> {
        let kept = self.kept.get_mut(hash)?;
        self.uses += 1;
        kept.used = self.uses;
        Some(Arc::clone(&kept.payload))
    }

    /// All of them together.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.values().map(|kept| kept.payload.bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: usize = 3_000;

    fn framed(bodies: &[&[u8]]) -> Bytes {
        let mut out = Vec::new();
        for body in bodies {
            berth::columns::put_unsigned(&mut out, u64::try_from(body.len()).unwrap());
            out.extend_from_slice(body);
        }
        out.into()
    }

    fn of_size(fill: u8, bytes: usize) -> Arc<Payload> {
        Arc::new(Payload::new(framed(&[&vec![fill; bytes]])).unwrap())
    }

    #[test]
    fn rows_are_counted_and_broken_framing_is_refused() {
        assert_eq!(Payload::new(framed(&[b"{}", b"", b"[1]"])).unwrap().rows, 3);
        for bad in [&b""[..], &[5, 1], &[0x80]] {
            assert!(Payload::new(Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_payload_that_was_not_used_for_longest_makes_room() {
        let mut payloads = Payloads::new(BUDGET);
        let [first, second, third] = [1, 2, 3].map(|fill| of_size(fill, BUDGET / 3));
        let hashes = [first.sha256, second.sha256, third.sha256];
        assert!(payloads.put(first) && payloads.put(second));
        assert!(payloads.get(&hashes[0]).is_some());
        assert!(payloads.put(third));
        let here = hashes.map(|hash| payloads.get(&hash).is_some());
        assert_eq!(here, [true, false, true]);
        assert!(payloads.bytes() <= BUDGET);
    }

    #[test]
    fn a_payload_that_a_run_holds_is_not_crowded_out() {
        let mut payloads = Payloads::new(BUDGET);
        let held: Vec<_> = [1, 2].map(|fill| of_size(fill, BUDGET / 2 - 16)).into();
        assert!(held.iter().all(|payload| payloads.put(Arc::clone(payload))));
        assert!(!payloads.put(of_size(3, 100)));
        drop(held);
        assert!(payloads.put(of_size(3, 100)));
    }
}
