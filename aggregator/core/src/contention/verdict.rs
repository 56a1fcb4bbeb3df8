//! Who is to blame, in shares of the wait, and how sure that is.
//!
//! Invariant: shares sum to 1. Containers of one owner count together, so that twenty small scanner
//! pods add up. What nobody owns is told as such and never laid on somebody.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use crate::{
    contention::{
        account::Account,
        episode::{Cause, Confidence, Episode, Estimate, Resource, Share, Tier, Verdict},
        slowdown::Span,
    },
    who::{Role, Who, WhoRef},
};

// A neighbour is named only where none of the gates before it explains the wait.

/// More than half: whoever waits for its limit also queues behind itself when the limit lets go.
const THROTTLED_AT_LEAST: f64 = 0.7;

/// Most of the wait is behind the model's own threads, so moving others cannot halve it.
const OWN_AT_LEAST: f64 = 0.5;

/// Less than half: nobody on the node can mend it, and the other shares swell with it.
const STEAL_AT_LEAST: f64 = 0.3;

/// Most of the wait is for work in no container, so no pod's move can halve it.
const UNOWNED_AT_LEAST: f64 = 0.5;

/// Moving all culprits would at least halve the wait.
const CULPRITS_AT_LEAST: f64 = 0.5;

/// The named culprits hold together at least this part of what all culprits hold: the rest are
/// small, and many.
const NAMED_TOGETHER: f64 = 0.8;

/// Each named culprit holds at least this part of the whole: less is within [`SHARE_ERROR`] of none.
const NAMED_EACH: f64 = 0.1;

/// A person reads no longer list; the tail is told as one, so that the sum stays 1.
const CULPRITS_LISTED: usize = 16;

/// A share below 1 % is shown as zero; it goes into the tail.
const SHARE_LISTED: f64 = 0.01;

/// With less of its threads seen, the split may be that of the wrong threads.
const COVERAGE_AT_LEAST: f64 = 0.9;

/// Shares of CPU time were off by 6 to 13 points against the true ones where a culprit was bursty; a
/// verdict nearer than that to its gate may be another.
const SHARE_ERROR: f64 = 0.13;

/// A younger episode has too few waits to be sure of.
const YOUNG_NSEC: f64 = 2e9;

/// An equal who joins one that is there doubles the wait, and belongs to the same trouble; who makes this
/// many times as much of it is another.
const MUCH_WORSE: f64 = 3.0;

/// Containers too small or too many to list, as one.
static THE_REST: LazyLock<WhoRef> = LazyLock::new(|| {
    Arc::new(Who {
        namespace: String::new(),
        pod: String::new(),
        pod_uid: String::new(),
        container: "other containers".to_owned(),
        owner: None,
        role: Role::Other,
        cgroup: String::new(),
    })
});

/// What counts as one culprit: kind, namespace and name of the owner, else of the pod, else of the
/// slice.
type Group<'a> = (&'a str, &'a str, &'a str);

fn group(who: &Who) -> Group<'_> {
    let (kind, name) = match &who.owner {
        Some(owner) => (owner.kind.as_str(), owner.name.as_str()),
        None if who.pod.is_empty() => (who.cgroup.as_str(), who.container.as_str()),
        None => ("Pod", who.pod.as_str()),
    };
    (kind, &who.namespace, name)
}

/// The shares of an account, largest first; none without wait.
pub(crate) fn shares(account: &Account) -> Vec<Share> {
    let (mut culprits, rest) = culprits(account);
    let [own_limit, pod_limit, slice_limit] = account.throttled_by();
    let fixed = [
        (Cause::Throttle, own_limit),
        (Cause::PodThrottle, pod_limit),
        (Cause::SliceThrottle, slice_limit),
        (Cause::Own, account.own),
        (Cause::Irq, account.irq),
        (Cause::Steal, account.steal),
        (Cause::Unowned, account.unowned),
        (Cause::Culprit(THE_REST.clone()), rest),
    ];
    culprits.extend(fixed);
    culprits.retain(|(_, nsec)| *nsec > 0.0);
    let whole: f64 = culprits.iter().map(|(_, nsec)| nsec).sum();
    let mut shares: Vec<Share> =
        culprits.into_iter().map(|(cause, nsec)| Share { cause, share: nsec / whole }).collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.cause.cmp(&b.cause)));
    shares
}

/// The culprits worth listing, and what the rest held.
fn culprits(account: &Account) -> (Vec<(Cause, f64)>, f64) {
    let mut groups: BTreeMap<Group<'_>, Culprit> = BTreeMap::new();
    for other in account.others.values() {
        let culprit = groups.entry(group(&other.who)).or_insert_with(|| Culprit::new(&other.who));
        culprit.add(&other.who, other.nsec);
    }
    let mut listed: Vec<Culprit> = groups.into_values().collect();
    listed.sort_by(|a, b| b.nsec.total_cmp(&a.nsec).then_with(|| a.who.cmp(&b.who)));
    let whole = account.total().waited();
    let worth = listed.iter().take(CULPRITS_LISTED).take_while(|c| c.nsec >= SHARE_LISTED * whole).count();
    // One in the tail takes no more room by its own name.
    let worth = if listed.len() == worth + 1 && account.rest <= 0.0 { listed.len() } else { worth };
    let rest = listed.split_off(worth).iter().map(|culprit| culprit.nsec).sum::<f64>() + account.rest;
    (listed.into_iter().map(|culprit| (Cause::Culprit(culprit.who), culprit.nsec)).collect(), rest)
}

/// A group, told by the container of it that held most.
struct Culprit {
    who: WhoRef,
    largest: f64,
    nsec: f64,
}

impl Culprit {
    fn new(who: &WhoRef) -> Self {
        Self { who: who.clone(), largest: 0.0, nsec: 0.0 }
    }

    fn add(&mut self, who: &WhoRef, nsec: f64) {
        self.nsec += nsec;
        if nsec > self.largest {
            self.largest = nsec;
            self.who.clone_from(who);
        }
    }
}

/// The share of everything that `is` holds for.
fn part(shares: &[Share], is: impl Fn(&Cause) -> bool) -> f64 {
    shares.iter().filter(|share| is(&share.cause)).map(|share| share.share).sum()
}

/// The verdict that the shares allow, and by how much the deciding share passes its gate. Who has all that
/// its request entitles it to is not held up by those who take the rest: these take no more than is theirs.
pub(crate) fn judge(shares: &[Share], has_its_due: bool, is_at_memory_limit: bool) -> (Verdict, f64) {
    if shares.is_empty() {
        return (Verdict::Nobody, 0.0);
    }
    let own = if is_at_memory_limit { Verdict::MemoryOwnLimit } else { Verdict::SelfOversubscribed };
    let others = if has_its_due { Verdict::OverEntitlement } else { Verdict::Neighbour };
    let self_throttled = part(shares, |cause| matches!(cause, Cause::Throttle | Cause::PodThrottle));
    let slice_throttled = part(shares, |cause| *cause == Cause::SliceThrottle);
    let limit =
        if slice_throttled > self_throttled { Verdict::SliceThrottled } else { Verdict::SelfThrottled };
    let gates = [
        (limit, self_throttled + slice_throttled, THROTTLED_AT_LEAST),
        (own, part(shares, |cause| *cause == Cause::Own), OWN_AT_LEAST),
        (Verdict::Hypervisor, part(shares, |cause| *cause == Cause::Steal), STEAL_AT_LEAST),
        (Verdict::Unowned, part(shares, |cause| *cause == Cause::Unowned), UNOWNED_AT_LEAST),
        (others, part(shares, |cause| matches!(cause, Cause::Culprit(_))), CULPRITS_AT_LEAST),
    ];
    let passed = gates.into_iter().find(|(_, share, gate)| share >= gate);
    passed.map_or((Verdict::Mixed, 0.0), |(verdict, share, gate)| (verdict, share - gate))
}

/// What stops at its own limits is read from their counters, so it can be confirmed. A
/// limit above its pod stops others too, so over how many CPUs its counter sums is not known. Blame by
/// shares of CPU time shows who was there, not that it would help to move them, so it is likely at best. Who
/// reads and writes which device is not known, so of block I/O it is possible.
pub(crate) fn confidence(
    resource: Resource,
    tier: Tier,
    account: &Account,
    verdict: Verdict,
    margin: f64,
) -> Confidence {
    let seen = account.coverage() >= COVERAGE_AT_LEAST && account.node_seen() >= COVERAGE_AT_LEAST;
    let clear = tier != Tier::Usage && seen && account.total().dt >= YOUNG_NSEC;
    let is_counted = match verdict {
        Verdict::SelfThrottled => true,
        Verdict::MemoryOwnLimit => account.limit_hits > 0,
        _ => false,
    };
    match resource {
        _ if clear && is_counted => Confidence::Confirmed,
        Resource::Io => Confidence::Possible,
        _ if clear && margin >= SHARE_ERROR => Confidence::Likely,
        _ => Confidence::Possible,
    }
}

/// Most of the wait `now` is the doing of one owner's containers who had hardly a part in it `before`.
pub(crate) fn is_led_by_newcomer(before: &Account, now: &Account) -> bool {
    let leading = shares(now).into_iter().next().filter(|share| share.share >= CULPRITS_AT_LEAST);
    let Some(Share { cause: Cause::Culprit(leader), .. }) = leading else { return false };
    if Arc::ptr_eq(&leader, &THE_REST) {
        return false;
    }
    let is_same = |cause: &Cause| matches!(cause, Cause::Culprit(who) if group(who) == group(&leader));
    part(&shares(before), is_same) < NAMED_EACH
}

/// The wait for the same work is that many times as long.
pub(crate) fn is_much_worse(before: Span, now: Span) -> bool {
    now.wait_per_run() >= MUCH_WORSE * before.wait_per_run()
}

/// Who waited for a GPU may have had no work meanwhile, so of that only the upper end is known.
pub(crate) fn slowdown(resource: Resource, account: &Account, seed: u64) -> Estimate {
    let estimate = account.blocks().estimate(seed);
    if resource == Resource::GpuTime { Estimate { lo: 1.0, ..estimate } } else { estimate }
}

impl Episode {
    /// Its pod's CPU limit held it up more than its own did.
    pub fn is_throttled_by_pod(&self) -> bool {
        let held = |limit: &Cause| part(&self.shares, |cause| cause == limit);
        held(&Cause::PodThrottle) > held(&Cause::Throttle)
    }

    /// The culprits worth acting on, largest first: as few as hold 80 % of what all culprits hold,
    /// each with a tenth of the wait or more.
    pub fn culprits(&self) -> Vec<&WhoRef> {
        let all = part(&self.shares, |cause| matches!(cause, Cause::Culprit(_)));
        let mut together = 0.0;
        let mut named = Vec::new();
        for share in &self.shares {
            if let Cause::Culprit(who) = &share.cause
                && together < NAMED_TOGETHER * all
                && share.share >= NAMED_EACH
                && !Arc::ptr_eq(who, &THE_REST)
            {
                together += share.share;
                named.push(who);
            }
        }
        named
    }
}

#[cfg(test)]
mod tests;
