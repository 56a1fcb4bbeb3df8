//! Which workloads without a role look like a model or a scanner.
//!
//! A guess from the kind of their owner, so it is only printed: what serves runs for ever, what scans
//! comes to an end. Deliberately absent: guesses from names or images.

use std::collections::{BTreeMap, BTreeSet};

use berth::wire::Role;
use serde::Serialize;

use crate::view::word::{self, Word};
use crate::view::{Subject, Who};

/// Namespaces whose pods are nobody's models.
const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "berth-system"];

/// One workload and the command that would give it a role.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Suggestion {
    pub(super) namespace: String,
    pub(super) owner_kind: String,
    pub(super) owner_name: String,
    #[serde(serialize_with = "word::serialize")]
    pub(super) role: Role,
    /// For the pods that run now: it restarts nothing, and does not outlive them.
    pub(super) command: String,
}

/// As it stands in a pod's metadata.
pub(super) fn label(role: Role) -> String {
    format!("berth.dev/role={}", role.word().replace('_', "-"))
}

/// By namespace, kind and name of the owner.
pub(super) fn suggestions(subjects: &[Subject]) -> Vec<Suggestion> {
    let mut pods: BTreeMap<[&str; 3], (Role, BTreeSet<&str>)> = BTreeMap::new();
    for who in subjects.iter().map(|subject| &subject.who) {
        if let Some(role) = guess(who) {
            let owner = [&who.namespace, &who.owner_kind, &who.owner_name].map(String::as_str);
            pods.entry(owner).or_insert_with(|| (role, BTreeSet::new())).1.insert(&who.pod);
        }
    }
    pods.into_iter().map(|(owner, (role, pods))| suggestion(owner, role, &pods)).collect()
}

fn suggestion(
    [namespace, owner_kind, owner_name]: [&str; 3],
    role: Role,
    pods: &BTreeSet<&str>,
) -> Suggestion {
    let pods: Vec<&str> = pods.iter().copied().collect();
    Suggestion {
        namespace: namespace.to_owned(),
        owner_kind: owner_kind.to_owned(),
        owner_name: owner_name.to_owned(),
        role,
        command: format!("kubectl -n {namespace} label pod {} {}", pods.join(" "), label(role)),
    }
}

fn guess(who: &Who) -> Option<Role> {
    if who.role != Role::Other || who.pod.is_empty() || SYSTEM_NAMESPACES.contains(&who.namespace.as_str()) {
        return None;
    }
    match who.owner_kind.as_str() {
        "Deployment" | "StatefulSet" => Some(Role::Model),
        "Job" | "CronJob" => Some(Role::Scanner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use berth::wire;

    use super::*;

    fn subject(namespace: &str, kind: &str, pod: &str, role: Role) -> Subject {
        let who = wire::Who {
            namespace: namespace.to_owned(),
            owner_kind: kind.to_owned(),
            owner_name: "work".to_owned(),
            pod: pod.to_owned(),
            role: role.into(),
            ..wire::Who::default()
        };
        Subject::from_wire(wire::Subject { who: Some(who), ..wire::Subject::default() }).unwrap()
    }

    #[test]
    fn what_serves_may_be_a_model_and_what_ends_may_be_a_scanner() {
        let subjects = [
            subject("shop", "Deployment", "a", Role::Other),
            subject("shop", "Deployment", "b", Role::Other),
            subject("shop", "CronJob", "c", Role::Other),
        ];
        let commands: Vec<String> = suggestions(&subjects).into_iter().map(|one| one.command).collect();
        assert_eq!(
            commands,
            [
                "kubectl -n shop label pod c berth.dev/role=scanner",
                "kubectl -n shop label pod a b berth.dev/role=model",
            ]
        );
    }

    #[test]
    fn who_has_a_role_or_belongs_to_the_system_is_left_alone() {
        let subjects = [
            subject("shop", "Deployment", "a", Role::Model),
            subject("kube-system", "Deployment", "dns", Role::Other),
            subject("shop", "DaemonSet", "log", Role::Other),
            subject("", "", "", Role::Other),
        ];
        assert_eq!(suggestions(&subjects), []);
    }

    #[test]
    fn a_label_is_spelt_with_hyphens() {
        assert_eq!(label(Role::LoadGenerator), "berth.dev/role=load-generator");
    }
}
