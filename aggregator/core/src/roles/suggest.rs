//! Guesses at roles that nobody has given, for a person to confirm.
//!
//! A guess is never acted on. The rules, the first that fits: a word of the names that begins like
//! one of [`SCANNER_WORDS`] or [`LOAD_WORDS`]; an owner that is a Job; a name that contains one of
//! [`MODEL_NAMES`].

use crate::who::{Owner, Role, Who};

use super::ROLE_LABEL;

/// Words that batch work over models is named by.
const SCANNER_WORDS: [&str; 8] =
    ["scan", "eval", "batch", "audit", "certif", "explain", "benchmark", "train"];

/// Words that load generators are named by.
const LOAD_WORDS: [&str; 5] = ["loadgen", "loadtest", "locust", "k6", "vegeta"];

/// What the names of model servers contain.
const MODEL_NAMES: [&str; 10] =
    ["model", "predict", "serving", "inference", "triton", "vllm", "kserve", "seldon", "sklearn", "xgboost"];

/// Controllers whose label gives a role to their pods.
const LABELLED_KINDS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];

/// A guess at somebody's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Whose.
    pub who: Who,
    /// What it looks like.
    pub role: Role,
    /// What in its names says so.
    pub why: String,
    /// The command that makes it so, or what to write where there is no Kubernetes.
    pub mend: String,
}

/// Guesses at the role of each that has none and is no part of the system.
pub fn suggest<'a>(everybody: impl IntoIterator<Item = &'a Who>) -> Vec<Suggestion> {
    let unnamed = |who: &&Who| who.role == Role::Other && !(who.pod.is_empty() && who.pod_uid.is_empty());
    everybody.into_iter().filter(unnamed).filter_map(guess).collect()
}

fn guess(who: &Who) -> Option<Suggestion> {
    let owner = who.owner.as_ref();
    let names = [owner.map_or("", |owner| &owner.name), &who.pod, &who.container].map(str::to_lowercase);
    let word = |beginnings: &[&str]| {
        let words = names.iter().flat_map(|name| name.split(|c: char| !c.is_ascii_alphanumeric()));
        words.map(str::to_owned).find(|word| beginnings.iter().any(|start| word.starts_with(start)))
    };
    let is_job = owner.is_some_and(|owner| matches!(owner.kind.as_str(), "Job" | "CronJob"));
    let part = |parts: &[&'static str]| {
        parts.iter().find(|part| names.iter().any(|name| name.contains(**part))).copied()
    };
    let (role, why) = if let Some(word) = word(&SCANNER_WORDS) {
        (Role::Scanner, format!("its names hold the word {word}"))
    } else if let Some(word) = word(&LOAD_WORDS) {
        (Role::LoadGenerator, format!("its names hold the word {word}"))
    } else if is_job {
        (Role::Scanner, "a Job owns it".to_owned())
    } else {
        (Role::Model, format!("its names contain {}", part(&MODEL_NAMES)?))
    };
    Some(Suggestion { who: who.clone(), role, why, mend: mend(who, role) })
}

fn mend(who: &Who, role: Role) -> String {
    if who.namespace.is_empty() || who.pod.is_empty() || who.pod_uid.is_empty() {
        return format!("add {ROLE_LABEL}: {} to the labels of its entry under workloads", role.name());
    }
    // A label of the controller holds for the pods to come too.
    let labels = |owner: &&Owner| LABELLED_KINDS.contains(&owner.kind.as_str());
    let (kind, name) = match who.owner.as_ref().filter(labels) {
        Some(owner) => (owner.kind.to_lowercase(), &owner.name),
        None => ("pod".to_owned(), &who.pod),
    };
    let (namespace, name) = (quoted(&who.namespace), quoted(name));
    format!("kubectl label {kind} -n {namespace} {name} {ROLE_LABEL}={}", role.name())
}

/// As a shell takes it for one word: names from cgroup paths may hold anything.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(pod: &str, owner: Option<(&str, &str)>) -> Who {
        Who {
            namespace: "shop".into(),
            pod: pod.into(),
            pod_uid: "u".into(),
            container: "main".into(),
            owner: owner.map(|(kind, name)| Owner { kind: kind.into(), name: name.into() }),
            role: Role::Other,
            cgroup: "/x".into(),
        }
    }

    #[test]
    fn names_and_owners_suggest_roles() {
        for (pod, owner, expected) in [
            ("refmodel-7d-abc", Some(("Deployment", "refmodel")), Some(Role::Model)),
            ("fraud-predictor-0", None, Some(Role::Model)),
            ("llama-vllm-0", None, Some(Role::Model)),
            ("certifai-scan-x", Some(("Job", "certifai-scan")), Some(Role::Scanner)),
            ("model-scanner-1", None, Some(Role::Scanner)),
            ("nightly-x", Some(("CronJob", "nightly")), Some(Role::Scanner)),
            ("locust-worker-1", None, Some(Role::LoadGenerator)),
            ("postgres-0", Some(("StatefulSet", "postgres")), None),
            ("revaluation-0", None, None),
        ] {
            let suggested = suggest([&who(pod, owner)]);
            assert_eq!(suggested.first().map(|one| one.role), expected, "{pod}");
        }
    }

    #[test]
    fn the_mend_is_a_command_where_there_is_kubernetes() {
        let suggested = suggest([&who("refmodel-0", None)]);
        assert_eq!(suggested[0].mend, "kubectl label pod -n shop refmodel-0 berth.dev/role=model");
        let owned = suggest([&who("refmodel-7d-abc", Some(("Deployment", "refmodel")))]);
        assert_eq!(owned[0].mend, "kubectl label deployment -n shop refmodel berth.dev/role=model");
        let bare = Who { pod_uid: String::new(), namespace: String::new(), ..who("refmodel-0", None) };
        assert!(suggest([&bare])[0].mend.starts_with("add berth.dev/role: model to"));
    }

    #[test]
    fn a_name_cannot_smuggle_a_command() {
        let suggested = suggest([&who("model; rm -rf $HOME'", None)]);
        assert_eq!(
            suggested[0].mend,
            r"kubectl label pod -n shop 'model; rm -rf $HOME'\''' berth.dev/role=model"
        );
    }

    #[test]
    fn those_with_a_role_and_the_systems_parts_are_left_alone() {
        let named = Who { role: Role::Model, ..who("model", None) };
        let slice = Who {
            pod: String::new(),
            pod_uid: String::new(),
            container: "model.slice".into(),
            ..who("", None)
        };
        assert_eq!(suggest([&named, &slice]), []);
    }
}
