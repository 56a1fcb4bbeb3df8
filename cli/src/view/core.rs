//! What a detector in this process says, as an aggregator would answer it.

use berth::wire;
use berth_core::{
    contention::{self, Cause},
    time::AxisNsec,
    who,
};

use super::word::of_core;
use super::{Episode, Estimate, Evidence, Share, Time, Who, plain};

impl From<&who::Who> for Who {
    fn from(who: &who::Who) -> Self {
        let owner = who.owner.as_ref();
        Self {
            namespace: plain(&who.namespace),
            pod: plain(&who.pod),
            pod_uid: plain(&who.pod_uid),
            container: plain(&who.container),
            owner_kind: owner.map(|owner| plain(&owner.kind)).unwrap_or_default(),
            owner_name: owner.map(|owner| plain(&owner.name)).unwrap_or_default(),
            role: of_core(who.role),
            cgroup: plain(&who.cgroup),
        }
    }
}

impl From<&contention::Share> for Share {
    fn from(share: &contention::Share) -> Self {
        let (cause, who) = match &share.cause {
            Cause::Own => (wire::Cause::Self_, None),
            Cause::Throttle => (wire::Cause::Throttle, None),
            Cause::PodThrottle => (wire::Cause::PodThrottle, None),
            Cause::SliceThrottle => (wire::Cause::SliceThrottle, None),
            Cause::Culprit(who) => (wire::Cause::Culprit, Some(Who::from(&**who))),
            Cause::Irq => (wire::Cause::Irq, None),
            Cause::Steal => (wire::Cause::Steal, None),
            Cause::Unowned => (wire::Cause::Unowned, None),
        };
        Self { cause, who, share: share.share }
    }
}

impl From<&contention::Episode> for Episode {
    /// Revision and incarnation are an aggregator's, so here there are none.
    fn from(episode: &contention::Episode) -> Self {
        let contention::Estimate { estimate, lo, hi } = episode.slowdown;
        let evidence =
            episode.evidence.iter().map(|one| Evidence { name: one.name.to_owned(), value: one.value });
        Self {
            id: episode.id.to_string(),
            revision: 0,
            incarnation: String::new(),
            node: plain(&episode.node),
            victim: Some(Who::from(&*episode.victim)),
            resource: of_core(episode.resource),
            verdict: of_core(episode.verdict),
            severity: of_core(episode.severity),
            onset: Some(time(episode.onset)),
            alarm: Some(time(episode.alarm)),
            verdict_at: Some(time(episode.verdict_at)),
            cleared: episode.cleared.map(time),
            slowdown: Some(Estimate { estimate, lo, hi }),
            saturated: episode.saturated,
            added_wait_msec_per_cpu_sec: episode.added_wait_msec_per_cpu_sec,
            shares: episode.shares.iter().map(Share::from).collect(),
            confidence: of_core(episode.confidence),
            tier: of_core(episode.tier),
            coverage: episode.coverage,
            evidence: evidence.collect(),
        }
    }
}

fn time(at: AxisNsec) -> Time {
    Time::from_unix_nsec(i64::try_from(at.0).unwrap_or(i64::MAX))
}
