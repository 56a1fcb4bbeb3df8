//! One model on one node: what it waits for, resource by resource.
//!
//! Invariant: each resource has a track of its own, so that a model that is short of memory and held up
//! by a neighbour has two episodes. CPU time is followed step by step; memory, block I/O and time on a GPU as
//! often as they are read.

use crate::{
    contention::{
        account::Account,
        episode::{Episode, ModelState, Resource, Verdict},
        gpu,
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
    gpu_time: Track,
}

impl Victim {
    pub(crate) fn new(key: ContainerKey, who: WhoRef) -> Self {
        let [cpu, memory, io, gpu_time] =
            [Resource::Cpu, Resource::Memory, Resource::Io, Resource::GpuTime].map(Track::new);
        Self { key, who, cpu, memory, io, gpu_time }
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
        let of_gpu = self.push_gpu(node, window);
        told.into_iter().chain([of_gpu]).flatten()
    }

    /// A process that leaves the GPU takes its use with it, and then nothing can be said to go on.
    fn push_gpu(&mut self, node: &str, window: &Window) -> Option<Episode> {
        let Some(split) = gpu::time(window, self.key) else {
            return self.gpu_time.vanish(node, &self.who, window.moment.at);
        };
        self.gpu_time.history.push_split(window.moment, split);
        self.gpu_time.evaluate(node, &self.who)
    }

    /// It is seen no more by `now`, so nothing can be said to go on; should it come back, it starts
    /// afresh.
    pub(crate) fn vanish(&mut self, node: &str, now: AxisNsec) -> Vec<Episode> {
        let who = &self.who;
        let tracks = [&mut self.cpu, &mut self.memory, &mut self.io, &mut self.gpu_time];
        tracks.into_iter().filter_map(|track| track.vanish(node, who, now)).collect()
    }

    /// How it fares now.
    pub(crate) fn state(&self) -> ModelState {
        // The worst is told; where two are as bad, what is looked at first.
        let tracks = [&self.gpu_time, &self.io, &self.memory, &self.cpu];
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
            slowdown: seen.then(|| verdict::slowdown(shown.resource, &account, u64::from(self.key.0.get()))),
            shares: verdict::shares(&account),
            tier: verdict::tier(shown.resource, &account),
            coverage: account.coverage(),
            cpus: account.cpus(),
        }
    }
}
