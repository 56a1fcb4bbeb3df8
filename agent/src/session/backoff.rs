//! How long to wait before the next try: full jitter, so that five thousand agents that lost one
//! aggregator do not come back at once.

use crate::clock::SECOND_NSEC;

/// The first wait is drawn from below this.
const FIRST_NSEC: u64 = SECOND_NSEC / 2;

/// No wait is longer, so that a replay window outlives a failed try or two.
const LONGEST_NSEC: u64 = 30 * SECOND_NSEC;

/// A stream that lived this long was a good one: the next waits are short again.
const GOOD_NSEC: u64 = 60 * SECOND_NSEC;

/// Waits that double, drawn at random from below a ceiling.
#[derive(Debug)]
pub struct Backoff {
    ceiling_nsec: u64,
    random: u64,
}

impl Backoff {
    /// Fresh; `seed` should differ from agent to agent.
    pub fn new(seed: u64) -> Self {
        Self { ceiling_nsec: FIRST_NSEC, random: seed }
    }

    /// The next wait.
    pub fn next_nsec(&mut self) -> u64 {
        let wait = self.draw() % (self.ceiling_nsec + 1);
        self.ceiling_nsec = (self.ceiling_nsec * 2).min(LONGEST_NSEC);
        wait
    }

    /// A stream lived for `nsec`.
    pub fn lived(&mut self, nsec: u64) {
        if nsec >= GOOD_NSEC {
            self.ceiling_nsec = FIRST_NSEC;
        }
    }

    /// The next number of the `SplitMix64` sequence (Steele, Lea and Flood, 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_ceiling_that_doubles_up_to_half_a_minute() {
        let mut ceiling = FIRST_NSEC;
        let mut backoff = Backoff::new(7);
        for _ in 0..12 {
            assert!(backoff.next_nsec() <= ceiling);
            ceiling = (ceiling * 2).min(LONGEST_NSEC);
        }
        let longest = (0..1_000).map(|_| backoff.next_nsec()).max().unwrap();
        assert!((29 * SECOND_NSEC..=LONGEST_NSEC).contains(&longest), "{longest}");
    }

    #[test]
    fn only_a_stream_that_lived_a_minute_makes_waits_short_again() {
        let mut backoff = Backoff::new(7);
        assert!((0..8).all(|_| backoff.next_nsec() <= LONGEST_NSEC));
        backoff.lived(GOOD_NSEC - 1);
        assert_eq!(backoff.ceiling_nsec, LONGEST_NSEC);
        backoff.lived(GOOD_NSEC);
        assert!(backoff.next_nsec() <= FIRST_NSEC);
    }

    #[test]
    fn two_agents_wait_differently() {
        assert_ne!(Backoff::new(1).next_nsec(), Backoff::new(2).next_nsec());
    }
}
