//! The ticks of one container that may still change, and what was laid on each.
//!
//! Invariant: what is laid on a tick is sent, or handed on to a later tick when its own may no
//! longer change; so nothing is lost.

use std::collections::VecDeque;

use crate::fold::span::Span;

/// One tick's amounts, in the order of the group's metrics: run, wait, throttled, sibling.
pub type Amounts = [i64; 4];

/// What happened in one tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    /// Its ordinal within the incarnation; meaningless while it is open.
    ordinal: u64,
    /// When it began: where the tick before it ended.
    start: u64,
    /// When it was read; `u64::MAX` while it is open.
    end: u64,
    /// Where threads keep their own parts of it.
    pub(super) slot: usize,
    /// CPU time of all threads.
    pub(super) run_nsec: u64,
    /// Their wait.
    pub(super) wait_nsec: u64,
    /// The part of that wait that a quota made.
    pub(super) throttled_nsec: u64,
    /// For how long some quota stopped the container.
    pub(super) stopped_nsec: u64,
    /// Sum over threads of contended wait x run of the others.
    pub(super) contended_run_nsec2: u128,
    /// Handed on by ticks that may no longer change.
    carried: Amounts,
    sent: Amounts,
    is_sent: bool,
}

fn signed(nsec: u64) -> i64 {
    i64::try_from(nsec).unwrap_or(i64::MAX)
}

impl Tick {
    fn open(slot: usize, start: u64) -> Self {
        Self {
            ordinal: 0,
            start,
            end: u64::MAX,
            slot,
            run_nsec: 0,
            wait_nsec: 0,
            throttled_nsec: 0,
            stopped_nsec: 0,
            contended_run_nsec2: 0,
            carried: [0; 4],
            sent: [0; 4],
            is_sent: false,
        }
    }

    fn is_open(&self) -> bool {
        self.end == u64::MAX
    }

    /// The sum over threads of wait x CPUs that the others used meanwhile. While a quota stops them
    /// they use none, so their run is spread over the rest of the tick; together they cannot have
    /// used more than all `cpus`.
    fn sibling(&self, cpus: u32) -> u64 {
        let length = self.end.saturating_sub(self.start);
        let open = u128::from(length.saturating_sub(self.stopped_nsec).max(1));
        let contended = u128::from(self.wait_nsec.saturating_sub(self.throttled_nsec));
        let sibling = (self.contended_run_nsec2 / open).min(contended * u128::from(cpus));
        u64::try_from(sibling).unwrap_or(u64::MAX)
    }

    /// Everything laid on it.
    fn laid(&self, cpus: u32) -> Amounts {
        let own = [self.run_nsec, self.wait_nsec, self.throttled_nsec, self.sibling(cpus)].map(signed);
        std::array::from_fn(|metric| own[metric].saturating_add(self.carried[metric]))
    }

    /// What may be sent of it: no more throttled wait than wait. The rest stays and is carried on.
    fn sendable(&self, cpus: u32) -> Amounts {
        let [run, wait, throttled, sibling] = self.laid(cpus);
        [run, wait, throttled.min(wait), sibling]
    }
}

fn difference(more: Amounts, less: Amounts) -> Amounts {
    std::array::from_fn(|metric| more[metric].saturating_sub(less[metric]))
}

/// The newest ticks; the last one is open.
#[derive(Debug)]
pub(super) struct Ticks {
    newest: VecDeque<Tick>,
    slots: usize,
    cpus: u32,
}

impl Ticks {
    /// One open tick from `now_nsec` on, and room for `slots` of them, of a node with `cpus` CPUs.
    pub(super) fn new(now_nsec: u64, slots: usize, cpus: u32) -> Self {
        let slots = slots.max(2);
        let mut newest = VecDeque::with_capacity(slots);
        newest.push_back(Tick::open(0, now_nsec));
        Self { newest, slots, cpus }
    }

    /// Cuts `span` at the ticks' borders. What lies before the oldest tick belongs to that one, what
    /// lies after the last border to the open one.
    pub(super) fn lay(&mut self, span: Span, mut part: impl FnMut(&mut Tick, Span)) {
        let first = self.newest.partition_point(|tick| tick.end <= span.start);
        for index in first..self.newest.len() {
            let tick = &mut self.newest[index];
            let start = if index == first { span.start } else { tick.start };
            if index > first && start >= span.end {
                break;
            }
            part(tick, Span { start, end: span.end.min(tick.end).max(start) });
        }
    }

    /// Closes the open tick and opens the next one. Returns that one's slot, which threads must
    /// clear.
    pub(super) fn close(&mut self, ordinal: u64, at_nsec: u64) -> usize {
        if self.newest.len() == self.slots {
            self.hand_on();
        }
        let mut slot = 0;
        if let Some(open) = self.newest.back_mut() {
            open.end = at_nsec.max(open.start);
            open.ordinal = ordinal;
            slot = (open.slot + 1) % self.slots;
        }
        self.newest.push_back(Tick::open(slot, at_nsec));
        slot
    }

    /// The first sending of a closed tick.
    pub(super) fn send(&mut self, ordinal: u64) -> Amounts {
        let cpus = self.cpus;
        let closed = self.newest.iter_mut().filter(|tick| !tick.is_open());
        let mut unsent = closed.filter(|tick| tick.ordinal == ordinal && !tick.is_sent);
        unsent.next().map_or([0; 4], |tick| {
            tick.is_sent = true;
            tick.sent = tick.sendable(cpus);
            tick.sent
        })
    }

    /// Names what came in since for ticks already sent, by rising ordinal. Ticks read before
    /// `horizon_nsec` may no longer change: what is left of them goes to the oldest that may.
    pub(super) fn corrections(&mut self, horizon_nsec: u64, mut changed: impl FnMut(u64, Amounts)) {
        while self.newest.front().is_some_and(|tick| tick.is_sent && tick.end < horizon_nsec) {
            self.hand_on();
        }
        let cpus = self.cpus;
        for tick in self.newest.iter_mut().filter(|tick| tick.is_sent) {
            let now = tick.sendable(cpus);
            let news = difference(now, tick.sent);
            if news != [0; 4] {
                tick.sent = now;
                changed(tick.ordinal, news);
            }
        }
    }

    /// Drops the oldest tick; what of it was not sent goes to the next.
    fn hand_on(&mut self) {
        let Some(oldest) = self.newest.pop_front() else { return };
        let left = difference(oldest.laid(self.cpus), oldest.sent);
        if let Some(next) = self.newest.front_mut() {
            for (carried, left) in next.carried.iter_mut().zip(left) {
                *carried = carried.saturating_add(left);
            }
        }
    }

    /// What was laid and is not sent yet, for tests of conservation.
    #[cfg(test)]
    pub(super) fn unsent(&self) -> Amounts {
        self.newest
            .iter()
            .map(|tick| difference(tick.laid(self.cpus), tick.sent))
            .fold([0; 4], |sum, left| std::array::from_fn(|metric| sum[metric] + left[metric]))
    }
}
