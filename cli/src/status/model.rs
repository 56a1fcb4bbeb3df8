//! What the cluster and the aggregator say, made into one judgement.
//!
//! Pure. Invariant: everything in `degraded` is something that worked, or should work, and does not.

use std::collections::BTreeMap;

use berth::wire;
use serde::Serialize;

use crate::cluster::pods::PodState;
use crate::view::{Time, plain, word};

/// Everything that was asked.
#[derive(Debug)]
pub(super) struct Facts {
    /// None where there is no cluster.
    pub(super) cluster: Option<ClusterFacts>,
    /// The aggregator's answers, or why there are none.
    pub(super) answers: Result<Answers, String>,
}

/// What the API server says.
#[derive(Debug)]
pub(super) struct ClusterFacts {
    pub(super) context: String,
    pub(super) aggregator: Option<PodState>,
    pub(super) agents: Vec<PodState>,
    pub(super) workers: Vec<PodState>,
    /// The nodes' names, or why this person may not see them.
    pub(super) nodes: Result<Vec<String>, String>,
}

/// What the aggregator says.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) nodes: Vec<wire::NodeStatus>,
    pub(super) models: usize,
    pub(super) hurt: usize,
    pub(super) notes: Vec<String>,
}

/// What there is to show.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    /// Null where there is no cluster.
    pub(super) context: Option<String>,
    /// Null where there is no cluster, or no such pod in it.
    pub(super) aggregator: Option<PodState>,
    /// By name: those that should report, and those that do.
    pub(super) nodes: Vec<NodeState>,
    /// Load workers; null where there is no cluster.
    pub(super) workers: Option<Vec<PodState>>,
    /// Null while the aggregator cannot be asked.
    pub(super) models: Option<Models>,
    pub(super) degraded: Vec<Degraded>,
    pub(super) notes: Vec<String>,
}

/// How many models are known.
#[derive(Debug, Serialize)]
pub(super) struct Models {
    pub(super) known: usize,
    /// With an open episode that is contended or severe.
    pub(super) hurt: usize,
}

/// One node.
#[derive(Debug, Serialize)]
pub(super) struct NodeState {
    pub(super) node: String,
    /// Its agent's stream is open.
    pub(super) reports: bool,
    pub(super) last_sample: Option<Time>,
    pub(super) agent_version: String,
    /// Null while no agent has told.
    pub(super) sees: Option<Sees>,
    /// Ticks that will never come, for whatever reason.
    pub(super) missed_ticks: u64,
}

/// What a node lets an agent see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Sees {
    #[serde(serialize_with = "word::serialize")]
    pub(super) tier: wire::Tier,
    pub(super) pressure: bool,
    #[serde(serialize_with = "word::serialize")]
    pub(super) cgroup: wire::CgroupVersion,
    /// Processes that /proc hides.
    pub(super) hidden_processes: u32,
    pub(super) gpus: u32,
}

/// One thing that does not work.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Degraded {
    pub(super) what: String,
    /// Null where nobody knows.
    pub(super) since: Option<Time>,
}

impl Status {
    pub(super) fn of(facts: Facts) -> Self {
        let Facts { cluster, answers } = facts;
        let (answers, silence) = match answers {
            Ok(answers) => (Some(answers), None),
            Err(why) => (None, Some(why)),
        };
        let nodes = nodes(cluster.as_ref(), answers.as_ref());
        let mut degraded = Vec::new();
        if let Some(why) = silence {
            let pod = cluster.as_ref().and_then(|cluster| cluster.aggregator.as_ref());
            degraded
                .push(Degraded { what: why, since: pod.filter(|pod| !pod.ready).and_then(|pod| pod.since) });
        }
        let agents = cluster.as_ref().map(|cluster| &cluster.agents[..]);
        let is_known = answers.is_some();
        degraded.extend(nodes.iter().filter_map(|node| silent(node, agents, is_known)));
        let workers = cluster.as_ref().map(|cluster| cluster.workers.clone());
        degraded.extend(workers.iter().flatten().filter(|pod| !pod.ready).map(|pod| Degraded {
            what: format!("load worker {} is not ready: {}", pod.pod, pod.reason),
            since: pod.since,
        }));
        let mut notes = answers.as_ref().map(|answers| answers.notes.clone()).unwrap_or_default();
        let hidden = cluster.as_ref().and_then(|cluster| cluster.nodes.as_ref().err());
        notes.extend(hidden.map(|why| format!("nodes without an agent are not seen: {why}")));
        Self {
            nodes,
            workers,
            degraded,
            notes,
            models: answers.map(|answers| Models { known: answers.models, hurt: answers.hurt }),
            context: cluster.as_ref().map(|cluster| cluster.context.clone()),
            aggregator: cluster.and_then(|cluster| cluster.aggregator),
        }
    }
}

/// Those of the cluster, where it may be asked; else those that were heard.
fn nodes(cluster: Option<&ClusterFacts>, answers: Option<&Answers>) -> Vec<NodeState> {
    let heard = answers.iter().flat_map(|answers| &answers.nodes);
    let mut nodes: BTreeMap<String, NodeState> =
        heard.map(|node| (plain(&node.node), NodeState::heard(node))).collect();
    if let Some(Ok(names)) = cluster.map(|cluster| &cluster.nodes) {
        // One that left the cluster is missed by nobody.
        nodes.retain(|name, node| node.reports || names.contains(name));
        for name in names {
            nodes.entry(name.clone()).or_insert_with(|| NodeState::unheard(name));
        }
    }
    nodes.into_values().collect()
}

/// Why a node does not report, if it does not.
fn silent(node: &NodeState, agents: Option<&[PodState]>, is_known: bool) -> Option<Degraded> {
    let agent = agents.map(|agents| agents.iter().find(|agent| agent.node == node.node));
    let (why, since) = match agent {
        _ if node.reports => return None,
        Some(None) => ("no agent runs there".to_owned(), None),
        Some(Some(agent)) if !agent.ready => {
            (format!("its agent {} is not ready: {}", agent.pod, agent.reason), agent.since)
        }
        // Its agent runs, and nobody could be asked whether it is heard.
        Some(Some(_)) if !is_known => return None,
        Some(Some(agent)) => (format!("its agent {} runs, and is not heard", agent.pod), None),
        None => ("its agent is not heard".to_owned(), None),
    };
    Some(Degraded {
        what: format!("{} does not report: {why}", node.node),
        since: node.last_sample.or(since),
    })
}

impl NodeState {
    fn heard(wire: &wire::NodeStatus) -> Self {
        Self {
            node: plain(&wire.node),
            reports: wire.connected,
            last_sample: wire.last_sample.map(Time::from),
            agent_version: plain(&wire.agent_version),
            sees: wire.facts.as_ref().map(Sees::of),
            missed_ticks: wire.gaps.iter().map(|gap| gap.ticks).sum(),
        }
    }

    fn unheard(name: &str) -> Self {
        Self {
            node: name.to_owned(),
            reports: false,
            last_sample: None,
            agent_version: String::new(),
            sees: None,
            missed_ticks: 0,
        }
    }
}

impl Sees {
    fn of(facts: &wire::NodeFacts) -> Self {
        let tier = match (facts.thread_waits, facts.pressure) {
            (true, _) => wire::Tier::Threads,
            (false, true) => wire::Tier::Pressure,
            (false, false) => wire::Tier::Usage,
        };
        Self {
            tier,
            pressure: facts.pressure,
            cgroup: facts.cgroup_version(),
            hidden_processes: facts.hidden_processes,
            gpus: facts.gpus,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::view::sample;

    pub(crate) fn pod(name: &str, node: &str, ready: bool) -> PodState {
        PodState {
            pod: name.to_owned(),
            node: node.to_owned(),
            version: "0.1.0".to_owned(),
            ready,
            reason: if ready { String::new() } else { "CrashLoopBackOff".to_owned() },
            since: Some(sample::at(1_000).into()),
            started: Some(sample::at(0).into()),
            restarts: 0,
        }
    }

    pub(crate) fn heard(name: &str, connected: bool, thread_waits: bool) -> wire::NodeStatus {
        wire::NodeStatus {
            node: name.to_owned(),
            facts: Some(wire::NodeFacts {
                pressure: true,
                thread_waits,
                hidden_processes: if thread_waits { 0 } else { 37 },
                cgroup_version: wire::CgroupVersion::V2.into(),
                ..wire::NodeFacts::default()
            }),
            connected,
            last_sample: Some(sample::at(2_000)),
            agent_version: "0.1.0".to_owned(),
            ..wire::NodeStatus::default()
        }
    }

    /// Three nodes, of which one reports, one has a broken agent, and one has none.
    pub(crate) fn facts() -> Facts {
        let names = ["node-a", "node-b", "node-c"].map(str::to_owned).to_vec();
        Facts {
            cluster: Some(ClusterFacts {
                context: "prod".to_owned(),
                aggregator: Some(pod("berth-aggregator-x", "node-a", true)),
                agents: vec![pod("berth-agent-a", "node-a", true), pod("berth-agent-b", "node-b", false)],
                workers: Vec::new(),
                nodes: Ok(names),
            }),
            answers: Ok(Answers {
                nodes: vec![
                    heard("node-a", true, true),
                    heard("node-b", false, true),
                    heard("gone", false, true),
                ],
                models: 3,
                hurt: 1,
                notes: Vec::new(),
            }),
        }
    }

    fn what(facts: Facts) -> Vec<String> {
        Status::of(facts).degraded.into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn a_node_that_does_not_report_is_degraded_and_one_that_left_the_cluster_is_not() {
        let expected = [
            "node-b does not report: its agent berth-agent-b is not ready: CrashLoopBackOff",
            "node-c does not report: no agent runs there",
        ];
        assert_eq!(what(facts()), expected);
        let status = Status::of(facts());
        let since: Vec<_> = status.degraded.iter().map(|one| one.since).collect();
        assert_eq!(since, [Some(sample::at(2_000).into()), None], "since its last sample");
    }

    #[test]
    fn an_aggregator_that_cannot_be_asked_leaves_what_the_cluster_says() {
        let mut silent = facts();
        silent.answers = Err("pod berth-aggregator-x is not ready".to_owned());
        let expected = [
            "pod berth-aggregator-x is not ready",
            "node-b does not report: its agent berth-agent-b is not ready: CrashLoopBackOff",
            "node-c does not report: no agent runs there",
        ];
        assert_eq!(what(silent), expected, "node-a's agent runs, and nobody knows more");
    }

    #[test]
    fn somebody_who_may_not_list_nodes_is_told_what_is_not_seen() {
        let mut half = facts();
        half.cluster.as_mut().unwrap().nodes = Err("you may not list nodes".to_owned());
        let status = Status::of(half);
        assert_eq!(status.notes, ["nodes without an agent are not seen: you may not list nodes"]);
        assert_eq!(status.nodes.len(), 3, "as many as were heard");
    }

    #[test]
    fn without_a_cluster_a_node_is_missed_once_it_was_heard() {
        let mut alone = facts();
        alone.cluster = None;
        assert_eq!(what(alone).len(), 2, "gone and node-b");
    }
}
