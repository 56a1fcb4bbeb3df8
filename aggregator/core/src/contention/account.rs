//! What a victim waited for over some time, added up.
//!
//! Invariant: the causes sum to the wait. Bounded: however long it runs and however many pods come
//! and go, it holds so many blocks and so many names.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    contention::{
        decompose::Held,
        episode::Tier,
        history::Tick,
        slowdown::{Blocks, Span},
    },
    frame::QuotaUse,
    time::AxisNsec,
    who::{ContainerKey, WhoRef},
};

/// More containers than run on a node at a time (the kubelet's default is 110 pods); a long episode
/// may see more come and go, and those that come last are told as one.
const NAMES_AT_MOST: usize = 256;

/// A run queue gives two groups of one weight their halves to within 3 % over ten seconds (measured beside a
/// busy loop).
const DUE: f64 = 0.95;

/// Who stands on another level, a slice of the system, takes what it takes whatever the pods' weights are.
const WEIGHED_AT_LEAST: f64 = 0.5;

/// What another held.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) who: WhoRef,
    pub(crate) nsec: f64,
    fair_nsec: f64,
}

#[cfg(test)]
impl Other {
    pub(crate) fn new(who: WhoRef, nsec: f64) -> Self {
        Self { who, nsec, fair_nsec: 0.0 }
    }
}

/// The sums, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Everything up to here is in it.
    upto: AxisNsec,
    blocks: Blocks,
    pub(crate) throttled: f64,
    pub(crate) own: f64,
    pub(crate) irq: f64,
    pub(crate) steal: f64,
    pub(crate) unowned: f64,
    pub(crate) others: BTreeMap<ContainerKey, Other>,
    /// Others that found no room.
    pub(crate) rest: f64,
    /// The part of `own` that it waited at its memory limit.
    at_memory_limit: f64,
    pub(crate) limit_hits: u64,
    pub(crate) cpu_limit_millicpu: Option<u64>,
    pub(crate) quotas: QuotaUse,
    usage: f64,
    pub(crate) run: f64,
    wait_seen: f64,
    node_seen: f64,
}

impl Account {
    /// An account of what comes after `from`.
    pub(crate) fn since(from: AxisNsec) -> Self {
        Self { upto: from, ..Self::default() }
    }

    /// Passes over what comes before `from`.
    pub(crate) fn skip_to(&mut self, from: AxisNsec) {
        self.upto = self.upto.max(from);
    }

    /// Adds those of `ticks` that end by `until` and are not in it yet.
    pub(crate) fn feed<'a>(&mut self, ticks: impl Iterator<Item = &'a Tick>, until: AxisNsec) {
        let from = self.upto;
        ticks.filter(|tick| tick.at > from && tick.at <= until).for_each(|tick| self.add(tick));
        self.upto = from.max(until);
    }

    #[cfg(test)]
    pub(crate) fn with_wait(mut self, nsec: f64) -> Self {
        self.blocks.add(Span { dt: 1e9, wait: nsec, ..Span::default() });
        self
    }

    fn add(&mut self, tick: &Tick) {
        let split = &tick.split;
        self.blocks.add(tick.span());
        self.throttled += split.throttled;
        self.own += split.own;
        self.irq += split.irq;
        self.steal += split.steal;
        self.unowned += split.unowned;
        for held in &split.others {
            if let Some(other) = self.others.get_mut(&held.key) {
                if !Arc::ptr_eq(&other.who, &held.who) {
                    other.who.clone_from(&held.who);
                }
                other.nsec += held.nsec;
                other.fair_nsec += held.fair_nsec;
            } else if self.others.len() < NAMES_AT_MOST {
                let Held { key, who, nsec, fair_nsec } = held.clone();
                self.others.insert(key, Other { who, nsec, fair_nsec });
            } else {
                self.rest += held.nsec;
            }
        }
        self.at_memory_limit += if split.at_memory_limit { split.own } else { 0.0 };
        self.limit_hits = self.limit_hits.saturating_add(split.limit_hits);
        self.cpu_limit_millicpu = split.cpu_limit_millicpu.or(self.cpu_limit_millicpu);
        self.quotas = self.quotas.and(split.quotas);
        self.usage += split.usage;
        self.run += split.run;
        self.wait_seen += if split.seen { tick.dt_nsec } else { 0.0 };
        self.node_seen += if split.node_seen { tick.dt_nsec } else { 0.0 };
    }

    /// `throttled` by whose limit it was: its own, its pod's, one above its pod. What nobody tells is its
    /// own.
    pub(crate) fn throttled_by(&self) -> [f64; 3] {
        let QuotaUse { own_usec, pod_usec, any_usec, pod_cpu_millicpu, .. } = self.quotas;
        // The kubelet gives a pod the sum of its containers' limits: where that is the victim's own, raising
        // this raises both.
        let is_one = pod_cpu_millicpu.is_some() && pod_cpu_millicpu == self.cpu_limit_millicpu;
        let own = if is_one { pod_usec.max(own_usec) } else { own_usec };
        let pod = pod_usec.max(own);
        let any = any_usec.max(pod);
        if any == 0 {
            return [self.throttled, 0.0, 0.0];
        }
        [own, pod - own, any - pod].map(|usec| self.throttled * (usec as f64 / any as f64))
    }

    /// The limits that throttled it, by the names of their evidence.
    pub(crate) fn limits_hit(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let limits = [
            ("cpu_limit_millicpu", self.cpu_limit_millicpu),
            ("pod_cpu_limit_millicpu", self.quotas.pod_cpu_millicpu),
            ("slice_cpu_limit_millicpu", self.quotas.slice_cpu_millicpu),
        ];
        let hit = limits.into_iter().zip(self.throttled_by()).filter(|(_, nsec)| *nsec > 0.0);
        hit.filter_map(|((name, millicpu), _)| Some((name, millicpu?)))
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    pub(crate) fn total(&self) -> Span {
        self.blocks.total()
    }

    /// CPU time of the threads seen over CPU time of the container; 1 where neither ran.
    pub(crate) fn coverage(&self) -> f64 {
        if self.usage > 0.0 { (self.run / self.usage).min(1.0) } else { 1.0 }
    }

    /// CPUs in use.
    pub(crate) fn cpus(&self) -> f64 {
        let dt = self.total().dt;
        if dt > 0.0 { self.usage / dt } else { 0.0 }
    }

    /// CPU time that it would have had at the rate of the most favoured of the others per weight; 0 where
    /// those whose weights are known hold less than half of what others do.
    pub(crate) fn fair_nsec(&self) -> f64 {
        let weighed = self.others.values().filter(|other| other.fair_nsec > 0.0);
        let (most, held) =
            weighed.fold((0.0, 0.0), |(most, held), other| (other.fair_nsec.max(most), held + other.nsec));
        let all = self.rest + self.others.values().map(|other| other.nsec).sum::<f64>();
        if held >= WEIGHED_AT_LEAST * all { most } else { 0.0 }
    }

    /// It wants more than there is, and has as much for its weight, which follows from its request, as
    /// anybody beside it: a run queue gives each pod the part w / (sum of w) of those who want it
    /// (Documentation/admin-guide/cgroup-v2.rst, Weights), so a larger request would give it more.
    pub(crate) fn has_its_due(&self) -> bool {
        let fair = self.fair_nsec();
        fair > 0.0 && self.usage >= DUE * fair && self.blocks.is_saturated()
    }

    /// Most of what it made itself wait, it waited at its memory limit.
    pub(crate) fn is_at_memory_limit(&self) -> bool {
        self.at_memory_limit > self.own / 2.0
    }

    /// What could be seen of it by who reads `tier`.
    pub(crate) fn tier(&self, tier: Tier) -> Tier {
        if self.saw_wait() { tier } else { Tier::Usage }
    }

    pub(crate) fn saw_wait(&self) -> bool {
        self.wait_seen > 0.0
    }

    /// The part of the time in which the node's own counters were seen.
    pub(crate) fn node_seen(&self) -> f64 {
        if self.wait_seen > 0.0 { self.node_seen / self.wait_seen } else { 0.0 }
    }
}
