//! Times of the aggregator's axis, shown in UTC so that two people read the same.

use std::fmt;
use std::time::Duration;

use prost_types::Timestamp;
use serde::{Serialize, Serializer};

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A point in time, in nanoseconds since the Unix epoch. Serialised with all its digits, displayed
/// in whole seconds; RFC 3339 both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i64);

impl Time {
    /// Of nanoseconds since the Unix epoch.
    pub fn from_unix_nsec(nsec: i64) -> Self {
        Self(nsec)
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix_nsec(self) -> i64 {
        self.0
    }

    /// From `earlier` to this; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn seconds(self) -> Timestamp {
        Timestamp { seconds: self.0.div_euclid(NANOS_PER_SEC), nanos: 0 }
    }

    fn whole(self) -> Timestamp {
        let nanos = i32::try_from(self.0.rem_euclid(NANOS_PER_SEC)).expect("below 1e9");
        Timestamp { nanos, ..self.seconds() }
    }
}

impl From<Timestamp> for Time {
    fn from(wire: Timestamp) -> Self {
        Self(wire.seconds.saturating_mul(NANOS_PER_SEC).saturating_add(i64::from(wire.nanos)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seconds().fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_seconds_and_programs_read_every_digit() {
        let time = Time::from_unix_nsec(1_700_000_000_123_456_789);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2023-11-14T22:13:20.123456789Z\"");
    }

    #[test]
    fn a_time_before_another_is_zero_after_it() {
        let (early, late) = (Time::from_unix_nsec(-1), Time::from_unix_nsec(1_500_000_000));
        assert_eq!(late.since(early), Duration::from_nanos(1_500_000_001));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.to_string(), "1969-12-31T23:59:59Z");
    }
}
