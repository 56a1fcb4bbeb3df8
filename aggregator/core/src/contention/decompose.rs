//! A victim's wait of one step, split by what it waited for.
//!
//! W = T + C: inside its own throttling, or while somebody held the CPUs. C is split in proportion to
//! the CPU time that each held while the victim could run; among pods, in proportion to how long each
//! was in the way. Invariant: the parts sum to W, and none is negative.

use crate::{
    contention::{rivals::Rivals, step::Step},
    frame::{ContainerUse, QuotaUse, ThreadUse},
    who::{ContainerKey, WhoRef},
};

/// Holders that together used less than this part of a CPU held nobody up: what they are charged
/// with would be noise, and the wait has a reason that was not seen.
const HELD_AT_LEAST_CPUS: f64 = 0.02;

/// One victim in one step, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Split {
    /// CPU time from its cgroup.
    pub(crate) usage: f64,
    /// Its wait was seen; without it all that follows is empty.
    pub(crate) seen: bool,
    /// The node's own counters were seen.
    pub(crate) node_seen: bool,
    /// CPU time of its threads.
    pub(crate) run: f64,
    /// What it takes when nobody is in the way: its run, and what its requests wait for each other then.
    pub(crate) work: f64,
    /// CPU time that there was while no limit stopped it; 0 where the node's was not seen.
    pub(crate) capacity: f64,
    /// Throttled, own, irq, steal, unowned and others together.
    pub(crate) wait: f64,
    /// The part of it that makes no request take longer.
    pub(crate) spared: f64,
    pub(crate) throttled: f64,
    /// Held by its own other threads.
    pub(crate) own: f64,
    pub(crate) irq: f64,
    pub(crate) steal: f64,
    pub(crate) unowned: f64,
    /// The limit of its own, in thousandths of a CPU.
    pub(crate) cpu_limit_millicpu: Option<u64>,
    /// Whose quota stopped it, as heard of in this step, which may be one late.
    pub(crate) quotas: QuotaUse,
    /// Its memory limit made it wait for memory.
    pub(crate) at_memory_limit: bool,
    /// Charges that this limit turned away.
    pub(crate) limit_hits: u64,
    /// Held by each other container; those that held nothing are left out.
    pub(crate) others: Vec<Held>,
}

impl Split {
    /// Of who used this much CPU time and whose wait was not seen.
    pub(crate) fn unseen(usage: f64) -> Self {
        Self { usage, ..Self::default() }
    }

    /// The part of the wait in which others kept its CPUs busy.
    pub(crate) fn behind_others(&self) -> f64 {
        self.irq + self.unowned + self.others.iter().map(|held| held.nsec).sum::<f64>()
    }
}

/// What others held of the CPUs, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Foreign {
    pub(crate) irq: f64,
    pub(crate) steal: f64,
    pub(crate) unowned: f64,
    pub(crate) others: Vec<Held>,
}

impl Foreign {
    pub(crate) fn of(split: &Split) -> Self {
        let Split { irq, steal, unowned, ref others, .. } = *split;
        Self { irq, steal, unowned, others: others.clone() }
    }

    pub(crate) fn nsec(&self) -> f64 {
        self.irq + self.steal + self.unowned + self.others.iter().map(|held| held.nsec).sum::<f64>()
    }
}

/// What one container held.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) key: ContainerKey,
    pub(crate) who: WhoRef,
    pub(crate) nsec: f64,
    /// CPU time that the victim would have had at this one's per weight; 0 where weights are not known.
    pub(crate) fair_nsec: f64,
}

/// Amounts that did not fit their step. Corrections may leave a column below zero, or the throttled
/// wait above the whole; the excess goes to the next step, so nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Carry(ThreadUse);

impl Carry {
    fn take(&mut self, seen: ThreadUse) -> ThreadUse {
        let run_nsec = take(&mut self.0.run_nsec, seen.run_nsec, i64::MAX);
        let wait_nsec = take(&mut self.0.wait_nsec, seen.wait_nsec, i64::MAX);
        let throttled_nsec = take(&mut self.0.throttled_nsec, seen.throttled_nsec, wait_nsec);
        let sibling_nsec_cpus = take(&mut self.0.sibling_nsec_cpus, seen.sibling_nsec_cpus, i64::MAX);
        ThreadUse { run_nsec, wait_nsec, throttled_nsec, sibling_nsec_cpus }
    }
}

fn take(carried: &mut i64, seen: i64, at_most: i64) -> i64 {
    let due = carried.saturating_add(seen);
    let taken = due.clamp(0, at_most);
    *carried = due.saturating_sub(taken);
    taken
}

/// Splits the wait of `victim`; `None` when it is not in the step.
pub(crate) fn decompose(step: &Step, victim: ContainerKey, carry: &mut Carry) -> Option<Split> {
    let container = step.container(victim)?;
    let usage = container.usage_nsec as f64;
    let Some(threads) = container.threads else { return Some(Split::unseen(usage)) };
    Some(split(step, container, carry.take(threads)))
}

/// Splits what a container of the step ran and waited.
pub(crate) fn split(step: &Step, container: &ContainerUse, threads: ThreadUse) -> Split {
    let wait = threads.wait_nsec as f64;
    let throttled = threads.throttled_nsec as f64;
    let dt = step.dt_nsec as f64;
    let rivals = Rivals::of(step, container);
    let mut split = Split {
        usage: container.usage_nsec as f64,
        seen: true,
        node_seen: step.node.is_some(),
        run: threads.run_nsec as f64,
        work: threads.run_nsec as f64,
        capacity: rivals.capacity_nsec().unwrap_or_default() * open_nsec(threads, dt) / dt,
        wait,
        throttled,
        cpu_limit_millicpu: container.limits.and_then(|limits| limits.cpu_millicpu),
        quotas: container.quotas.unwrap_or_default(),
        ..Split::default()
    };
    if wait > throttled {
        share_out(&mut split, holders(step, &rivals, threads), wait - throttled);
    }
    split
}

/// CPU time held while the victim could run.
struct Holders {
    /// For how long it could.
    open: f64,
    own: f64,
    irq: f64,
    steal: f64,
    unowned: f64,
    others: Vec<Held>,
}

/// A throttled victim can neither run nor be held up by others, so their use counts only in the
/// time that is left, and in that time all of them together cannot have more than the node's CPUs
/// less what the victim itself ran.
fn holders(step: &Step, rivals: &Rivals<'_>, threads: ThreadUse) -> Holders {
    let dt = step.dt_nsec as f64;
    let open = open_nsec(threads, dt);
    let node = step.node.unwrap_or_default();
    let others = rivals.blame();
    let foreign = others.iter().map(|held| held.nsec).sum::<f64>() + rivals.uncontained_nsec();
    let run = threads.run_nsec as f64;
    let room = rivals.capacity_nsec().map_or(f64::INFINITY, |nsec| (nsec * open / dt - run).max(0.0));
    let scale = if foreign > 0.0 { (open / dt).min(room / foreign) } else { 0.0 };
    let scale_uncontained = scale * rivals.on_victims_cpus();
    Holders {
        open,
        own: own_nsec(threads, open),
        irq: node.irq_nsec * scale_uncontained,
        steal: node.steal_nsec * scale_uncontained,
        unowned: node.unowned_nsec * scale_uncontained,
        others: others.into_iter().map(|held| Held { nsec: held.nsec * scale, ..held }).collect(),
    }
}

/// For how long of the step no limit stopped it.
fn open_nsec(threads: ThreadUse, dt: f64) -> f64 {
    dt - throttled_wall_nsec(threads, dt)
}

/// For how long of the step its CPUs were throttled: T counts each waiting thread, and while
/// throttled all that want to run wait, on average (R + W) / dt of them.
fn throttled_wall_nsec(threads: ThreadUse, dt: f64) -> f64 {
    let wanting = (threads.run_nsec as f64 + threads.wait_nsec as f64) / dt;
    if threads.throttled_nsec == 0 { 0.0 } else { (threads.throttled_nsec as f64 / wanting).min(dt) }
}

/// The mean CPUs that a waiting thread's siblings used, over the time in which they could run. They
/// do not run while throttled, so the mean is over the contended wait; together they cannot have
/// used more than the victim ran.
fn own_nsec(threads: ThreadUse, open: f64) -> f64 {
    let contended = (threads.wait_nsec - threads.throttled_nsec) as f64;
    (threads.sibling_nsec_cpus as f64 / contended * open).min(threads.run_nsec as f64)
}

fn share_out(split: &mut Split, holders: Holders, contended: f64) {
    let Holders { open, own, irq, steal, unowned, others } = holders;
    let held = own + irq + steal + unowned + others.iter().map(|held| held.nsec).sum::<f64>();
    if held < HELD_AT_LEAST_CPUS * open {
        // A CPU that wakes, or one that the kernel has not thought of: nobody was in the way.
        split.unowned += contended;
        return;
    }
    let blame = |nsec: f64| contended * (nsec / held);
    split.own = blame(own);
    split.irq = blame(irq);
    split.steal = blame(steal);
    split.unowned = blame(unowned);
    split.others = others.into_iter().map(|held| Held { nsec: blame(held.nsec), ..held }).collect();
    split.others.retain(|held| held.nsec > 0.0);
}

#[cfg(test)]
mod tests;
