//! What a model waits for CPU time by its pressure file: where its threads are not watched, or live shorter
//! than from one reading of them to the next.
//!
//! `full` is the time in which none of its tasks ran although one wanted to (`psi_group_change` in
//! kernel/sched/psi.c): somebody else had its CPU then, or a quota stopped it. On several CPUs it is a mean
//! over those that the model uses, so that of a wait on one of them only a part is seen, never more than
//! there was. Deliberately absent: what its own threads wait for each
//! other, which without them cannot be told from what they wait for others.

use berth::usage::ThreadUse;

use crate::{
    contention::{
        decompose::{self, Split},
        window::Window,
    },
    frame::ContainerUse,
};

const NSEC_PER_USEC: u64 = 1_000;

/// Its wait; `None` where the kernel keeps no pressure for it.
pub(crate) fn cpu(window: &Window<'_>) -> Option<Split> {
    let own = window.own()?;
    own.pressure?;
    let mut split = decompose::split(window.whole(), own, waits(own, window.cpus()));
    split.work = split.usage;
    // Of its threads: what is told of them is how few were seen.
    split.run = own.threads.map_or(0.0, |threads| threads.run_nsec as f64);
    Some(split)
}

fn waits(of: &ContainerUse, cpus: f64) -> ThreadUse {
    let wait_nsec = nsec(of.pressure.map_or(0, |pressure| pressure.cpu_full_usec));
    // In Focus it is told for how long any quota stopped it; else its own counter sums up its CPUs.
    let summed = of.throttling.map_or(0.0, |stops| stops.throttled_usec as f64);
    let stopped = of.quotas.map_or(summed / cpus.max(1.0), |quotas| quotas.any_usec as f64);
    #[expect(clippy::cast_possible_truncation, reason = "microseconds of two seconds")]
    let throttled_nsec = ((stopped * NSEC_PER_USEC as f64) as i64).min(wait_nsec);
    let run_nsec = i64::try_from(of.usage_nsec).unwrap_or(i64::MAX);
    ThreadUse { run_nsec, wait_nsec, throttled_nsec, sibling_nsec_cpus: 0 }
}

fn nsec(usec: u64) -> i64 {
    i64::try_from(usec.saturating_mul(NSEC_PER_USEC)).unwrap_or(i64::MAX)
}
