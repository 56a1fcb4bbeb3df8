//! How fast the API server is asked.
//!
//! Invariant: no more than [`REVIEWS_PER_SEC`] questions a second leave, however many callers come;
//! who would wait too long is told to come back. Pure: the caller supplies the time, and waits.

use std::time::Duration;

use berth_core::time::AxisNsec;

/// 5,000 agents that dial at once are through in 25 s, within the 30 s that their reattaching may
/// take; an API server answers several thousand a second.
const REVIEWS_PER_SEC: u32 = 200;

/// Who waits longer than this and then for the answer has no greeting within the agent's 10 s.
const WAIT: Duration = Duration::from_secs(3);

/// When the next question may leave.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: AxisNsec,
}

impl Pace {
    /// How long to wait before asking; `None` where too many wait already.
    pub(crate) fn reserve(&mut self, now: AxisNsec) -> Option<Duration> {
        let at = self.next.max(now);
        let wait = at.since(now);
        if wait > WAIT {
            return None;
        }
        self.next = at + Duration::from_secs(1) / REVIEWS_PER_SEC;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_that_come_at_once_and_come_back_are_through_in_half_a_minute() {
        let mut pace = Pace::default();
        let start = AxisNsec(1_000_000_000_000);
        let mut waiting = 5_000;
        let mut last = Duration::ZERO;
        for second in 0..30 {
            let now = start + Duration::from_secs(second);
            while waiting > 0
                && let Some(wait) = pace.reserve(now)
            {
                last = Duration::from_secs(second) + wait;
                waiting -= 1;
            }
        }
        assert_eq!(waiting, 0);
        assert!(last >= Duration::from_millis(24_900) && last < Duration::from_secs(26), "{last:?}");
    }

    #[test]
    fn a_lone_caller_never_waits() {
        let mut pace = Pace::default();
        for second in 1..10 {
            assert_eq!(pace.reserve(AxisNsec(second * 1_000_000_000)), Some(Duration::ZERO));
        }
    }
}
