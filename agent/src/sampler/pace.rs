//! When the sampler does what: the rates asked for, the budget, and the grids of time.

use std::sync::{Arc, atomic::Ordering};

use tracing::warn;

use super::Orders;
use crate::{
    clock::{SECOND_NSEC, process_cpu_nsec},
    due::Due,
    governor::{Governor, Rates},
};

/// Times of the next tick, the next reading of threads, and the next look at our own cost.
pub(super) struct Pace {
    orders: Arc<Orders>,
    governor: Governor,
    budget: f64,
    rates: Rates,
    tick: Due,
    threads: Due,
    second: Due,
    cpu_nsec: u64,
    /// That the budget was passed is said once.
    is_warned: bool,
}

fn period_nsec(hz: u32) -> u64 {
    SECOND_NSEC / u64::from(hz.max(1))
}

fn asked(orders: &Orders) -> Rates {
    Rates {
        tick_hz: orders.tick_hz.load(Ordering::Relaxed),
        thread_hz: orders.thread_hz.load(Ordering::Relaxed),
    }
}

impl Pace {
    /// Everything is due at `start_nsec` first.
    pub(super) fn new(orders: Arc<Orders>, budget: f64, start_nsec: u64) -> Self {
        let rates = asked(&orders);
        Self {
            orders,
            governor: Governor::new(budget),
            budget,
            rates,
            tick: Due::starting(period_nsec(rates.tick_hz), start_nsec),
            threads: Due::starting(period_nsec(rates.thread_hz), start_nsec),
            second: Due::starting(SECOND_NSEC, start_nsec.saturating_add(SECOND_NSEC)),
            cpu_nsec: process_cpu_nsec(),
            is_warned: false,
        }
    }

    /// Ticks a second in force.
    pub(super) fn tick_hz(&self) -> u32 {
        self.rates.tick_hz
    }

    /// When something is due next.
    pub(super) fn next_nsec(&self, has_focus: bool) -> u64 {
        let threads = if has_focus { self.threads.next_nsec() } else { u64::MAX };
        self.tick.next_nsec().min(threads).min(self.second.next_nsec())
    }

    /// Whether the threads are due.
    pub(super) fn are_threads_due(&mut self, now_nsec: u64) -> bool {
        self.threads.is_due(now_nsec)
    }

    /// If a tick is due: how many were missed before it.
    pub(super) fn missed_ticks(&mut self, now_nsec: u64) -> Option<u64> {
        self.tick.missed(now_nsec)
    }

    /// Once a second, compares what we cost with the budget.
    pub(super) fn look_at_cost(&mut self, now_nsec: u64, has_focus: bool) {
        if !self.second.is_due(now_nsec) {
            return;
        }
        let cpu_nsec = process_cpu_nsec();
        let cpus = cpu_nsec.saturating_sub(std::mem::replace(&mut self.cpu_nsec, cpu_nsec)) as f64 / 1e9;
        let asked = asked(&self.orders);
        if self.governor.second(cpus, asked, has_focus) && !std::mem::replace(&mut self.is_warned, true) {
            let Rates { tick_hz, thread_hz } = self.governor.rates(asked, has_focus);
            warn!(cpus, budget = self.budget, tick_hz, thread_hz, "over the CPU budget: sampling less often");
        }
    }

    /// Brings the rates asked for and the budget into force.
    pub(super) fn settle(&mut self, now_nsec: u64, has_focus: bool) {
        let rates = self.governor.rates(asked(&self.orders), has_focus);
        if rates.tick_hz != self.rates.tick_hz {
            let period = period_nsec(rates.tick_hz);
            self.tick = Due::starting(period, now_nsec.saturating_add(period));
        }
        if rates.thread_hz != self.rates.thread_hz {
            self.threads = Due::starting(period_nsec(rates.thread_hz), self.tick.next_nsec());
        }
        self.rates = rates;
    }
}
