//! From Kubernetes' objects to what is kept of them.
//!
//! Invariant: an object that lacks what the API server always sets is passed over; a field that makes
//! no sense is as if it were not there.

use std::{collections::BTreeMap, sync::Arc};

use berth_core::{
    cluster::{Container, Group, Object, Place, Pod, cpu_milli, memory_bytes},
    placement::InForce,
    roles::{Roster, labelled},
    scheduling::{Affinity, Machine, Requirement, Rules, Taint, Term, Toleration},
    who::Owner,
};
use k8s_openapi::{
    api::core::v1::{
        self as api, ContainerStatus, EphemeralContainer, NodeSelectorRequirement, NodeSelectorTerm, PodSpec,
        PodStatus, ResourceRequirements,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// Set by the kubelet on the object that stands for a static pod; its value is the UID by which the
/// kubelet knows that pod (Kubernetes' `pkg/kubelet/types/pod_update.go`, `ConfigHashAnnotationKey`).
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// Digits of such a hash; no UID looks like it.
const HASH_DIGITS: usize = 32;

pub(super) fn pod(pod: api::Pod, roster: &Roster) -> Option<Object<Pod>> {
    let (metadata, spec, status) = (pod.metadata, pod.spec?, pod.status.unwrap_or_default());
    let labels = metadata.labels.clone().unwrap_or_default();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|one| one.image.as_deref());
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let images: Vec<&str> = all.map(|one| one.image.as_deref()).chain(ephemeral).flatten().collect();
    let hash = metadata.annotations.as_ref().and_then(|annotations| annotations.get(CONFIG_HASH));
    let hash =
        hash.filter(|hash| hash.len() == HASH_DIGITS && hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let controller = controller(&metadata);
    let is_daemon = controller.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    let fields = Pod {
        node: spec.node_name.clone().unwrap_or_default(),
        cgroup_uid: hash.or(metadata.uid.as_ref())?.clone(),
        controller,
        labelled: labelled(&labels),
        selected: roster.selected(&namespace, &labels, &images),
        rules: Arc::new(Rules {
            tolerations: spec.tolerations.iter().flatten().map(toleration).collect(),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            // Its controller binds each of its pods to a node by name: no two would be alike.
            affinity: if is_daemon { Affinity::Absent } else { affinity(spec.affinity.as_ref()) },
        }),
        containers: containers(&spec, &status),
    };
    object(metadata, fields)
}

pub(super) fn group(metadata: ObjectMeta) -> Option<Object<Group>> {
    let labels = metadata.labels.clone().unwrap_or_default();
    let fields = Group { role: labelled(&labels), controller: controller(&metadata) };
    object(metadata, fields)
}

pub(super) fn machine(node: api::Node) -> Option<Object<Machine>> {
    let spec = node.spec.unwrap_or_default();
    let taint = |taint: api::Taint| Taint {
        key: taint.key,
        value: taint.value.unwrap_or_default(),
        effect: taint.effect,
    };
    let fields = Machine {
        labels: node.metadata.labels.clone().unwrap_or_default(),
        taints: spec.taints.into_iter().flatten().map(taint).collect(),
        cordoned: spec.unschedulable == Some(true),
    };
    object(node.metadata, fields)
}

fn object<T>(metadata: ObjectMeta, fields: T) -> Option<Object<T>> {
    let place = Place { namespace: metadata.namespace.unwrap_or_default(), name: metadata.name? };
    let version = metadata.resource_version.and_then(|version| version.parse().ok()).unwrap_or(0);
    Some(Object { place, uid: metadata.uid?.into(), version, fields })
}

fn controller(metadata: &ObjectMeta) -> Option<Owner> {
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(Owner { kind: owner.kind.clone(), name: owner.name.clone() })
}

fn toleration(toleration: &api::Toleration) -> Toleration {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Toleration {
        effect: text(&toleration.effect),
        key: text(&toleration.key),
        operator: text(&toleration.operator),
        seconds: toleration.toleration_seconds,
        value: text(&toleration.value),
    }
}

fn affinity(affinity: Option<&api::Affinity>) -> Affinity {
    let Some(affinity) = affinity else { return Affinity::Absent };
    let Some(of_nodes) = &affinity.node_affinity else { return Affinity::OfPods };
    let required = of_nodes.required_during_scheduling_ignored_during_execution.as_ref();
    required.map_or(Affinity::Preferred, |required| {
        Affinity::Required(required.node_selector_terms.iter().map(term).collect())
    })
}

fn term(term: &NodeSelectorTerm) -> Term {
    let all = |all: &Option<Vec<NodeSelectorRequirement>>| all.iter().flatten().map(requirement).collect();
    Term { expressions: all(&term.match_expressions), fields: all(&term.match_fields) }
}

fn requirement(requirement: &NodeSelectorRequirement) -> Requirement {
    Requirement {
        key: requirement.key.clone(),
        operator: requirement.operator.clone(),
        values: requirement.values.clone().unwrap_or_default(),
    }
}

fn containers(spec: &PodSpec, status: &PodStatus) -> Vec<Container> {
    let statuses =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let statuses: BTreeMap<&str, &ContainerStatus> =
        statuses.into_iter().flatten().flatten().map(|one| (one.name.as_str(), one)).collect();
    let container = |name: &str, asked: Option<&ResourceRequirements>| {
        let status = statuses.get(name);
        // Since pods can be resized in place the status has what is in force.
        let in_force = status.and_then(|status| status.resources.as_ref()).or(asked);
        Container {
            name: name.to_owned(),
            id: status.and_then(|status| id(status)),
            requests: requests(in_force),
        }
    };
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let own = all.map(|one| container(&one.name, one.resources.as_ref()));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|one: &EphemeralContainer| container(&one.name, one.resources.as_ref()));
    own.chain(ephemeral).collect()
}

/// What follows the runtime's name, as in `containerd://`.
fn id(status: &ContainerStatus) -> Option<String> {
    status.container_id.as_ref()?.split_once("://").map(|(_, id)| id.to_owned())
}

fn requests(resources: Option<&ResourceRequirements>) -> InForce {
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let amount =
        |name: &str| requests.and_then(|requests| requests.get(name)).map(|amount| amount.0.as_str());
    InForce::Known { cpu: amount("cpu").and_then(cpu_milli), memory: amount("memory").and_then(memory_bytes) }
}

#[cfg(test)]
mod tests {
    use berth_core::{
        roles::RosterConfig,
        sizing::{CpuMilli, MemoryBytes},
        who::Role,
    };
    use serde_json::{Value, json};

    use super::*;

    fn kept(pod: Value) -> Object<Pod> {
        let roster = Roster::new(RosterConfig::default()).unwrap();
        super::pod(serde_json::from_value(pod).unwrap(), &roster).unwrap()
    }

    fn sample() -> Value {
        json!({
            "metadata": {
                "name": "fraud-0", "namespace": "shop", "uid": "u-1", "resourceVersion": "42",
                "labels": {"berth.dev/role": "model", "serving.kserve.io/inferenceservice": "fraud"},
                "ownerReferences": [
                    {"apiVersion": "x/v1", "kind": "Watcher", "name": "w", "uid": "1"},
                    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "fraud", "uid": "2", "controller": true},
                ],
            },
            "spec": {
                "nodeName": "node-a",
                "initContainers": [{"name": "fetch", "image": "busybox"}],
                "containers": [
                    {"name": "main", "image": "fraud:1", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}},
                    {"name": "side", "image": "proxy:1"},
                ],
            },
            "status": {
                "containerStatuses": [
                    {"name": "side", "containerID": "cri-o://bb", "image": "", "imageID": "", "ready": true, "restartCount": 0},
                    {"name": "main", "containerID": "containerd://aa", "image": "", "imageID": "", "ready": true,
                     "restartCount": 0, "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}},
                ],
            },
        })
    }

    #[test]
    fn of_a_pod_its_node_owner_role_and_containers_are_kept() {
        let pod = kept(sample());
        assert_eq!(
            (pod.place.namespace.as_str(), pod.place.name.as_str(), pod.version),
            ("shop", "fraud-0", 42)
        );
        let fields = &pod.fields;
        assert_eq!((fields.node.as_str(), fields.cgroup_uid.as_str()), ("node-a", "u-1"));
        assert_eq!(fields.controller, Some(Owner { kind: "StatefulSet".into(), name: "fraud".into() }));
        assert_eq!(fields.labelled.as_ref().map(|given| given.role), Some(Role::Model));
        assert_eq!(fields.selected.as_ref().map(|given| &*given.reason), Some("preset kserve"));
        let known = |cpu, memory| InForce::Known { cpu, memory };
        let containers: Vec<_> = fields
            .containers
            .iter()
            .map(|one| (one.name.as_str(), one.id.as_deref(), one.requests))
            .collect();
        let main = known(Some(CpuMilli(1_000)), Some(MemoryBytes(64 << 20)));
        let none = known(None, None);
        assert_eq!(
            containers,
            [("main", Some("aa"), main), ("side", Some("bb"), none), ("fetch", None, none)]
        );
    }

    #[test]
    fn a_static_pod_has_its_hash_and_nobody_else_can_have_one_for_a_uid() {
        let mut mirror = sample();
        mirror["metadata"]["annotations"] = json!({CONFIG_HASH: "0f8b1a9d7c6e5f403122334455667788"});
        assert_eq!(kept(mirror).fields.cgroup_uid, "0f8b1a9d7c6e5f403122334455667788");
        let mut liar = sample();
        liar["metadata"]["annotations"] = json!({CONFIG_HASH: "1ab17678-bd25-40b9-bb19-28479127bafd"});
        assert_eq!(kept(liar).fields.cgroup_uid, "u-1");
    }

    #[test]
    fn a_pod_that_was_only_just_created_is_kept_too() {
        let pod = kept(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "opaque"},
            "spec": {"containers": [{"name": "main"}]},
        }));
        assert_eq!(
            (pod.version, pod.fields.node.as_str(), pod.fields.containers[0].id.as_deref()),
            (0, "", None)
        );
    }

    #[test]
    fn what_a_pod_says_about_nodes_is_kept_as_it_is_written() {
        let mut pod = sample();
        pod["spec"]["tolerations"] = json!([
            {"effect": "NoSchedule", "key": "node_for", "operator": "Equal", "value": "models"},
            {"effect": "NoExecute", "key": "spot", "operator": "Exists", "tolerationSeconds": 300},
        ]);
        pod["spec"]["nodeSelector"] = json!({"disk": "ssd"});
        pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]},
            ],
        }}});
        let toleration = |effect: &str, key: &str, operator: &str, seconds, value: &str| Toleration {
            effect: effect.to_owned(),
            key: key.to_owned(),
            operator: operator.to_owned(),
            seconds,
            value: value.to_owned(),
        };
        let requirement = |key: &str, operator: &str, values: &[&str]| Requirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let name = requirement("metadata.name", "In", &["node-a"]);
        let expected = Rules {
            tolerations: vec![
                toleration("NoSchedule", "node_for", "Equal", None, "models"),
                toleration("NoExecute", "spot", "Exists", Some(300), ""),
            ],
            node_selector: [("disk".to_owned(), "ssd".to_owned())].into(),
            affinity: Affinity::Required(vec![
                Term { expressions: vec![requirement("gpu", "Exists", &[])], fields: Vec::new() },
                Term { expressions: Vec::new(), fields: vec![name] },
            ]),
        };
        assert_eq!(*kept(pod.clone()).fields.rules, expected);
        pod["metadata"]["ownerReferences"][1]["kind"] = json!("DaemonSet");
        assert_eq!(*kept(pod).fields.rules, Rules { affinity: Affinity::Absent, ..expected });
    }

    #[test]
    fn it_is_kept_how_much_of_an_affinity_there_is() {
        let affinity = |affinity: Value| {
            let mut pod = sample();
            pod["spec"]["affinity"] = affinity;
            kept(pod).fields.rules.affinity.clone()
        };
        assert_eq!(affinity(json!(null)), Affinity::Absent);
        assert_eq!(affinity(json!({"podAntiAffinity": {}})), Affinity::OfPods);
        assert_eq!(affinity(json!({"nodeAffinity": {}})), Affinity::Preferred);
    }

    #[test]
    fn of_a_node_labels_taints_and_the_cordon_are_kept() {
        let node = serde_json::from_value(json!({
            "metadata": {"name": "node-a", "uid": "u", "labels": {"node_for": "models"}},
            "spec": {"unschedulable": true, "taints": [{"key": "node_for", "value": "models", "effect": "NoSchedule"}]},
        }));
        let machine = machine(node.unwrap()).unwrap().fields;
        let expected = Machine {
            labels: [("node_for".to_owned(), "models".to_owned())].into(),
            taints: vec![Taint {
                key: "node_for".into(),
                value: "models".into(),
                effect: "NoSchedule".into(),
            }],
            cordoned: true,
        };
        assert_eq!(machine, expected);
    }
}
