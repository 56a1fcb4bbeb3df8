//! What one engine thread shares among its connections: requests that wait, connections that are
//! idle, and the tally.
//!
//! Invariant: a request that became due is settled exactly once: completed, failed, dropped, or, when
//! its [`Ticket`] goes away in any other manner, censored. Of one thread: no locks, no atomics.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::answer::ErrorClass;
use crate::clock::MonoNanos;
use crate::schedule::Stripe;
use crate::tally::Tally;
use berth::Latencies;

/// Requests that wait for a connection: 13 s of 5,000/s, in 1 MiB. What waits longer than that is
/// an outage, and its length shows in what was queued before.
const QUEUE_REQUESTS: usize = 65_536;

/// A request of the run and when it should be sent.
#[derive(Debug, Clone, Copy)]
struct Due {
    k: u64,
    intended: MonoNanos,
}

/// Where the next request comes from.
#[derive(Debug)]
enum Source {
    /// The schedule put it here.
    Open(VecDeque<Due>),
    /// It is due when somebody asks.
    Closed { nth: u64, stripe: Stripe, requests: u64 },
}

/// A connection that waits for work; it is woken through this.
pub(crate) type Idle = Rc<Notify>;

#[derive(Debug)]
pub(crate) struct Shard {
    source: RefCell<Source>,
    idle: RefCell<Vec<Idle>>,
    tally: RefCell<Tally>,
    /// Due, and not settled.
    outstanding: Cell<u64>,
    issuing: Cell<bool>,
    quiet: Notify,
    censored_age: RefCell<Latencies>,
    examples: RefCell<BTreeMap<ErrorClass, String>>,
}

impl Shard {
    fn new(source: Source) -> Rc<Self> {
        Rc::new(Self {
            source: RefCell::new(source),
            idle: RefCell::default(),
            tally: RefCell::default(),
            outstanding: Cell::new(0),
            issuing: Cell::new(true),
            quiet: Notify::new(),
            censored_age: RefCell::default(),
            examples: RefCell::default(),
        })
    }

    /// Requests are offered to it by a schedule.
    pub(crate) fn open() -> Rc<Self> {
        Self::new(Source::Open(VecDeque::new()))
    }

    /// Connections take requests as fast as they settle them,
    /// until the run has had so many.
    pub(crate) fn closed(stripe: Stripe, requests: u64) -> Rc<Self> {
        let shard = Self::new(Source::Closed { nth: 0, stripe, requests });
        shard.issuing.set(stripe.global(0) < requests);
        shard
    }

    /// Request `k` is due, and it is `now`: it waits for a connection, or is dropped when too many wait.
    /// Whether it waits.
    pub(crate) fn offer(&self, k: u64, intended: MonoNanos, now: MonoNanos) -> bool {
        let Tally { counts, pacing_lag, .. } = &mut *self.tally.borrow_mut();
        counts.scheduled += 1;
        pacing_lag.record_nanos(now.since(intended));
        match &mut *self.source.borrow_mut() {
            Source::Open(queue) if queue.len() < QUEUE_REQUESTS => {
                queue.push_back(Due { k, intended });
                self.outstanding.set(self.outstanding.get() + 1);
                true
            }
            Source::Open(_) | Source::Closed { .. } => {
                counts.dropped += 1;
                false
            }
        }
    }

    /// The next request for a connection that is ready to send it.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Ticket> {
        let due = match &mut *self.source.borrow_mut() {
            Source::Open(queue) => queue.pop_front()?,
            Source::Closed { .. } if !self.issuing.get() => return None,
            Source::Closed { nth, stripe, requests } => {
                let due = Due { k: stripe.global(*nth), intended: MonoNanos::now() };
                *nth += 1;
                self.issuing.set(stripe.global(*nth) < *requests);
                self.tally.borrow_mut().counts.scheduled += 1;
                self.outstanding.set(self.outstanding.get() + 1);
                due
            }
        };
        Some(Ticket { shard: Rc::clone(self), due, settled: false })
    }

    /// Whether requests wait for a connection.
    pub(crate) fn is_waited_for(&self) -> bool {
        matches!(&*self.source.borrow(), Source::Open(queue) if !queue.is_empty())
    }

    /// Says that a connection has no work. The one that was idle last is woken first: the fewer are
    /// used, the longer the others may be closed.
    pub(crate) fn rest(&self, idle: &Idle) {
        self.idle.borrow_mut().push(Rc::clone(idle));
    }

    /// Takes back [`rest`](Self::rest), when the connection closed while it was idle.
    pub(crate) fn leave(&self, idle: &Idle) {
        self.idle.borrow_mut().retain(|other| !Rc::ptr_eq(other, idle));
    }

    /// Wakes a connection that has no work; false when there is none.
    pub(crate) fn wake_idle(&self) -> bool {
        let idle = self.idle.borrow_mut().pop();
        idle.inspect(|idle| idle.notify_one()).is_some()
    }

    /// A connection was opened.
    pub(crate) fn connected(&self, took_nanos: u64) {
        self.tally.borrow_mut().connect.record_nanos(took_nanos);
    }

    /// Whether something new may become due.
    pub(crate) fn is_issuing(&self) -> bool {
        self.issuing.get()
    }

    /// From now on nothing new becomes due.
    pub(crate) fn stop_issuing(&self) {
        self.issuing.set(false);
    }

    /// Gives up what waits for a connection.
    pub(crate) fn censor_waiting(self: &Rc<Self>) {
        while self.is_waited_for() {
            drop(self.take());
        }
    }

    /// Requests that are due and not settled.
    pub(crate) fn outstanding(&self) -> u64 {
        self.outstanding.get()
    }

    /// Returns when the last request is settled and nothing new becomes due.
    pub(crate) async fn quiet(&self) {
        while self.issuing.get() || self.outstanding.get() > 0 {
            self.quiet.notified().await;
        }
    }

    /// What happened since this was called last.
    pub(crate) fn cut(&self) -> Tally {
        self.tally.take()
    }

    /// How long requests that were censored had been due.
    pub(crate) fn censored_age(&self) -> Latencies {
        self.censored_age.borrow().clone()
    }

    /// The first error text of each class.
    pub(crate) fn examples(&self) -> BTreeMap<ErrorClass, String> {
        self.examples.borrow().clone()
    }

    fn settled(&self) {
        self.outstanding.set(self.outstanding.get() - 1);
        if self.outstanding.get() == 0 && !self.issuing.get() {
            self.quiet.notify_one();
        }
    }
}

/// A request that has left the queue. Dropping it unsettled censors it.
#[derive(Debug)]
pub(crate) struct Ticket {
    shard: Rc<Shard>,
    due: Due,
    settled: bool,
}

impl Ticket {
    /// Its number in the whole run.
    pub(crate) fn k(&self) -> u64 {
        self.due.k
    }

    /// It goes out now; returns when that is.
    pub(crate) fn send(&self) -> MonoNanos {
        // A closed run's request is due when it can be sent: it has no lag.
        let sent = match &*self.shard.source.borrow() {
            Source::Open(_) => MonoNanos::now(),
            Source::Closed { .. } => self.due.intended,
        };
        let tally = &mut *self.shard.tally.borrow_mut();
        tally.counts.sent += 1;
        tally.send_lag.record_nanos(sent.since(self.due.intended));
        sent
    }

    /// A whole answer has come; what it is worth is said next.
    pub(crate) fn answered(&self, status: u16, body_bytes: usize) {
        let tally = &mut *self.shard.tally.borrow_mut();
        *tally.statuses.entry(status).or_default() += 1;
        tally.received_bytes += body_bytes as u64;
    }

    /// Its answer is a success.
    pub(crate) fn complete(mut self, sent: MonoNanos, first_byte: MonoNanos, last_byte: MonoNanos) {
        let tally = &mut *self.shard.tally.borrow_mut();
        tally.counts.completed += 1;
        tally.response.record_nanos(last_byte.since(self.due.intended));
        tally.service.record_nanos(last_byte.since(sent));
        tally.first_byte.record_nanos(first_byte.since(sent));
        self.settled = true;
    }

    /// It failed; the text is kept when it is the first of its class.
    pub(crate) fn fail(mut self, class: ErrorClass, text: &dyn Display) {
        self.shard.tally.borrow_mut().counts.errors.count(class);
        self.shard.examples.borrow_mut().entry(class).or_insert_with(|| text.to_string());
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            let age_nanos = MonoNanos::now().since(self.due.intended);
            self.shard.censored_age.borrow_mut().record_nanos(age_nanos);
            self.shard.tally.borrow_mut().counts.censored += 1;
        }
        self.shard.settled();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonoNanos = MonoNanos(1);

    #[test]
    fn requests_are_taken_in_the_order_in_which_they_became_due() {
        let shard = Shard::open();
        for k in [4, 7, 10] {
            assert!(shard.offer(k, NOW, NOW));
        }
        let taken: Vec<u64> = std::iter::from_fn(|| shard.take()).map(|ticket| ticket.k()).collect();
        assert_eq!(taken, [4, 7, 10]);
    }

    #[test]
    fn a_full_queue_drops_and_every_request_has_one_end() {
        let shard = Shard::open();
        let offered = u64::try_from(QUEUE_REQUESTS).unwrap() + 3;
        let waiting = (0..offered).filter(|k| shard.offer(*k, NOW, NOW)).count();
        assert_eq!(waiting, QUEUE_REQUESTS);
        shard.take().unwrap().complete(NOW, NOW, NOW);
        shard.take().unwrap().fail(ErrorClass::Reset, &"first");
        shard.take().unwrap().fail(ErrorClass::Reset, &"second");
        shard.censor_waiting();

        let counts = shard.cut().counts;
        assert_eq!((counts.dropped, counts.completed, counts.errors.total()), (3, 1, 2));
        assert_eq!(
            counts.scheduled,
            counts.completed + counts.errors.total() + counts.dropped + counts.censored
        );
        assert_eq!(shard.censored_age().count(), counts.censored);
        assert_eq!(shard.outstanding(), 0);
        assert_eq!(shard.examples(), BTreeMap::from([(ErrorClass::Reset, "first".to_owned())]));
    }

    #[test]
    fn a_failure_leaves_no_trace_in_the_latencies() {
        let shard = Shard::open();
        shard.offer(0, NOW, NOW);
        let ticket = shard.take().unwrap();
        ticket.send();
        ticket.fail(ErrorClass::Status5xx, &"");
        let tally = shard.cut();
        assert_eq!((tally.response.count(), tally.service.count(), tally.first_byte.count()), (0, 0, 0));
        assert_eq!(tally.send_lag.count(), 1);
    }

    #[test]
    fn a_closed_run_takes_its_stripe_until_it_stops_issuing_and_has_no_send_lag() {
        let shard = Shard::closed(Stripe::new(1, 3).unwrap(), u64::MAX);
        let taken: Vec<Ticket> = (0..3).map(|_| shard.take().unwrap()).collect();
        assert_eq!(taken.iter().map(Ticket::k).collect::<Vec<_>>(), [1, 4, 7]);
        assert_eq!(taken[0].send(), taken[0].due.intended);
        shard.stop_issuing();
        assert!(shard.take().is_none());
        assert_eq!(shard.outstanding(), 3);
    }

    #[test]
    fn a_closed_run_of_so_many_requests_ends_with_the_last_of_its_stripe() {
        for (requests, mine) in [(1, 0), (2, 1), (7, 2), (8, 3)] {
            let shard = Shard::closed(Stripe::new(1, 3).unwrap(), requests);
            let taken: Vec<Ticket> = std::iter::from_fn(|| shard.take()).collect();
            assert_eq!((taken.len(), shard.issuing.get()), (mine, false), "{requests}");
        }
    }

    #[tokio::test]
    async fn quiet_comes_when_the_last_request_is_settled() {
        let shard = Shard::open();
        shard.offer(0, NOW, NOW);
        let ticket = shard.take().unwrap();
        shard.stop_issuing();
        let quiet = shard.quiet();
        tokio::pin!(quiet);
        assert!(futures_pending(quiet.as_mut()).await);
        ticket.complete(NOW, NOW, NOW);
        quiet.await;
    }

    async fn futures_pending(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        tokio::select! {
            biased;
            () = future => false,
            () = std::future::ready(()) => true,
        }
    }

    #[test]
    fn the_connection_that_was_idle_last_is_woken_first_and_one_that_left_never() {
        let shard = Shard::open();
        let [first, second, third]: [Idle; 3] = Default::default();
        for idle in [&first, &second, &third] {
            shard.rest(idle);
        }
        shard.leave(&third);
        assert!(shard.wake_idle());
        assert_eq!(Rc::strong_count(&second), 1);
        assert_eq!(Rc::strong_count(&first), 2);
        assert!(shard.wake_idle());
        assert!(!shard.wake_idle());
    }
}
