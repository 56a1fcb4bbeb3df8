//! Guesses at roles that nobody has given, for a person to confirm.
//!
//! The rule is the core's; what is here is only its way from and to a command. Deliberately absent: a
//! call that labels anything.

use std::collections::HashSet;

use berth::wire;
use berth_core::roles::suggest;
use berth_core::who::{Owner, Role, Who as CoreWho};
use serde::Serialize;

use crate::view::{Subject, Who};

/// What somebody looks like.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Suggestion {
    pub(super) who: Who,
    pub(super) role: Role,
    /// What in the names says so.
    pub(super) why: String,
    /// A command for the pod that runs now; off Kubernetes, what to write where.
    pub(super) mend: String,
}

impl Suggestion {
    /// Whether the mend can be pasted.
    pub(super) fn is_command(&self) -> bool {
        self.mend.starts_with("kubectl ")
    }
}

/// In the order of the subjects; a pod's containers that have one mend have one suggestion.
pub(super) fn suggestions(subjects: &[Subject]) -> Vec<Suggestion> {
    let pod = |who: &Who| (who.namespace.clone(), who.pod.clone());
    let has_role = |who: &&Who| !matches!(who.role, wire::Role::Other | wire::Role::Unspecified);
    // Their sandboxes have none.
    let named: HashSet<_> = subjects.iter().map(|subject| &subject.who).filter(has_role).map(pod).collect();
    let unnamed = subjects.iter().map(|subject| &subject.who).filter(|who| !named.contains(&pod(who)));
    let mut known = HashSet::new();
    let mut all: Vec<Suggestion> = unnamed.filter_map(guess).collect();
    // Off Kubernetes each has an entry of its own, and the mend does not say whose.
    all.retain(|one| !one.is_command() || known.insert(one.mend.clone()));
    all
}

/// Whether any container belongs to a pod: where none does, a configuration gives the names.
pub(super) fn has_pods(subjects: &[Subject]) -> bool {
    subjects.iter().any(|subject| !subject.who.pod.is_empty() || !subject.who.pod_uid.is_empty())
}

fn guess(who: &Who) -> Option<Suggestion> {
    let guess = suggest([&core(who)]).pop()?;
    Some(Suggestion { who: who.clone(), role: guess.role, why: guess.why, mend: guess.mend })
}

fn core(who: &Who) -> CoreWho {
    let has_owner = !who.owner_kind.is_empty() || !who.owner_name.is_empty();
    CoreWho {
        namespace: who.namespace.clone(),
        pod: who.pod.clone(),
        pod_uid: who.pod_uid.clone(),
        container: who.container.clone(),
        owner: has_owner.then(|| Owner { kind: who.owner_kind.clone(), name: who.owner_name.clone() }),
        role: match who.role {
            wire::Role::Model => Role::Model,
            wire::Role::Scanner => Role::Scanner,
            wire::Role::LoadGenerator => Role::LoadGenerator,
            wire::Role::Other | wire::Role::Unspecified => Role::Other,
        },
        cgroup: who.cgroup.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(pod: &str, container: &str, role: wire::Role) -> Subject {
        let who = wire::Who {
            namespace: "shop".to_owned(),
            owner_kind: "Job".to_owned(),
            owner_name: "nightly".to_owned(),
            pod: pod.to_owned(),
            pod_uid: format!("uid-{pod}"),
            container: container.to_owned(),
            role: role.into(),
            ..wire::Who::default()
        };
        Subject::from_wire(wire::Subject { who: Some(who), ..wire::Subject::default() }).unwrap()
    }

    #[test]
    fn a_pod_of_two_containers_is_labelled_once_and_one_with_a_role_never() {
        let subjects = [
            subject("a", "main", wire::Role::Other),
            subject("a", "side", wire::Role::Other),
            subject("b", "main", wire::Role::Scanner),
            subject("b", "", wire::Role::Other),
        ];
        let all = suggestions(&subjects);
        let mends: Vec<_> = all.iter().map(|one| (one.role, one.is_command(), one.mend.as_str())).collect();
        let command = "kubectl label job -n shop nightly berth.dev/role=scanner";
        assert_eq!(mends, [(Role::Scanner, true, command)]);
    }

    #[test]
    fn a_workload_that_a_file_names_is_given_its_role_there() {
        let mut named = subject("triton-0", "main", wire::Role::Other);
        (named.who.pod_uid, named.who.owner_kind, named.who.owner_name) = Default::default();
        let all = suggestions(&[named]);
        assert_eq!((all.len(), all[0].role, all[0].is_command()), (1, Role::Model, false));
        assert!(all[0].mend.contains("under workloads"), "{}", all[0].mend);
    }

    #[test]
    fn slices_of_the_system_are_no_pods() {
        let mut slice = subject("", "model.slice", wire::Role::Other);
        slice.who.pod_uid.clear();
        assert_eq!((suggestions(std::slice::from_ref(&slice)), has_pods(&[slice])), (vec![], false));
        assert!(has_pods(&[subject("a", "main", wire::Role::Other)]));
    }
}
