//! What a model waits for on a GPU: the time in which others hold it.
//!
//! The driver tells how long each user held a GPU, never how long it wanted to. On a GPU that is always
//! held, a model that always has work waits for all that the others hold: S = (R + W) / R = 1 / share. One
//! that has none at times waits for less, down to nothing. So W here is the most that it can be, the
//! interval's lower end is 1, and it is possible at best. Under MPS users hold it together, and what they
//! hold is scaled to the time that there was.
//!
//! Invariant: nothing is said of a GPU that was free at times, nor of one of whose users the use is not
//! known; a MIG instance shows none.
//!
//! Deliberately absent: a verdict on GPU memory. A full GPU is no shortage: frameworks take nearly all of
//! its memory when they start and part it themselves. The driver shows no allocation that failed, and a
//! model that then does less looks like one that is asked for less. Its figures are in each frame, and so in
//! each trace, for a method that finds more in them.

use std::collections::BTreeMap;

use berth::SeriesId;

use crate::{
    contention::{
        decompose::{Held, Split},
        stall,
        step::Step,
        window::Window,
    },
    frame::GpuUse,
    who::ContainerKey,
};

/// From this part of the time on a GPU counts as always held: each user's share is cut to a percent, and
/// the switch from one to the next is nobody's.
const ALWAYS_HELD: f64 = 0.95;

/// Time slices go round, so whoever always has work gets one turn of as many as there are users, and more
/// than twenty seldom share a GPU. Who holds less of it than that had no work most of the time.
const HELD_AT_LEAST: f64 = 0.05;

/// One GPU over about a second, in nanoseconds.
#[derive(Debug, Clone)]
struct Gpu {
    key: SeriesId,
    /// In which the use of all its users was known.
    seen: f64,
    /// Of that, in which any kernel was resident.
    busy: f64,
    /// How long each held it; `None` is all that is nobody's.
    users: BTreeMap<Option<ContainerKey>, f64>,
}

impl Gpu {
    fn add(&mut self, gpu: &GpuUse, dt_nsec: f64) {
        let nsec = |permille: u64| permille as f64 / 1e3 * dt_nsec;
        let known =
            || gpu.users.iter().map(|user| Some((user.container.map(ContainerKey), user.sm_permille?)));
        if known().any(|user| user.is_none()) {
            return;
        }
        self.seen += dt_nsec;
        // Where it is not known it rules nothing out.
        self.busy += gpu.sm_permille.map_or(dt_nsec, nsec);
        for (user, permille) in known().flatten() {
            *self.users.entry(user).or_default() += nsec(permille);
        }
    }

    /// How the victim fared on it; `None` where it is no user, or that is not known.
    fn hold(&self, victim: ContainerKey) -> Option<Hold<'_>> {
        let own = *self.users.get(&Some(victim))? / self.seen;
        let all = self.users.values().sum::<f64>() / self.seen;
        let is_contended = all.min(self.busy / self.seen) >= ALWAYS_HELD && own >= HELD_AT_LEAST;
        let scale = 1.0 / all.max(1.0);
        let wait = if is_contended { (all - own) * scale } else { 0.0 };
        Some(Hold { gpu: self, scale: scale / self.seen, run: own * scale, wait })
    }
}

/// Every GPU over about a second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gpus(Vec<Gpu>);

impl Gpus {
    /// With the next step.
    pub(crate) fn and(mut self, step: &Step) -> Self {
        for gpu in &step.gpus {
            let at = self.0.binary_search_by_key(&gpu.key, |known| known.key).unwrap_or_else(|at| {
                self.0.insert(at, Gpu { key: gpu.key, seen: 0.0, busy: 0.0, users: BTreeMap::new() });
                at
            });
            self.0[at].add(gpu, step.dt_nsec as f64);
        }
        self
    }
}

/// What a victim held of a GPU, and what the others held meanwhile, in parts of the time.
struct Hold<'a> {
    gpu: &'a Gpu,
    /// From nanoseconds held to parts of the time.
    scale: f64,
    run: f64,
    wait: f64,
}

impl Hold<'_> {
    fn wait_per_run(&self) -> f64 {
        if self.wait > 0.0 { self.wait / self.run } else { 0.0 }
    }
}

/// Its wait for GPU time; `None` where it uses no GPU, or its use is not known. Of several GPUs it is that of
/// the one on which it fares worst: who parts a request among them waits for the slowest, and where each
/// serves requests of its own, it holds for those.
pub(crate) fn time(window: &Window<'_>) -> Option<Split> {
    let own = window.own()?;
    let victim = own.key;
    let gpus = window.gpus();
    let holds = gpus.0.iter().filter_map(|gpu| gpu.hold(victim));
    let worse = |a: &Hold<'_>, b: &Hold<'_>| {
        a.wait_per_run().total_cmp(&b.wait_per_run()).then_with(|| a.run.total_cmp(&b.run))
    };
    let worst = holds.max_by(worse)?;
    let dt = window.moment().dt_nsec;
    let mut split = Split { work: worst.run * dt, ..stall::seen(own, worst.wait * dt) };
    if worst.wait <= 0.0 {
        return Some(split);
    }
    for (user, held) in worst.gpu.users.iter().filter(|(user, _)| **user != Some(victim)) {
        let nsec = held * worst.scale * dt;
        match user.and_then(|key| window.whole().container(key)) {
            Some(other) => {
                let who = other.who.clone();
                split.others.push(Held { key: other.key, who, nsec, fair_nsec: 0.0 });
            }
            None => split.unowned += nsec,
        }
    }
    split.others.retain(|held| held.nsec > 0.0);
    Some(split)
}

#[cfg(test)]
mod tests;
