//! What the aggregator asks of an agent, and when it pings.

use std::time::Duration;

use berth::{Seq, SeriesId};

use crate::time::AxisNsec;

/// Reads of each thread a second: twice the rate that separates one CFS period from the next, and
/// half of the most that an agent does.
pub(super) const FOCUS_THREAD_HZ: u32 = 50;

/// Pings at the start of a stream, when nothing is known of the clock: one of a few meets quiet
/// queues even while a replay fills them.
const BURST: u64 = 4;

/// After the burst: two clocks part by 2 ms in this time at worst.
const PING_PERIOD: Duration = Duration::from_secs(10);

/// What to send to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Send records from here on: once a stream, before all else.
    Resume(Seq),
    /// Watch these containers thread by thread, and no others.
    Focus {
        /// Their `ContainerCpu` series.
        series: Vec<SeriesId>,
        /// Reads of each thread a second.
        thread_hz: u32,
        /// Send what each thread did, too.
        raw_threads: bool,
    },
    /// Say what your clock reads; whoever sends it notes when, for [`super::Node::pong`].
    Ping {
        /// Comes back in the answer.
        id: u64,
    },
    /// Sample at another base rate.
    Rate {
        /// Ticks a second.
        tick_hz: u32,
    },
}

/// When to ping.
#[derive(Debug, Default)]
pub(super) struct Pings {
    sent_in_stream: u64,
    next_id: u64,
    last: AxisNsec,
}

impl Pings {
    /// A stream begins: its first ping.
    pub(super) fn first(&mut self, now: AxisNsec) -> Order {
        self.sent_in_stream = 0;
        self.ping(now)
    }

    /// The next ping, if it is time; asked at every tick of the owner.
    pub(super) fn due(&mut self, now: AxisNsec) -> Option<Order> {
        let due = self.sent_in_stream < BURST || now.since(self.last) >= PING_PERIOD;
        due.then(|| self.ping(now))
    }

    fn ping(&mut self, now: AxisNsec) -> Order {
        self.sent_in_stream += 1;
        self.next_id += 1;
        self.last = now;
        Order::Ping { id: self.next_id }
    }
}
