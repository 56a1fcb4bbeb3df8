//! What is kept of Kubernetes' objects: the fields that are used, and no others.

use std::sync::Arc;

use crate::{placement::InForce, roles::Given, scheduling::Rules, who::Owner};

/// An object's place among those of its kind: at any moment there is one of it at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Empty for objects without one.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

/// An object, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T> {
    /// Where it is.
    pub place: Place,
    /// metadata.uid, which is never used again.
    pub uid: Arc<str>,
    /// metadata.resourceVersion, which rises with each change of any object of the kind; 0 where a
    /// server's are no numbers, and then the news that comes last holds.
    pub version: u64,
    /// Its fields.
    pub fields: T,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Where it runs; empty until it is scheduled.
    pub node: String,
    /// The UID in its cgroups' paths: the pod's, and a static pod's config hash.
    pub cgroup_uid: String,
    /// What controls it.
    pub controller: Option<Owner>,
    /// The role that its own label gives.
    pub labelled: Option<Given>,
    /// The role that a selector of the configuration or a preset gives.
    pub selected: Option<Given>,
    /// What it says about nodes; of a daemon without the affinity that binds each of its pods to one.
    pub rules: Arc<Rules>,
    /// All of them: those for the start and for debugging too.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits; `None` until it was started.
    pub id: Option<String>,
    /// What it asks for.
    pub requests: InForce,
}

/// What pods may belong to: a controller, or a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The role that its label gives to its pods.
    pub role: Option<Given>,
    /// What controls it.
    pub controller: Option<Owner>,
}

/// The kinds of [`Group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// Has no namespace of its own.
    Namespace,
    /// apps/v1.
    Deployment,
    /// apps/v1.
    ReplicaSet,
    /// apps/v1.
    StatefulSet,
    /// apps/v1.
    DaemonSet,
    /// batch/v1.
    Job,
    /// batch/v1.
    CronJob,
}

impl GroupKind {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
    ];

    /// As Kubernetes spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// The kind of a controller, if it is one of these.
    pub(super) fn of(owner: &Owner) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == owner.kind)
    }

    /// Made by something that people know by its name, so that goes on to be asked for.
    pub(super) fn is_inner(self) -> bool {
        matches!(self, Self::ReplicaSet | Self::Job)
    }
}
