//! The ring itself: it stands, it is a cluster, and it leaves nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use berth_kit::{
    cluster::{Cluster, Id, image::POD_IMAGE},
    wait_for,
};

use crate::stage::{ID, SOON, Stage};

/// What the kubelet and kube-proxy of a machine of their own would set for all of it.
const SETTINGS: [&str; 5] = [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
];

fn settings() -> Vec<String> {
    SETTINGS.map(|path| fs::read_to_string(path).unwrap()).into()
}

/// A server on every node, and a Service before them.
fn servers(cluster: &Cluster) -> String {
    let pods = cluster.nodes().into_iter().map(|node| {
        format!(
            "apiVersion: v1\n\
             kind: Pod\n\
             metadata: {{name: echo-{node}, labels: {{app: echo}}}}\n\
             spec:\n\
             \x20 nodeName: {node}\n\
             \x20 containers: [{{name: echo, image: \"{POD_IMAGE}\", imagePullPolicy: Never, args: [serve]}}]\n\
             ---\n"
        )
    });
    let service = "apiVersion: v1\n\
                   kind: Service\n\
                   metadata: {name: echo}\n\
                   spec: {selector: {app: echo}, ports: [{port: 80, targetPort: 8080}]}\n";
    pods.collect::<String>() + service
}

fn pods_of_a_node_stay_on_its_cpu(cluster: &Cluster) {
    let mut seen = BTreeSet::new();
    for node in cluster.nodes() {
        let pod = format!("echo-{node}");
        let cpus = wait_for("a pod to run", SOON, || cluster.ask(&["exec", &pod, "--", "/pod", "cpus"]).ok());
        seen.insert(cpus.trim().to_owned());
        let counted = cluster.ask(&["get", "node", node, "-o", "jsonpath={.status.capacity.cpu}"]).unwrap();
        assert_eq!(counted, "1", "{node} has one CPU");
    }
    let expected = cluster.nodes().len().min(std::thread::available_parallelism().unwrap().get());
    assert_eq!(seen.len(), expected, "the nodes' CPUs: {seen:?}");
}

/// From every node, by the Service's name, until both nodes' servers have answered.
fn a_services_name_leads_to_the_pods_of_every_node(cluster: &Cluster) {
    for node in cluster.nodes() {
        let pod = format!("echo-{node}");
        for name in ["http://echo", "http://echo.default.svc.cluster.local"] {
            let mut answers = BTreeSet::new();
            wait_for("an answer of each node", SOON, || {
                let answer = cluster.ask(&["exec", &pod, "--", "/pod", "get", name]).ok()?;
                answers.insert(answer.trim().to_owned());
                (answers.len() == cluster.nodes().len()).then_some(())
            });
        }
    }
}

/// With a CPU more than any real node has, so that the scheduler has no choice.
fn the_scheduler_places_pods_on_a_node_that_is_only_an_object(cluster: &Cluster) {
    cluster.add_node_object("object", 64, 64).unwrap();
    let pod = format!(
        "apiVersion: v1\n\
         kind: Pod\n\
         metadata: {{name: large}}\n\
         spec:\n\
         \x20 containers: [{{name: large, image: \"{POD_IMAGE}\", resources: {{requests: {{cpu: 32}}}}}}]\n"
    );
    cluster.apply(&pod).unwrap();
    let place = ["get", "pod", "large", "-o", "jsonpath={.spec.nodeName}"];
    wait_for("the pod to be placed", SOON, || cluster.ask(&place).ok().filter(|node| node == "object"));
}

/// Every process whose cgroup, command line or working directory names the cluster.
fn processes(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = pids.filter_map(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let (cgroup, line) = (read("cgroup"), read("cmdline"));
        let own = [format!("/{name}-"), format!("/{name}/")];
        own.iter().any(|part| cgroup.contains(part) || line.contains(part)).then(|| format!("{pid}: {line}"))
    });
    named.collect()
}

fn nothing_is_left_of(stage: Stage, id: Id, folder: &Path) {
    let name = id.name();
    // The next test waits for its turn, which this one keeps until it has looked.
    let Stage { cluster, turn: _turn, .. } = stage;
    drop(cluster);
    // They are dead; this machine's process 1 may take a moment to reap them.
    wait_for("the cluster's processes to be gone", SOON, || processes(&name).is_empty().then_some(()));
    assert!(!folder.try_exists().unwrap(), "{} is still there", folder.display());
    assert!(!fs::read_to_string("/proc/net/dev").unwrap().contains(&format!("{name}:")), "a link is left");
    assert!(
        !fs::read_to_string("/proc/self/mounts").unwrap().contains(&format!("/{name}")),
        "a mount is left"
    );
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    for dir in hierarchies.chain(["/sys/fs/cgroup".into()]).filter(|dir| dir.is_dir()) {
        let left = fs::read_dir(&dir).unwrap().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|entry| entry.to_string_lossy().starts_with(&format!("{name}-")))
            .collect();
        assert!(left.is_empty(), "cgroups are left in {}: {left:?}", dir.display());
    }
}

#[test]
fn a_cluster_of_two_nodes_stands_carries_pods_and_names_and_leaves_nothing() {
    let before = settings();
    let Some(stage) = Stage::set() else { return };
    let (cluster, id) = (&stage.cluster, Id::new(ID).unwrap());
    let folder = cluster.kubeconfig().parent().unwrap().to_owned();
    cluster.apply(&servers(cluster)).unwrap();
    pods_of_a_node_stay_on_its_cpu(cluster);
    a_services_name_leads_to_the_pods_of_every_node(cluster);
    the_scheduler_places_pods_on_a_node_that_is_only_an_object(cluster);
    assert!(!processes(&id.name()).is_empty(), "what looks for processes finds them");
    nothing_is_left_of(stage, id, &folder);
    assert_eq!(settings(), before, "a setting of the whole machine was changed");
}
