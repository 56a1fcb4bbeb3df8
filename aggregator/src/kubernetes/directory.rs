//! The cluster, shared: written by the watches, read by every node's owner.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use berth_core::cluster::{Cluster, News};

use super::health::{Health, Watched};
use crate::clock::Clock;

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

    /// Whether new pods can be placed on a node; `None`: there is no such node any more.
    pub(crate) fn takes_pods(&self, node: &str) -> Option<bool> {
        match self.read().machine(node) {
            Some(machine) => Some(machine.takes_pods()),
            // Before they are all known none is missed.
            None => (!self.health.has_read(Watched::Nodes)).then_some(true),
        }
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
