//! The manifests of deploy/ and the Dockerfile, held to what SECURITY.md promises: each cell of the
//! pods' posture, who may reach whom, the names and ports that other parts rely on.
//!
//! Invariant: all of it is held on the base, and `overlays` holds each overlay to its difference from
//! the base, so that nothing here is said twice. Deliberately absent: a cluster, which is the ring's.

#![expect(clippy::panic, reason = "a test fails by panicking")]

#[path = "deploy/images.rs"]
mod images;
#[path = "deploy/overlays.rs"]
mod overlays;
#[path = "deploy/render.rs"]
mod render;
#[path = "deploy/rights.rs"]
mod rights;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};

const NAMESPACE: &str = "berth-system";

/// The only uid and gid of every pod and image.
const UID: u32 = 65_532;

/// Everything that the base makes.
const OBJECTS: [(&str, &str); 22] = [
    ("ClusterRole", "berth-aggregator"),
    ("ClusterRoleBinding", "berth-aggregator"),
    ("ConfigMap", "berth-ca"),
    ("ConfigMap", "berth-config"),
    ("DaemonSet", "berth-agent"),
    ("Deployment", "berth-aggregator"),
    ("Deployment", "berth-loadgen"),
    ("Namespace", NAMESPACE),
    ("NetworkPolicy", "berth-agent"),
    ("NetworkPolicy", "berth-aggregator"),
    ("NetworkPolicy", "berth-loadgen"),
    ("Role", "berth-aggregator"),
    ("Role", "berth-operator"),
    ("Role", "berth-viewer"),
    ("RoleBinding", "berth-aggregator"),
    ("Secret", "berth-tls"),
    ("Service", "berth-aggregator"),
    ("ServiceAccount", "berth-agent"),
    ("ServiceAccount", "berth-aggregator"),
    ("ServiceAccount", "berth-loadgen"),
    ("ServiceAccount", "berth-operator"),
    ("ServiceAccount", "berth-viewer"),
];

/// Each pod: its object, and where its program's flags are defined.
const PODS: [(&str, &str, &str); 3] = [
    ("DaemonSet", "berth-agent", "agent"),
    ("Deployment", "berth-aggregator", "aggregator"),
    ("Deployment", "berth-loadgen", "loadgen"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// The documents of a file of deploy/.
fn documents(file: &str) -> Vec<Value> {
    let text = text(&format!("deploy/{file}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn kustomization() -> Value {
    documents("base/kustomization.yaml").remove(0)
}

/// What stands at a JSON pointer, null where nothing does.
fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}

fn list(value: &Value, pointer: &str) -> Vec<Value> {
    at(value, pointer).as_array().cloned().unwrap_or_default()
}

fn string(value: &Value, pointer: &str) -> String {
    at(value, pointer).as_str().unwrap_or_default().to_owned()
}

fn object(kind: &str, name: &str) -> Value {
    let id = (kind.to_owned(), name.to_owned());
    render::base().get(&id).cloned().unwrap_or_else(|| panic!("the base has no {kind} {name}"))
}

/// Every pod with its name.
fn pods() -> Vec<(&'static str, Value)> {
    PODS.iter().map(|(kind, name, _)| (*name, at(&object(kind, name), "/spec/template/spec"))).collect()
}

fn container(pod: &Value) -> Value {
    let containers = list(pod, "/containers");
    assert_eq!(containers.len(), 1, "one container a pod");
    assert_eq!(at(pod, "/initContainers"), Value::Null);
    containers[0].clone()
}

fn args(pod: &Value) -> Vec<String> {
    list(&container(pod), "/args").iter().map(|arg| string(arg, "")).collect()
}

/// Checks each cell of a table of JSON pointers and values.
fn hold(what: &str, value: &Value, cells: &[(&str, Value)]) {
    for (pointer, expected) in cells {
        assert_eq!(&at(value, pointer), expected, "{what}{pointer}");
    }
}

#[test]
fn every_file_of_the_base_is_a_resource_and_every_resource_is_a_file() {
    let resources = list(&kustomization(), "/resources");
    let listed: BTreeSet<String> = resources.iter().map(|file| string(file, "")).collect();
    let entries = fs::read_dir(root().join("deploy/base")).unwrap();
    let present = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(listed, present.filter(|file| file != "kustomization.yaml").collect());
}

#[test]
fn the_base_makes_the_objects_of_the_design() {
    let made: BTreeSet<(&str, &str)> =
        render::base().keys().map(|(kind, name)| (kind.as_str(), name.as_str())).collect();
    assert_eq!(made, OBJECTS.into());
    assert_eq!(string(&kustomization(), "/namespace"), NAMESPACE);
}

#[test]
fn every_pod_runs_without_privileges() {
    for (name, pod) in pods() {
        let pod_cells = [
            ("/securityContext/runAsNonRoot", json!(true)),
            ("/securityContext/runAsUser", json!(UID)),
            ("/securityContext/runAsGroup", json!(UID)),
            ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
            ("/securityContext/supplementalGroups", Value::Null),
            ("/securityContext/fsGroup", Value::Null),
            ("/hostPID", Value::Null),
            ("/hostIPC", Value::Null),
            ("/hostNetwork", Value::Null),
            ("/enableServiceLinks", json!(false)),
        ];
        hold(name, &pod, &pod_cells);
        // The whole of it, so that nothing in a container loosens what its pod says.
        let expected = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(at(&container(&pod), "/securityContext"), expected, "{name}");
    }
}

#[test]
fn every_pod_asks_for_what_it_needs_and_has_a_memory_limit() {
    for (name, pod) in pods() {
        let resources = at(&container(&pod), "/resources");
        for cell in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            assert!(at(&resources, cell).is_string(), "{name}{cell}");
        }
    }
    let resources =
        |kind, name| at(&container(&at(&object(kind, name), "/spec/template/spec")), "/resources");
    // Throttled, an agent would miss ticks.
    assert_eq!(at(&resources("DaemonSet", "berth-agent"), "/limits/cpu"), Value::Null);
    let worker = resources("Deployment", "berth-loadgen");
    assert_eq!(at(&worker, "/requests"), at(&worker, "/limits"), "cores of its own");
}

#[test]
fn only_the_agent_sees_the_host_and_nobody_writes_to_a_mount() {
    for (name, pod) in pods() {
        let paths: Vec<String> =
            list(&pod, "/volumes").iter().map(|volume| string(volume, "/hostPath/path")).collect();
        let host: Vec<&str> = paths.iter().map(String::as_str).filter(|path| !path.is_empty()).collect();
        let allowed: &[&str] = if name == "berth-agent" { &["/proc", "/sys/fs/cgroup"] } else { &[] };
        assert_eq!(host, allowed, "{name}");
        for mount in list(&container(&pod), "/volumeMounts") {
            assert_eq!(at(&mount, "/readOnly"), json!(true), "{name}: {mount}");
            assert_eq!(at(&mount, "/mountPropagation"), Value::Null, "{name}: {mount}");
            if string(&mount, "/mountPath").starts_with("/host/") {
                // Else the mounts below it, such as v1 controllers, stay writable.
                assert_eq!(at(&mount, "/recursiveReadOnly"), json!("IfPossible"), "{name}: {mount}");
            }
        }
    }
}

#[test]
fn the_agent_runs_on_every_node_and_is_the_last_to_go() {
    let daemon_set = object("DaemonSet", "berth-agent");
    let rollout = [
        ("/spec/minReadySeconds", json!(10)),
        (
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}),
        ),
    ];
    hold("berth-agent", &daemon_set, &rollout);
    let agent = at(&daemon_set, "/spec/template/spec");
    let cells = [
        ("/tolerations", json!([{"operator": "Exists"}])),
        ("/nodeSelector", Value::Null),
        ("/affinity", Value::Null),
        ("/priorityClassName", json!("system-node-critical")),
    ];
    hold("berth-agent", &agent, &cells);
    assert_eq!(at(&container(&agent), "/ports"), Value::Null, "the agent listens nowhere");
}

#[test]
fn agents_and_load_workers_are_told_their_node_and_where_the_certificate_lies() {
    let node = json!([{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]);
    let mount = json!({"name": "ca", "mountPath": "/etc/berth/ca", "readOnly": true});
    let certificate = json!({"name": "berth-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]});
    let volume = json!({"name": "ca", "configMap": certificate});
    for (name, pod) in pods().into_iter().filter(|(name, _)| *name != "berth-aggregator") {
        let container = container(&pod);
        assert_eq!(at(&container, "/env"), node, "{name}");
        assert!(args(&pod).contains(&"--ca-file=/etc/berth/ca/ca.crt".to_owned()), "{name}");
        assert!(list(&container, "/volumeMounts").contains(&mount), "{name}");
        assert!(list(&pod, "/volumes").contains(&volume), "{name}");
    }
}

#[test]
fn there_is_never_a_second_aggregator_and_its_probes_ask_the_http_port() {
    let deployment = object("Deployment", "berth-aggregator");
    hold(
        "berth-aggregator",
        &deployment,
        &[("/spec/replicas", json!(1)), ("/spec/strategy", json!({"type": "Recreate"}))],
    );
    let container = container(&at(&deployment, "/spec/template/spec"));
    let probes = [
        ("/livenessProbe/httpGet", json!({"path": "/healthz", "port": 7701})),
        ("/readinessProbe/httpGet", json!({"path": "/readyz", "port": 7701})),
    ];
    hold("berth-aggregator", &container, &probes);
}

#[test]
fn load_workers_wait_to_be_asked_for_and_stay_away_from_models() {
    let deployment = object("Deployment", "berth-loadgen");
    let cells = [
        ("/spec/replicas", json!(0)),
        ("/spec/template/metadata/labels/berth.dev~1role", json!("load-generator")),
    ];
    hold("berth-loadgen", &deployment, &cells);
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let pod = at(&deployment, "/spec/template/spec");
    let pool = json!([{"matchExpressions": [{"key": "node_for", "operator": "In", "values": ["load"]}]}]);
    assert_eq!(at(&pod, &format!("/affinity/nodeAffinity/{required}/nodeSelectorTerms")), pool);
    let away = json!([{
        "topologyKey": "kubernetes.io/hostname",
        "namespaceSelector": {},
        "labelSelector": {"matchLabels": {"berth.dev/role": "model"}},
    }]);
    assert_eq!(at(&pod, &format!("/affinity/podAntiAffinity/{required}")), away);
    let taint = json!([{"key": "node_for", "operator": "Equal", "value": "load", "effect": "NoSchedule"}]);
    assert_eq!(at(&pod, "/tolerations"), taint);
}

#[test]
fn the_ports_are_7700_for_grpc_and_7701_for_http() {
    let ports = json!([
        {"name": "grpc", "port": 7700, "targetPort": 7700},
        {"name": "http", "port": 7701, "targetPort": 7701},
    ]);
    let service = object("Service", "berth-aggregator");
    assert_eq!(at(&service, "/spec/ports"), ports);
    let deployment = object("Deployment", "berth-aggregator");
    assert_eq!(at(&service, "/spec/selector"), at(&deployment, "/spec/selector/matchLabels"));
    let aggregator = at(&deployment, "/spec/template/spec");
    assert!(args(&aggregator).contains(&"--listen=0.0.0.0:7700".to_owned()));
    assert!(args(&aggregator).contains(&"--http=0.0.0.0:7701".to_owned()));
    for (name, pod) in pods().into_iter().filter(|(name, _)| *name != "berth-aggregator") {
        let server = format!("--server=https://berth-aggregator.{NAMESPACE}.svc:7700");
        assert!(args(&pod).contains(&server), "{name}");
    }
}

#[test]
fn each_pod_reaches_what_it_needs_and_is_reached_by_whom_it_serves() {
    for (kind, name, _) in PODS {
        let labels = at(&object(kind, name), "/spec/template/metadata/labels");
        let policy = object("NetworkPolicy", name);
        let cells = [
            ("/spec/podSelector/matchLabels", json!({"app.kubernetes.io/name": name})),
            ("/spec/policyTypes", json!(["Ingress", "Egress"])),
        ];
        hold(name, &policy, &cells);
        assert_eq!(string(&labels, "/app.kubernetes.io~1name"), name);
        if name != "berth-aggregator" {
            assert_eq!(at(&policy, "/spec/ingress"), Value::Null, "{name} takes nobody in");
        }
    }
    let pod = |name: &str| json!({"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}});
    let monitoring =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    let expected = json!([
        {
            "from": [pod("berth-agent"), pod("berth-loadgen")],
            "ports": [{"port": 7700, "protocol": "TCP"}],
        },
        {"from": [monitoring], "ports": [{"port": 7701, "protocol": "TCP"}]},
    ]);
    let aggregator = object("NetworkPolicy", "berth-aggregator");
    assert_eq!(at(&aggregator, "/spec/ingress"), expected);
    let names = [json!({"port": 53, "protocol": "UDP"}), json!({"port": 53, "protocol": "TCP"})];
    let api_server = [443, 6443].map(|port| json!({"port": port, "protocol": "TCP"}));
    let api_server = [names.clone(), api_server].concat();
    let grpc = json!({"to": [pod("berth-aggregator")], "ports": [{"port": 7700, "protocol": "TCP"}]});
    let egress = |name| at(&object("NetworkPolicy", name), "/spec/egress");
    assert_eq!(egress("berth-agent"), json!([{"ports": names}, grpc]));
    assert_eq!(egress("berth-aggregator"), json!([{"ports": api_server}]));
    // The target of a run may be any pod, and nothing outside the cluster.
    assert_eq!(egress("berth-loadgen"), json!([{"ports": names}, {"to": [{"namespaceSelector": {}}]}]));
}

#[test]
fn the_configuration_ships_empty() {
    let shipped = string(&object("ConfigMap", "berth-config"), "/data/config.yaml");
    let config: Value = serde_saphyr::from_str(&shipped).unwrap();
    assert_eq!(config, json!({"workloads": [], "roles": [], "load": {}}));
}

#[test]
fn every_flag_in_a_manifest_is_one_that_the_program_knows() {
    for (kind, name, folder) in PODS {
        let known = text(&format!("{folder}/src/args.rs"));
        let pod = at(&object(kind, name), "/spec/template/spec");
        assert!(!args(&pod).is_empty(), "{name}");
        for arg in args(&pod) {
            let flag = arg.trim_start_matches("--").split('=').next().unwrap_or_default();
            let field = format!("{}:", flag.replace('-', "_"));
            assert!(known.contains(&field), "{name} does not know --{flag}");
        }
    }
}

#[test]
fn the_security_page_names_limits_that_exist() {
    let (limits, page) = (text("proto/src/limits.rs"), text("SECURITY.md"));
    let table = page.split("## Limits").nth(1).unwrap();
    let cells =
        table.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let names: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 20, "the table of limits was not found");
    for name in names {
        assert!(limits.contains(&format!("pub const {name}:")), "limits.rs has no {name}");
    }
}
