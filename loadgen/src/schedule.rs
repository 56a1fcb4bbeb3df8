//! When each request is due, and whose it is.
//!
//! Invariant: request `k` of a run is due at `start + k / rate`, computed from `k` alone, so there
//! is no drift, and a run on W workers has the same arrivals as a run on one. Deliberately absent:
//! ramps and random arrivals; each would be another function from `k` to its due time.

use std::time::Duration;

/// A rate is held in requests per million seconds: 999.5/s is then an integer.
const MICRO: f64 = 1e6;

/// Nanoseconds in a million seconds, the unit of the rate.
const NANOS_PER_MEGASEC: u128 = 1_000_000_000_000_000;

/// The arrivals of a whole run, over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    requests_per_megasec: u64,
    requests: u64,
}

impl Schedule {
    /// `rate_per_sec` is rounded to a millionth; `None` when nothing is left of it, or it is not a
    /// finite positive number.
    pub fn constant(rate_per_sec: f64, duration: Duration) -> Option<Self> {
        let scaled = (rate_per_sec * MICRO).round();
        // Above 2^53 a float no longer holds every integer.
        if !(1.0..=9.0e15).contains(&scaled) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an integer in 1..=9e15, by the line above"
        )]
        let requests_per_megasec = scaled as u64;
        // Request k is due before the end when k / rate < duration.
        let requests = (duration.as_nanos() * u128::from(requests_per_megasec)).div_ceil(NANOS_PER_MEGASEC);
        Some(Self { requests_per_megasec, requests: u64::try_from(requests).ok()? })
    }

    /// How many requests are due before the end of the run.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Nanoseconds from the start of the run to request `k`.
    pub fn due_nanos(&self, k: u64) -> u64 {
        let nanos = u128::from(k) * NANOS_PER_MEGASEC / u128::from(self.requests_per_megasec);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// The part of a run that one worker takes: every `of`-th request, from `index` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripe {
    index: u32,
    of: u32,
}

impl Stripe {
    /// The whole run.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Worker `index` of `of`, counted from 0; `None` when there is no such worker.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// The number in the whole run of this worker's `nth` request.
    pub fn global(&self, nth: u64) -> u64 {
        nth.saturating_mul(u64::from(self.of)).saturating_add(u64::from(self.index))
    }

    /// This worker's part of `total` things that are dealt out one by one.
    pub fn share(&self, total: u32) -> u32 {
        total / self.of + u32::from(self.index < total % self.of)
    }

    /// How many workers share the run.
    pub fn of(&self) -> u32 {
        self.of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate_per_sec: f64, seconds: u64) -> Schedule {
        Schedule::constant(rate_per_sec, Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn a_run_holds_exactly_rate_times_duration_requests() {
        for (rate, seconds, requests) in [
            (1.0, 2, 2),
            (7.0, 3, 21),
            (999.5, 2, 1_999),
            (999.5, 3, 2_999),
            (10_000.0, 1, 10_000),
            (0.4, 1, 1),
        ] {
            assert_eq!(schedule(rate, seconds).requests(), requests, "{rate}/s for {seconds} s");
        }
    }

    #[test]
    fn the_last_request_is_due_before_the_end_and_the_next_is_not() {
        for rate in [0.3, 1.0, 7.0, 999.5, 3_333.333_333, 200_000.0] {
            let schedule = schedule(rate, 7);
            assert!(schedule.due_nanos(schedule.requests() - 1) < 7_000_000_000, "{rate}");
            assert!(schedule.due_nanos(schedule.requests()) >= 7_000_000_000, "{rate}");
        }
    }

    #[test]
    fn due_times_do_not_drift_over_an_hour() {
        let schedule = schedule(999.5, 3_600);
        // 1,999 requests take exactly two seconds, at any point of the run.
        for turn in [0, 1, 500, 1_799] {
            assert_eq!(schedule.due_nanos(turn * 1_999), turn * 2_000_000_000);
        }
    }

    #[test]
    fn the_stripes_of_any_number_of_workers_are_together_the_one_schedule() {
        let schedule = schedule(999.5, 2);
        for of in 1..=7 {
            let mut union = Vec::new();
            for index in 0..of {
                let stripe = Stripe::new(index, of).unwrap();
                union.extend((0..).map(|nth| stripe.global(nth)).take_while(|k| *k < schedule.requests()));
            }
            union.sort_unstable();
            assert_eq!(union, (0..schedule.requests()).collect::<Vec<_>>(), "{of} workers");
        }
    }

    #[test]
    fn shares_differ_by_at_most_one_and_add_up() {
        for (total, of) in [(1, 3), (10, 3), (12, 4), (7, 7)] {
            let shares: Vec<u32> =
                (0..of).map(|index| Stripe::new(index, of).unwrap().share(total)).collect();
            assert_eq!(shares.iter().sum::<u32>(), total);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }

    #[test]
    fn rates_that_are_no_rate_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-7] {
            assert_eq!(Schedule::constant(rate, Duration::from_secs(1)), None, "{rate}");
        }
        assert_eq!(Stripe::new(3, 3), None);
        assert_eq!(Stripe::new(0, 0), None);
    }
}
