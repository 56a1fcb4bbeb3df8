//! When each request is due, and whose it is.
//!
//! Invariant: the n-th arrival of a run lies at a position that depends on n and a seed alone, and a
//! position's time on the rate alone. So there is no drift, and a run on W workers has the same arrivals
//! as a run on one.

use std::time::Duration;

use berth::load::{Rate, Spacing, Stage};

use crate::random::Random;

/// A rate is held in requests per million seconds: 999.5/s is then an integer.
const MICRO: f64 = 1e6;

/// Positions are counted in this part of a request: the area below a stage from `a` to `b` requests in a
/// million seconds, `n` nanoseconds long, is then the integer `(a + b) * n`.
const PER_REQUEST: u128 = 2 * 1_000_000_000_000_000;

/// The arrivals of a whole run, over all workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    stretches: Vec<Stretch>,
    /// Its position is above that of every request.
    end: u128,
    spacing: Spacing,
    /// Requests from this one on are not sent.
    requests: u64,
}

/// A stage, laid out in time.
#[derive(Debug, Clone, PartialEq)]
struct Stretch {
    start_nanos: u64,
    span_nanos: u64,
    /// Where its first nanosecond lies.
    position: u128,
    from_per_megasec: u64,
    to_per_megasec: u64,
}

impl Schedule {
    /// Of a rate over the time of a run, whose stages each get an equal part of it.
    /// Of them, the first `requests` are sent.
    pub fn new(rate: &Rate, spacing: Spacing, duration: Duration, requests: u64) -> Self {
        let stages = rate.stages();
        let duration_nanos = duration.as_nanos();
        let boundary = |nth: usize| {
            let nanos = duration_nanos * (nth as u128) / (stages.len() as u128);
            u64::try_from(nanos).unwrap_or(u64::MAX)
        };
        let mut position = 0;
        let mut stretches = Vec::with_capacity(stages.len());
        for (nth, stage) in stages.iter().enumerate() {
            let stretch = Stretch::new(stage, boundary(nth), boundary(nth + 1), position);
            position += stretch.area();
            stretches.push(stretch);
        }
        Self { stretches, end: position, spacing, requests }
    }

    /// Nanoseconds from the start of the run to a position; `None` where that is not before its end.
    fn due_nanos(&self, position: u128) -> Option<u64> {
        if position >= self.end {
            return None;
        }
        let nth = self.stretches.partition_point(|stretch| stretch.position <= position);
        // The first stretch begins at 0. One of no requests has no position of its own.
        let stretch = &self.stretches[nth - 1];
        Some(stretch.start_nanos + stretch.nanos(position - stretch.position))
    }
}

impl Stretch {
    fn new(stage: &Stage, start_nanos: u64, end_nanos: u64, position: u128) -> Self {
        Self {
            start_nanos,
            span_nanos: end_nanos - start_nanos,
            position,
            from_per_megasec: per_megasec(stage.from_per_sec),
            to_per_megasec: per_megasec(stage.to_per_sec),
        }
    }

    fn area(&self) -> u128 {
        (u128::from(self.from_per_megasec) + u128::from(self.to_per_megasec)) * u128::from(self.span_nanos)
    }

    /// From its start to where this much of its area lies behind.
    ///
    /// Where the rate changes from a to b in the time L, twice the area up to t is 2at + (b - a)t^2/L.
    /// Solved for t without the difference of two large numbers, which would cost digits when the rate
    /// hardly changes.
    fn nanos(&self, area: u128) -> u64 {
        if self.from_per_megasec == self.to_per_megasec {
            let nanos = area / (2 * u128::from(self.from_per_megasec));
            return u64::try_from(nanos).unwrap_or(u64::MAX);
        }
        let (from, to, span) =
            (self.from_per_megasec as f64, self.to_per_megasec as f64, self.span_nanos as f64);
        let area = area as f64;
        let root = (from * from + (to - from) * area / span).max(0.0).sqrt();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time of at most an hour, in nanoseconds; a cast saturates"
        )]
        let nanos = (area / (from + root)) as u64;
        nanos.min(self.span_nanos - 1)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is at most 200,000/s, and not below 0"
)]
fn per_megasec(per_sec: f64) -> u64 {
    (per_sec * MICRO).round() as u64
}

/// A request that becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the whole run.
    pub k: u64,
    /// From the start of the run.
    pub due_nanos: u64,
}

/// What one worker sends, in order: its stripe of the schedule.
#[derive(Debug, Clone)]
pub struct Arrivals {
    schedule: Schedule,
    stripe: Stripe,
    nth: u64,
    walk: Walk,
}

/// Where the requests of a run lie.
#[derive(Debug, Clone)]
enum Walk {
    Even,
    /// Every worker walks over all of them, and so finds its own.
    Poisson {
        random: Random,
        walked: u64,
        position: u128,
    },
}

impl Arrivals {
    /// Those of a stripe.
    pub fn new(schedule: Schedule, stripe: Stripe) -> Self {
        let walk = match schedule.spacing {
            Spacing::Even => Walk::Even,
            Spacing::Poisson { seed } => Walk::Poisson { random: Random::new(seed), walked: 0, position: 0 },
        };
        Self { schedule, stripe, nth: 0, walk }
    }
}

impl Walk {
    /// The position of request `k`, which is not before the one that was asked for last.
    fn to(&mut self, k: u64) -> u128 {
        match self {
            Self::Even => u128::from(k) * PER_REQUEST,
            Self::Poisson { random, walked, position } => {
                while *walked <= k {
                    *walked += 1;
                    *position += exponential(random);
                }
                *position
            }
        }
    }
}

/// A distance between neighbours, one request on the average.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 37 requests")]
fn exponential(random: &mut Random) -> u128 {
    (-random.unit().ln() * PER_REQUEST as f64) as u128
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let k = self.stripe.global(self.nth);
        if k >= self.schedule.requests {
            return None;
        }
        let due_nanos = self.schedule.due_nanos(self.walk.to(k))?;
        self.nth += 1;
        Some(Arrival { k, due_nanos })
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

    const SEC: u64 = 1_000_000_000;

    fn arrivals(rate: &str, spacing: Spacing, seconds: u64, stripe: Stripe) -> Vec<Arrival> {
        let schedule = Schedule::new(&rate.parse().unwrap(), spacing, Duration::from_secs(seconds), u64::MAX);
        Arrivals::new(schedule, stripe).collect()
    }

    fn even(rate: &str, seconds: u64) -> Vec<u64> {
        let arrivals = arrivals(rate, Spacing::Even, seconds, Stripe::WHOLE);
        assert!(arrivals.iter().map(|arrival| arrival.k).eq(0..u64::try_from(arrivals.len()).unwrap()));
        arrivals.iter().map(|arrival| arrival.due_nanos).collect()
    }

    #[test]
    fn a_run_holds_exactly_as_many_requests_as_lie_below_its_rate() {
        for (rate, seconds, requests) in [
            ("1", 2, 2),
            ("7", 3, 21),
            ("999.5", 2, 1_999),
            ("999.5", 3, 2_999),
            ("10000", 1, 10_000),
            ("0.4", 1, 1),
            ("0..100", 10, 500),
            ("100..0", 10, 500),
            ("100,200,400", 3, 700),
            ("100,0,100", 3, 200),
            ("0,5,0", 3, 5),
        ] {
            let due = even(rate, seconds);
            assert_eq!(due.len(), requests, "{rate}/s for {seconds} s");
            assert!(due.is_sorted() && due.last().is_none_or(|last| *last < seconds * SEC), "{rate}");
        }
    }

    #[test]
    fn due_times_do_not_drift_over_an_hour() {
        let due = even("999.5", 3_600);
        // 1,999 requests take exactly two seconds, at any point of the run.
        for turn in [0, 1, 500, 1_799] {
            assert_eq!(due[turn * 1_999], u64::try_from(turn).unwrap() * 2 * SEC);
        }
    }

    #[test]
    fn a_rate_that_rises_has_its_requests_where_the_area_below_it_says() {
        let due = even("0..100", 10);
        // The area up to t is 5t^2.
        for k in [0_u32, 1, 5, 125, 499] {
            let expected = (f64::from(k) / 5.0).sqrt() * 1e9;
            assert!((due[k as usize] as f64 - expected).abs() < 2.0, "{k}: {}", due[k as usize]);
        }
        let falls = even("100..0", 10);
        assert!(
            (falls[375] as f64 - 5e9).abs() < 2.0,
            "three quarters are in the first half: {}",
            falls[375]
        );
    }

    #[test]
    fn steps_follow_each_other_without_a_gap() {
        let due = even("100,0,400", 3);
        assert_eq!((due[99], due[100], due[101]), (990_000_000, 2 * SEC, 2 * SEC + 2_500_000));
    }

    #[test]
    fn random_times_are_those_of_a_poisson_process_and_the_same_for_the_same_seed() {
        let poisson = |seed, rate| arrivals(rate, Spacing::Poisson { seed }, 100, Stripe::WHOLE);
        let drawn = poisson(7, "200");
        assert_eq!(drawn, poisson(7, "200"));
        assert_ne!(drawn, poisson(8, "200"));
        // 20,000 are due, and a Poisson count varies by its square root: 3.5 of those.
        assert!((19_500..20_500).contains(&drawn.len()), "{}", drawn.len());
        let gaps: Vec<f64> =
            drawn.windows(2).map(|pair| (pair[1].due_nanos - pair[0].due_nanos) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((variation - 1.0).abs() < 0.05, "{variation}");
        // Where the rate rises, so do they: a quarter in the first half.
        let rising = poisson(7, "0..200");
        let first = rising.iter().filter(|arrival| arrival.due_nanos < 50 * SEC).count();
        assert!((2_250..2_750).contains(&first), "{first} of {}", rising.len());
    }

    #[test]
    fn the_stripes_of_any_number_of_workers_are_together_the_one_schedule() {
        for (rate, spacing) in [
            ("999.5", Spacing::Even),
            ("10..500,0,300", Spacing::Even),
            ("200..900", Spacing::Poisson { seed: 3 }),
        ] {
            let whole = arrivals(rate, spacing, 3, Stripe::WHOLE);
            for of in 1..=7 {
                let stripes = (0..of).map(|index| Stripe::new(index, of).unwrap());
                let mut union: Vec<Arrival> =
                    stripes.flat_map(|stripe| arrivals(rate, spacing, 3, stripe)).collect();
                union.sort_unstable_by_key(|arrival| arrival.k);
                assert_eq!(union, whole, "{rate} on {of} workers");
            }
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
        assert_eq!(Stripe::new(3, 3), None);
        assert_eq!(Stripe::new(0, 0), None);
    }
}
