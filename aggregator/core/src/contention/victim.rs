//! One model on one node: what it waits for, resource by resource.
//!
//! Invariant: each resource has a track of its own, so that a model that is short of memory and held up
//! by a neighbour has two episodes. CPU time is followed step by step; memory and block I/O as often as
//! their files are read.

use crate::{
    contention::{
        account::Account,
        episode::{Episode, ModelState, Resource, Verdict},
        history::TOLD_OVER,
        stall::{self, Window},
        step::Step,
        track::Track,
        verdict,
    },
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// One model.
#[derive(Debug)]
pub(crate) struct Victim {
    pub(crate) key: ContainerKey,
    pub(crate) who: WhoRef,
    pub(crate) cpu: Track,
    memory: Track,
    io: Track,
}

impl Victim {
    pub(crate) fn new(key: ContainerKey, who: WhoRef) -> Self {
        let [cpu, memory, io] = [Resource::Cpu, Resource::Memory, Resource::Io].map(Track::new);
        Self { key, who, cpu, memory, io }
    }

    /// Takes in the newest step; says what has changed, if anything is worth telling.
    pub(crate) fn push(&mut self, node: &str, step: &Step) -> Option<Episode> {
        self.cpu.history.push(step, self.key);
        self.cpu.evaluate(node, &self.who)
    }

    /// Takes in the newest window of what is read once a second.
    pub(crate) fn push_window(&mut self, node: &str, window: &Window) -> impl Iterator<Item = Episode> {
        let (memory, io) = (stall::memory(window, self.key), stall::io(window, self.key));
        let told = [(&mut self.memory, memory), (&mut self.io, io)].map(|(track, split)| {
            track.history.push_split(window.moment, split?);
            track.evaluate(node, &self.who)
        });
        told.into_iter().flatten()
    }

    /// It is seen no more by `now`, so nothing can be said to go on; should it come back, it starts
    /// afresh.
    pub(crate) fn vanish(&mut self, node: &str, now: AxisNsec) -> Vec<Episode> {
        let who = &self.who;
        let tracks = [&mut self.cpu, &mut self.memory, &mut self.io];
        tracks.into_iter().filter_map(|track| track.vanish(node, who, now)).collect()
    }

    /// How it fares now.
    pub(crate) fn state(&self) -> ModelState {
        // The worst is told; where two are as bad, what is looked at first.
        let tracks = [&self.io, &self.memory, &self.cpu];
        let worst = tracks.into_iter().filter_map(|track| track.open_episode().map(|open| (track, open)));
        let worst = worst.max_by_key(|(_, open)| open.severity);
        let (shown, open) = worst.map_or((&self.cpu, None), |(track, open)| (track, Some(open)));
        let now = shown.history.now();
        let mut account = Account::since(now - TOLD_OVER);
        account.feed(shown.history.ticks(), now);
        let seen = account.saw_wait() && account.total().is_evidence();
        ModelState {
            key: self.key,
            who: self.who.clone(),
            episode: open.map(|open| open.id),
            verdict: open.map_or(Verdict::Nobody, |open| open.verdict),
            severity: open.map(|open| open.severity),
            slowdown: seen.then(|| account.blocks().estimate(u64::from(self.key.0.get()))),
            shares: verdict::shares(&account),
            tier: verdict::tier(shown.resource, &account),
            coverage: account.coverage(),
            cpus: account.cpus(),
        }
    }
}
