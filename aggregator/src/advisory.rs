//! Advice for the cluster as it is seen now.
//!
//! Invariant: it is computed from views at most once a second, whoever asks; the same advice keeps
//! its id and the time when it was first given. Deliberately absent: any change of a cluster.

use std::{collections::HashMap, sync::Arc, time::Duration};

use berth_core::{
    advice::Advice,
    cluster::Cluster,
    contention::Episode,
    node::{NodeView, SubjectView},
    placement::{Advised, Landscape, NodeSpace, Tenant, advise},
    sizing::{CpuMilli, MemoryBytes, Peak},
    time::AxisNsec,
};

use tokio::{
    sync::Mutex,
    task::{JoinError, spawn_blocking},
};

use crate::{clock::Clock, ingest::Nodes, journal::Journal, kubernetes::Directory};

/// Nobody needs advice that is newer than this.
const PERIOD: Duration = Duration::from_secs(1);

/// A closed episode counts for this long: what hurt an hour ago hurts again.
const EPISODES_FOR: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
struct Latest {
    at: Option<AxisNsec>,
    advised: Arc<Advised>,
    created: HashMap<u64, AxisNsec>,
}

/// The newest advice, and what it is made from.
#[derive(Debug)]
pub(crate) struct Advisory {
    clock: Clock,
    nodes: Arc<Nodes>,
    journal: Arc<Journal>,
    /// Held while it is computed, so that many who ask at once cause one computation.
    latest: Mutex<Latest>,
}

impl Advisory {
    /// Over these nodes and episodes.
    pub(crate) fn new(clock: Clock, nodes: Arc<Nodes>, journal: Arc<Journal>) -> Self {
        Self { clock, nodes, journal, latest: Mutex::default() }
    }

    /// The advice of this second. Errors: computing it panicked, which is a bug.
    pub(crate) async fn current(&self) -> Result<Arc<Advised>, JoinError> {
        let mut latest = self.latest.lock().await;
        let now = self.clock.now();
        if latest.at.is_none_or(|at| now.since(at) >= PERIOD) {
            let (nodes, journal) = (Arc::clone(&self.nodes), Arc::clone(&self.journal));
            // In a large cluster it takes a while, for which no stream is to wait.
            let computing = spawn_blocking(move || advise(&landscape(&nodes, &journal, now), now));
            let mut advised = computing.await?;
            advised.notes.extend(self.nodes.names().and_then(|view| view.note()));
            latest.created = keep_created(&mut advised.advice, &latest.created);
            latest.advised = Arc::new(advised);
            latest.at = Some(now);
        }
        Ok(Arc::clone(&latest.advised))
    }
}

fn landscape(nodes: &Nodes, journal: &Journal, now: AxisNsec) -> Landscape {
    let directory = nodes.directory();
    let space = |view: &NodeView| {
        let seen = !nodes.is_gone(&view.name);
        seen.then(|| space(view, directory.map(Directory::read).as_deref())).flatten()
    };
    Landscape {
        nodes: nodes.all().iter().filter_map(|node| space(&node.view)).collect(),
        episodes: episodes(journal, now),
    }
}

/// Gives each advice the time when it was first given; what is not given any more is forgotten.
fn keep_created(advice: &mut [Advice], before: &HashMap<u64, AxisNsec>) -> HashMap<u64, AxisNsec> {
    let keep = |one: &mut Advice| {
        one.created = before.get(&one.id).copied().unwrap_or(one.created);
        (one.id, one.created)
    };
    advice.iter_mut().map(keep).collect()
}

fn episodes(journal: &Journal, now: AxisNsec) -> Vec<Episode> {
    let counts = |episode: &Episode| episode.cleared.is_none_or(|cleared| now.since(cleared) <= EPISODES_FOR);
    let ledger = journal.read();
    let all = ledger.list(None).map(|revised| &*revised.episode);
    all.filter(|episode| counts(episode)).cloned().collect()
}

/// Off Kubernetes there is no cluster.
fn space(view: &NodeView, cluster: Option<&Cluster>) -> Option<NodeSpace> {
    let facts = &view.agent.as_ref()?.facts;
    let live = view.subjects.iter().filter(|subject| subject.live);
    Some(NodeSpace {
        name: view.name.to_string(),
        cpus: facts.cpus,
        memory_bytes: facts.memory_bytes,
        machine: cluster.and_then(|cluster| cluster.machine(view.name.as_str())).cloned(),
        containers: live.filter_map(|subject| tenant(subject, cluster)).collect(),
    })
}

fn tenant(subject: &SubjectView, cluster: Option<&Cluster>) -> Option<Tenant> {
    let who = subject.who.as_ref()?;
    Some(Tenant {
        who: Arc::clone(who),
        peak: Peak {
            cpu: subject.peaks.cpu_millicpu_max_1s.map(CpuMilli),
            memory: subject.peaks.memory_bytes_max.map(MemoryBytes),
        },
        requests: subject.requests,
        // Nothing was seen of it yet.
        seen_since: subject.first_sample.unwrap_or(AxisNsec(u64::MAX)),
        rules: cluster.and_then(|cluster| Some(Arc::clone(&cluster.pod(&who.pod_uid)?.fields.rules))),
    })
}

#[cfg(test)]
mod tests {
    use berth_core::advice::{ObjectRef, Proof};

    use super::*;

    fn advice(id: u64, created: u64) -> Advice {
        Advice {
            id,
            code: "BA101",
            title: String::new(),
            why: String::new(),
            target: ObjectRef { kind: "Node".into(), namespace: String::new(), name: "n".into() },
            actions: Vec::new(),
            proof: Proof::Exact,
            assumptions: Vec::new(),
            evidence: Vec::new(),
            episodes: Vec::new(),
            created: AxisNsec(created),
        }
    }

    #[test]
    fn the_same_advice_keeps_the_time_when_it_was_first_given() {
        let mut first = [advice(1, 10), advice(2, 10)];
        let created = keep_created(&mut first, &HashMap::new());
        let mut second = [advice(2, 20), advice(3, 20)];
        let created = keep_created(&mut second, &created);
        assert_eq!(second.each_ref().map(|one| one.created), [AxisNsec(10), AxisNsec(20)]);
        assert!(!created.contains_key(&1));
    }
}
