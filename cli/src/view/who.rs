//! Who a container is.

use berth::wire;
use serde::Serialize;

use super::{plain, word};

/// One container, or one system slice (then namespace and pod are empty).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Who {
    /// Empty for system slices.
    pub namespace: String,
    /// Empty for system slices.
    pub pod: String,
    /// Empty off Kubernetes.
    pub pod_uid: String,
    /// The container's name, or the slice's.
    pub container: String,
    /// Such as Deployment; empty if nothing controls the pod.
    pub owner_kind: String,
    /// The controller's name.
    pub owner_name: String,
    /// What it is for.
    #[serde(serialize_with = "word::serialize")]
    pub role: wire::Role,
    /// Below the hierarchy's root.
    pub cgroup: String,
}

impl From<wire::Who> for Who {
    fn from(wire: wire::Who) -> Self {
        Self {
            role: wire.role(),
            namespace: plain(&wire.namespace),
            pod: plain(&wire.pod),
            pod_uid: plain(&wire.pod_uid),
            container: plain(&wire.container),
            owner_kind: plain(&wire.owner_kind),
            owner_name: plain(&wire.owner_name),
            cgroup: plain(&wire.cgroup),
        }
    }
}

impl Who {
    /// As `namespace/pod`, with the container where its name says more; else the slice.
    pub fn name(&self) -> String {
        let mut name = match (self.namespace.as_str(), self.short()) {
            ("", short) => short.to_owned(),
            (namespace, short) => format!("{namespace}/{short}"),
        };
        if !self.pod.is_empty() && !self.container.is_empty() && !self.pod.contains(&self.container) {
            name.push('/');
            name.push_str(&self.container);
        }
        name
    }

    /// The least that names it among its neighbours.
    pub fn short(&self) -> &str {
        [&self.pod, &self.container, &self.cgroup]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("?", |name| name)
    }

    /// As kubectl names it; `None` for system slices.
    pub fn pod_name(&self) -> Option<String> {
        (!self.pod.is_empty()).then(|| format!("pod/{}", self.pod))
    }

    /// Such as `Deployment ref-models`; empty if nothing controls it.
    pub fn owner(&self) -> String {
        format!("{} {}", self.owner_kind, self.owner_name).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_no_more_than_it_must() {
        let who = |namespace: &str, pod: &str, container: &str, cgroup: &str| {
            Who::from(wire::Who {
                namespace: namespace.into(),
                pod: pod.into(),
                container: container.into(),
                cgroup: cgroup.into(),
                ..wire::Who::default()
            })
            .name()
        };
        assert_eq!(who("refmodels", "ref-models-x1", "ref-models", "/a"), "refmodels/ref-models-x1");
        assert_eq!(who("refmodels", "ref-models-x1", "proxy", "/a"), "refmodels/ref-models-x1/proxy");
        assert_eq!(who("", "", "kubelet.service", "/system.slice/kubelet.service"), "kubelet.service");
        assert_eq!(who("", "", "", "/stray"), "/stray");
        assert_eq!(who("", "", "", ""), "?");
    }
}
