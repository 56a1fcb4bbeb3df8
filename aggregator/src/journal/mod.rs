//! What was found: every episode of every node, with its history of changes.
//!
//! Invariant: revisions compare within one incarnation, which is drawn at random at the start.
//! Deliberately absent: persistence of state. A restarted aggregator finds again what the agents
//! still have; closed episodes are lines of a file for whoever wants them.

mod file;
mod ledger;
mod line;

use std::{
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use berth_core::{contention::Episode, time::AxisNsec};
use tokio::sync::watch;

use file::EpisodeFile;
use ledger::Taken;
pub(crate) use ledger::{Ledger, Place, Revised, Since};
pub(crate) use line::cause_name;

use crate::seldom::Seldom;

/// The journal of one aggregator.
#[derive(Debug)]
pub(crate) struct Journal {
    incarnation: String,
    ledger: Mutex<Ledger>,
    newest: watch::Sender<u64>,
    file: Option<EpisodeFile>,
    refused_lines: Seldom,
}

impl Journal {
    /// An empty one; closed episodes go into a file under `data_dir`.
    pub(crate) fn open(incarnation: u64, data_dir: Option<&Path>) -> io::Result<Self> {
        let incarnation = format!("{incarnation:016x}");
        let file = data_dir.map(|directory| EpisodeFile::open(directory, incarnation.clone())).transpose()?;
        Ok(Self {
            incarnation,
            ledger: Mutex::default(),
            newest: watch::Sender::new(0),
            file,
            refused_lines: Seldom::default(),
        })
    }

    /// Takes in how episodes are now.
    pub(crate) fn take(&self, episodes: Vec<Episode>, now: AxisNsec) {
        if episodes.is_empty() {
            return;
        }
        let newest = {
            let mut ledger = self.read();
            for episode in episodes {
                let (id, node) = (episode.id, episode.node.clone());
                match ledger.take(episode, now) {
                    Taken::Closed(revised) => {
                        if let Some(file) = &self.file {
                            file.append(revised.episode);
                        }
                    }
                    Taken::Same | Taken::Changed(_) => {}
                    Taken::Refused => {
                        if let Some(left_out) = self.refused_lines.due(now) {
                            tracing::error!(%id, %node, left_out, "too many episodes are open, one is not kept");
                        }
                    }
                }
            }
            ledger.age(now);
            ledger.newest()
        };
        self.newest.send_replace(newest);
    }

    /// Which life of the aggregator its revisions belong to.
    pub(crate) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// Tells of each new revision.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The episodes, for reading; not to be held across a wait.
    pub(crate) fn read(&self) -> MutexGuard<'_, Ledger> {
        // The ledger is usable at every step, so a panic elsewhere does not end the journal.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closed episodes that are in no file although there is one.
    pub(crate) fn lost_lines(&self) -> u64 {
        self.file.as_ref().map_or(0, EpisodeFile::lost)
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use std::sync::Arc;

    use berth_core::{
        contention::{
            Cause, Confidence, Episode, EpisodeId, Estimate, Evidence, Resource, Severity, Share, Tier,
            Verdict,
        },
        time::AxisNsec,
        who::{Owner, Role, Who},
    };

    pub(crate) fn who(name: &str, role: Role) -> Arc<Who> {
        Arc::new(Who {
            namespace: "prod".into(),
            pod: format!("{name}-0"),
            pod_uid: format!("uid-{name}"),
            container: "main".into(),
            owner: Some(Owner { kind: "Deployment".into(), name: name.into() }),
            role,
            cgroup: format!("/{name}"),
        })
    }

    pub(crate) fn episode(id: u64, onset: u64) -> Episode {
        let onset = AxisNsec(onset);
        Episode {
            id: EpisodeId(id),
            node: "node-1".into(),
            victim: who("model", Role::Model),
            resource: Resource::Cpu,
            verdict: Verdict::Neighbour,
            severity: Severity::Contended,
            onset,
            alarm: onset,
            verdict_at: onset,
            cleared: None,
            slowdown: Estimate { estimate: 1.4, lo: 1.3, hi: 1.5 },
            saturated: false,
            added_wait_msec_per_cpu_sec: 400.0,
            shares: vec![
                Share { cause: Cause::Culprit(who("scan", Role::Scanner)), share: 0.9 },
                Share { cause: Cause::Own, share: 0.1 },
            ],
            confidence: Confidence::Likely,
            tier: Tier::Threads,
            coverage: 1.0,
            evidence: vec![Evidence { name: "wait_msec_per_cpu_sec", value: 400.0 }],
        }
    }
}
