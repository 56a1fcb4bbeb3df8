//! When the next call to the model is due.
//!
//! Invariant: `n` periods after the start at most `n` calls have been due, and two calls are never closer
//! than nine tenths of a period. A late wake-up of up to a tenth is made good by the next one, so that
//! contention does not lower the rate; what is later than that is lost, so nothing bursts to catch up.

use std::time::Duration;

use tokio::time::Instant;

/// The schedule of the calls.
#[derive(Debug)]
pub struct Pace {
    period: Duration,
    due: Instant,
}

impl Pace {
    /// The first call is due one period from now.
    pub fn new(period: Duration, now: Instant) -> Self {
        Self { period, due: now + period }
    }

    /// When the next call is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A call starts now.
    pub fn called(&mut self, now: Instant) {
        self.due = (self.due + self.period).max(now + self.period * 9 / 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_made_good_up_to_a_tenth_of_a_period_and_then_lost() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        // A call starts so late; the next is due so long after it.
        for (late_ms, next_ms) in [(0, 100), (4, 96), (10, 90), (11, 90), (99, 90), (250, 90), (10_000, 90)] {
            let mut pace = Pace::new(ms(100), start);
            let call = pace.due() + ms(late_ms);
            pace.called(call);
            assert_eq!(pace.due() - call, ms(next_ms), "after a call that was {late_ms} ms late");
        }
    }

    #[test]
    fn calls_never_outnumber_the_periods_that_have_passed() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut pace = Pace::new(ms(100), start);
        for number in 1..=1_000_u32 {
            // A lateness that looks random: 0 to 149 ms.
            let call = pace.due() + ms(u64::from(number * 7_919 % 150));
            assert!(call - start >= ms(100) * number, "call {number} came too early");
            pace.called(call);
        }
    }
}
