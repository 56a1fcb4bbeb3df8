//! The agent's own CPU cost, kept inside its budget by stretching its periods.
//!
//! An agent that samples at 100 Hz is itself a neighbour. Over the budget for a while, it reads
//! threads half as often, down to the slowest useful rate, and then everything; well below it for
//! longer, it goes back a step. Pure.

use berth::limits;

/// Below this, half a second of contention is not seen at all.
const TICK_FLOOR_HZ: u32 = 2;

/// Seconds over budget before it stretches: one alone may be a start or a replay.
const PATIENCE_SECONDS: u32 = 3;

/// Quiet seconds before it tries the step before: each try that fails costs some seconds over
/// budget, so they are rare.
const RECOVERY_SECONDS: u32 = 30;

/// Quiet means that twice the cost would still fit.
const QUIET_SHARE: f64 = 0.4;

/// The rates in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Base ticks a second.
    pub tick_hz: u32,
    /// Reads of each thread in Focus a second.
    pub thread_hz: u32,
}

/// Watches the cost.
#[derive(Debug)]
pub struct Governor {
    budget: f64,
    steps: u32,
    seconds_over: u32,
    seconds_quiet: u32,
}

impl Rates {
    /// One step slower; the same where there is none.
    fn slower(self, watches_threads: bool) -> Self {
        let thread_floor = *limits::THREAD_HZ.start();
        if watches_threads && self.thread_hz > thread_floor {
            return Self { thread_hz: (self.thread_hz / 2).max(thread_floor), ..self };
        }
        let floor = TICK_FLOOR_HZ.min(self.tick_hz);
        Self { tick_hz: (self.tick_hz / 2).max(floor), ..self }
    }
}

impl Governor {
    /// Keeps the cost below `budget` CPUs; 0 never stretches.
    pub fn new(budget: f64) -> Self {
        Self { budget, steps: 0, seconds_over: 0, seconds_quiet: 0 }
    }

    /// A second has passed in which the agent used `cpus`. Says whether the rates change.
    pub fn second(&mut self, cpus: f64, asked: Rates, watches_threads: bool) -> bool {
        if self.budget <= 0.0 {
            return false;
        }
        let is_over = cpus > self.budget;
        let is_quiet = cpus < self.budget * QUIET_SHARE;
        self.seconds_over = if is_over { self.seconds_over + 1 } else { 0 };
        self.seconds_quiet = if is_quiet { self.seconds_quiet + 1 } else { 0 };
        let now = self.rates(asked, watches_threads);
        if self.seconds_over >= PATIENCE_SECONDS && now.slower(watches_threads) != now {
            self.seconds_over = 0;
            self.steps += 1;
            return true;
        }
        if self.seconds_quiet >= RECOVERY_SECONDS && self.steps > 0 {
            self.seconds_quiet = 0;
            self.steps -= 1;
            return true;
        }
        false
    }

    /// The rates in force when these are asked for.
    pub fn rates(&self, asked: Rates, watches_threads: bool) -> Rates {
        (0..self.steps).fold(asked, |rates, _| rates.slower(watches_threads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Rates = Rates { tick_hz: 10, thread_hz: 50 };

    fn after(governor: &mut Governor, seconds: u32, cpus: f64) -> Rates {
        for _ in 0..seconds {
            governor.second(cpus, ASKED, true);
        }
        governor.rates(ASKED, true)
    }

    #[test]
    fn threads_are_read_less_often_before_everything_is() {
        let mut governor = Governor::new(0.02);
        assert_eq!(after(&mut governor, 2, 0.05), ASKED, "two seconds may be an accident");
        assert_eq!(after(&mut governor, 1, 0.05), Rates { thread_hz: 25, ..ASKED });
        assert_eq!(after(&mut governor, 6, 0.05), Rates { thread_hz: 10, ..ASKED });
        assert_eq!(after(&mut governor, 3, 0.05), Rates { thread_hz: 10, tick_hz: 5 });
        assert_eq!(after(&mut governor, 60, 0.05), Rates { thread_hz: 10, tick_hz: 2 }, "the floor");
    }

    #[test]
    fn without_threads_in_focus_the_ticks_give_way_at_once() {
        let mut governor = Governor::new(0.02);
        for _ in 0..3 {
            governor.second(0.05, ASKED, false);
        }
        assert_eq!(governor.rates(ASKED, false), Rates { tick_hz: 5, ..ASKED });
    }

    #[test]
    fn half_a_minute_of_quiet_brings_a_step_back() {
        let mut governor = Governor::new(0.02);
        after(&mut governor, 3, 0.05);
        assert_eq!(after(&mut governor, 29, 0.005), Rates { thread_hz: 25, ..ASKED });
        assert_eq!(after(&mut governor, 1, 0.005), ASKED);
        assert_eq!(after(&mut governor, 100, 0.015), ASKED, "inside the budget nothing changes");
    }

    #[test]
    fn no_budget_never_stretches_and_a_slow_rate_has_its_own_floor() {
        assert_eq!(after(&mut Governor::new(0.0), 100, 5.0), ASKED);
        let slow = Rates { tick_hz: 1, thread_hz: 10 };
        let mut governor = Governor::new(0.02);
        for _ in 0..30 {
            governor.second(0.5, slow, true);
        }
        assert_eq!(governor.rates(slow, true), slow);
    }
}
