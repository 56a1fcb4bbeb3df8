//! Names that give nobody away.
//!
//! Invariant: what had one name has one number, within one trace: who is told apart stays so, and
//! pods of one owner stay one group. Roles and the kinds of owners stay, since verdicts rest on them.
//! So do the names of well-known system slices, which are the same on every node and say what a
//! culprit is where no pod could; a slice with a name of its own gets a number.

use std::collections::BTreeMap;

use berth::trace::{Owner, Who};

/// Slices and services that are on nearly every node.
const WELL_KNOWN: [&str; 14] = [
    "containerd.service",
    "cri-containerd.service",
    "crio.service",
    "cron.service",
    "dbus.service",
    "docker.service",
    "init.scope",
    "kubelet.service",
    "ssh.service",
    "sshd.service",
    "system.slice",
    "systemd-journald.service",
    "systemd-udevd.service",
    "user.slice",
];

/// Numbers of one kind of name, from 1.
#[derive(Debug, Default)]
struct Numbers {
    known: BTreeMap<Vec<String>, usize>,
}

impl Numbers {
    /// The number of what all these parts together name.
    fn of(&mut self, parts: &[&str]) -> usize {
        let next = self.known.len() + 1;
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        *self.known.entry(parts).or_insert(next)
    }

    /// Nothing stays nothing.
    fn name(&mut self, what: &str, name: &str, within: &[&str]) -> String {
        if name.is_empty() {
            return String::new();
        }
        format!("{what}-{}", self.of(&[within, &[name]].concat()))
    }
}

/// The numbers of one trace.
#[derive(Debug, Default)]
pub(super) struct Pseudonyms {
    namespaces: Numbers,
    pods: Numbers,
    containers: Numbers,
    owners: Numbers,
    cgroups: Numbers,
}

impl Pseudonyms {
    /// The same one, without a name.
    pub(super) fn hide(&mut self, who: &Who) -> Who {
        let namespace = who.namespace.as_str();
        let is_slice = namespace.is_empty() && who.pod.is_empty();
        let container = if is_slice && WELL_KNOWN.contains(&who.container.as_str()) {
            who.container.clone()
        } else {
            self.containers.name("container", &who.container, &[])
        };
        Who {
            namespace: self.namespaces.name("ns", namespace, &[]),
            pod: self.pods.name("pod", &who.pod, &[namespace]),
            pod_uid: String::new(),
            container,
            owner: who.owner.as_ref().map(|Owner { kind, name }| Owner {
                kind: kind.clone(),
                name: self.owners.name("owner", name, &[namespace, kind]),
            }),
            role: who.role,
            cgroup: format!("/c-{}", self.cgroups.of(&[&who.cgroup, &who.pod_uid])),
        }
    }
}

#[cfg(test)]
mod tests {
    use berth::trace::Role;

    use super::*;

    fn who(namespace: &str, pod: &str, container: &str, owner: Option<&str>) -> Who {
        let owner = owner.map(|name| Owner { kind: "Job".to_owned(), name: name.to_owned() });
        Who {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            pod_uid: format!("uid of {pod}"),
            container: container.to_owned(),
            owner,
            role: Role::Scanner,
            cgroup: format!("/{namespace}/{pod}/{container}"),
        }
    }

    #[test]
    fn no_name_is_left_and_who_was_together_stays_together() {
        let mut pseudonyms = Pseudonyms::default();
        let mut hide = |namespace, pod, owner| pseudonyms.hide(&who(namespace, pod, "main", Some(owner)));
        let [one, other, elsewhere] = [
            hide("secret", "scan-1", "scan"),
            hide("secret", "scan-2", "scan"),
            hide("other", "scan-1", "scan"),
        ];
        let text = format!("{one:?}{other:?}{elsewhere:?}");
        assert!(!text.contains("secret") && !text.contains("scan-") && !text.contains("uid of"), "{text}");
        assert_eq!((&one.namespace, &one.owner), (&other.namespace, &other.owner));
        assert_ne!((&one.pod, &one.cgroup), (&other.pod, &other.cgroup));
        assert_ne!(one.owner, elsewhere.owner, "a group is of one namespace");
        assert_ne!(one.pod, elsewhere.pod);
        assert_eq!((one.role, one.owner.unwrap().kind.as_str()), (Role::Scanner, "Job"));
        assert_eq!(one.container, "container-1");
    }

    #[test]
    fn a_slice_that_is_everywhere_keeps_its_name_and_one_that_is_not_does_not() {
        let mut pseudonyms = Pseudonyms::default();
        let kubelet = pseudonyms.hide(&who("", "", "kubelet.service", None));
        assert_eq!((kubelet.container.as_str(), kubelet.cgroup.as_str()), ("kubelet.service", "/c-1"));
        assert_eq!((kubelet.namespace.as_str(), kubelet.pod.as_str(), kubelet.owner), ("", "", None));
        assert_eq!(pseudonyms.hide(&who("", "", "payroll.service", None)).container, "container-1");
        let sly = pseudonyms.hide(&who("shop", "kubelet.service", "kubelet.service", None));
        assert_eq!((sly.pod.as_str(), sly.container.as_str()), ("pod-1", "container-2"));
    }
}
