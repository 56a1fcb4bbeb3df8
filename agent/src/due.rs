//! When something periodic is due again.

/// A period on a grid of absolute times: being late once does not shift what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    period_nsec: u64,
    next_nsec: u64,
}

impl Due {
    /// First due at `first_nsec`.
    pub fn starting(period_nsec: u64, first_nsec: u64) -> Self {
        Self { period_nsec: period_nsec.max(1), next_nsec: first_nsec }
    }

    /// First due somewhere in the first period after `now_nsec`: neighbours in `number` lie far
    /// apart, so that what many things do once a second is spread over the second.
    pub fn spread(period_nsec: u64, number: u64, now_nsec: u64) -> Self {
        // Fibonacci hashing: multiples of the golden ratio fill an interval evenly.
        let phase = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let offset = (phase * u128::from(period_nsec)) >> 64;
        Self::starting(period_nsec, now_nsec.saturating_add(u64::try_from(offset).unwrap_or(0)))
    }

    /// When it is due next.
    pub fn next_nsec(&self) -> u64 {
        self.next_nsec
    }

    /// Whether it is due; then it is not before the next time of the grid.
    pub fn is_due(&mut self, now_nsec: u64) -> bool {
        self.missed(now_nsec).is_some()
    }

    /// If it is due: how many further times of the grid have passed unused.
    pub fn missed(&mut self, now_nsec: u64) -> Option<u64> {
        let late_nsec = now_nsec.checked_sub(self.next_nsec)?;
        let missed = late_nsec / self.period_nsec;
        self.next_nsec = self.next_nsec.saturating_add((missed + 1).saturating_mul(self.period_nsec));
        Some(missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn being_late_does_not_shift_the_grid() {
        let mut due = Due::starting(100, 1_000);
        assert_eq!(due.missed(999), None);
        assert_eq!(due.missed(1_030), Some(0));
        assert_eq!(due.missed(1_099), None);
        assert_eq!(due.missed(1_350), Some(2));
        assert_eq!(due.next_nsec(), 1_400);
    }

    #[test]
    fn what_many_do_once_a_second_is_spread_over_the_second() {
        let mut by_tenth = [0_usize; 10];
        for number in 0..1_000 {
            let tenth = Due::spread(1_000, number, 0).next_nsec() / 100;
            by_tenth[usize::try_from(tenth).unwrap()] += 1;
        }
        assert!(by_tenth.iter().all(|&count| (90..=110).contains(&count)), "{by_tenth:?}");
    }
}
