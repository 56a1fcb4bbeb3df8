//! Strict types as clients see them.

use berth::wire;
use berth_core::{
    advice::{Action, Advice, ObjectRef, Proof},
    contention::{
        Cause, Confidence, Estimate, Evidence, ModelState, Resource, Severity, Share, Tier, Verdict,
    },
    who::{Role, Who},
};

use crate::{edge::timestamp, journal::Revised};

pub(super) fn role(role: Role) -> wire::Role {
    match role {
        Role::Model => wire::Role::Model,
        Role::Scanner => wire::Role::Scanner,
        Role::LoadGenerator => wire::Role::LoadGenerator,
        Role::Other => wire::Role::Other,
    }
}

pub(super) fn who(who: &Who) -> wire::Who {
    let (owner_kind, owner_name) =
        who.owner.as_ref().map(|owner| (owner.kind.clone(), owner.name.clone())).unwrap_or_default();
    wire::Who {
        namespace: who.namespace.clone(),
        pod: who.pod.clone(),
        pod_uid: who.pod_uid.clone(),
        container: who.container.clone(),
        owner_kind,
        owner_name,
        role: role(who.role).into(),
        cgroup: who.cgroup.clone(),
    }
}

fn estimate(estimate: Estimate) -> wire::Estimate {
    wire::Estimate { estimate: estimate.estimate, lo: estimate.lo, hi: estimate.hi }
}

fn resource(resource: Resource) -> wire::Resource {
    match resource {
        Resource::Cpu => wire::Resource::Cpu,
        Resource::Memory => wire::Resource::Memory,
        Resource::Io => wire::Resource::Io,
        Resource::GpuTime => wire::Resource::GpuTime,
        Resource::GpuMemory => wire::Resource::GpuMemory,
        Resource::Cache => wire::Resource::Cache,
    }
}

fn verdict(verdict: Verdict) -> wire::Verdict {
    match verdict {
        Verdict::Nobody => wire::Verdict::Nobody,
        Verdict::Neighbour => wire::Verdict::Neighbour,
        Verdict::SelfThrottled => wire::Verdict::SelfThrottled,
        Verdict::SelfOversubscribed => wire::Verdict::SelfOversubscribed,
        Verdict::OverEntitlement => wire::Verdict::OverEntitlement,
        Verdict::MemoryOwnLimit => wire::Verdict::MemoryOwnLimit,
        Verdict::Hypervisor => wire::Verdict::Hypervisor,
        Verdict::Unowned => wire::Verdict::Unowned,
        Verdict::Mixed => wire::Verdict::Mixed,
        Verdict::SliceThrottled => wire::Verdict::SliceThrottled,
    }
}

fn severity(severity: Severity) -> wire::Severity {
    match severity {
        Severity::Transient => wire::Severity::Transient,
        Severity::Contended => wire::Severity::Contended,
        Severity::Severe => wire::Severity::Severe,
    }
}

fn confidence(confidence: Confidence) -> wire::Confidence {
    match confidence {
        Confidence::Possible => wire::Confidence::Possible,
        Confidence::Likely => wire::Confidence::Likely,
        Confidence::Confirmed => wire::Confidence::Confirmed,
    }
}

fn tier(tier: Tier) -> wire::Tier {
    match tier {
        Tier::Threads => wire::Tier::Threads,
        Tier::Pressure => wire::Tier::Pressure,
        Tier::Usage => wire::Tier::Usage,
    }
}

fn share(share: &Share) -> wire::Share {
    let (cause, culprit) = match &share.cause {
        Cause::Own => (wire::Cause::Self_, None),
        Cause::Throttle => (wire::Cause::Throttle, None),
        Cause::PodThrottle => (wire::Cause::PodThrottle, None),
        Cause::SliceThrottle => (wire::Cause::SliceThrottle, None),
        Cause::Culprit(culprit) => (wire::Cause::Culprit, Some(who(culprit))),
        Cause::Irq => (wire::Cause::Irq, None),
        Cause::Steal => (wire::Cause::Steal, None),
        Cause::Unowned => (wire::Cause::Unowned, None),
    };
    wire::Share { cause: cause.into(), who: culprit, share: share.share }
}

fn evidence(evidence: &Evidence) -> wire::Evidence {
    wire::Evidence { name: evidence.name.to_owned(), value: evidence.value }
}

pub(super) fn episode(revised: &Revised, incarnation: &str) -> wire::Episode {
    let episode = &*revised.episode;
    wire::Episode {
        id: episode.id.to_string(),
        revision: revised.revision,
        incarnation: incarnation.to_owned(),
        node: episode.node.clone(),
        victim: Some(who(&episode.victim)),
        resource: resource(episode.resource).into(),
        verdict: verdict(episode.verdict).into(),
        severity: severity(episode.severity).into(),
        onset: Some(timestamp(episode.onset)),
        alarm: Some(timestamp(episode.alarm)),
        verdict_at: Some(timestamp(episode.verdict_at)),
        cleared: episode.cleared.map(timestamp),
        slowdown: Some(estimate(episode.slowdown)),
        added_wait_msec_per_cpu_sec: episode.added_wait_msec_per_cpu_sec,
        shares: episode.shares.iter().map(share).collect(),
        confidence: confidence(episode.confidence).into(),
        tier: tier(episode.tier).into(),
        coverage: episode.coverage,
        evidence: episode.evidence.iter().map(evidence).collect(),
        saturated: episode.saturated,
    }
}

pub(super) fn model(node: &str, model: &ModelState) -> wire::ModelSummary {
    wire::ModelSummary {
        node: node.to_owned(),
        who: Some(who(&model.who)),
        verdict: verdict(model.verdict).into(),
        severity: model.severity.map_or(wire::Severity::Unspecified, severity).into(),
        slowdown: model.slowdown.map(estimate),
        episode_id: model.episode.map(|id| id.to_string()).unwrap_or_default(),
        shares: model.shares.iter().map(share).collect(),
        tier: tier(model.tier).into(),
        coverage: model.coverage,
        cpus: model.cpus,
    }
}

fn object(object: &ObjectRef) -> wire::ObjectRef {
    wire::ObjectRef {
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    }
}

fn action(action: &Action) -> wire::Action {
    wire::Action {
        title: action.title.clone(),
        object: Some(object(&action.object)),
        command: action.command.clone(),
        inverse_command: action.inverse_command.clone(),
        json_patch: action.json_patch.clone(),
        inverse_json_patch: action.inverse_json_patch.clone(),
        restarts: action.restarts,
    }
}

pub(super) fn advice(advice: &Advice) -> wire::Advice {
    let proof = match advice.proof {
        Proof::Unproven => wire::ProofLevel::Unproven,
        Proof::Feasible => wire::ProofLevel::Feasible,
        Proof::Exact => wire::ProofLevel::Exact,
    };
    wire::Advice {
        id: advice_id(advice),
        code: advice.code.to_owned(),
        title: advice.title.clone(),
        why: advice.why.clone(),
        target: Some(object(&advice.target)),
        actions: advice.actions.iter().map(action).collect(),
        proof: proof.into(),
        assumptions: advice.assumptions.clone(),
        evidence: advice.evidence.iter().map(evidence).collect(),
        episode_ids: advice.episodes.iter().map(ToString::to_string).collect(),
        created: Some(timestamp(advice.created)),
        restarts: advice.restarts(),
    }
}

fn advice_id(advice: &Advice) -> String {
    format!("{:016x}", advice.id)
}
