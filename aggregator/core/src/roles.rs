//! Who a cgroup is, and what it is for.
//!
//! Off Kubernetes a configuration says both: workloads name cgroups by pattern, and selectors give
//! roles by label; on Kubernetes the [`crate::cluster`] names pods, and the selectors are the same.
//! Precedence of a role: the label `berth.dev/role`, else the first selector that matches, else the
//! first preset, else other; and every answer says why in words. Invariant: a [`Roster`] is valid, and
//! identifying never fails. Deliberately absent: files and YAML; the aggregator parses those into
//! [`RosterConfig`].

mod config;
mod glob;
mod presets;
mod suggest;

use std::{collections::BTreeMap, sync::Arc};

use berth::ContainerSubject;

use self::{config::Template, glob::Glob};
pub use self::{
    config::{OwnerEntry, RosterConfig, RosterError, Selector, Workload},
    presets::Preset,
    suggest::{Suggestion, suggest},
};
use crate::{
    placement::InForce,
    who::{Owner, Role, Who, WhoRef},
};

/// The label that decides.
pub const ROLE_LABEL: &str = "berth.dev/role";

/// Somebody, and why they have their role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub who: WhoRef,
    /// Such as "label berth.dev/role".
    pub reason: Arc<str>,
    /// What it asks for.
    pub requests: InForce,
}

/// A role that somebody or something gave, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which.
    pub role: Role,
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
    presets: Vec<(Preset, Selector)>,
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
        let given = labelled(labels).or_else(|| self.selected(&who.namespace, labels, &[]));
        let Given { role, reason } = given.unwrap_or_else(nobody_said);
        who.role = role;
        Identity { who: Arc::new(who), reason, requests: InForce::Unknown }
    }

    /// The role that a selector of the configuration, or else a preset, gives to a pod with these
    /// labels and images.
    pub fn selected(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        images: &[&str],
    ) -> Option<Given> {
        let selects = |selector: &Selector| selector.selects(namespace, labels, images);
        let own = (1_usize..).zip(&self.selectors).find(|(_, selector)| selects(selector));
        let own =
            own.map(|(number, selector)| (selector.role, format!("selector {number} of the configuration")));
        let preset = || {
            let (preset, selector) = self.presets.iter().find(|(_, selector)| selects(selector))?;
            Some((selector.role, format!("preset {}", preset.name())))
        };
        let (role, reason) = own.or_else(preset)?;
        Some(Given { role, reason: reason.into() })
    }
}

/// The role that a label gives. A value that is no role's name gives none, and says so.
pub fn labelled(labels: &BTreeMap<String, String>) -> Option<Given> {
    let label = labels.get(ROLE_LABEL)?;
    let (role, reason) = match role_named(label) {
        Some(role) => (role, format!("label {ROLE_LABEL}")),
        None => (Role::Other, format!("label {ROLE_LABEL} is {label:?}: write {ROLE_NAMES}")),
    };
    Some(Given { role, reason: reason.into() })
}

/// What is left where nothing gives a role.
pub(crate) fn nobody_said() -> Given {
    Given { role: Role::Other, reason: "no label and no selector matches".into() }
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
