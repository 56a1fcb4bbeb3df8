//! What a model waits for CPU time by its pressure file: where its threads are not watched, or live shorter
//! than from one reading of them to the next.
//!
//! `full` is the time in which none of its tasks ran although one wanted to (`psi_group_change` in
//! kernel/sched/psi.c): somebody else had its CPU then, or its own quota stopped it. On several CPUs it is a
//! mean over those that the model uses, so that of a wait on one of them only a part is seen, never more than
//! there was. Deliberately absent: what its own threads wait for each other, which without them cannot be
//! told from what they wait for others.

use berth::usage::ThreadUse;

use crate::{
    contention::{
        decompose::{self, Split},
        stall::Window,
    },
    who::ContainerKey,
};

const NSEC_PER_USEC: u64 = 1_000;

/// Its wait; `None` where the kernel keeps no pressure for it.
pub(crate) fn cpu(window: &Window, victim: ContainerKey) -> Option<Split> {
    let own = window.whole.container(victim)?;
    let nsec = |usec: u64| i64::try_from(usec.saturating_mul(NSEC_PER_USEC)).unwrap_or(i64::MAX);
    let wait_nsec = nsec(own.pressure?.cpu_full_usec);
    // The counter sums up the CPUs, the file is a mean of them.
    let throttled_nsec = own.throttling.map_or(0, |stops| nsec(stops.throttled_usec)).min(wait_nsec);
    let run_nsec = i64::try_from(own.usage_nsec).unwrap_or(i64::MAX);
    let threads = ThreadUse { run_nsec, wait_nsec, throttled_nsec, sibling_nsec_cpus: 0 };
    Some(decompose::split(&window.whole, own, threads))
}
