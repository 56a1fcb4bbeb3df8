//! Who is who on Kubernetes: pods, what they belong to, and the nodes, from the news of watches.
//!
//! A container's cgroup carries its pod's UID and its own id; from there the [`Cluster`] knows its
//! names, its owner, its role and what it asks for. Invariant: the same objects give the same
//! answers, whatever way the news took; an answer names a pod only on the node on which it runs.
//! Deliberately absent: the API server, time, and every field that nobody uses.

mod objects;
mod quantity;
mod shared;
mod store;

#[cfg(test)]
mod convergence;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use berth::ContainerSubject;

pub use self::{
    objects::{Container, Group, GroupKind, Object, Place, Pod},
    quantity::{cpu_milli, memory_bytes},
    store::Event,
};
use self::{
    shared::Shared,
    store::{Change, Store},
};
use crate::{
    placement::InForce,
    roles::{Given, Identity, ROLE_LABEL, nobody_said},
    scheduling::{Machine, Rules},
    who::{Owner, Role, Who},
};

/// Above a pod: its `ReplicaSet` and that one's `Deployment`, or its Job and that one's `CronJob`.
const OWNERS: usize = 2;

/// What a watch of one kind says.
#[derive(Debug, Clone)]
pub enum News {
    /// Of pods.
    Pod(Event<Pod>),
    /// Of controllers and namespaces.
    Group(GroupKind, Event<Group>),
    /// Of nodes.
    Machine(Event<Machine>),
}

/// Who a container is, and how far that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who.
    pub identity: Identity,
    /// The pod's status has it by its id; else only its pod is known.
    pub by_id: bool,
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    pods: Store<Pod>,
    groups: BTreeMap<GroupKind, Store<Group>>,
    machines: Store<Machine>,
    /// Pods by the UID in their cgroups' paths.
    by_cgroup: BTreeMap<String, Place>,
    /// What pods say about nodes.
    rules: Shared<Rules>,
    /// For each node the newest news of its pods.
    revisions: BTreeMap<String, u64>,
    newest: u64,
}

impl Cluster {
    /// Takes news in; tells the UIDs of pods that are gone.
    pub fn take(&mut self, news: News) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        match news {
            News::Pod(mut event) => {
                if let Some(pod) = event.object_mut() {
                    self.rules.share(&mut pod.fields.rules);
                }
                for change in self.pods.take(event) {
                    let uid = |pod: &Option<Arc<Object<Pod>>>| pod.as_ref().map(|pod| Arc::clone(&pod.uid));
                    gone.extend(
                        uid(&change.before).filter(|before| uid(&change.after).as_ref() != Some(before)),
                    );
                    self.pod_changed(&change);
                }
            }
            News::Group(kind, event) => {
                for change in self.groups.entry(kind).or_default().take(event) {
                    self.group_changed(kind, &change);
                }
            }
            News::Machine(event) => {
                let removed = self.machines.take(event).into_iter().filter(|change| change.after.is_none());
                for node in removed.filter_map(|change| change.before) {
                    self.revisions.remove(&node.place.name);
                }
            }
        }
        gone
    }

    /// Grows with all news that changes who is who on a node.
    pub fn revision(&self, node: &str) -> u64 {
        self.revisions.get(node).copied().unwrap_or(0)
    }

    /// A node; `None`: there is none of this name.
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        let place = Place { namespace: String::new(), name: name.to_owned() };
        self.machines.get(&place).map(|machine| &machine.fields)
    }

    /// The pod with this UID; a static pod's is that of its object at the API server.
    pub fn pod(&self, uid: &str) -> Option<&Object<Pod>> {
        let place = self.by_cgroup.get(uid)?;
        self.pods.get(place).filter(|pod| pod.fields.cgroup_uid == uid)
    }

    /// Models of which no container was started yet, as while no node takes them.
    pub fn unstarted_models(&self) -> impl Iterator<Item = &Place> {
        let waits = |pod: &&Object<Pod>| pod.fields.containers.iter().all(|container| container.id.is_none());
        let is_model = |pod: &&Object<Pod>| self.role(pod).role == Role::Model;
        self.pods.all().filter(waits).filter(is_model).map(|pod| &pod.place)
    }

    /// Who a container on a node is; `None`: its pod is not known, or runs elsewhere.
    pub fn identify(&self, node: &str, container: &ContainerSubject) -> Option<Found> {
        let pod = self.pod(container.pod_uid.as_deref()?)?;
        if pod.fields.node != node {
            return None;
        }
        let parts = &pod.fields.containers;
        let part = match &container.container_id {
            Some(id) => parts.iter().find(|part| part.id.as_ref() == Some(id)),
            // A sandboxed runtime counts the whole pod as one.
            None => parts.first().filter(|_| parts.len() == 1),
        };
        let whole = container.container_id.is_none();
        let given = if part.is_some() || whole { self.role(pod) } else { unlisted() };
        let who = Who {
            namespace: pod.place.namespace.clone(),
            pod: pod.place.name.clone(),
            pod_uid: pod.fields.cgroup_uid.clone(),
            container: part.map(|part| part.name.clone()).unwrap_or_default(),
            owner: self.owner(pod),
            role: given.role,
            cgroup: container.cgroup.clone(),
        };
        let requests = part.map_or(InForce::Unknown, |part| part.requests);
        let identity = Identity { who: Arc::new(who), reason: given.reason, requests };
        Some(Found { identity, by_id: part.is_some() || whole })
    }

    fn pod_changed(&mut self, change: &Change<Pod>) {
        if let Some(before) = &change.before {
            let uid = &before.fields.cgroup_uid;
            if self.by_cgroup.get(uid) == Some(&before.place) {
                self.by_cgroup.remove(uid);
            }
        }
        if let Some(after) = &change.after {
            self.by_cgroup.insert(after.fields.cgroup_uid.clone(), after.place.clone());
            self.touch([after.fields.node.clone()]);
        }
    }

    fn group_changed(&mut self, kind: GroupKind, change: &Change<Group>) {
        let Some(group) = change.after.as_ref().or(change.before.as_ref()) else { return };
        let nodes: Vec<String> = if kind == GroupKind::Namespace {
            self.pods.within(&group.place.name).map(|pod| pod.fields.node.clone()).collect()
        } else {
            let is_it = |owner: &Owner| owner.kind == kind.name() && owner.name == group.place.name;
            let pods = self.pods.within(&group.place.namespace);
            let its = pods.filter(|pod| self.owners(pod).any(|(owner, _)| is_it(&owner)));
            its.map(|pod| pod.fields.node.clone()).collect()
        };
        self.touch(nodes);
    }

    fn touch(&mut self, nodes: impl IntoIterator<Item = String>) {
        self.newest += 1;
        for node in nodes.into_iter().filter(|node| !node.is_empty()) {
            self.revisions.insert(node, self.newest);
        }
    }

    /// What controls a pod, from the inside out, as far as it is known.
    fn owners(&self, pod: &Object<Pod>) -> impl Iterator<Item = (Owner, Option<&Group>)> {
        let mut next = pod.fields.controller.clone();
        let namespace = pod.place.namespace.clone();
        std::iter::from_fn(move || {
            let owner = next.take()?;
            let kind = GroupKind::of(&owner);
            let place = Place { namespace: namespace.clone(), name: owner.name.clone() };
            let group = kind.and_then(|kind| self.groups.get(&kind)?.get(&place));
            let group = group.map(|group| &group.fields);
            next = group
                .filter(|_| kind.is_some_and(GroupKind::is_inner))
                .and_then(|group| group.controller.clone());
            Some((owner, group))
        })
        .take(OWNERS)
    }

    /// The outermost controller. A node controls its static pods, which helps nobody.
    fn owner(&self, pod: &Object<Pod>) -> Option<Owner> {
        self.owners(pod).last().map(|(owner, _)| owner).filter(|owner| owner.kind != "Node")
    }

    /// By the pod's label, its controllers', its namespace's; else by a selector.
    fn role(&self, pod: &Object<Pod>) -> Given {
        let fields = &pod.fields;
        let of = |given: &Given, of: String| {
            let reason = given.reason.replacen(ROLE_LABEL, &format!("{ROLE_LABEL} of {of}"), 1);
            Given { role: given.role, reason: reason.into() }
        };
        let controller = || {
            self.owners(pod).find_map(|(owner, group)| {
                Some(of(group?.role.as_ref()?, format!("{} {}", owner.kind, owner.name)))
            })
        };
        let namespace = || {
            let place = Place { namespace: String::new(), name: pod.place.namespace.clone() };
            let group = self.groups.get(&GroupKind::Namespace)?.get(&place)?;
            Some(of(group.fields.role.as_ref()?, format!("namespace {}", place.name)))
        };
        let labelled = fields.labelled.clone().or_else(controller).or_else(namespace);
        labelled.or_else(|| fields.selected.clone()).unwrap_or_else(nobody_said)
    }
}

/// A pod's sandbox is never in its status; a container that has just started is not yet.
fn unlisted() -> Given {
    Given { role: Role::Other, reason: "its pod's sandbox, or not in its pod's status yet".into() }
}
