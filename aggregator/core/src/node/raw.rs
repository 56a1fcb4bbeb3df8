//! What single threads did, between the agent and those who record it.
//!
//! Invariant: nothing is kept while nobody wants it, and of what was wanted each reading is kept or
//! counted as lost. Deliberately absent: history and detector, which never see it.

use berth::RawThreads;

use super::{Node, subjects::Subjects};
use crate::{frame, timeline::Timeline};

/// Memory for what is kept until somebody fetches it: in the 200 ms in which that is done once an agent
/// sends 430 KB at most, and after a stall, at once, what eight messages hold.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Raw {
    wanted: bool,
    kept: Vec<frame::RawThreads>,
    bytes: usize,
    lost: u64,
}

impl Raw {
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    fn turn(&mut self, on: bool) {
        if self.wanted != on {
            *self = Self { wanted: on, ..Self::default() };
        }
    }

    /// Late by a way there and back, readings come that nobody wants any more.
    fn take(&mut self, raw: RawThreads, subjects: &Subjects, timeline: &Timeline) {
        if !self.wanted {
            return;
        }
        self.lost = self.lost.saturating_add(raw.lost);
        for of in raw.containers {
            let threads = u64::try_from(of.threads.len()).unwrap_or(u64::MAX);
            // The last readings of a container come after the news of its end.
            let Some((key, who, cpus)) = subjects.container(of.series) else {
                self.lost = self.lost.saturating_add(threads);
                continue;
            };
            let raw = frame::RawThreads {
                at: timeline.near(of.at_nsec),
                dt_nsec: of.dt_nsec,
                key,
                who: who.clone(),
                cpus: cpus.cloned(),
                threads: of.threads,
                lost: self.lost,
            };
            if self.bytes + raw.bytes() > KEPT_BYTES {
                self.lost = self.lost.saturating_add(threads);
                continue;
            }
            self.bytes += raw.bytes();
            self.lost = 0;
            self.kept.push(raw);
        }
    }

    fn empty(&mut self) -> Vec<frame::RawThreads> {
        self.bytes = 0;
        std::mem::take(&mut self.kept)
    }
}

impl Node {
    /// Asks the agent, with the next orders, for what single threads do; or asks for it no more.
    pub fn record_threads(&mut self, on: bool) {
        self.raw.turn(on);
    }

    /// What single threads did.
    pub fn raw_threads(&mut self, raw: RawThreads) {
        if self.usable().is_ok() {
            self.raw.take(raw, &self.subjects, &self.timeline);
        }
    }

    /// What single threads did since the last call, in its order.
    pub fn recorded_threads(&mut self) -> Vec<frame::RawThreads> {
        self.raw.empty()
    }
}
