//! From Kubernetes' objects to what is kept of them.
//!
//! Invariant: an object that lacks what the API server always sets is passed over; a field that makes
//! no sense is as if it were not there.

use std::collections::BTreeMap;

use berth_core::{
    cluster::{Container, Group, Machine, Object, Place, Pod, Taint, cpu_milli, memory_bytes},
    placement::InForce,
    roles::{Roster, labelled},
    who::Owner,
};
use k8s_openapi::{
    api::core::v1::{
        self as api, ContainerStatus, EphemeralContainer, PodSpec, PodStatus, ResourceRequirements,
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
    let fields = Pod {
        node: spec.node_name.clone().unwrap_or_default(),
        cgroup_uid: hash.or(metadata.uid.as_ref())?.clone(),
        controller: controller(&metadata),
        labelled: labelled(&labels),
        selected: roster.selected(&namespace, &labels, &images),
        containers: containers(&spec, &status),
    };
    object(metadata, fields)
}

pub(super) fn group(metadata: ObjectMeta) -> Option<Object<Group>> {
    let labels = metadata.labels.clone().unwrap_or_default();
    let role = labelled(&labels).map(|given| given.role);
    let fields = Group { role, controller: controller(&metadata) };
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
    fn of_a_node_taints_and_the_cordon_are_kept() {
        let node = serde_json::from_value(json!({
            "metadata": {"name": "node-a", "uid": "u"},
            "spec": {"unschedulable": true, "taints": [{"key": "node_for", "value": "models", "effect": "NoSchedule"}]},
        }));
        let machine = machine(node.unwrap()).unwrap().fields;
        assert!(machine.cordoned);
        assert_eq!(
            machine.taints,
            [Taint { key: "node_for".into(), value: "models".into(), effect: "NoSchedule".into() }]
        );
    }
}
