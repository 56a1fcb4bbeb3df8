//! Who a cgroup is, and what it is for.
//!
//! Off Kubernetes a configuration says both: workloads name cgroups by pattern, and selectors give
//! roles by label. Precedence of a role: the label `berth.dev/role`, else the first selector that
//! matches, else other; and every answer says why in words. Invariant: a [`Roster`] is valid, and
//! identifying never fails. Deliberately absent: files and YAML; the aggregator parses those into
//! [`RosterConfig`].

mod config;
mod glob;
mod suggest;

use std::{collections::BTreeMap, sync::Arc};

use berth::ContainerSubject;

use self::{config::Template, glob::Glob};
pub use self::{
    config::{OwnerEntry, RosterConfig, RosterError, Selector, Workload},
    suggest::{Suggestion, suggest},
};
use crate::who::{Owner, Role, Who, WhoRef};

/// The label that decides.
pub const ROLE_LABEL: &str = "berth.dev/role";

/// Somebody, and why they have their role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub who: WhoRef,
    /// Such as "label berth.dev/role".
    pub reason: Arc<str>,
}

/// A workload whose entry was found valid.
#[derive(Debug)]
struct Entry {
    cgroup: Glob,
    namespace: Template,
    pod: Template,
    container: Template,
    owner: Option<(String, Template)>,
    labels: BTreeMap<String, String>,
}

/// Who is who on every node.
#[derive(Debug, Default)]
pub struct Roster {
    entries: Vec<Entry>,
    selectors: Vec<Selector>,
}

impl Roster {
    /// Errors name the entry and the mend.
    pub fn new(config: RosterConfig) -> Result<Self, RosterError> {
        config.validate()
    }

    /// Who the container is: by the first workload that matches its cgroup, else by what its path
    /// tells.
    pub fn identify(&self, container: &ContainerSubject) -> Identity {
        let named = self
            .entries
            .iter()
            .find_map(|entry| entry.cgroup.captures(&container.cgroup).map(|captures| (entry, captures)));
        let nobody = BTreeMap::new();
        let labels = named.as_ref().map_or(&nobody, |(entry, _)| &entry.labels);
        let mut who = Who {
            namespace: String::new(),
            pod: String::new(),
            pod_uid: container.pod_uid.clone().unwrap_or_default(),
            container: last_component(&container.cgroup).to_owned(),
            owner: None,
            role: Role::Other,
            cgroup: container.cgroup.clone(),
        };
        if let Some((entry, captures)) = &named {
            who.namespace = entry.namespace.fill(captures);
            who.pod = entry.pod.fill(captures);
            who.container = entry.container.fill(captures);
            who.owner = entry
                .owner
                .as_ref()
                .map(|(kind, name)| Owner { kind: kind.clone(), name: name.fill(captures) });
        }
        let (role, reason) = self.role(&who.namespace, labels);
        who.role = role;
        Identity { who: Arc::new(who), reason: reason.into() }
    }

    /// The role of a pod with these labels, and why.
    pub fn role(&self, namespace: &str, labels: &BTreeMap<String, String>) -> (Role, String) {
        if let Some(label) = labels.get(ROLE_LABEL) {
            return match role_named(label) {
                Some(role) => (role, format!("label {ROLE_LABEL}")),
                None => (Role::Other, format!("label {ROLE_LABEL} is {label:?}: write {ROLE_NAMES}")),
            };
        }
        let selected =
            (1_usize..).zip(&self.selectors).find(|(_, selector)| selector.selects(namespace, labels));
        match selected {
            Some((number, selector)) => (selector.role, format!("selector {number} of the configuration")),
            None => (Role::Other, "no label and no selector matches".to_owned()),
        }
    }
}

/// For messages.
const ROLE_NAMES: &str = "model, scanner, load-generator or other";

fn role_named(name: &str) -> Option<Role> {
    [Role::Model, Role::Scanner, Role::LoadGenerator, Role::Other]
        .into_iter()
        .find(|role| role.name() == name)
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').find(|component| !component.is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests;
