//! What a model waits for besides CPU time: memory that must be reclaimed, and block I/O.
//!
//! Both come from pressure files. R is the CPU time of the cgroup. Pressure tells how long, never because
//! of whom: that is read from the model's own limit, from what others took of the node's memory, and from
//! what each read and wrote. Deliberately absent: what a model waits for its own reads, which is its
//! work.

use crate::{
    contention::{
        decompose::{Held, Split},
        window::Window,
    },
    frame::ContainerUse,
};

const NSEC_PER_USEC: f64 = 1e3;

/// A limit holds a container up when charges fail; where these are not counted, when it is this full.
const LIMIT_FULL: f64 = 0.95;

/// Below this much the kernel reclaims for everybody: above the watermarks of nodes of up to 50 GiB (about
/// 1 % of their memory), and too little for one more model.
const NODE_TIGHT_BYTES: u64 = 512 * 1024 * 1024;

/// A reclaimed page.
const PAGE_BYTES: f64 = 4096.0;

/// What an operation costs a device beside its bytes: a request is seldom smaller, and a small one takes
/// as long.
const BYTES_PER_OPERATION: f64 = 16.0 * 1024.0;

/// Its wait for memory; `None` where the kernel keeps no pressure for it.
pub(crate) fn memory(window: &Window<'_>) -> Option<Split> {
    let own = window.own()?;
    let wait = own.pressure?.memory_some_usec as f64 * NSEC_PER_USEC;
    let limit_hits = own.reclaim.map_or(0, |reclaim| reclaim.limit_hits);
    let at_memory_limit = is_at_limit(own);
    let mut split = Split { at_memory_limit, limit_hits, ..seen(own, wait) };
    // Reclaim within a limit stalls the one who is limited; there need be no shortage anywhere else.
    if at_memory_limit {
        split.own = wait;
    } else if window.available_bytes().is_some_and(|bytes| bytes < NODE_TIGHT_BYTES) {
        // What was taken from the victim and is read again is the harm, and not its cause.
        hand_out(
            &mut split,
            wait,
            &others(window, own, |other| bytes_taken(window, other)),
            window.grown_bytes(own),
        );
    } else {
        // There is no shortage to be seen, so nobody can be said to have made it.
        split.wait = 0.0;
    }
    Some(split)
}

/// Its wait for block I/O, as far as others read and wrote; on which devices is not known. `None` where it
/// is not accounted.
pub(crate) fn io(window: &Window<'_>) -> Option<Split> {
    let own = window.own()?;
    let stalled = own.pressure?.io_some_usec as f64 * NSEC_PER_USEC;
    let own_bytes = own.io.map(|_| bytes_moved(own))?;
    if stalled <= 0.0 {
        return Some(seen(own, 0.0));
    }
    let moved = others(window, own, bytes_moved);
    let foreign: f64 = moved.iter().map(|(_, bytes)| bytes).sum();
    let wait = if foreign > 0.0 { stalled * foreign / (foreign + own_bytes) } else { 0.0 };
    let mut split = seen(own, wait);
    hand_out(&mut split, wait, &moved, 0.0);
    Some(split)
}

pub(crate) fn seen(own: &ContainerUse, wait: f64) -> Split {
    let usage = own.usage_nsec as f64;
    Split { usage, seen: true, node_seen: true, run: usage, work: usage, wait, ..Split::default() }
}

fn is_at_limit(own: &ContainerUse) -> bool {
    let limit = own.limits.and_then(|limits| limits.memory_bytes);
    let is_full = |limit: u64| own.memory_bytes.is_some_and(|now| now as f64 >= LIMIT_FULL * limit as f64);
    own.reclaim.map_or_else(|| limit.is_some_and(is_full), |reclaim| reclaim.limit_hits > 0)
}

/// What it took of the node's memory in the window: by how much it grew, pages that it faulted in again, and
/// those that it had to make room for. The kernel stalls who needs a page next, seldom who took most.
fn bytes_taken(window: &Window<'_>, of: &ContainerUse) -> f64 {
    let thrashed = of.reclaim.map_or(0.0, |reclaim| {
        (reclaim.refaults.saturating_add(reclaim.direct_reclaim_pages)) as f64 * PAGE_BYTES
    });
    thrashed + window.grown_bytes(of)
}

fn bytes_moved(of: &ContainerUse) -> f64 {
    of.io.map_or(0.0, |io| {
        let operations = io.read_ops.saturating_add(io.write_ops) as f64;
        io.read_bytes.saturating_add(io.write_bytes) as f64 + operations * BYTES_PER_OPERATION
    })
}

/// Who else did something, and how much of it.
fn others<'a>(
    window: &'a Window<'_>,
    own: &ContainerUse,
    amount: impl Fn(&ContainerUse) -> f64,
) -> Vec<(&'a ContainerUse, f64)> {
    let others = window.whole().containers.iter().filter(|other| other.key != own.key);
    others.map(|other| (other, amount(other))).filter(|(_, amount)| *amount > 0.0).collect()
}

/// Hands the wait out in proportion to the amounts; what nobody can be charged with is unowned.
fn hand_out(split: &mut Split, wait: f64, amounts: &[(&ContainerUse, f64)], own: f64) {
    let whole = own + amounts.iter().map(|(_, amount)| amount).sum::<f64>();
    if whole <= 0.0 {
        split.unowned = wait;
        return;
    }
    split.own = wait * own / whole;
    let held = |(other, amount): &(&ContainerUse, f64)| Held {
        key: other.key,
        who: other.who.clone(),
        nsec: wait * amount / whole,
        fair_nsec: 0.0,
    };
    split.others = amounts.iter().map(held).filter(|held| held.nsec > 0.0).collect();
}
