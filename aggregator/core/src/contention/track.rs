//! One model's wait for one resource: its last seconds, and its episode from alarm to clear.
//!
//! Invariant: an episode opens only where an alarm (something changed) and an effect (it is felt)
//! come together, or where the last ten seconds show one that is chronic. Its severity grows only, and
//! its numbers cover what was felt: the quiet before the clear is left out. While it is open they cover the
//! last seconds, so that they follow who hurts now; once it is cleared, all of it. Who comes into an open
//! episode of CPU time and is most of it at once begins another, so that a mild wait that was always there
//! hides nobody.

use std::time::Duration;

use crate::{
    contention::{
        account::Account,
        episode::{Episode, EpisodeId, Evidence, Resource, Severity, Tier, Verdict},
        history::{History, LATE_AT_MOST, TOLD_OVER},
        part::Part,
        severity::{self, CALM_HOLD, LAST_MOMENTS, Pace},
        step::STEP_SLACK,
        verdict,
    },
    digest::Digest,
    time::AxisNsec,
    who::{Who, WhoRef},
};

/// What begins this soon after an episode ended goes on with it: a scanner between two batches.
const MERGE_GAP: Duration = Duration::from_secs(5);

/// While it is open, an episode is told anew this often.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// How often the last ten seconds are looked at for what is chronic: often enough for what takes ten to
/// show.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(1);

/// A younger episode has no past that somebody could be new in.
const PAST_AT_LEAST: Duration = Duration::from_secs(2);

/// Something changed; whether it is felt will show.
#[derive(Debug, Clone, Copy)]
struct Alarm {
    onset: AxisNsec,
    at: AxisNsec,
}

/// Why an episode opens.
#[derive(Debug, Clone, Copy)]
struct Opening {
    alarm: Alarm,
    severity: Severity,
    pace: Pace,
}

/// The effect is gone for now.
#[derive(Debug, Clone, Copy)]
struct Calm {
    since: AxisNsec,
    /// The end of the last step in which it was felt.
    ended: AxisNsec,
}

/// An episode, open or the last one.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) id: EpisodeId,
    alarm: Alarm,
    verdict_at: AxisNsec,
    pub(crate) severity: Severity,
    pace: Pace,
    /// As last told.
    pub(crate) verdict: Verdict,
    cleared: Option<AxisNsec>,
    /// When it last began: the onset, unless it was opened again.
    began: AxisNsec,
    calm: Option<Calm>,
    /// Of all that was felt and is final.
    account: Account,
    told_at: AxisNsec,
}

/// One resource of one model.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) resource: Resource,
    /// What its waits are read from.
    pub(crate) tier: Tier,
    without: Option<Part>,
    pub(crate) history: History,
    alarm: Option<Alarm>,
    /// When the last seconds were last looked at for what is chronic.
    looked_back: AxisNsec,
    tracked: Option<Tracked>,
}

impl Track {
    pub(crate) fn new(resource: Resource, tier: Tier, without: Option<Part>) -> Self {
        Self {
            resource,
            tier,
            without,
            history: History::new(without),
            alarm: None,
            looked_back: AxisNsec::default(),
            tracked: None,
        }
    }

    /// The episode that has not cleared.
    pub(crate) fn open_episode(&self) -> Option<&Tracked> {
        self.tracked.as_ref().filter(|tracked| tracked.cleared.is_none())
    }

    /// Says what has changed after a step, if anything is worth telling: one episode, or one that ends and
    /// one that takes its place.
    pub(crate) fn evaluate(&mut self, node: &str, who: &WhoRef) -> Vec<Episode> {
        let now = self.history.now();
        let cusum = self.history.cusum();
        if cusum.is_zero() {
            self.alarm = None;
        } else if self.alarm.is_none() {
            self.alarm = cusum.alarm().map(|onset| Alarm { onset, at: now });
        }
        let mut told = Vec::new();
        if let Some(opening) = self.newcomer() {
            let tracked = self.tracked.as_mut().expect("somebody is new in an episode only");
            let ended = tracked.calm.map_or(opening.alarm.onset, |calm| calm.ended.min(opening.alarm.onset));
            tracked.clear(&self.history, ended);
            told.extend(self.tell(node, who, now));
            self.begin(opening, node, who);
            told.extend(self.tell(node, who, now));
            return told;
        }
        let tell = match &mut self.tracked {
            Some(tracked) if tracked.cleared.is_none() => {
                let tell = tracked.follow(&self.history, self.tier);
                if tracked.cleared.is_some() {
                    self.alarm = None;
                    self.history.forget_alarm();
                }
                tell
            }
            _ => self.open(node, who),
        };
        if tell {
            told.extend(self.tell(node, who, now));
        }
        told
    }

    /// It speaks no more from `now` on; its last seconds stay.
    pub(crate) fn close(&mut self, node: &str, who: &WhoRef, now: AxisNsec) -> Option<Episode> {
        self.alarm = None;
        self.history.forget_alarm();
        let tracked = self.tracked.as_mut().filter(|tracked| tracked.cleared.is_none())?;
        let ended = tracked.calm.map_or(self.history.now(), |calm| calm.ended);
        tracked.clear(&self.history, ended.min(now));
        self.tell(node, who, now)
    }

    /// It is seen no more by `now`, so nothing can be said to go on; should it come back, it starts
    /// afresh.
    pub(crate) fn vanish(&mut self, node: &str, who: &WhoRef, now: AxisNsec) -> Option<Episode> {
        let told = self.close(node, who, now);
        self.history = History::new(self.without);
        told
    }

    /// What has changed and is felt, since when, and how badly.
    fn sudden(&self) -> Option<Opening> {
        let now = self.history.now();
        let alarm = self.alarm?;
        // An alarm may stand for hours over a wait too small to be felt; what is felt now is younger.
        let onset = alarm.onset.max(self.cleared()).max(now - TOLD_OVER);
        let severity = severity::reached(&self.history, now.since(onset), self.tier)?;
        let felt = self.felt_since(onset);
        let at = if felt > alarm.at { now } else { alarm.at };
        Some(Opening { alarm: Alarm { onset: felt, at }, severity, pace: Pace::Sudden })
    }

    /// When what is felt by now began, at `from` or later.
    fn felt_since(&self, from: AxisNsec) -> AxisNsec {
        let mut since = self.history.ticks().filter(|tick| tick.at > from);
        let felt = since.find(|tick| severity::is_effect(tick.span()));
        felt.map_or(from, |tick| tick.start.max(from))
    }

    /// What raises no alarm, because it comes a little and often. An episode's own seconds do not count
    /// again.
    fn chronic(&mut self) -> Option<Opening> {
        let now = self.history.now();
        if self.without == Some(Part::SlowPath)
            || now.since(self.looked_back) < LOOK_BACK_EVERY
            || now.since(self.cleared()) < TOLD_OVER
        {
            return None;
        }
        self.looked_back = now;
        let severity = severity::chronic(&self.history, now.0, self.tier)?;
        let onset = self.felt_since(now - TOLD_OVER);
        Some(Opening { alarm: Alarm { onset, at: now }, severity, pace: Pace::Chronic })
    }

    /// Somebody is most of the wait at once who had hardly a part in the open episode.
    fn newcomer(&self) -> Option<Opening> {
        let now = self.history.now();
        let moments = LAST_MOMENTS.max(severity::shortest_hold(&self.history, self.tier)?);
        let onset = now - moments;
        let tracked = self.open_episode().filter(|open| onset.since(open.began) >= PAST_AT_LEAST)?;
        let severity = severity::reached(&self.history, moments, self.tier)?;
        let ended = tracked.calm.map_or(onset, |calm| calm.ended.min(onset));
        let onset = self.news(tracked.began, ended, onset)?;
        Some(Opening { alarm: Alarm { onset, at: now }, severity, pace: Pace::Sudden })
    }

    /// When it began that what is felt since `onset` is the doing of somebody who had hardly a part in what
    /// was from `began` to `ended`; `None` where it is not, or where waits are read once a second: by the
    /// time that these hold, the numbers of the last seconds say it too.
    fn news(&self, began: AxisNsec, ended: AxisNsec, onset: AxisNsec) -> Option<AxisNsec> {
        if self.without == Some(Part::Newcomers) || self.tier != Tier::Threads {
            return None;
        }
        let from = began.max(ended - TOLD_OVER);
        let (before, now) = (self.history.span(from, ended), self.history.span(onset, self.history.now()));
        // Cheap, and seldom so: whose doing it is takes sums over every container.
        if !verdict::is_much_worse(before, now) {
            return None;
        }
        let account = |from: AxisNsec, until: AxisNsec| {
            let mut account = Account::since(from);
            account.feed(self.history.ticks(), until);
            account
        };
        if !verdict::is_led_by_newcomer(&account(from, ended), &account(onset, self.history.now())) {
            return None;
        }
        let since = self.history.ticks().filter(|tick| tick.at > onset);
        let mut worse = since.filter(|tick| verdict::is_much_worse(before, tick.span()));
        Some(worse.next().map_or(onset, |tick| tick.start.max(onset)))
    }

    /// When the last episode ended; the beginning of time without one.
    fn cleared(&self) -> AxisNsec {
        self.tracked.as_ref().and_then(|tracked| tracked.cleared).unwrap_or_default()
    }

    fn open(&mut self, node: &str, who: &Who) -> bool {
        let Some(opening) = self.sudden().or_else(|| self.chronic()) else { return false };
        let onset = opening.alarm.onset;
        let goes_on = |tracked: &Tracked| {
            let cleared = tracked.cleared.filter(|cleared| onset.since(*cleared) <= MERGE_GAP);
            cleared.is_some_and(|cleared| self.news(tracked.began, cleared, onset).is_none())
        };
        if !self.tracked.as_ref().is_some_and(goes_on) {
            self.begin(opening, node, who);
        } else if let Some(tracked) = &mut self.tracked {
            tracked.account.skip_to(onset);
            tracked.severity = tracked.severity.max(opening.severity);
            tracked.pace = opening.pace;
            tracked.cleared = None;
            tracked.calm = None;
            tracked.began = onset;
        }
        true
    }

    fn begin(&mut self, opening: Opening, node: &str, who: &Who) {
        let Opening { alarm, severity, pace } = opening;
        let now = self.history.now();
        self.tracked = Some(Tracked {
            id: episode_id(node, who, self.resource, alarm.onset),
            alarm,
            verdict_at: now,
            severity,
            pace,
            verdict: Verdict::Nobody,
            cleared: None,
            began: alarm.onset,
            calm: None,
            account: Account::since(alarm.onset),
            told_at: now,
        });
    }

    fn tell(&mut self, node: &str, who: &WhoRef, now: AxisNsec) -> Option<Episode> {
        let tracked = self.tracked.as_mut()?;
        tracked.told_at = now;
        let recent;
        let account = if tracked.cleared.is_some() {
            &tracked.account
        } else {
            recent = tracked.recent(&self.history);
            &recent
        };
        let shares = verdict::shares(account);
        let has_its_due = self.without != Some(Part::Entitlement) && account.has_its_due();
        let (verdict, margin) = verdict::judge(&shares, has_its_due, account.is_at_memory_limit());
        let tier = account.tier(self.tier);
        tracked.verdict = verdict;
        Some(Episode {
            id: tracked.id,
            node: node.to_owned(),
            victim: who.clone(),
            resource: self.resource,
            verdict,
            severity: tracked.severity,
            onset: tracked.alarm.onset,
            alarm: tracked.alarm.at,
            verdict_at: tracked.verdict_at,
            cleared: tracked.cleared,
            slowdown: verdict::slowdown(self.resource, account, tracked.id.0),
            // A GPU that is always held says nothing of this model's queue.
            saturated: self.resource != Resource::GpuTime && account.blocks().is_saturated(),
            added_wait_msec_per_cpu_sec: account.total().wait_per_run() * 1e3,
            shares,
            confidence: verdict::confidence(self.resource, tier, account, verdict, margin),
            tier,
            coverage: account.coverage(),
            evidence: evidence(self.resource, account),
        })
    }
}

impl Tracked {
    /// Goes on with an open episode; says whether there is something to tell.
    fn follow(&mut self, history: &History, tier: Tier) -> bool {
        let now = history.now();
        let reached = severity::reached(history, now.since(self.began), tier);
        let worse = reached.is_some_and(|reached| reached > self.severity);
        self.severity = self.severity.max(reached.unwrap_or(self.severity));
        self.calm = if severity::is_calm(history, self.severity, self.pace) {
            self.calm.or_else(|| Some(Calm { since: now, ended: self.last_felt(history) }))
        } else {
            None
        };
        let felt_until = self.calm.map_or(now, |calm| calm.ended);
        // What is calm by the time that it shows is not in it yet, nor what late news can change.
        let settled = now - LATE_AT_MOST.max(severity::calm_window(self.pace) + STEP_SLACK);
        self.account.feed(history.ticks(), felt_until.min(settled));
        if let Some(calm) = self.calm.filter(|calm| now.since(calm.since) >= CALM_HOLD) {
            self.clear(history, calm.ended);
            return true;
        }
        worse || now.since(self.told_at) >= TOLD_EVERY
    }

    /// The last seconds in which it was felt.
    fn recent(&self, history: &History) -> Account {
        let until = self.calm.map_or(history.now(), |calm| calm.ended);
        let mut account = Account::since(self.began.max(until - TOLD_OVER));
        account.feed(history.ticks(), until);
        account
    }

    fn last_felt(&self, history: &History) -> AxisNsec {
        let felt = history.ticks().rev().find(|tick| severity::is_felt(tick.span(), self.severity));
        felt.map_or(self.began, |tick| tick.at.max(self.began))
    }

    fn clear(&mut self, history: &History, ended: AxisNsec) {
        self.account.feed(history.ticks(), ended);
        self.cleared = Some(ended);
    }
}

fn evidence(resource: Resource, account: &Account) -> Vec<Evidence> {
    let total = account.total();
    let sec = total.dt / 1e9;
    let per_sec = |amount: f64| if sec > 0.0 { amount / sec } else { 0.0 };
    let one = |name, value| Evidence { name, value };
    let mut evidence = vec![one("felt_sec", sec)];
    evidence.push(if resource == Resource::GpuTime {
        one("gpu_msec_per_sec", per_sec(total.run / 1e6))
    } else {
        one("run_msec_per_sec", per_sec(account.run / 1e6))
    });
    evidence.push(one("wait_msec_per_sec", per_sec(total.waited() / 1e6)));
    match resource {
        Resource::Memory => evidence.push(one("limit_hits_per_sec", per_sec(account.limit_hits as f64))),
        Resource::Cpu => {
            evidence.push(one("throttled_msec_per_sec", per_sec(account.throttled / 1e6)));
            evidence.extend(account.limits_hit().map(|(name, millicpu)| one(name, millicpu as f64)));
            if account.has_its_due() {
                evidence.push(one("entitled_msec_per_sec", per_sec(account.fair_nsec() / 1e6)));
            }
        }
        Resource::Io | Resource::GpuTime | Resource::GpuMemory | Resource::Cache => {}
    }
    evidence
}

/// The same after a replay and after a restart of the aggregator. Off Kubernetes nothing but the
/// cgroup tells two containers of one name apart.
fn episode_id(node: &str, victim: &Who, resource: Resource, onset: AxisNsec) -> EpisodeId {
    let place = if victim.pod_uid.is_empty() { &victim.cgroup } else { &victim.pod_uid };
    let digest = Digest::new()
        .text(node)
        .text(&victim.namespace)
        .text(&victim.pod)
        .text(place)
        .text(&victim.container)
        .text(match resource {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
            Resource::Io => "io",
            Resource::GpuTime => "gpu_time",
            Resource::GpuMemory => "gpu_memory",
            Resource::Cache => "cache",
        });
    EpisodeId(digest.number(onset.0).finish())
}
