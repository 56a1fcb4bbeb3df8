//! The nodes that were heard, and the way to the owner of each.
//!
//! Invariant: a node has one owner. The number of nodes is bounded; one that has been away for long, or was
//! taken out of the cluster, is forgotten, but never while a stream of it is there. All histories together
//! keep to one budget, of which each node has an equal share: the more nodes, the less far each history goes
//! back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use berth::NodeName;
use berth_core::{node::NodeLimits, roles::Roster, time::AxisNsec};
use tonic::Status;

use super::{
    owner::{Handle, Published, Session, Setting, owner},
    recorders::Recorder,
};
use crate::{
    clock::Clock,
    counters::Counters,
    journal::Journal,
    kubernetes::{Directory, View},
    tasks::Tasks,
};

/// Nodes: the goal is 5,000; a cluster that replaces some at night has more for a while.
const NODES: usize = 7_500;

/// Memory of all histories together: half of the 1 GiB that the deployment allows. 16 nodes may fill
/// their own limit, and 170 quiet ones of 3 MiB keep their whole quarter of an hour.
const HISTORIES_BYTES: usize = 512 * 1024 * 1024;

/// A node that is away this long is not coming back under its name, and its history went long ago.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// A node that was taken out of the cluster is not coming back. One that registers anew under its name
/// has an agent again within this.
const REMOVED_AFTER: Duration = Duration::from_secs(30);

/// How often it is looked for nodes to forget.
const SWEEP: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Entry {
    handle: Arc<Handle>,
    away_since: Option<AxisNsec>,
    /// Away, and no node of the cluster.
    removed_since: Option<AxisNsec>,
}

/// Every node.
#[derive(Debug)]
pub(crate) struct Nodes {
    setting: Setting,
    tasks: Tasks,
    sessions: AtomicU64,
    entries: Mutex<BTreeMap<NodeName, Entry>>,
}

impl Nodes {
    /// Nobody was heard yet.
    pub(crate) fn new(
        roster: Arc<Roster>,
        directory: Option<Arc<Directory>>,
        clock: Clock,
        journal: Arc<Journal>,
        counters: Arc<Counters>,
        tasks: Tasks,
    ) -> Self {
        let limits = NodeLimits::default();
        let history_share = Arc::new(AtomicUsize::new(limits.history_bytes));
        let setting = Setting { clock, roster, directory, limits, history_share, journal, counters };
        Self { setting, tasks, sessions: AtomicU64::new(0), entries: Mutex::default() }
    }

    /// What is published of every node, by name.
    pub(crate) fn all(&self) -> Vec<Published> {
        self.lock().values().map(|entry| entry.handle.published.borrow().clone()).collect()
    }

    /// Sends a node's detector's input to this recorder from now on, with what `header` makes of what is
    /// published of the node. Errors: no agent of it was heard, or `header`'s, and nothing is sent then.
    pub(crate) async fn record<T>(
        &self,
        name: &NodeName,
        to: Recorder,
        header: impl FnOnce(&Published) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let known = self.lock().get(name).map(|entry| Arc::clone(&entry.handle));
        let mend = "berth status lists the nodes that report";
        let unheard = || Status::not_found(format!("no agent of node {name} was heard: {mend}"));
        let handle = known.ok_or_else(unheard)?;
        let header = header(&handle.published.borrow())?;
        handle.recorders.send(to).await.map_err(|_| unheard())?;
        Ok(header)
    }

    /// How far names and roles can be relied on; `None` off Kubernetes.
    pub(crate) fn names(&self) -> Option<View> {
        self.setting.directory.as_ref().map(|directory| directory.health.view())
    }

    /// The cluster; `None` off Kubernetes.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.setting.directory.as_deref()
    }

    /// It is no node of the cluster any more.
    pub(crate) fn is_gone(&self, node: &NodeName) -> bool {
        self.directory().is_some_and(|directory| directory.is_gone(node.as_str()))
    }

    /// Forgets those that are away for long, for ever.
    pub(crate) async fn sweep(&self) {
        let mut sweeps = tokio::time::interval(SWEEP);
        loop {
            sweeps.tick().await;
            self.forget(self.setting.clock.now());
        }
    }

    /// The owner of a node; it is started where there is none.
    pub(super) fn owner(&self, name: &NodeName) -> Result<(Arc<Handle>, Session), Status> {
        let session = Session(self.sessions.fetch_add(1, Ordering::Relaxed));
        let mut entries = self.lock();
        // One that is gone has panicked, which was logged; a new one begins with what the agent has.
        if let Some(entry) = entries.get(name).filter(|entry| !entry.handle.events.is_closed()) {
            return Ok((Arc::clone(&entry.handle), session));
        }
        if entries.len() >= NODES && !entries.contains_key(name) {
            return Err(Status::resource_exhausted(format!("{NODES} nodes are known already")));
        }
        self.share(entries.len() + 1);
        let (task, handle) = owner(name.clone(), self.setting.clone());
        self.tasks.start(task.run());
        let handle = Arc::new(handle);
        entries.insert(
            name.clone(),
            Entry { handle: Arc::clone(&handle), away_since: None, removed_since: None },
        );
        Ok((handle, session))
    }

    fn forget(&self, now: AxisNsec) {
        let mut entries = self.lock();
        entries.retain(|name, entry| {
            // Another holder is a stream, which may be about to attach.
            let here = entry.handle.published.borrow().view.connected || Arc::strong_count(&entry.handle) > 1;
            let since = |is: bool, since: Option<AxisNsec>| is.then(|| since.unwrap_or(now));
            entry.away_since = since(!here, entry.away_since);
            entry.removed_since = since(!here && self.is_gone(name), entry.removed_since);
            let within = |since: Option<AxisNsec>, patience| since.is_none_or(|at| now.since(at) <= patience);
            let keep =
                within(entry.away_since, FORGOTTEN_AFTER) && within(entry.removed_since, REMOVED_AFTER);
            if !keep {
                tracing::info!(node = %name, "node forgotten");
            }
            keep
        });
        self.share(entries.len());
    }

    /// Tells the owners how much memory each history may take; they look five times a second.
    fn share(&self, nodes: usize) {
        let share = history_share(self.setting.limits.history_bytes, nodes);
        self.setting.history_share.store(share, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of one of so many nodes, of which none takes more than `most`.
fn history_share(most: usize, nodes: usize) -> usize {
    most.min(HISTORIES_BYTES / nodes.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_histories_together_keep_to_their_budget() {
        let most = NodeLimits::default().history_bytes;
        for nodes in [0, 1, 16] {
            assert_eq!(history_share(most, nodes), most);
        }
        for nodes in [17, 170, NODES] {
            let share = history_share(most, nodes);
            assert!(share < most && share * nodes <= HISTORIES_BYTES);
        }
    }
}
