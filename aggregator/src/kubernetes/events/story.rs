//! What is worth an Event, and what is the same again.
//!
//! Pure. Bounded: of episodes that are open, and of Events that may be counted on.

use std::{collections::BTreeMap, time::Duration};

use berth_core::{
    contention::{Cause, Episode, EpisodeId, Resource, Severity, Verdict},
    time::AxisNsec,
    who::WhoRef,
};

/// What comes back within this is counted on the Event that is there, as Kubernetes' own recorders do
/// (client-go's `tools/events/event_broadcaster.go`, `finishTime`).
const SAME_FOR: Duration = Duration::from_secs(6 * 60);

/// A pod that starts costs its node a second of the kubelet's and the runtime's work, which would be named
/// for good: an Event's note cannot be changed (Kubernetes' pkg/apis/core/validation/events.go). By then
/// the cause that stays is the one that is named.
const SETTLED: Duration = Duration::from_secs(5);

/// Open episodes that are remembered: those of 10,000 models at once. Of any beyond them the verdict
/// may be told twice, under one name.
const OPEN: usize = 10_000;

/// Events that may be counted on.
const RECENT: usize = 10_000;

/// Bytes of a note (Kubernetes' pkg/apis/core/validation/events.go, `NoteLengthLimit`).
const NOTE_BYTES: usize = 1_024;

/// Bytes of a pod's name in the name of its Event: those have 253 (RFC 1123), of which an id and a
/// reason take some.
const POD_BYTES: usize = 190;

/// Causes that are named; the others add up to little.
const CAUSES: usize = 3;

/// An Event, to be made or to be counted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Telling {
    /// Of the Event.
    pub(super) name: String,
    /// On whose pod.
    pub(super) pod: WhoRef,
    /// Something is wrong, rather than well again.
    pub(super) is_warning: bool,
    /// In one word.
    pub(super) reason: &'static str,
    /// In words.
    pub(super) note: String,
    /// When.
    pub(super) at: AxisNsec,
    /// How often by now; above 1 the Event is there.
    pub(super) count: u32,
}

#[derive(Debug)]
struct Recent {
    name: String,
    count: u32,
    at: AxisNsec,
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    open: BTreeMap<EpisodeId, Vec<&'static str>>,
    /// By the pod's UID, what it waited for, the reason and the culprits.
    recent: BTreeMap<(String, Resource, &'static str, String), Recent>,
}

impl Story {
    /// What there is to tell of an episode as it was `now`, however late it is told.
    pub(super) fn goes_on(&mut self, episode: &Episode, now: AxisNsec) -> Option<Telling> {
        let who = &episode.victim;
        if who.namespace.is_empty() || who.pod.is_empty() || who.pod_uid.is_empty() {
            return None;
        }
        let (reason, at, culprits) = if let Some(cleared) = episode.cleared {
            self.open.remove(&episode.id)?;
            ("SlowdownCleared", cleared, String::new())
        } else {
            if episode.severity < Severity::Contended || now.since(episode.verdict_at) < SETTLED {
                return None;
            }
            let reason = reason(episode.verdict)?;
            if self.open.len() >= OPEN && !self.open.contains_key(&episode.id) {
                self.open.pop_first();
            }
            let told = self.open.entry(episode.id).or_default();
            if told.contains(&reason) {
                return None;
            }
            told.push(reason);
            (reason, episode.verdict_at, culprits(episode))
        };
        let (name, count) = self.count(episode, reason, at, culprits);
        let is_warning = episode.cleared.is_none();
        let note = if is_warning { verdict(episode) } else { cleared(episode, at) };
        Some(Telling { name, pod: who.clone(), is_warning, reason, note, at, count })
    }

    fn count(
        &mut self,
        episode: &Episode,
        reason: &'static str,
        at: AxisNsec,
        culprits: String,
    ) -> (String, u32) {
        self.recent.retain(|_, recent| at.since(recent.at) <= SAME_FOR);
        let key = (episode.victim.pod_uid.clone(), episode.resource, reason, culprits);
        if let Some(recent) = self.recent.get_mut(&key) {
            recent.count = recent.count.saturating_add(1);
            recent.at = at;
            return (recent.name.clone(), recent.count);
        }
        let pod = cut(&episode.victim.pod, POD_BYTES).trim_end_matches(['-', '.']);
        let name = format!("{pod}.{}.{}", episode.id, reason.to_ascii_lowercase());
        if self.recent.len() < RECENT {
            self.recent.insert(key, Recent { name: name.clone(), count: 1, at });
        }
        (name, 1)
    }
}

/// `None`: nothing is wrong.
fn reason(verdict: Verdict) -> Option<&'static str> {
    Some(match verdict {
        Verdict::Nobody => return None,
        Verdict::Neighbour => "SlowedByNeighbour",
        Verdict::SelfThrottled => "SlowedByOwnLimit",
        Verdict::SelfOversubscribed => "SlowedByOwnThreads",
        Verdict::OverEntitlement => "SlowedByEntitlement",
        Verdict::MemoryOwnLimit => "SlowedByMemoryLimit",
        Verdict::Hypervisor => "SlowedByHypervisor",
        Verdict::Unowned => "SlowedByUnownedWork",
        Verdict::Mixed => "SlowedBySeveral",
        Verdict::SliceThrottled => "SlowedByLimitAbovePod",
    })
}

fn culprits(episode: &Episode) -> String {
    let mut names: Vec<String> = episode.culprits().iter().map(|who| who.display_name()).collect();
    names.sort();
    names.dedup();
    names.join(" ")
}

fn verdict(episode: &Episode) -> String {
    let slowdown = &episode.slowdown;
    let causes: Vec<String> = episode
        .shares
        .iter()
        .take(CAUSES)
        .map(|share| format!("{:.0} % {}", share.share * 100.0, cause(&share.cause)))
        .collect();
    note(
        &format!(
            "{:.2} times slower ({:.2} to {:.2}) on {}; of its wait{} {}",
            slowdown.estimate,
            slowdown.lo,
            slowdown.hi,
            episode.node,
            waits_for(episode.resource),
            causes.join(", ")
        ),
        episode,
    )
}

/// CPU time goes without saying.
fn waits_for(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "",
        Resource::Memory => " for memory",
        Resource::Io => " for block I/O",
        Resource::GpuTime => " for GPU time",
        Resource::GpuMemory => " for GPU memory",
        Resource::Cache => " for caches",
    }
}

fn cleared(episode: &Episode, at: AxisNsec) -> String {
    let lasted = at.since(episode.onset).as_secs_f64();
    let slowdown = episode.slowdown.estimate;
    note(
        &format!("no longer slowed down; it lasted {lasted:.0} s, {slowdown:.2} times slower on the whole"),
        episode,
    )
}

fn note(what: &str, episode: &Episode) -> String {
    let more = format!(" (kubectl berth explain {})", episode.id);
    format!("{}{more}", cut(what, NOTE_BYTES - more.len()))
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Culprit(who) => match &who.owner {
            Some(owner) => format!("by {} {}", owner.kind, who.display_name()),
            None => format!("by {}", who.display_name()),
        },
        Cause::Own => "by its own threads".to_owned(),
        Cause::Throttle => "by its own CPU limit".to_owned(),
        Cause::PodThrottle => "by its pod's CPU limit".to_owned(),
        Cause::SliceThrottle => "by a CPU limit above its pod".to_owned(),
        Cause::Irq => "by interrupts".to_owned(),
        Cause::Steal => "by the hypervisor".to_owned(),
        Cause::Unowned => "by work in no container".to_owned(),
    }
}

/// At most so many bytes of a text.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use berth_core::{
        contention::Share,
        who::{Role, Who},
    };

    use super::*;
    use crate::journal::fixture::{episode, who};

    const SEC: u64 = 1_000_000_000;

    fn at(id: u64, sec: u64) -> Episode {
        Episode { verdict_at: AxisNsec(sec * SEC + 3 * SEC), ..episode(id, sec * SEC) }
    }

    /// What is told of it when it has settled.
    fn goes_on(story: &mut Story, episode: &Episode) -> Option<Telling> {
        story.goes_on(episode, AxisNsec(episode.verdict_at.0 + 5 * SEC))
    }

    fn closed(open: &Episode, sec: u64) -> Episode {
        Episode { cleared: Some(AxisNsec(sec * SEC)), ..open.clone() }
    }

    #[test]
    fn an_episode_is_told_when_it_has_its_verdict_and_when_it_has_cleared() {
        let mut story = Story::default();
        let open = at(0xabc, 100);
        let told = goes_on(&mut story, &open).unwrap();
        assert_eq!(told.name, "model-0.0000000000000abc.slowedbyneighbour");
        assert_eq!((told.reason, told.is_warning, told.count), ("SlowedByNeighbour", true, 1));
        assert_eq!(
            told.note,
            "1.40 times slower (1.30 to 1.50) on node-1; of its wait 90 % by Deployment prod/scan, 10 % by its own \
             threads (kubectl berth explain 0000000000000abc)"
        );
        assert_eq!(goes_on(&mut story, &open), None, "told anew each second");
        let cleared = goes_on(&mut story, &closed(&open, 160)).unwrap();
        assert_eq!((cleared.reason, cleared.is_warning), ("SlowdownCleared", false));
        assert!(
            cleared.note.starts_with("no longer slowed down; it lasted 60 s, 1.40 times slower"),
            "{}",
            cleared.note
        );
        assert_eq!(goes_on(&mut story, &closed(&open, 160)), None);
        assert_eq!(story.open.len(), 0);
    }

    #[test]
    fn what_has_not_settled_is_not_told_and_neither_is_its_end() {
        let mut story = Story::default();
        let open = at(1, 100);
        let soon = AxisNsec(open.verdict_at.0 + 4 * SEC);
        assert_eq!(story.goes_on(&open, soon), None);
        let transient = Episode { severity: Severity::Transient, ..open.clone() };
        assert_eq!(goes_on(&mut story, &transient), None);
        assert_eq!(goes_on(&mut story, &closed(&open, 104)), None);
        assert!(goes_on(&mut story, &open).is_some());
    }

    #[test]
    fn another_verdict_is_told_once_more() {
        let mut story = Story::default();
        let open = at(1, 100);
        let mixed = Episode { verdict: Verdict::Mixed, ..open.clone() };
        let reasons: Vec<_> =
            [&open, &mixed, &open, &mixed].map(|one| goes_on(&mut story, one).map(|told| told.reason)).into();
        assert_eq!(reasons, [Some("SlowedByNeighbour"), Some("SlowedBySeveral"), None, None]);
    }

    #[test]
    fn the_same_again_within_minutes_is_counted_and_another_culprit_is_not_the_same() {
        let mut story = Story::default();
        let tell = |story: &mut Story, open: &Episode, sec: u64| {
            let told = goes_on(story, open).unwrap();
            goes_on(story, &closed(open, sec + 20)).unwrap();
            (told.name, told.count)
        };
        let first = tell(&mut story, &at(1, 100), 100);
        let second = tell(&mut story, &at(2, 200), 200);
        assert_eq!((second.0.as_str(), second.1), (first.0.as_str(), 2));
        let mut other = at(3, 300);
        other.shares = vec![Share { cause: Cause::Culprit(who("batch", Role::Scanner)), share: 1.0 }];
        assert_eq!(tell(&mut story, &other, 300).1, 1);
        let later = tell(&mut story, &at(4, 2_000), 2_000);
        assert_eq!((later.1, story.recent.len()), (1, 2));
    }

    #[test]
    fn a_wait_for_the_gpu_is_told_as_such_and_never_counted_on_one_for_the_cpu() {
        let mut story = Story::default();
        assert_eq!(goes_on(&mut story, &at(1, 100)).unwrap().count, 1);
        let gpu = Episode { resource: Resource::GpuTime, ..at(2, 110) };
        let told = goes_on(&mut story, &gpu).unwrap();
        assert!(told.note.contains("of its wait for GPU time 90 % by Deployment prod/scan"), "{}", told.note);
        assert_eq!(told.count, 1);
    }

    #[test]
    fn who_is_no_pod_has_no_event_and_a_long_name_is_cut() {
        let mut story = Story::default();
        let victim = |change: fn(&mut Who)| {
            let mut who = Who::clone(&who("model", Role::Model));
            change(&mut who);
            Episode { victim: Arc::new(who), ..at(1, 100) }
        };
        assert_eq!(goes_on(&mut story, &victim(|who| who.pod_uid.clear())), None);
        let long = goes_on(&mut story, &victim(|who| who.pod = format!("{}.-x", "a".repeat(189)))).unwrap();
        assert!(long.name.starts_with(&format!("{}.0000", "a".repeat(189))) && long.name.len() <= 253);
        let many = Episode { node: "é".repeat(2_000), id: EpisodeId(2), ..at(2, 100) };
        assert!(goes_on(&mut story, &many).unwrap().note.len() <= NOTE_BYTES);
    }
}
