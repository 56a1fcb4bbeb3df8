//! The load workers that are connected, and what each is told.
//!
//! Invariant: an id names one open stream; a newer one takes over. A worker that does not read its
//! orders, or goes silent in a run, is given up. Deliberately absent: waiting; an order is handed
//! over at once or the worker is gone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth::{NodeName, load::RunSpec};
use berth_core::{
    time::AxisNsec,
    timeline::{Pong, Timeline},
};
use tonic::Status;

use super::ids::{RunId, WorkerId};
use crate::downlink::Sender;

/// Orders that may wait for a worker: a run needs four, and a ping a second comes on top.
pub(crate) const ORDERS_WAITING: usize = 16;

/// Workers connected at once: two runs of the most workers that a run may have.
pub(crate) const WORKERS: usize = 200;

/// A worker in a run answers a ping a second; silent this long, it is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// Pings in a row after a worker joined, so that one of them meets quiet queues.
const FIRST_PINGS: usize = 8;

/// Between the first pings, in a run, and otherwise: in a run a ping is also the sign of life.
const PING_PERIODS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)];

/// How a worker introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerHello {
    /// Unique among the workers.
    pub(crate) id: WorkerId,
    /// Where it runs.
    pub(crate) node: NodeName,
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Get everything ready.
    Prepare {
        /// Of the run.
        run: RunId,
        /// The whole run.
        spec: Arc<RunSpec>,
        /// This worker's place.
        index: u32,
        /// Among so many.
        of: u32,
    },
    /// Start sending.
    Begin {
        /// Of the run.
        run: RunId,
        /// By the worker's own CLOCK_BOOTTIME.
        start_nsec: u64,
    },
    /// Send nothing more.
    Stop {
        /// Of the run.
        run: RunId,
    },
    /// Say what your clock says.
    Ping {
        /// Echoed.
        id: u64,
    },
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Nothing.
    Idle,
    /// This run.
    Run(RunId),
    /// The rest of a run that ended without it, until then.
    Leaving(RunId, AxisNsec),
}

/// A stream of a worker, for the life of the aggregator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session(u64);

#[derive(Debug)]
struct Worker {
    session: Session,
    node: NodeName,
    link: Sender<Order>,
    clock: Timeline,
    /// Pings that were answered.
    pongs: usize,
    duty: Duty,
    heard: AxisNsec,
    ping_due: AxisNsec,
}

impl Worker {
    fn ping_period(&self) -> Duration {
        let [joined, running, idle] = PING_PERIODS;
        match self.duty {
            _ if self.pongs < FIRST_PINGS => joined,
            Duty::Run(_) => running,
            Duty::Idle | Duty::Leaving(..) => idle,
        }
    }
}

/// A worker that is no longer there, and the run that it was in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Who.
    pub(crate) worker: WorkerId,
    /// What it was doing.
    pub(crate) run: Option<RunId>,
    /// In words.
    pub(crate) why: &'static str,
}

/// The workers that are connected.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    connected: BTreeMap<WorkerId, Worker>,
    sessions: u64,
    pings: u64,
}

impl Workers {
    /// A worker has said hello. `None`: there are too many. An older stream of the same id ends.
    pub(crate) fn join(
        &mut self,
        hello: WorkerHello,
        link: Sender<Order>,
        now: AxisNsec,
    ) -> (Option<Session>, Option<Gone>) {
        let gone = self.close(
            &hello.id,
            "a newer stream took over",
            Status::aborted("a newer stream of this worker took over"),
        );
        if self.connected.len() >= WORKERS {
            return (None, gone);
        }
        self.sessions += 1;
        let session = Session(self.sessions);
        let clock = Timeline::default();
        let worker = Worker {
            session,
            node: hello.node,
            link,
            clock,
            pongs: 0,
            duty: Duty::Idle,
            heard: now,
            ping_due: now,
        };
        self.connected.insert(hello.id, worker);
        (Some(session), gone)
    }

    /// Its stream has ended, or is to be ended with this status.
    pub(crate) fn leave(&mut self, id: &WorkerId, session: Session, end: Option<Status>) -> Option<Gone> {
        self.current(id, session)?;
        let worker = self.connected.remove(id)?;
        let gone = gone(id, &worker, "its stream ended");
        if let Some(status) = end {
            drop(worker.link.end.send(status));
        }
        Some(gone)
    }

    /// Ends its stream.
    pub(crate) fn close(&mut self, id: &WorkerId, why: &'static str, status: Status) -> Option<Gone> {
        let worker = self.connected.remove(id)?;
        let gone = gone(id, &worker, why);
        // Whoever is gone already needs no telling.
        drop(worker.link.end.send(status));
        Some(gone)
    }

    /// A sign of life. `false`: it comes from a stream that was taken over.
    pub(crate) fn heard(&mut self, id: &WorkerId, session: Session, now: AxisNsec) -> bool {
        self.current(id, session).map(|worker| worker.heard = now).is_some()
    }

    /// The answer to a ping.
    pub(crate) fn pong(&mut self, id: &WorkerId, ping_sent: AxisNsec, pong: Pong, now: AxisNsec) {
        if let Some(worker) = self.connected.get_mut(id) {
            worker.pongs += usize::from(worker.clock.pong(ping_sent, pong, now));
        }
    }

    /// Those that could start a run now, spread over as many nodes as there are.
    pub(crate) fn free(&self) -> Vec<(WorkerId, NodeName)> {
        let ready = self
            .connected
            .iter()
            .filter(|(_, worker)| worker.duty == Duty::Idle && worker.clock.is_synchronised());
        let mut on_node: BTreeMap<&NodeName, usize> = BTreeMap::new();
        let mut free: Vec<_> = ready
            .map(|(id, worker)| {
                let earlier = on_node.entry(&worker.node).or_default();
                *earlier += 1;
                (*earlier, id, &worker.node)
            })
            .collect();
        free.sort();
        free.into_iter().map(|(_, id, node)| (id.clone(), node.clone())).collect()
    }

    /// How many are connected.
    pub(crate) fn len(&self) -> usize {
        self.connected.len()
    }

    /// Sets what a worker is doing.
    pub(crate) fn set_duty(&mut self, id: &WorkerId, duty: Duty) {
        if let Some(worker) = self.connected.get_mut(id) {
            worker.duty = duty;
        }
    }

    /// A run has ended for all that are in it.
    pub(crate) fn release(&mut self, run: RunId, duty: Duty) {
        for worker in self.connected.values_mut().filter(|worker| worker.duty == Duty::Run(run)) {
            worker.duty = duty;
        }
    }

    /// It has finished with this run, if that is what it was doing.
    pub(crate) fn finished(&mut self, id: &WorkerId, run: RunId) {
        if let Some(worker) = self.connected.get_mut(id)
            && matches!(worker.duty, Duty::Run(doing) | Duty::Leaving(doing, _) if doing == run)
        {
            worker.duty = Duty::Idle;
        }
    }

    /// A time of the axis by this worker's clock.
    pub(crate) fn at_worker(&self, id: &WorkerId, at: AxisNsec) -> Option<u64> {
        self.connected.get(id)?.clock.unmap(at)
    }

    /// Hands an order over. A worker whose queue is full does not read and is given up.
    pub(crate) fn send(&mut self, id: &WorkerId, order: Order) -> Option<Gone> {
        let worker = self.connected.get(id)?;
        worker.link.items.try_send(order).err()?;
        self.close(id, "it does not read its orders", Status::resource_exhausted("orders are not read"))
    }

    /// Pings who is due; gives up who is silent, or does not come back from a run.
    pub(crate) fn tick(&mut self, now: AxisNsec) -> Vec<Gone> {
        let mut due = Vec::new();
        let mut gone = Vec::new();
        let mut silent = Vec::new();
        for (id, worker) in &mut self.connected {
            match worker.duty {
                Duty::Run(_) if now.since(worker.heard) > SILENCE => {
                    silent.push((id.clone(), "it is silent"));
                }
                Duty::Leaving(_, until) if now > until => {
                    silent.push((id.clone(), "it did not end its run"));
                }
                Duty::Idle | Duty::Run(_) | Duty::Leaving(..) => {
                    if now >= worker.ping_due {
                        worker.ping_due = now + worker.ping_period();
                        due.push(id.clone());
                    }
                }
            }
        }
        for (id, why) in silent {
            gone.extend(self.close(&id, why, Status::aborted(why)));
        }
        for id in due {
            self.pings += 1;
            gone.extend(self.send(&id, Order::Ping { id: self.pings }));
        }
        gone
    }

    fn current(&mut self, id: &WorkerId, session: Session) -> Option<&mut Worker> {
        self.connected.get_mut(id).filter(|worker| worker.session == session)
    }
}

fn gone(id: &WorkerId, worker: &Worker, why: &'static str) -> Gone {
    let run = match worker.duty {
        Duty::Run(run) => Some(run),
        Duty::Idle | Duty::Leaving(..) => None,
    };
    Gone { worker: id.clone(), run, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downlink::{Downlink, downlink};

    const NOW: AxisNsec = AxisNsec(1_000_000_000_000);

    fn hello(id: &str, node: &str) -> WorkerHello {
        WorkerHello { id: WorkerId::new(id.into()).unwrap(), node: NodeName::new(node).unwrap() }
    }

    /// Joins, with a clock that is known.
    fn join(workers: &mut Workers, id: &str, node: &str) -> (WorkerId, Downlink<Order, Order>) {
        let (sender, stream) = downlink(ORDERS_WAITING, Ok);
        let hello = hello(id, node);
        let worker = hello.id.clone();
        assert!(workers.join(hello, sender, NOW).0.is_some());
        workers.pong(&worker, NOW, Pong { received_nsec: 1, sent_nsec: 1 }, NOW);
        (worker, stream)
    }

    #[test]
    fn a_run_is_spread_over_the_nodes_that_there_are() {
        let mut workers = Workers::default();
        let _links = [("a", "n-1"), ("b", "n-1"), ("c", "n-2"), ("d", "n-2")]
            .map(|(id, node)| join(&mut workers, id, node));
        let free: Vec<_> = workers.free().iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(free, ["a", "c", "b", "d"]);
    }

    #[test]
    fn a_worker_that_is_silent_in_a_run_or_does_not_end_one_is_given_up() {
        let mut workers = Workers::default();
        let links = ["silent", "stuck", "idle"].map(|id| join(&mut workers, id, "n"));
        let run = RunId(1);
        workers.set_duty(&links[0].0, Duty::Run(run));
        workers.set_duty(&links[1].0, Duty::Leaving(run, NOW + SILENCE));
        assert_eq!(workers.tick(NOW + SILENCE), []);
        let gone = workers.tick(NOW + SILENCE + Duration::from_millis(1));
        let gone: Vec<_> = gone.iter().map(|gone| (gone.worker.as_str(), gone.run)).collect();
        assert_eq!(gone, [("silent", Some(run)), ("stuck", None)]);
        assert_eq!(workers.len(), 1, "one with nothing to do may be silent");
    }

    #[test]
    fn a_worker_that_does_not_read_its_orders_is_given_up() {
        let mut workers = Workers::default();
        let (worker, _unread) = join(&mut workers, "a", "n");
        for id in 0..u64::try_from(ORDERS_WAITING).unwrap() {
            assert_eq!(workers.send(&worker, Order::Ping { id }), None);
        }
        assert!(workers.send(&worker, Order::Ping { id: 99 }).is_some());
        assert_eq!(workers.len(), 0);
    }
}
