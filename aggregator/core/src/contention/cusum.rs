//! The alarm: a one-sided CUSUM on how much longer the work takes than it runs.
//!
//! Normal is S = 1 (who is not held up does not wait), so there is no learnt baseline that a steady
//! neighbour could hide in. An alarm alone opens nothing: the effect must show too.

use crate::time::AxisNsec;

/// The noise of x = ln((R + W) / R) in quiet steps is taken as no less than this (3 %).
const SIGMA: f64 = 0.03;

/// Deviations from normal, in units of the noise, that a step must pass to count.
const DRIFT: f64 = 2.0;

/// No step counts for more, so that no single wait raises an alarm, however long.
const Z_AT_MOST: f64 = 8.0;

/// Without a cap the sum of one minute would take as long to fall again.
const SUM_AT_MOST: f64 = 30.0;

/// Passed by the third step at `Z_AT_MOST` in a row and not by the second: 6 a step less nothing. In
/// steps of 100 ms that is 300 ms, which is also the shortest effect that counts as one.
const ALARM_ABOVE: f64 = 12.0;

/// All of the above are for steps of this length; a shorter one counts in proportion. A longer one does so
/// only where it adds up several readings: else one wait, or one across two steps, would be an alarm.
const STEP_NSEC: f64 = 1e8;

/// A run of less is counted as this: 0.1 ms in 200 ms. Without it a starved victim has no ratio.
pub(crate) const RUN_AT_LEAST_PER_SEC: f64 = 0.0005;

/// The sum, and since when it has been above zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cusum {
    sum: f64,
    rising_since: AxisNsec,
}

impl Cusum {
    /// Takes in a step that began at `start` and is of one reading, or of one every `STEP_NSEC`.
    pub(crate) fn add(&mut self, start: AxisNsec, dt_nsec: f64, is_one: bool, run_nsec: f64, wait_nsec: f64) {
        if self.sum <= 0.0 {
            self.rising_since = start;
        }
        let run = run_nsec.max(RUN_AT_LEAST_PER_SEC * dt_nsec);
        let z = (wait_nsec / run).ln_1p() / SIGMA;
        let steps = dt_nsec / STEP_NSEC;
        let above = z.min(Z_AT_MOST) - DRIFT;
        let counts = if is_one && above > 0.0 { steps.min(1.0) } else { steps };
        self.sum = (self.sum + above * counts).clamp(0.0, SUM_AT_MOST);
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.sum <= 0.0
    }

    /// When what raised the alarm began; `None` without an alarm.
    pub(crate) fn alarm(&self) -> Option<AxisNsec> {
        (self.sum > ALARM_ABOVE).then_some(self.rising_since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Feeds steps of `(milliseconds, run, wait)` and gives the onset and the time of the first alarm.
    fn first_alarm(steps: &[(u64, f64, f64)]) -> Option<(u64, u64)> {
        let mut cusum = Cusum::default();
        let mut now = AxisNsec(0);
        for (msec, run, wait) in steps {
            let start = now;
            now = now + Duration::from_millis(*msec);
            cusum.add(start, *msec as f64 * 1e6, true, run * 1e6, wait * 1e6);
            if let Some(onset) = cusum.alarm() {
                return Some((onset.0 / 1_000_000, now.0 / 1_000_000));
            }
        }
        None
    }

    #[test]
    fn the_third_bad_step_alarms_and_the_onset_is_the_first() {
        let mut steps = vec![(100, 25.0, 0.5); 10];
        steps.extend([(100, 25.0, 25.0); 3]);
        assert_eq!(first_alarm(&steps), Some((1000, 1300)));
    }

    #[test]
    fn two_bad_steps_do_not_alarm_however_bad() {
        let mut steps = vec![(106, 25.0, 500.0); 2];
        steps.extend([(100, 25.0, 0.5); 50]);
        assert_eq!(first_alarm(&steps), None);
    }

    #[test]
    fn the_quiet_of_a_virtual_machine_never_alarms() {
        let steps: Vec<_> = (0..6000).map(|i| (100, 25.0, if i % 20 == 0 { 6.0 } else { 0.6 })).collect();
        assert_eq!(first_alarm(&steps), None);
    }

    #[test]
    fn shorter_steps_do_not_change_when_it_alarms() {
        assert_eq!(first_alarm(&[(100, 25.0, 5.0); 40]), first_alarm(&[(50, 12.5, 2.5); 80]));
    }

    #[test]
    fn of_longer_steps_it_takes_three_as_well_but_where_they_add_up_readings() {
        assert_eq!(first_alarm(&[(500, 25.0, 500.0); 4]), Some((0, 1_500)));
        let mut cusum = Cusum::default();
        cusum.add(AxisNsec(0), 1e9, false, 50e6, 500e6);
        assert!(cusum.alarm().is_some());
    }

    #[test]
    fn a_minute_of_contention_is_forgotten_in_two_seconds() {
        let mut cusum = Cusum::default();
        for i in 0..600 {
            cusum.add(AxisNsec(i * 100_000_000), 1e8, true, 25e6, 250e6);
        }
        for i in 600..616 {
            cusum.add(AxisNsec(i * 100_000_000), 1e8, true, 25e6, 0.0);
        }
        assert!(cusum.is_zero());
    }
}
