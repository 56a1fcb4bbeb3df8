//! Who ran on the victim's CPU while its threads waited to run.
//!
//! A thread waits from when it is woken, made or preempted until it runs; each moment of that is charged
//! to the owner of the thread that has the CPU then, once for each thread that waits. Pure. Invariant:
//! what is charged is what was waited, no more and no less. Deliberately absent: threads of nobody here;
//! they are others'.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use berth_loadgen::MonoNanos;

use super::event::{Event, Tid, What};

/// Whose a thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The model.
    Victim,
    /// A suspect, by number.
    Suspect(usize),
}

/// What came of a recording, in thread-nanoseconds of wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// Beside the victim's own threads.
    pub(super) own: u64,
    /// Beside each suspect's.
    pub(super) suspects: Vec<u64>,
    /// Beside everybody else's: bystanders, the kernel, the idle thread for the moment that a wake-up takes.
    pub(super) others: u64,
    /// Events that were seen.
    pub(super) events: u64,
    /// Events that found no room.
    pub(super) lost: u64,
    /// The first event and the last.
    pub(super) seen: Option<(MonoNanos, MonoNanos)>,
}

impl Waits {
    /// All of it.
    pub(super) fn whole(&self) -> u64 {
        self.own + self.others + self.suspects.iter().sum::<u64>()
    }
}

/// What is known while events are read.
#[derive(Debug)]
pub(super) struct Watch {
    owners: BTreeMap<Tid, Owner>,
    /// What counts.
    window: Range<MonoNanos>,
    /// Who has the CPU; `None` before the first switch.
    running: Option<Tid>,
    /// The victim's threads that wait.
    waiting: BTreeSet<Tid>,
    waits: Waits,
}

impl Watch {
    /// Counts within `window`; `owners` are the threads that were there before and after it, of so many
    /// suspects.
    pub(super) fn new(owners: BTreeMap<Tid, Owner>, suspects: usize, window: Range<MonoNanos>) -> Self {
        let waits = Waits { suspects: vec![0; suspects], ..Waits::default() };
        Self { owners, window, running: None, waiting: BTreeSet::new(), waits }
    }

    /// Takes the next event in time.
    pub(super) fn on(&mut self, event: Event) {
        let (first, last) = self.waits.seen.unwrap_or((event.at, event.at));
        self.charge(last, event.at);
        self.waits.seen = Some((first, event.at));
        match event.what {
            What::Woken(tid) => self.wait(tid),
            What::Made { tid, by } => {
                // A thread that came and went within the recording is on no list; its maker is, or its
                // maker's maker. And its number may have been another's.
                match self.owners.get(&by).copied() {
                    Some(owner) => self.owners.insert(tid, owner),
                    None => self.owners.remove(&tid),
                };
                self.wait(tid);
            }
            What::Switched { from, preempted, to } => {
                self.running = Some(to);
                self.waiting.remove(&to);
                if preempted {
                    self.wait(from);
                }
            }
            What::Lost(count) => {
                self.waits.lost += count;
                return;
            }
        }
        self.waits.events += 1;
    }

    /// What came of it.
    pub(super) fn end(self) -> Waits {
        self.waits
    }

    fn wait(&mut self, tid: Tid) {
        // Who is woken before it has really gone to sleep runs on.
        if self.owners.get(&tid) == Some(&Owner::Victim) && self.running != Some(tid) {
            self.waiting.insert(tid);
        }
    }

    fn charge(&mut self, from: MonoNanos, to: MonoNanos) {
        let within = to.min(self.window.end).since(from.max(self.window.start));
        let waited = within * u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let owner = self.running.and_then(|tid| self.owners.get(&tid));
        *match owner {
            Some(Owner::Victim) => &mut self.waits.own,
            Some(Owner::Suspect(number)) => &mut self.waits.suspects[*number],
            None => &mut self.waits.others,
        } += waited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VICTIM: Tid = 1;
    const SIBLING: Tid = 2;
    const SUSPECT: Tid = 10;
    const STRANGER: Tid = 99;

    fn watch(window: Range<u64>) -> Watch {
        let owners = [(VICTIM, Owner::Victim), (SIBLING, Owner::Victim), (SUSPECT, Owner::Suspect(0))].into();
        Watch::new(owners, 2, MonoNanos(window.start)..MonoNanos(window.end))
    }

    fn waits(window: Range<u64>, events: &[(u64, What)]) -> Waits {
        let mut watch = watch(window);
        for &(at, what) in events {
            watch.on(Event { at: MonoNanos(at), what });
        }
        watch.end()
    }

    fn switched(from: Tid, to: Tid) -> What {
        What::Switched { from, preempted: false, to }
    }

    fn preempted(from: Tid, to: Tid) -> What {
        What::Switched { from, preempted: true, to }
    }

    #[test]
    fn a_wait_is_charged_to_who_ran_and_to_nobody_more_than_was_waited() {
        let told = waits(
            0..1_000,
            &[
                (0, switched(0, SUSPECT)),
                (10, What::Woken(VICTIM)),
                (40, switched(SUSPECT, STRANGER)),
                (45, switched(STRANGER, VICTIM)),
                (60, preempted(VICTIM, SUSPECT)),
                (80, switched(SUSPECT, VICTIM)),
            ],
        );
        assert_eq!((told.own, &told.suspects[..], told.others), (0, &[50, 0][..], 5));
        assert_eq!((told.whole(), told.events), (55, 6));
    }

    #[test]
    fn two_that_wait_count_twice_and_a_sibling_that_runs_is_own() {
        let told = waits(
            0..1_000,
            &[
                (0, switched(0, SUSPECT)),
                (10, What::Woken(VICTIM)),
                (10, What::Woken(SIBLING)),
                (20, switched(SUSPECT, VICTIM)),
                (50, switched(VICTIM, SIBLING)),
            ],
        );
        assert_eq!((told.own, told.suspects[0]), (30, 20));
    }

    #[test]
    fn only_what_lies_in_the_window_counts() {
        let told = waits(
            15..30,
            &[(0, switched(0, SUSPECT)), (10, What::Woken(VICTIM)), (40, switched(SUSPECT, VICTIM))],
        );
        assert_eq!(told.whole(), 15);
        assert_eq!(told.seen, Some((MonoNanos(0), MonoNanos(40))));
    }

    #[test]
    fn who_is_woken_while_it_runs_does_not_wait() {
        let told = waits(
            0..1_000,
            &[
                (0, switched(0, VICTIM)),
                (10, What::Woken(VICTIM)),
                (40, switched(VICTIM, SUSPECT)),
                (90, switched(SUSPECT, 0)),
            ],
        );
        assert_eq!(told.whole(), 0);
    }

    #[test]
    fn a_thread_belongs_to_who_made_it_whosever_its_number_was() {
        let (child, grandchild) = (20, 21);
        let told = waits(
            0..1_000,
            &[
                (0, What::Made { tid: child, by: SUSPECT }),
                (1, What::Made { tid: grandchild, by: child }),
                (2, switched(0, grandchild)),
                (10, What::Woken(VICTIM)),
                (30, What::Made { tid: grandchild, by: STRANGER }),
                (37, switched(grandchild, VICTIM)),
            ],
        );
        assert_eq!((told.suspects[0], told.others), (20, 7));
    }

    /// Half a second of a real trial: refmodel with one worker, a scanner and a busy loop of half duty.
    const RECORDED: &str = include_str!("../../../fixtures/switches.txt");

    #[test]
    fn a_recording_gives_what_its_waits_and_runs_laid_over_each_other_give() {
        let threads = [(27_553, Owner::Victim), (27_554, Owner::Victim), (27_556, Owner::Suspect(0))];
        let more = [(27_559, Owner::Suspect(0)), (27_557, Owner::Suspect(1)), (27_558, Owner::Suspect(1))];
        let owners = threads.into_iter().chain(more).collect();
        let mut watch = Watch::new(owners, 2, MonoNanos(0)..MonoNanos(u64::MAX));
        for line in RECORDED.lines() {
            watch.on(crate::oracle::event::parse(line).unwrap());
        }
        let told = watch.end();
        // By another way: every wait and every run as an interval, and each pair's overlap.
        assert_eq!(
            (told.own, &told.suspects[..], told.others),
            (0, &[48_906_360, 33_154_600][..], 3_133_287)
        );
        assert_eq!((told.events, told.lost), (100, 0));
    }

    #[test]
    fn what_was_lost_is_counted_apart() {
        let told = waits(0..10, &[(0, switched(0, SUSPECT)), (5, What::Lost(7))]);
        assert_eq!((told.events, told.lost), (1, 7));
    }
}
