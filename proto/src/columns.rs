//! The packing of integer columns: zigzag LEB128, with runs of zeros folded.
//!
//! Counters of idle containers do not move, so most differences are zero: a zero is one 0 byte and
//! the length of its run. Invariant: a decoder never yields more values than it was asked for,
//! whatever a run claims (eleven bytes can claim 2^63 zeros). Deliberately absent: an entropy coder,
//! which gains a tenth on batches this small and costs more than the rest together.

use bytes::Buf;

use crate::ProtocolError;

/// LEB128 of a 64-bit number is at most this long.
const LEB128_BYTES: u32 = 10;

/// Appends `value` as unsigned LEB128.
pub fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [byte, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Takes one unsigned LEB128 number off the front. Errors: the bytes end within it, or it is longer
/// than 64 bits.
pub fn take_unsigned(field: &'static str, bytes: &mut impl Buf) -> Result<u64, ProtocolError> {
    let mut value = 0_u64;
    for position in 0..LEB128_BYTES {
        if !bytes.has_remaining() {
            return Err(ProtocolError::invalid(field, "end of bytes", "a number is cut short"));
        }
        let byte = bytes.get_u8();
        let bits = u64::from(byte & 0x7f);
        let shift = position * 7;
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ProtocolError::invalid(field, value, "a number is longer than 64 bits"))
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Packs signed values one after another; [`Packer::finish`] writes a run of zeros that is still
/// open. It reuses the buffer that it is given and allocates nothing else.
#[derive(Debug)]
pub struct Packer<'a> {
    out: &'a mut Vec<u8>,
    zeros: u64,
}

impl<'a> Packer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, zeros: 0 }
    }

    /// Packs the next value.
    pub fn push(&mut self, value: i64) {
        if value == 0 {
            self.zeros += 1;
            return;
        }
        self.flush();
        put_unsigned(self.out, zigzag(value));
    }

    /// Writes what is still open.
    pub fn finish(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        if self.zeros > 0 {
            self.out.push(0);
            put_unsigned(self.out, self.zeros);
            self.zeros = 0;
        }
    }
}

/// Appends exactly `count` values to `out`. Errors: there are fewer or more than that.
pub fn unpack(
    field: &'static str,
    mut bytes: impl Buf,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), ProtocolError> {
    let end = out.len() + count;
    while bytes.has_remaining() {
        let value = take_unsigned(field, &mut bytes)?;
        let run = if value == 0 { take_unsigned(field, &mut bytes)? } else { 1 };
        let due = end - out.len();
        let run = usize::try_from(run).ok().filter(|&run| run > 0 && run <= due).ok_or_else(|| {
            ProtocolError::invalid(field, run, "a run must fit in the values that are still due")
        })?;
        out.resize(out.len() + run, unzigzag(value));
    }
    if out.len() == end {
        Ok(())
    } else {
        Err(ProtocolError::invalid(field, end - out.len(), "values are missing at the end"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut packer = Packer::new(&mut out);
        for &value in values {
            packer.push(value);
        }
        packer.finish();
        out
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(values in prop::collection::vec(
            prop_oneof![4 => Just(0), 1 => -300..300_i64, 1 => any::<i64>()], 0..200)) {
            let mut out = Vec::new();
            unpack("values", &packed(&values)[..], values.len(), &mut out).unwrap();
            prop_assert_eq!(out, values);
        }

        #[test]
        fn any_bytes_are_refused_or_give_exactly_what_was_due(
            bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0..100_usize) {
            let mut out = Vec::new();
            if unpack("values", &bytes[..], count, &mut out).is_ok() {
                prop_assert_eq!(out.len(), count);
            }
            prop_assert!(out.len() <= count);
        }
    }

    #[test]
    fn a_run_that_claims_more_zeros_than_are_due_is_refused_before_it_is_allocated() {
        let mut bomb = vec![0];
        put_unsigned(&mut bomb, 1 << 62);
        assert!(unpack("values", &bomb[..], 1_000, &mut Vec::new()).is_err());
    }

    #[test]
    fn an_idle_column_of_ten_thousand_values_is_three_bytes() {
        assert_eq!(packed(&vec![0; 10_000]).len(), 3);
    }

    #[test]
    fn the_extremes_survive() {
        let values = [i64::MIN, i64::MAX, -1, 1, 0];
        let mut out = Vec::new();
        unpack("values", &packed(&values)[..], 5, &mut out).unwrap();
        assert_eq!(out, values);
    }
}
