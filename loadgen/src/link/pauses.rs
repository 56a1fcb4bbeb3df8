//! How long to wait before dialling again.
//!
//! Invariant: workers that lost one aggregator together do not come back together, and one whose
//! streams end at once dials no faster than one that cannot connect. Deliberately absent: chance from
//! outside; a worker's name tells it from the others, and a test can repeat it.

use std::time::Duration;

use berth::NodeName;

/// The first pause; each is up to twice the one before.
const SHORTEST: Duration = Duration::from_millis(500);

/// The longest pause: an aggregator that restarts has its workers back within it.
const LONGEST: Duration = Duration::from_secs(10);

/// A stream that lived this long was a good one: its end is news, and the next pause is short. An
/// aggregator that takes workers and drops them does so in its first seconds.
const STEADY: Duration = Duration::from_secs(60);

/// The pauses of one worker.
#[derive(Debug)]
pub(super) struct Pauses {
    longest: Duration,
    random: u64,
}

impl Pauses {
    /// Differs from name to name.
    pub(super) fn new(id: &NodeName) -> Self {
        // FNV-1a, whose outcome is never the 0 at which xorshift would stand still.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let seed = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        Self { longest: SHORTEST, random: seed.max(1) }
    }

    /// Whether a stream of this age was a good one.
    pub(super) fn is_steady(lived: Duration) -> bool {
        lived >= STEADY
    }

    /// The pause after a stream that lived so long; zero if none was opened.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if Self::is_steady(lived) {
            self.longest = SHORTEST;
        }
        let half = self.longest / 2;
        let pause = half + half.mul_f64(self.fraction());
        self.longest = (self.longest * 2).min(LONGEST);
        pause
    }

    /// In 0..1, by Marsaglia's xorshift64.
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(id: &str) -> Pauses {
        Pauses::new(&NodeName::new(id).unwrap())
    }

    #[test]
    fn streams_that_end_at_once_are_dialled_ever_more_rarely() {
        let mut pauses = pauses("w-1");
        let all: Vec<_> = (0..8).map(|_| pauses.after(Duration::from_secs(1))).collect();
        assert!(all[0] >= SHORTEST / 2 && all[0] <= SHORTEST, "{all:?}");
        assert!(all[7] >= LONGEST / 2 && all[7] <= LONGEST, "{all:?}");
        assert!(all[2] > all[0] && all[4] > all[2], "{all:?}");
    }

    #[test]
    fn after_a_steady_stream_the_next_pause_is_short() {
        let mut pauses = pauses("w-1");
        let before: Vec<_> = (0..8).map(|_| pauses.after(Duration::ZERO)).collect();
        assert!(before[7] > SHORTEST);
        assert!(pauses.after(STEADY) <= SHORTEST);
    }

    #[test]
    fn two_workers_do_not_come_back_together() {
        let all: std::collections::BTreeSet<_> =
            (0..20).map(|n| pauses(&format!("berth-loadgen-{n}")).after(Duration::ZERO)).collect();
        assert_eq!(all.len(), 20);
        let (first, last) = (all.first().unwrap(), all.last().unwrap());
        assert!(*last > *first + SHORTEST / 4, "they are spread: {all:?}");
    }
}
