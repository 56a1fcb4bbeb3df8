//! Who a container is: its pod, its owner, its role.

use std::sync::Arc;

use berth::SeriesId;

/// What a pod is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves predictions: a victim whose slowdown is worth an episode.
    Model,
    /// Batch work: a likely culprit, and movable.
    Scanner,
    /// Generates load.
    LoadGenerator,
    /// Everything else, system slices included.
    Other,
}

impl Role {
    /// As the label `berth.dev/role` and every table spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Scanner => "scanner",
            Self::LoadGenerator => "load-generator",
            Self::Other => "other",
        }
    }
}

/// A container on one node: its `ContainerCpu` series within the agent's present incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerKey(pub SeriesId);

/// The outermost controller of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Such as Deployment or Job.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// One container, or one system slice (then namespace and pod are empty).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// Empty for system slices.
    pub namespace: String,
    /// Empty for system slices.
    pub pod: String,
    /// Empty off Kubernetes.
    pub pod_uid: String,
    /// The container's name, or the slice's.
    pub container: String,
    /// None when nothing controls it.
    pub owner: Option<Owner>,
    /// What it is for.
    pub role: Role,
    /// Below the hierarchy's root.
    pub cgroup: String,
}

impl Who {
    /// As a person would name it: `namespace/owner`, else `namespace/pod`, else the slice.
    pub fn display_name(&self) -> String {
        let name = self.owner.as_ref().map_or(self.pod.as_str(), |owner| owner.name.as_str());
        match (self.namespace.is_empty(), name.is_empty()) {
            (_, true) => self.container.clone(),
            (true, false) => name.to_owned(),
            (false, false) => format!("{}/{name}", self.namespace),
        }
    }
}

/// A [`Who`] is shared by every frame and episode that names it.
pub type WhoRef = Arc<Who>;
