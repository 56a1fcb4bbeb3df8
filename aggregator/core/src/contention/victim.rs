//! One model on one node: what it waits for, resource by resource.
//!
//! Invariant: each resource has a track of its own, so that a model that is short of memory and held up
//! by a neighbour has two episodes. CPU time is followed step by step; memory, block I/O and time on a GPU as
//! often as they are read.

use crate::{
    contention::{
        account::Account,
        episode::{Episode, ModelState, Resource, Tier, Verdict},
        gpu,
        history::TOLD_OVER,
        part::Part,
        pressure,
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
    /// Followed while its threads are not seen.
    cpu_by_pressure: Track,
    memory: Track,
    io: Track,
    gpu_time: Track,
}

impl Victim {
    pub(crate) fn new(key: ContainerKey, who: WhoRef, without: Option<Part>) -> Self {
        let track = |resource, tier| Track::new(resource, tier, without);
        Self {
            key,
            who,
            cpu: track(Resource::Cpu, Tier::Threads),
            cpu_by_pressure: track(Resource::Cpu, Tier::Pressure),
            memory: track(Resource::Memory, Tier::Pressure),
            io: track(Resource::Io, Tier::Pressure),
            gpu_time: track(Resource::GpuTime, Tier::Usage),
        }
    }

    /// Takes in the newest step; says what has changed, if anything is worth telling.
    pub(crate) fn push(&mut self, node: &str, step: &Step) -> Vec<Episode> {
        self.cpu.history.push(step, self.key);
        self.cpu.evaluate(node, &self.who)
    }

    /// Takes in the newest window of what is read once a second. What is not known of it any more, because a
    /// file is gone or a process has left the GPU, can not be said to go on.
    pub(crate) fn push_window(&mut self, node: &str, window: &Window) -> Vec<Episode> {
        let moment = window.whole.moment();
        let is_blind = !self.cpu.history.has_seen_since(moment.start);
        let splits = [
            (&mut self.cpu_by_pressure, pressure::cpu(window, self.key).filter(|_| is_blind)),
            (&mut self.memory, stall::memory(window, self.key)),
            (&mut self.io, stall::io(window, self.key)),
            (&mut self.gpu_time, gpu::time(window, self.key)),
        ];
        let mut told = Vec::new();
        for (track, split) in splits {
            if let Some(split) = split {
                track.history.push_split(moment, split);
                told.extend(track.evaluate(node, &self.who));
            } else {
                told.extend(track.vanish(node, &self.who, moment.at));
            }
        }
        told
    }

    /// It is seen no more by `now`, so nothing can be said to go on; should it come back, it starts
    /// afresh.
    pub(crate) fn vanish(&mut self, node: &str, now: AxisNsec) -> Vec<Episode> {
        let who = &self.who.clone();
        let Self { cpu, cpu_by_pressure, memory, io, gpu_time, .. } = self;
        let tracks = [cpu, cpu_by_pressure, memory, io, gpu_time];
        tracks.into_iter().filter_map(|track| track.vanish(node, who, now)).collect()
    }

    /// How it fares now.
    pub(crate) fn state(&self) -> ModelState {
        // The worst is told; where two are as bad, what is looked at first.
        let cpu = if self.cpu_by_pressure.history.is_empty() { &self.cpu } else { &self.cpu_by_pressure };
        let tracks = [&self.gpu_time, &self.io, &self.memory, cpu];
        let worst = tracks.into_iter().filter_map(|track| track.open_episode().map(|open| (track, open)));
        let worst = worst.max_by_key(|(_, open)| open.severity);
        let (shown, open) = worst.map_or((cpu, None), |(track, open)| (track, Some(open)));
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
            tier: account.tier(shown.tier),
            coverage: account.coverage(),
            cpus: account.cpus(),
        }
    }
}
