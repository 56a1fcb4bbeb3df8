//! What single threads did, on its way to whoever records it.
//!
//! Invariant: it leaves the node only while the aggregator asks for it on the stream in being. Bounded:
//! what a slow stream does not take is dropped and counted, because a recording can say so and nothing
//! else needs it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use berth::RawThreads;
use tracing::info;

use crate::{readings::Readings, sampler::Orders};

/// Messages that wait for the stream: one or two a flush, of at most 220 KiB each, so that a stream may
/// stand still for about a second.
const WAITING: usize = 8;

/// The messages that wait.
#[derive(Debug)]
pub(super) struct Raw {
    orders: Arc<Orders>,
    waiting: VecDeque<RawThreads>,
    /// Readings that were dropped since the last message.
    lost: u64,
}

impl Raw {
    /// Nobody asks.
    pub(super) fn new(orders: Arc<Orders>) -> Self {
        Self { orders, waiting: VecDeque::new(), lost: 0 }
    }

    fn flag(&self) -> &AtomicBool {
        &self.orders.raw_threads
    }

    /// The aggregator asks for it, or no longer does.
    pub(super) fn ask(&mut self, is_asked: bool) {
        if self.flag().swap(is_asked, Ordering::Relaxed) == is_asked {
            return;
        }
        (self.waiting, self.lost) = (VecDeque::new(), 0);
        if is_asked {
            info!("somebody records single threads: sending what each in focus does");
        } else {
            info!("nobody records single threads any more");
        }
    }

    /// Takes in what the sampler kept; drops it where nobody asks.
    pub(super) fn take(&mut self, readings: &Readings) {
        if !self.flag().load(Ordering::Relaxed) {
            return;
        }
        for mut message in readings.messages() {
            message.lost += std::mem::take(&mut self.lost);
            if self.waiting.len() < WAITING {
                self.waiting.push_back(message);
            } else {
                let held: usize = message.containers.iter().map(|container| container.threads.len()).sum();
                self.lost = message.lost + u64::try_from(held).unwrap_or(u64::MAX);
            }
        }
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Option<RawThreads> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use berth::{SeriesId, usage::ThreadReading};

    use super::*;
    use crate::readings::Sweep;

    fn raw() -> Raw {
        Raw::new(Arc::new(Orders {
            tick_hz: AtomicU32::new(10),
            thread_hz: AtomicU32::new(50),
            raw_threads: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }))
    }

    fn readings(count: u32) -> Readings {
        let mut readings = Readings::default();
        let sweep = Sweep { series: SeriesId::new(1).unwrap(), at_nsec: 5, dt_nsec: 2 };
        (0..count).for_each(|tid| readings.put(sweep, ThreadReading { tid, run_nsec: 1, wait_nsec: 0 }));
        readings
    }

    #[test]
    fn nothing_leaves_unless_it_is_asked_for_nor_once_it_is_no_longer() {
        let mut raw = raw();
        raw.take(&readings(3));
        assert_eq!(raw.next(), None);
        raw.ask(true);
        raw.take(&readings(3));
        raw.take(&readings(4));
        assert_eq!(raw.next().unwrap().containers[0].threads.len(), 3);
        raw.ask(false);
        assert_eq!(raw.next(), None, "what waited is dropped");
        raw.take(&readings(3));
        assert_eq!(raw.next(), None);
    }

    #[test]
    fn what_a_slow_stream_does_not_take_is_counted_by_the_next_message() {
        let mut raw = raw();
        raw.ask(true);
        for _ in 0..WAITING + 2 {
            raw.take(&readings(3));
        }
        let sent: Vec<u64> = std::iter::from_fn(|| raw.next()).map(|message| message.lost).collect();
        assert_eq!(sent, [0; WAITING]);
        raw.take(&readings(1));
        assert_eq!(raw.next().unwrap().lost, 6);
    }
}
