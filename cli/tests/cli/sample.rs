//! One of everything that an aggregator may answer.

use berth::wire;
use prost_types::Timestamp;

/// A container in the namespace `refmodels`, or in `scans` for a scanner.
pub(crate) fn who(pod: &str, role: wire::Role) -> wire::Who {
    let (namespace, owner_kind, owner_name) = match role {
        wire::Role::Model => ("refmodels", "Deployment", "ref-models"),
        _ => ("scans", "Job", "scan"),
    };
    wire::Who {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        pod_uid: format!("uid-{pod}"),
        container: pod.to_owned(),
        owner_kind: owner_kind.to_owned(),
        owner_name: owner_name.to_owned(),
        role: role.into(),
        cgroup: format!("/kubepods/{pod}"),
    }
}

/// Milliseconds after a certain second.
pub(crate) fn at(millis: i32) -> Timestamp {
    Timestamp { seconds: 1_760_000_000 + i64::from(millis / 1_000), nanos: millis % 1_000 * 1_000_000 }
}

/// 61 % of the wait is a scanner's, 27 % another's, the rest the model's own.
pub(crate) fn shares() -> Vec<wire::Share> {
    let culprit = |pod, share| wire::Share {
        cause: wire::Cause::Culprit.into(),
        who: Some(who(pod, wire::Role::Scanner)),
        share,
    };
    let own = wire::Share { cause: wire::Cause::Self_.into(), who: None, share: 0.12 };
    vec![culprit("scanner-a", 0.61), culprit("scanner-b", 0.27), own]
}

/// Open, contended, from a neighbour.
pub(crate) fn episode() -> wire::Episode {
    wire::Episode {
        id: "8f3a09c1d2e4b567".to_owned(),
        revision: 12,
        incarnation: "7c".to_owned(),
        node: "node-1".to_owned(),
        victim: Some(who("ref-models-x1", wire::Role::Model)),
        resource: wire::Resource::Cpu.into(),
        verdict: wire::Verdict::Neighbour.into(),
        severity: wire::Severity::Contended.into(),
        onset: Some(at(0)),
        alarm: Some(at(180)),
        verdict_at: Some(at(2_100)),
        cleared: None,
        slowdown: Some(wire::Estimate { estimate: 1.84, lo: 1.61, hi: 2.08 }),
        added_wait_msec_per_cpu_sec: 840.25,
        shares: shares(),
        confidence: wire::Confidence::Confirmed.into(),
        tier: wire::Tier::Threads.into(),
        coverage: 0.98,
        evidence: vec![wire::Evidence { name: "wait_msec_per_cpu_sec".to_owned(), value: 840.25 }],
        saturated: false,
    }
}

/// Of the same model in that episode.
pub(crate) fn model() -> wire::ModelSummary {
    wire::ModelSummary {
        node: "node-1".to_owned(),
        who: Some(who("ref-models-x1", wire::Role::Model)),
        verdict: wire::Verdict::Neighbour.into(),
        severity: wire::Severity::Contended.into(),
        slowdown: Some(wire::Estimate { estimate: 1.84, lo: 1.61, hi: 2.08 }),
        episode_id: "8f3a09c1d2e4b567".to_owned(),
        shares: shares(),
        tier: wire::Tier::Threads.into(),
        coverage: 0.98,
        cpus: 1.5,
    }
}

/// Of a model that nobody hurts.
pub(crate) fn quiet_model() -> wire::ModelSummary {
    wire::ModelSummary {
        node: "node-2".to_owned(),
        who: Some(who("ref-models-x2", wire::Role::Model)),
        verdict: wire::Verdict::Nobody.into(),
        slowdown: Some(wire::Estimate { estimate: 1.02, lo: 1.0, hi: 1.04 }),
        ..wire::ModelSummary::default()
    }
}

/// Two steps, both reversible.
pub(crate) fn advice() -> wire::Advice {
    let node =
        wire::ObjectRef { kind: "Node".to_owned(), namespace: String::new(), name: "node-1".to_owned() };
    let action = |title: &str, command: &str, inverse: &str, restarts| wire::Action {
        title: title.to_owned(),
        object: Some(node.clone()),
        command: command.to_owned(),
        inverse_command: inverse.to_owned(),
        restarts,
        ..wire::Action::default()
    };
    wire::Advice {
        id: "7f3a9c1".to_owned(),
        code: "BA101".to_owned(),
        title: "keep scanners off node-1".to_owned(),
        why: "ref-models-x1 runs 1.8x slower beside scanner-a".to_owned(),
        target: Some(node.clone()),
        actions: vec![
            action(
                "name node-1 a models' node",
                "kubectl label node node-1 a=b",
                "kubectl label node node-1 a-",
                0,
            ),
            action(
                "repel others",
                "kubectl taint node node-1 a=b:NoSchedule",
                "kubectl taint node node-1 a-",
                2,
            ),
        ],
        proof: wire::ProofLevel::Feasible.into(),
        assumptions: vec!["no new scan starts before the taint".to_owned()],
        episode_ids: vec!["8f3a09c1d2e4b567".to_owned()],
        created: Some(at(3_000)),
        restarts: 2,
        ..wire::Advice::default()
    }
}
