//! The cluster, shared: written by the watches, read by every node's owner.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use berth_core::cluster::{Cluster, News};

use super::health::{Health, Watched};
use crate::{clock::Clock, trust::Pods};

/// What is known of the cluster.
#[derive(Debug)]
pub(crate) struct Directory {
    cluster: RwLock<Cluster>,
    /// How far that can be relied on.
    pub(crate) health: Health,
}

impl Directory {
    /// Nothing is known yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { cluster: RwLock::default(), health: Health::new(clock) }
    }

    /// There is no such node any more.
    pub(crate) fn is_gone(&self, node: &str) -> bool {
        // Before they are all known none is missed.
        self.health.has_read(Watched::Nodes) && self.read().machine(node).is_none()
    }

    /// For reading; not to be held across a wait.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Cluster> {
        self.cluster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes news in; tells the UIDs of pods that are gone.
    pub(super) fn tell(&self, news: News) -> Vec<Arc<str>> {
        self.cluster.write().unwrap_or_else(PoisonError::into_inner).take(news)
    }
}

impl Pods for Directory {
    fn lack(&self, uid: &str) -> bool {
        self.health.has_read(Watched::Pods) && self.read().pod(uid).is_none()
    }
}
