//! How long to go on asking an aggregator that went away.
//!
//! Invariant: it ends. A restart of the aggregator takes seconds; what takes longer than
//! `GIVE_UP_AFTER` is no restart.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait: most restarts of a process are over by then.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait: a person who looks at the screen sees life within it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Rescheduling a pod and pulling its image takes about a minute.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// Waits that double, within a limit.
#[derive(Debug)]
pub struct Patience {
    wait: Duration,
    lost: Option<Instant>,
    answered: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { wait: FIRST_WAIT, lost: None, answered: None }
    }
}

impl Patience {
    /// Another attempt failed: how long to wait before the next, or `None` to give up.
    pub fn after_failure(&mut self, now: Instant) -> Option<Duration> {
        // One that answers only to hang up at once is not well.
        if self.answered.take().is_some_and(|answered| now.duration_since(answered) >= LONGEST_WAIT) {
            *self = Self::default();
        }
        let lost = *self.lost.get_or_insert(now);
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        (now.duration_since(lost) + wait <= GIVE_UP_AFTER).then_some(wait)
    }

    /// It answers.
    pub fn after_answer(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// Whether the last thing that happened was a failure.
    pub fn is_tried(&self) -> bool {
        self.lost.is_some() && self.answered.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_then_end() {
        let mut patience = Patience::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        while let Some(wait) = patience.after_failure(now) {
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits.iter().max(), Some(&LONGEST_WAIT));
        assert!(waits.iter().sum::<Duration>() <= GIVE_UP_AFTER);
    }

    #[test]
    fn an_answer_that_lasts_restores_patience_and_one_that_does_not_wears_it_out() {
        let mut patience = Patience::default();
        let start = Instant::now();
        assert_eq!(patience.after_failure(start), Some(FIRST_WAIT));
        patience.after_answer(start);
        assert_eq!(patience.after_failure(start + FIRST_WAIT), Some(FIRST_WAIT * 2));
        patience.after_answer(start);
        assert_eq!(patience.after_failure(start + LONGEST_WAIT), Some(FIRST_WAIT));
    }
}
