//! Latencies as a histogram, the only form in which they are kept, merged and sent.
//!
//! Invariant: values are microseconds from 1 to one hour with 3 significant digits, so every two
//! histograms have the same buckets and merge without loss. Deliberately absent: any averaging of
//! percentiles; they come from merged histograms only.

use bytes::Bytes;
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2Serializer},
};

use crate::{ProtocolError, limits::HISTOGRAM_BYTES};

/// The longest latency that is told apart: twelve times the longest request timeout.
pub const HIGHEST_USEC: u64 = 3_600_000_000;

/// Digits of resolution: 0.1 % is below what any machine repeats.
const SIGNIFICANT_DIGITS: u8 = 3;

/// What a new histogram holds before it grows: 65 ms in 56 KiB, where the full range needs 180 KiB.
const FIRST_HIGHEST_USEC: u64 = 65_535;

/// Growing doubles the range, so an hour is reached at 2^32 - 1 us and never passed.
const GROWN_HIGHEST_USEC: u64 = (1 << 32) - 1;

/// Buckets of the full range: 2,048 up to 2,047 us and 1,024 for each of the 21 doublings after it.
const BUCKETS: u64 = 2_048 + 21 * 1_024;

/// The most values of one histogram, so that no sum of counts overflows: 200,000/s for 142 years.
const MOST_VALUES: u64 = 1 << 50;

/// "HDR V2, uncompressed", with the size of its words (the format's `V2EncodingCookieBase`).
const COOKIE: u32 = 0x1c84_9303 | 0x10;

/// Cookie, payload length, offset, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;

/// Latencies of requests, or of parts of them.
#[derive(Debug, Clone)]
pub struct Latencies {
    usec: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        let mut usec = Histogram::new_with_bounds(1, FIRST_HIGHEST_USEC, SIGNIFICANT_DIGITS)
            .expect("1 < 65535 and 3 digits are valid bounds");
        usec.auto(true);
        Self { usec }
    }

    /// Counts one latency, rounded to a microsecond and clipped to 1 us .. 1 h.
    pub fn record_nanos(&mut self, nanos: u64) {
        let usec = (nanos.saturating_add(500) / 1_000).clamp(1, HIGHEST_USEC);
        self.usec.record(usec).expect("the histogram grows to any value below 2^32 us");
    }

    /// Adds the values of another.
    pub fn merge(&mut self, other: &Self) {
        self.usec.add(&other.usec).expect("the histogram grows to any value that another one holds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.usec.len()
    }

    /// The mean, in microseconds; `None` when there are none. Each value counts as the middle of its
    /// bucket, so the error is below 0.05 %.
    pub fn mean_usec(&self) -> Option<f64> {
        (!self.usec.is_empty()).then(|| self.usec.mean())
    }

    /// The upper end of the bucket that holds the quantile, in microseconds; `None` when there are
    /// no values.
    pub fn quantile_usec(&self, quantile: f64) -> Option<u64> {
        (!self.usec.is_empty()).then(|| self.usec.value_at_quantile(quantile))
    }

    /// The buckets that hold values: the upper end of each in microseconds, and its count; ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.usec.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
    }

    /// As it travels: HDR V2, uncompressed. Errors: it is larger than a message may hold.
    #[expect(clippy::unwrap_in_result, reason = "the expect says why it cannot fail")]
    pub fn encode(&self, field: &'static str) -> Result<Bytes, ProtocolError> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.usec, &mut bytes)
            .expect("counts below 2^50 are encodable, and a Vec takes all of them");
        ProtocolError::at_most(field, bytes.len(), HISTOGRAM_BYTES)?;
        Ok(bytes.into())
    }

    /// Reads what [`encode`](Self::encode) wrote; no bytes are no values. Everything is checked
    /// before anything is allocated, because the sender's header decides how much that would be.
    pub fn decode(field: &'static str, bytes: &[u8]) -> Result<Self, ProtocolError> {
        if bytes.is_empty() {
            return Ok(Self::new());
        }
        check(field, bytes)?;
        let mut usec: Histogram<u64> = Deserializer::new()
            .deserialize(&mut &*bytes)
            .map_err(|error| ProtocolError::invalid(field, error, "HDR V2"))?;
        usec.auto(true);
        Ok(Self { usec })
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Latencies {
    /// Equal when every bucket is; how far each has grown does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.count() == other.count() && self.buckets().eq(other.buckets())
    }
}

fn check(field: &'static str, bytes: &[u8]) -> Result<(), ProtocolError> {
    ProtocolError::at_most(field, bytes.len(), HISTOGRAM_BYTES)?;
    let torn = || ProtocolError::invalid(field, bytes.len(), "as many bytes as its header says");
    let (header, counts) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(torn)?;
    let u32_at = |at: usize| {
        let word = header.get(at..at + 4).and_then(|word| word.try_into().ok());
        u64::from(u32::from_be_bytes(word.expect("the header has 40 bytes")))
    };
    let u64_at = |at: usize| u32_at(at) << 32 | u32_at(at + 4);
    let exact = [
        (u32_at(0), u64::from(COOKIE), "HDR V2, uncompressed"),
        (u32_at(8), 0, "an HDR histogram without an offset"),
        (u32_at(12), u64::from(SIGNIFICANT_DIGITS), "an HDR histogram of 3 significant digits"),
        (u64_at(16), 1, "an HDR histogram from 1 us"),
        (u64_at(32), 1_f64.to_bits(), "an HDR histogram with a ratio of 1"),
    ];
    if let Some((value, _, rule)) = exact.into_iter().find(|(value, wanted, _)| value != wanted) {
        return Err(ProtocolError::invalid(field, value, rule));
    }
    let highest = u64_at(24);
    if !(2..=GROWN_HIGHEST_USEC).contains(&highest) {
        return Err(ProtocolError::invalid(field, highest, "an HDR histogram of at most 1 h"));
    }
    if u64::try_from(counts.len()) != Ok(u32_at(4)) {
        return Err(torn());
    }
    if check_counts(counts).ok_or_else(torn)? {
        Ok(())
    } else {
        Err(ProtocolError::invalid(field, counts.len(), "counts within the histogram's range"))
    }
}

/// Walks the counts as the format has them: zigzag LEB128 words, a negative one skips so many
/// buckets. `None` when the last word is cut; what is true cannot overflow in the decoder.
fn check_counts(mut counts: &[u8]) -> Option<bool> {
    let (mut bucket, mut values) = (0_u64, 0_u64);
    while !counts.is_empty() {
        let (word, rest) = split_word(counts)?;
        counts = rest;
        let magnitude = word / 2;
        if word % 2 == 1 {
            bucket = bucket.saturating_add(magnitude + 1);
        } else {
            bucket += 1;
            values = values.saturating_add(magnitude);
        }
        if bucket > BUCKETS || values > MOST_VALUES {
            return Some(false);
        }
    }
    Some(true)
}

/// One LEB128 word of at most 9 bytes, of which the ninth holds 8 bits.
fn split_word(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const LAST: usize = 8;
    let mut word = 0_u64;
    for (at, byte) in bytes.iter().copied().enumerate().take(LAST + 1) {
        let low = if at == LAST { byte } else { byte & 0x7f };
        word |= u64::from(low) << (7 * at);
        if byte < 0x80 || at == LAST {
            return Some((word, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(usec: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        for usec in usec {
            latencies.record_nanos(usec * 1_000);
        }
        latencies
    }

    /// Spread over the whole range, without order.
    fn spread(seed: u64, values: u64) -> impl Iterator<Item = u64> {
        (0..values).map(move |n| (n * 2_654_435_761 + seed * 97) % (1 << (n % 32 + 1)))
    }

    #[test]
    fn merged_histograms_equal_the_histogram_of_all_values() {
        let parts: Vec<Latencies> = (0..7).map(|worker| of(spread(worker, 5_000))).collect();
        let mut merged = Latencies::new();
        for part in &parts {
            merged.merge(part);
        }
        let whole = of((0..7).flat_map(|worker| spread(worker, 5_000)));
        assert_eq!(merged, whole);
        assert_eq!(merged.count(), 35_000);
        assert_eq!(merged.quantile_usec(0.99), whole.quantile_usec(0.99));
    }

    #[test]
    fn the_average_of_percentiles_is_not_the_percentile_of_all() {
        let (fast, slow) = (of(1..=1_000), of(100_000..=100_010));
        let mut merged = fast.clone();
        merged.merge(&slow);
        let average = u64::midpoint(fast.quantile_usec(0.99).unwrap(), slow.quantile_usec(0.99).unwrap());
        assert!(merged.quantile_usec(0.99).unwrap().abs_diff(average) > 10_000);
    }

    #[test]
    fn values_are_rounded_and_clipped_to_the_range() {
        let mut latencies = Latencies::new();
        for nanos in [0, 499, 1_499, 1_500, u64::MAX] {
            latencies.record_nanos(nanos);
        }
        let buckets: Vec<_> = latencies.buckets().collect();
        assert_eq!(buckets[..2], [(1, 3), (2, 1)]);
        assert!(buckets[2].0.abs_diff(HIGHEST_USEC) <= HIGHEST_USEC / 1_000);
    }

    #[test]
    fn what_was_encoded_is_decoded_and_goes_on_counting() {
        for latencies in [Latencies::new(), of([1]), of(spread(3, 4_000)), of([HIGHEST_USEC])] {
            let mut decoded = Latencies::decode("hdr", &latencies.encode("hdr").unwrap()).unwrap();
            assert_eq!(decoded, latencies);
            decoded.record_nanos(u64::MAX);
            assert_eq!(decoded.count(), latencies.count() + 1);
        }
    }

    #[test]
    fn no_bytes_are_no_values_and_no_values_have_no_quantile() {
        let none = Latencies::decode("hdr", &[]).unwrap();
        assert_eq!((none.count(), none.quantile_usec(0.5), none.mean_usec()), (0, None, None));
    }

    #[test]
    fn corrupt_bytes_are_refused_before_they_cost_memory() {
        let good = of([5, 5, 900, 70_000]).encode("hdr").unwrap().to_vec();
        let set = |at: usize, value: &[u8]| {
            let mut bytes = good.clone();
            bytes[at..at + value.len()].copy_from_slice(value);
            bytes
        };
        let with_counts = |counts: &[u8]| {
            let mut bytes = good[..HEADER_BYTES].to_vec();
            bytes[4..8].copy_from_slice(&u32::try_from(counts.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(counts);
            bytes
        };
        let count_of_2_62 = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        for (rule, bytes) in [
            ("as many bytes", good[..20].to_vec()),
            ("as many bytes", good[..good.len() - 1].to_vec()),
            ("as many bytes", [&good[..], b"x"].concat()),
            ("as many bytes", with_counts(&[0x80])),
            ("uncompressed", set(0, &0x1c84_9314_u32.to_be_bytes())),
            ("offset", set(8, &1_u32.to_be_bytes())),
            ("3 significant", set(12, &5_u32.to_be_bytes())),
            ("from 1 us", set(16, &1_000_u64.to_be_bytes())),
            ("at most 1 h", set(24, &u64::MAX.to_be_bytes())),
            ("ratio", set(32, &2_f64.to_be_bytes())),
            ("within", with_counts(&[0xff; 9])),
            ("within", with_counts(&count_of_2_62)),
            ("within", with_counts(&[0xff, 0xff, 0x7f])),
            ("over the limit", vec![0; HISTOGRAM_BYTES + 1]),
        ] {
            let error = Latencies::decode("hdr", &bytes).unwrap_err().to_string();
            assert!(error.contains(rule), "{error} should say {rule}");
        }
    }

    #[test]
    fn a_full_histogram_has_as_many_buckets_as_the_check_allows() {
        let full = of([HIGHEST_USEC]);
        assert_eq!(u64::try_from(full.usec.distinct_values()), Ok(BUCKETS));
        assert_eq!(full.usec.high(), GROWN_HIGHEST_USEC);
    }
}
