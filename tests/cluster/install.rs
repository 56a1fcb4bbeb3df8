//! The README's install, on a fresh cluster.

use std::time::Duration;

use berth_kit::{timed, wait_every};
use serde_json::{Value, json};

use crate::{
    shell::{ASK_AGAIN, list, text},
    stage::{SOON, Stage},
};

#[test]
fn the_install_brings_in_the_first_samples_of_every_node_within_a_minute_and_status_is_all_green() {
    let Some(stage) = Stage::with_images() else { return };
    let seen = |node: &str| {
        let samples = stage.shell.run(&format!("kubectl berth samples -A --node {node} | head -n 3")).out;
        samples.lines().count() == 3
    };
    let ((), took) = timed(|| {
        stage.install();
        let all = || stage.cluster.nodes().into_iter().all(seen);
        wait_every(ASK_AGAIN, "samples of every node", SOON, || all().then_some(()));
    });
    eprintln!("samples of every node {took:.1?} after kubectl apply");
    assert!(took <= Duration::from_secs(60), "samples of every node only after {took:?}");
    let status = stage.shell.berth_until("status to be green", SOON, "status", |status| {
        (status["degraded"] == json!([])).then(|| status.clone())
    });
    let reporting: Vec<&str> = list(&status, "/nodes")
        .iter()
        .filter(|node| node["reports"] == json!(true))
        .map(|node| text(node, "/node"))
        .collect();
    assert_eq!(reporting, ["node-a", "node-b"]);
    assert_eq!(stage.shell.run("kubectl berth status").code, Some(0));
}

#[test]
fn a_namespace_with_a_quota_admits_every_pod_of_berth() {
    let Some(stage) = Stage::with_images() else { return };
    stage.shell.must("kubectl create namespace berth-system");
    let hard = "requests.memory=2Gi,limits.memory=4Gi";
    stage.shell.must(&format!("kubectl create quota mem-cpu-demo -n berth-system --hard={hard}"));
    stage.install();
    stage.shell.must("kubectl -n berth-system scale deployment/berth-loadgen --replicas=1");
    for (part, made, wanted) in [
        ("daemonset/berth-agent", "currentNumberScheduled", 2),
        ("deployment/berth-aggregator", "replicas", 1),
        ("deployment/berth-loadgen", "replicas", 1),
    ] {
        wait_every(ASK_AGAIN, part, SOON, || {
            let part = stage.shell.get(&format!("-n berth-system {part}"));
            (part["status"][made] == json!(wanted)).then_some(())
        });
    }
    let events = stage.shell.get("events -n berth-system --field-selector reason=FailedCreate");
    assert_eq!(list(&events, "/items"), &[] as &[Value]);
}
