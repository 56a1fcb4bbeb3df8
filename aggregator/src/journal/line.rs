//! An episode as one line of JSON, with the names of the contract.

use berth_core::{
    contention::{Cause, Confidence, Episode, Estimate, Resource, Severity, Tier, Verdict},
    time::AxisNsec,
    who::{Role, Who},
};
use serde::Serialize;

use crate::edge::timestamp;

#[derive(Serialize)]
struct WhoLine<'a> {
    namespace: &'a str,
    pod: &'a str,
    pod_uid: &'a str,
    container: &'a str,
    owner_kind: &'a str,
    owner_name: &'a str,
    role: Role,
    cgroup: &'a str,
}

impl<'a> WhoLine<'a> {
    fn of(who: &'a Who) -> Self {
        let owner = who.owner.as_ref();
        Self {
            namespace: &who.namespace,
            pod: &who.pod,
            pod_uid: &who.pod_uid,
            container: &who.container,
            owner_kind: owner.map_or("", |owner| &owner.kind),
            owner_name: owner.map_or("", |owner| &owner.name),
            role: who.role,
            cgroup: &who.cgroup,
        }
    }
}

#[derive(Serialize)]
struct ShareLine<'a> {
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<WhoLine<'a>>,
    share: f64,
}

#[derive(Serialize)]
struct EvidenceLine {
    name: &'static str,
    value: f64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: String,
    incarnation: &'a str,
    node: &'a str,
    victim: WhoLine<'a>,
    resource: Resource,
    verdict: Verdict,
    severity: Severity,
    onset: String,
    alarm: String,
    verdict_at: String,
    cleared: Option<String>,
    slowdown: Estimate,
    saturated: bool,
    added_wait_msec_per_cpu_sec: f64,
    shares: Vec<ShareLine<'a>>,
    confidence: Confidence,
    tier: Tier,
    coverage: f64,
    evidence: Vec<EvidenceLine>,
}

/// The name of a cause, as every table and line spells it.
pub(crate) fn cause_name(cause: &Cause) -> &'static str {
    match cause {
        Cause::Own => "self",
        Cause::Throttle => "throttle",
        Cause::PodThrottle => "pod_throttle",
        Cause::SliceThrottle => "slice_throttle",
        Cause::Culprit(_) => "culprit",
        Cause::Irq => "irq",
        Cause::Steal => "steal",
        Cause::Unowned => "unowned",
    }
}

fn time(at: AxisNsec) -> String {
    timestamp(at).to_string()
}

/// The line, with its newline.
pub(crate) fn line(episode: &Episode, incarnation: &str) -> serde_json::Result<Vec<u8>> {
    let shares = episode.shares.iter().map(|share| ShareLine {
        cause: cause_name(&share.cause),
        who: match &share.cause {
            Cause::Culprit(who) => Some(WhoLine::of(who)),
            Cause::Own
            | Cause::Throttle
            | Cause::PodThrottle
            | Cause::SliceThrottle
            | Cause::Irq
            | Cause::Steal
            | Cause::Unowned => None,
        },
        share: share.share,
    });
    let evidence = episode.evidence.iter().map(|one| EvidenceLine { name: one.name, value: one.value });
    let mut line = serde_json::to_vec(&Line {
        id: episode.id.to_string(),
        incarnation,
        node: &episode.node,
        victim: WhoLine::of(&episode.victim),
        resource: episode.resource,
        verdict: episode.verdict,
        severity: episode.severity,
        onset: time(episode.onset),
        alarm: time(episode.alarm),
        verdict_at: time(episode.verdict_at),
        cleared: episode.cleared.map(time),
        slowdown: episode.slowdown,
        saturated: episode.saturated,
        added_wait_msec_per_cpu_sec: episode.added_wait_msec_per_cpu_sec,
        shares: shares.collect(),
        confidence: episode.confidence,
        tier: episode.tier,
        coverage: episode.coverage,
        evidence: evidence.collect(),
    })?;
    line.push(b'\n');
    Ok(line)
}
