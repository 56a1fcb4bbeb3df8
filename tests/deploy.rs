//! The manifests of deploy/base and the Dockerfile, held to what SECURITY.md promises: each cell of
//! the pods' posture, who may reach whom, the names and ports that other parts rely on.
//!
//! Deliberately absent: rendering. kustomize only adds the namespace, a label and the tags.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::MetadataCommand;
use serde_json::{Value, json};

const NAMESPACE: &str = "berth-system";

/// The only uid and gid of every pod and image.
const UID: u32 = 65_532;

/// Everything that the base makes, and no Role among it.
const OBJECTS: [(&str, &str); 13] = [
    ("ConfigMap", "berth-config"),
    ("DaemonSet", "berth-agent"),
    ("Deployment", "berth-aggregator"),
    ("Deployment", "berth-loadgen"),
    ("Namespace", NAMESPACE),
    ("NetworkPolicy", "berth-agent"),
    ("NetworkPolicy", "berth-aggregator"),
    ("NetworkPolicy", "berth-loadgen"),
    ("Service", "berth-aggregator"),
    ("ServiceAccount", "berth-agent"),
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

/// Each target of the Dockerfile, and its binary.
const IMAGES: [(&str, &str); 6] = [
    ("agent", "berth-agent"),
    ("aggregator", "berth-aggregator"),
    ("loadgen", "berth-loadgen"),
    ("refmodel", "refmodel"),
    ("scanner", "scanner"),
    ("cli", "berth"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn documents(file: &str) -> Vec<Value> {
    let text = text(&format!("deploy/base/{file}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn kustomization() -> Value {
    documents("kustomization.yaml").remove(0)
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

fn resources() -> Vec<String> {
    list(&kustomization(), "/resources").iter().map(|file| string(file, "")).collect()
}

fn objects() -> Vec<Value> {
    resources().iter().flat_map(|file| documents(file)).collect()
}

fn object(kind: &str, name: &str) -> Value {
    let mut objects = objects().into_iter();
    objects
        .find(|object| string(object, "/kind") == kind && string(object, "/metadata/name") == name)
        .unwrap_or_else(|| panic!("deploy/base has no {kind} {name}"))
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
    let listed: BTreeSet<String> = resources().into_iter().chain(["kustomization.yaml".to_owned()]).collect();
    let entries = fs::read_dir(root().join("deploy/base")).unwrap();
    let present: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed, present);
}

#[test]
fn the_base_makes_the_objects_of_the_design_and_grants_nothing() {
    let made: BTreeSet<(String, String)> =
        objects().iter().map(|object| (string(object, "/kind"), string(object, "/metadata/name"))).collect();
    let expected = OBJECTS.map(|(kind, name)| (kind.to_owned(), name.to_owned())).into();
    assert_eq!(made, expected);
    assert_eq!(objects().len(), OBJECTS.len(), "an object twice");
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
    // Throttled, an agent would miss ticks.
    let agent = at(&object("DaemonSet", "berth-agent"), "/spec/template/spec");
    assert_eq!(at(&container(&agent), "/resources/limits/cpu"), Value::Null);
}

#[test]
fn no_pod_and_no_account_carries_a_token() {
    for (name, pod) in pods() {
        assert_eq!(at(&pod, "/automountServiceAccountToken"), json!(false), "{name}");
        let projected = list(&pod, "/volumes").iter().any(|volume| volume.get("projected").is_some());
        assert!(!projected, "{name} projects a token");
    }
    for account in objects().iter().filter(|object| string(object, "/kind") == "ServiceAccount") {
        let name = string(account, "/metadata/name");
        assert_eq!(at(account, "/automountServiceAccountToken"), json!(false), "{name}");
    }
    let account =
        |name| string(&pods().into_iter().find(|pod| pod.0 == name).unwrap().1, "/serviceAccountName");
    assert_eq!(account("berth-agent"), "berth-agent");
    assert_eq!(account("berth-loadgen"), "berth-loadgen");
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
    let agent = at(&object("DaemonSet", "berth-agent"), "/spec/template/spec");
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
    let volume = json!({"name": "ca", "configMap": {"name": "berth-ca"}});
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
fn only_agents_and_load_workers_reach_grpc_and_only_monitoring_reaches_http() {
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
    assert_eq!(at(&aggregator, "/spec/egress"), Value::Null, "it dials nobody");
}

#[test]
fn the_key_is_readable_for_the_aggregator_only() {
    let secrets = |pod: &Value| -> Vec<Value> {
        let volumes = list(pod, "/volumes").into_iter();
        volumes.filter_map(|volume| volume.get("secret").cloned()).collect()
    };
    for (name, pod) in pods() {
        if name == "berth-aggregator" {
            let secret = secrets(&pod).remove(0);
            hold(name, &secret, &[("/secretName", json!("berth-tls")), ("/defaultMode", json!(0o440))]);
            assert_eq!(at(&pod, "/securityContext/fsGroup"), json!(UID));
        } else {
            assert!(secrets(&pod).is_empty(), "{name} mounts a secret");
        }
    }
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
fn every_image_has_a_tag_of_this_version_and_a_target() {
    let kustomization = kustomization();
    let version = env!("CARGO_PKG_VERSION");
    let images: Vec<Value> =
        PODS.iter().map(|(_, name, _)| json!({"name": name, "newTag": version})).collect();
    assert_eq!(list(&kustomization, "/images"), images);
    for (name, pod) in pods() {
        assert_eq!(string(&container(&pod), "/image"), name);
        assert!(IMAGES.iter().any(|(target, _)| format!("berth-{target}") == name), "{name} has no target");
    }
}

/// The Dockerfile's instructions, as words.
fn instructions() -> Vec<Vec<String>> {
    let text = text("Dockerfile");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn every_target_of_the_dockerfile_runs_one_binary_of_the_workspace_as_nobody() {
    let metadata = MetadataCommand::new().no_deps().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let binaries: BTreeSet<&str> =
        targets.filter(|target| target.is_bin()).map(|target| target.name.as_str()).collect();
    let instructions = instructions();
    for (target, binary) in IMAGES {
        assert!(binaries.contains(binary), "{binary} is no binary of the workspace");
        let path = format!("/usr/local/bin/{binary}");
        let stage = [
            format!("FROM run AS {target}"),
            format!("COPY --from=build /src/target/release/{binary} {path}"),
            format!("ENTRYPOINT [\"{path}\"]"),
        ];
        let words = stage.map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(instructions.windows(3).any(|window| window == words), "target {target}");
    }
    let users: Vec<_> = instructions.iter().filter(|words| words[0] == "USER").collect();
    assert_eq!(users, [&["USER".to_owned(), format!("{UID}:{UID}")]]);
}

#[test]
fn the_build_stage_copies_what_the_workspace_needs_and_nothing_that_is_missing() {
    let copies = instructions().into_iter().filter(|words| words[0] == "COPY" && !words[1].starts_with("--"));
    let sources: Vec<String> = copies.flat_map(|words| words[1..words.len() - 1].to_vec()).collect();
    for source in &sources {
        assert!(
            root().join(source).try_exists().unwrap(),
            "the Dockerfile copies {source}, which is not there"
        );
    }
    let metadata = MetadataCommand::new().no_deps().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    for package in metadata.packages.iter().filter(|package| package.name != "berth") {
        let folder = package.manifest_path.parent().unwrap().strip_prefix(root()).unwrap().to_owned();
        let copied = sources.iter().any(|source| Path::new(&folder).starts_with(source));
        assert!(copied, "the Dockerfile does not copy {folder}");
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
