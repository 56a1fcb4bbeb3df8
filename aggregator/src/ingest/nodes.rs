//! The nodes that were heard, and the way to the owner of each.
//!
//! Invariant: a node has one owner. The number of nodes is bounded; one that has been away for long
//! is forgotten, but never while a stream of it is there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use berth::NodeName;
use berth_core::{node::NodeLimits, roles::Roster, time::AxisNsec};
use tonic::Status;

use super::owner::{Handle, Published, Session, Setting, owner};
use crate::{clock::Clock, counters::Counters, journal::Journal, tasks::Tasks};

/// Nodes: the goal is 5,000; a cluster that replaces some at night has more for a while.
const NODES: usize = 7_500;

/// A node that is away this long is not coming back under its name, and its history went long ago.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// How often it is looked for nodes to forget.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Entry {
    handle: Arc<Handle>,
    away_since: Option<AxisNsec>,
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
        roster: Roster,
        clock: Clock,
        journal: Arc<Journal>,
        counters: Arc<Counters>,
        tasks: Tasks,
    ) -> Self {
        let setting =
            Setting { clock, roster: Arc::new(roster), limits: NodeLimits::default(), journal, counters };
        Self { setting, tasks, sessions: AtomicU64::new(0), entries: Mutex::default() }
    }

    /// What is published of every node, by name.
    pub(crate) fn all(&self) -> Vec<Published> {
        self.lock().values().map(|entry| entry.handle.published.borrow().clone()).collect()
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
        let (task, handle) = owner(name.clone(), self.setting.clone());
        self.tasks.start(task.run());
        let handle = Arc::new(handle);
        entries.insert(name.clone(), Entry { handle: Arc::clone(&handle), away_since: None });
        Ok((handle, session))
    }

    fn forget(&self, now: AxisNsec) {
        self.lock().retain(|name, entry| {
            // Another holder is a stream, which may be about to attach.
            let here = entry.handle.published.borrow().view.connected || Arc::strong_count(&entry.handle) > 1;
            entry.away_since = if here { None } else { entry.away_since.or(Some(now)) };
            let keep = entry.away_since.is_none_or(|since| now.since(since) <= FORGOTTEN_AFTER);
            if !keep {
                tracing::info!(node = %name, "node forgotten");
            }
            keep
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
