//! What single threads did, as the sampler read it, for a recording that asked for it.
//!
//! Invariants: a buffer never grows after it was made, so that a reading allocates nothing; what finds no
//! room in it is counted. Deliberately absent: threads that neither ran nor waited.

use berth::{ContainerThreads, RawThreads, SeriesId, limits, usage::ThreadReading};

/// Readings of one flush: ten sweeps at the default rates, each over 800 threads that all moved. A node
/// has fewer CPUs than that, and a buffer takes 260 KiB.
pub const READINGS: usize = 8_192;

/// Sweeps over one container in one flush: ten each of 200 containers whose threads all moved.
pub const SWEEPS: usize = 2_048;

/// One reading of a container's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// The container's `ContainerThreads` series.
    pub series: SeriesId,
    /// When they were read.
    pub at_nsec: u64,
    /// Since the reading before.
    pub dt_nsec: u64,
}

/// The readings of one flush.
#[derive(Debug)]
pub struct Readings {
    /// Each with where its threads end.
    sweeps: Vec<(Sweep, usize)>,
    threads: Vec<ThreadReading>,
    lost: u64,
}

impl Default for Readings {
    /// Empty, with all the room that there will be.
    fn default() -> Self {
        Self { sweeps: Vec::with_capacity(SWEEPS), threads: Vec::with_capacity(READINGS), lost: 0 }
    }
}

impl Readings {
    /// Empties it.
    pub fn clear(&mut self) {
        self.sweeps.clear();
        self.threads.clear();
        self.lost = 0;
    }

    /// Adds what a thread did. Those of one sweep come one after another.
    pub fn put(&mut self, sweep: Sweep, thread: ThreadReading) {
        let is_new = self.sweeps.last().is_none_or(|(last, _)| *last != sweep);
        if self.threads.len() == READINGS || is_new && self.sweeps.len() == SWEEPS {
            self.lost += 1;
            return;
        }
        self.threads.push(thread);
        let end = self.threads.len();
        match self.sweeps.last_mut().filter(|_| !is_new) {
            Some((_, last_end)) => *last_end = end,
            None => self.sweeps.push((sweep, end)),
        }
    }

    /// All of it, in as few messages as may be.
    pub fn messages(&self) -> Vec<RawThreads> {
        let mut messages = Vec::new();
        let mut message = RawThreads { lost: self.lost, containers: Vec::new() };
        let (mut held, mut start) = (0, 0);
        for &(Sweep { series, at_nsec, dt_nsec }, end) in &self.sweeps {
            // No sweep is too long for a message of its own: fewer threads are watched.
            if held + (end - start) > limits::RAW_READINGS {
                messages.push(std::mem::take(&mut message));
                held = 0;
            }
            let threads = self.threads[start..end].to_vec();
            held += threads.len();
            start = end;
            message.containers.push(ContainerThreads { series, at_nsec, dt_nsec, threads });
        }
        if message != RawThreads::default() {
            messages.push(message);
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::THREADS;

    fn sweep(series: u32, at_nsec: u64) -> Sweep {
        Sweep { series: SeriesId::new(series).unwrap(), at_nsec, dt_nsec: 20 }
    }

    fn thread(tid: u32) -> ThreadReading {
        ThreadReading { tid, run_nsec: 7, wait_nsec: 9 }
    }

    #[test]
    fn what_was_put_comes_out_by_container_and_time() {
        let mut readings = Readings::default();
        assert_eq!(readings.messages(), []);
        for (sweep, tid) in [(sweep(1, 20), 11), (sweep(1, 20), 12), (sweep(2, 20), 21), (sweep(1, 40), 11)] {
            readings.put(sweep, thread(tid));
        }
        let [RawThreads { lost: 0, containers }] = &readings.messages()[..] else { panic!("one message") };
        let told = |of: &ContainerThreads| {
            (of.series.get(), of.at_nsec, of.dt_nsec, of.threads.iter().map(|thread| thread.tid).collect())
        };
        let told: Vec<(u32, u64, u64, Vec<u32>)> = containers.iter().map(told).collect();
        assert_eq!(told, [(1, 20, 20, vec![11, 12]), (2, 20, 20, vec![21]), (1, 40, 20, vec![11])]);
        readings.clear();
        assert_eq!(readings.messages(), []);
    }

    #[test]
    fn the_most_threads_fill_whole_messages_and_what_finds_no_room_is_counted() {
        let mut readings = Readings::default();
        let watched = u32::try_from(THREADS).unwrap();
        for at_nsec in 0..5 {
            (0..watched).for_each(|tid| readings.put(sweep(1, at_nsec), thread(tid)));
        }
        let messages = readings.messages();
        let held = |message: &RawThreads| message.containers.iter().map(|of| of.threads.len()).sum();
        assert_eq!(messages.iter().map(held).collect::<Vec<usize>>(), [limits::RAW_READINGS; 2]);
        assert_eq!(messages[0].lost, 5 * u64::from(watched) - 8_192);
    }

    #[test]
    fn too_many_sweeps_are_counted_and_nothing_grows() {
        let mut readings = Readings::default();
        let room = (readings.sweeps.capacity(), readings.threads.capacity());
        let sweeps = u64::try_from(SWEEPS).unwrap();
        (0..sweeps + 3).for_each(|at_nsec| readings.put(sweep(1, at_nsec), thread(1)));
        assert_eq!(readings.messages()[0].lost, 3);
        assert_eq!((readings.sweeps.capacity(), readings.threads.capacity()), room);
    }
}
