//! One model on one node: what it waits for, resource by resource.
//!
//! Invariant: each resource has a track of its own, so that a model that is short of memory and held up
//! by a neighbour has two episodes. CPU time has two, of which one speaks: step by step where its threads are
//! seen, else by its pressure file. That, memory, block I/O and time on a GPU are followed as often as they
//! are read.

use std::{collections::VecDeque, time::Duration};

use crate::{
    contention::{
        account::Account,
        episode::{Episode, ModelState, Resource, Tier, Verdict},
        gpu,
        history::TOLD_OVER,
        part::Part,
        pressure, stall,
        step::Step,
        track::Track,
        verdict,
        window::{Window, Windows},
    },
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// Whether its threads are seen is told over this long: two windows, as long as its pressure file must show a
/// wait before that counts.
const LOOKED_OVER: Duration = Duration::from_secs(2);

/// In less than this part of that time they were seen ...
const SEEN_NO_MORE: f64 = 0.25;

/// ... or in more than this again.
const SEEN_AGAIN: f64 = 0.75;

/// One model.
#[derive(Debug)]
pub(crate) struct Victim {
    pub(crate) key: ContainerKey,
    pub(crate) who: WhoRef,
    pub(crate) cpu: Track,
    /// Speaks while its threads are not seen.
    cpu_by_pressure: Track,
    is_blind: bool,
    windows: Windows,
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
            is_blind: false,
            windows: Windows::of(key),
            memory: track(Resource::Memory, Tier::Pressure),
            io: track(Resource::Io, Tier::Pressure),
            gpu_time: track(Resource::GpuTime, Tier::Usage),
        }
    }

    /// Takes in the newest step; says what has changed, if anything is worth telling.
    pub(crate) fn push(&mut self, node: &str, step: &Step) -> Vec<Episode> {
        self.cpu.history.push(step, self.key);
        if self.is_blind { Vec::new() } else { self.cpu.evaluate(node, &self.who) }
    }

    /// Lets the other of the two tracks of CPU time speak, if it is that one's turn. There is a gap between
    /// the two gates, so that a model of whose threads about half are seen keeps its track.
    fn look(&mut self, node: &str, now: AxisNsec) -> Option<Episode> {
        let seen = self.cpu.history.seen_part(now - LOOKED_OVER);
        if self.is_blind && seen >= SEEN_AGAIN {
            self.is_blind = false;
            return self.cpu_by_pressure.vanish(node, &self.who, now);
        }
        if !self.is_blind && seen <= SEEN_NO_MORE {
            self.is_blind = true;
            return self.cpu.close(node, &self.who, now);
        }
        None
    }

    /// Takes in what the newest of these steps says of what is read once a second, if it does; they are the
    /// last ones, oldest first.
    pub(crate) fn look_back(&mut self, node: &str, steps: &VecDeque<Step>) -> Vec<Episode> {
        let window = self.windows.next(steps);
        window.map(|window| self.push_window(node, &window)).unwrap_or_default()
    }

    /// What is not known of it any more, because a file is gone or a process has left the GPU, can not be
    /// said to go on.
    fn push_window(&mut self, node: &str, window: &Window<'_>) -> Vec<Episode> {
        let moment = window.moment();
        let mut told = Vec::from_iter(self.look(node, moment.at));
        let by_pressure = self.is_blind.then(|| pressure::cpu(window)).flatten();
        let splits = [
            (&mut self.cpu_by_pressure, by_pressure),
            (&mut self.memory, stall::memory(window)),
            (&mut self.io, stall::io(window)),
            (&mut self.gpu_time, gpu::time(window)),
        ];
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
        let cpu = if self.is_blind { &self.cpu_by_pressure } else { &self.cpu };
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
