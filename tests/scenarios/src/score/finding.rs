//! What a method found in a trial: the common form of Berth's episodes and of the baselines' alarms.

use std::time::Duration;

use berth_core::{
    contention::{Cause, Episode, Estimate, Resource, Verdict},
    time::AxisNsec,
};

/// Somebody said at some time that the victim is hurt.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// When the hurt began.
    pub(super) onset: AxisNsec,
    /// When the change was noticed.
    pub(super) alarm: AxisNsec,
    /// When it was first said.
    pub(super) told: AxisNsec,
    /// It held, or got worse. Of a method that knows no degrees, always.
    pub(super) held: bool,
    /// When it was said to be over; `None` if never.
    pub(super) cleared: Option<AxisNsec>,
    /// What was said, first to last.
    pub(super) said: Vec<Said>,
}

/// What was said at one time.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) at: AxisNsec,
    pub(super) verdict: Verdict,
    pub(super) resource: Resource,
    /// Wall seconds per second of work; `None` from a method that does not say.
    pub(super) slowdown: Option<Estimate>,
    /// Owners' names, largest first.
    pub(super) culprits: Vec<(String, f64)>,
}

impl Finding {
    /// What was said last by `until`; what was said first, if that was later.
    pub(super) fn said_by(&self, until: AxisNsec) -> &Said {
        let by_then = self.said.iter().rfind(|said| said.at <= until);
        by_then.unwrap_or_else(|| self.said.first().expect("a finding is something said"))
    }

    /// It lasted within `from` and `until`, some of the time.
    pub(super) fn overlaps(&self, from: AxisNsec, until: AxisNsec) -> bool {
        self.onset < until && self.cleared.is_none_or(|cleared| cleared > from)
    }

    /// How much of the time between `from` and `until` it lasted.
    pub(super) fn overlap(&self, from: AxisNsec, until: AxisNsec) -> Duration {
        self.cleared.unwrap_or(until).min(until).since(self.onset.max(from))
    }
}

impl Said {
    pub(super) fn of(episode: &Episode, at: AxisNsec) -> Self {
        let culprit = |share: &berth_core::contention::Share| match &share.cause {
            Cause::Culprit(who) => Some((owner(who), share.share)),
            _ => None,
        };
        Self {
            at,
            verdict: episode.verdict,
            resource: episode.resource,
            slowdown: Some(episode.slowdown),
            culprits: episode.shares.iter().filter_map(culprit).collect(),
        }
    }

    /// It says that the victim does it to itself; `None` where it says neither.
    pub(super) fn blames_self(&self) -> Option<bool> {
        match self.verdict {
            Verdict::SelfThrottled
            | Verdict::SelfOversubscribed
            | Verdict::OverEntitlement
            | Verdict::MemoryOwnLimit => Some(true),
            Verdict::Neighbour | Verdict::Unowned | Verdict::Hypervisor => Some(false),
            Verdict::Nobody | Verdict::Mixed | Verdict::SliceThrottled => None,
        }
    }
}

/// The owner's name, which is how result files name suspects; else the container's.
pub(super) fn owner(who: &berth_core::who::Who) -> String {
    who.owner.as_ref().map_or_else(|| who.container.clone(), |owner| owner.name.clone())
}
