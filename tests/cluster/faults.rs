//! What may fail in a cluster, failing: what Berth measured stays, and what it says stays true.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use berth::wire;
use berth_kit::{cluster::Signal, wait_every, wait_for};
use serde_json::json;

use crate::{
    door::Door,
    shell::ASK_AGAIN,
    shop::model,
    stage::{SOON, Stage},
};

/// From the API server's return to the names of what started while it was away.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);

/// What is back after a restart at least, in nanoseconds, where there was as much: 100 s.
const RETURNED: i128 = 100_000_000_000;

/// An answer of the aggregator is cheap, and a fault lasts.
const PERIOD: Duration = Duration::from_millis(200);

const AGGREGATOR: &str = "kubectl -n berth-system get pod -l app.kubernetes.io/name=berth-aggregator";

/// `make soak` asks for more.
fn seconds(name: &str, default: u64) -> Duration {
    let told = std::env::var_os(name);
    Duration::from_secs(told.map_or(default, |text| text.to_str().unwrap().parse().unwrap()))
}

fn nsec(time: Option<prost_types::Timestamp>) -> i128 {
    let time = time.unwrap();
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

fn history(node: &wire::NodeStatus) -> Duration {
    let nsec = nsec(node.last_sample) - nsec(node.history_begins);
    Duration::from_nanos(u64::try_from(nsec).unwrap())
}

/// Both nodes, when both report and have this much history.
fn reporting(door: &Door, viewer: &str, at_least: Duration) -> Vec<wire::NodeStatus> {
    wait_every(PERIOD, "both nodes to report", at_least + SOON, || {
        let nodes = door.nodes(viewer).ok()?;
        let is_there = |node: &wire::NodeStatus| {
            node.connected && node.history_begins.is_some() && history(node) >= at_least
        };
        (nodes.len() == 2 && nodes.iter().all(is_there)).then_some(nodes)
    })
}

/// Nothing was refused, and nothing is missing.
fn assert_whole(node: &wire::NodeStatus) {
    assert_eq!(node.values_refused, 0, "{node:?}");
    assert_eq!(node.values_received, node.values_stored + node.values_repeated, "{node:?}");
    assert!(node.gaps.iter().all(|gap| gap.values == 0), "{:?}", node.gaps);
}

#[test]
fn an_agent_that_is_killed_comes_back_under_its_name_with_its_gap_counted() {
    let Some(stage) = Stage::with_berth() else { return };
    let (door, viewer) = (Door::find(&stage), stage.viewer());
    let before = reporting(&door, &viewer, Duration::ZERO);
    assert_eq!(stage.cluster.signal("node-a", "berth-agent", Signal::KILL).unwrap(), 1);
    // It says hello first; what is missing is known with its first samples.
    let after = wait_every(PERIOD, "the agent to come back", SOON, || {
        let node = door.node(&viewer, "node-a").filter(|node| node.connected)?;
        (node.incarnation != before[0].incarnation && !node.gaps.is_empty()).then_some(node)
    });
    let down: Vec<_> = after.gaps.iter().filter(|gap| gap.reason() == wire::GapReason::AgentDown).collect();
    assert_eq!(down.len(), 1, "{:?}", after.gaps);
    assert_eq!(down[0].gaps, 1);
    assert_eq!(door.node(&viewer, "node-b").unwrap().incarnation, before[1].incarnation);
}

#[test]
fn an_aggregator_that_is_killed_and_starts_elsewhere_gets_the_samples_back_under_the_same_authority() {
    let Some(stage) = Stage::with_berth() else { return };
    let authority = r"kubectl get configmap -n berth-system berth-ca -o jsonpath='{.data.ca\.crt}'";
    let (ca, viewer) = (stage.shell.must(authority), stage.viewer());
    let before = reporting(&Door::find(&stage), &viewer, seconds("BERTH_HISTORY_SECONDS", 10));
    let place = format!("{AGGREGATOR} -o jsonpath={{.items[0].spec.nodeName}}");
    let node = stage.shell.must(&place);

    stage.shell.must(&format!("kubectl cordon {node}"));
    assert_eq!(stage.cluster.signal(&node, "berth-aggregator", Signal::KILL).unwrap(), 1);
    stage.shell.must("kubectl -n berth-system delete pod -l app.kubernetes.io/name=berth-aggregator --now");
    stage.aggregator_ready();
    assert_ne!(stage.shell.must(&place), node);

    let after = reporting(&Door::find(&stage), &viewer, Duration::ZERO);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.incarnation, before.incarnation, "the agent went on");
        // The new one maps the node's clock anew, within its error.
        let wanted = nsec(before.history_begins).max(nsec(before.last_sample) - RETURNED);
        let lost = nsec(after.history_begins) - wanted;
        assert!(lost < 100_000_000, "{lost} ns of the history did not come back");
        assert_whole(after);
    }
    assert_eq!(stage.shell.must(authority), ca);
}

#[test]
fn a_node_that_leaves_the_cluster_is_forgotten() {
    let Some(mut stage) = Stage::with_berth() else { return };
    stage.shell.must("kubectl cordon node-b");
    stage.shell.must("kubectl -n berth-system delete pod -l app.kubernetes.io/name=berth-aggregator");
    stage.aggregator_ready();
    let (door, viewer) = (Door::find(&stage), stage.viewer());
    reporting(&door, &viewer, Duration::ZERO);

    stage.cluster.cut_power("node-b").unwrap();
    stage.shell.must("kubectl delete node node-b");
    wait_every(PERIOD, "its stream to be given up", SOON, || {
        door.node(&viewer, "node-b").is_none_or(|node| !node.connected).then_some(())
    });
    wait_every(PERIOD, "the node to be forgotten", SOON, || {
        (door.nodes(&viewer).ok()?.len() == 1).then_some(())
    });
    stage.shell.berth_until("status to be green", SOON, "status", |status| {
        (status["degraded"] == json!([]) && status["nodes"].as_array()?.len() == 1).then_some(())
    });
}

#[test]
fn while_the_api_server_is_away_samples_go_on_answers_say_their_age_and_names_come_back() {
    let Some(stage) = Stage::with_berth() else { return };
    stage.open_shop();
    stage.start_on("node-a", &model(&json!({})));
    let (door, viewer) = (Door::find(&stage), stage.viewer());
    let before = reporting(&door, &viewer, Duration::ZERO);
    let cgroups = || -> Option<Vec<String>> {
        door.models(&viewer).ok()?.models.into_iter().map(|model| Some(model.who?.cgroup)).collect()
    };
    let known = wait_for("the model to be known", SOON, || cgroups().filter(|known| !known.is_empty()));

    let before_it = door.cgroups(&viewer).unwrap();

    let outage = seconds("BERTH_OUTAGE_SECONDS", 60);
    assert_eq!(stage.cluster.signal("control", "kube-apiserver", Signal::STOP).unwrap(), 1);
    // It starts again in a container that no watch can tell of.
    assert_eq!(stage.cluster.signal("node-a", "refmodel", Signal::KILL).unwrap(), 1);
    let mut oldest = String::new();
    wait_every(PERIOD, "samples of the whole outage", outage + SOON, || {
        let nodes = door.nodes(&viewer).unwrap();
        let notes = door.models(&viewer).unwrap().notes;
        oldest = notes
            .into_iter()
            .find(|note| note.contains("the API server does not answer"))
            .unwrap_or(oldest.clone());
        let begun = nsec(before[0].last_sample);
        let lasted = Duration::from_nanos(u64::try_from(nsec(nodes[0].last_sample) - begun).unwrap());
        assert!(nodes.iter().all(|node| node.connected), "a stream has ended");
        (lasted >= outage).then_some(())
    });
    let age: u64 = oldest.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_default();
    assert!(age + 10 >= outage.as_secs(), "the last note was: {oldest}");

    // Its new container is sampled, and no name is made up for it.
    let pod = known[0].rsplit_once('/').unwrap().0;
    let sampled = door.cgroups(&viewer).unwrap();
    let is_new = |cgroup: &&String| cgroup.starts_with(pod) && !before_it.contains(cgroup);
    assert_eq!(sampled.iter().filter(is_new).count(), 1, "{sampled:?}");
    assert!(cgroups().unwrap().iter().all(|cgroup| known.contains(cgroup)));

    assert_eq!(stage.cluster.signal("control", "kube-apiserver", Signal::CONT).unwrap(), 1);
    let mut asked = 0;
    wait_every(PERIOD, "the new container to be known", RESOLVED_WITHIN, || {
        asked += 1;
        cgroups()?.iter().any(|cgroup| !known.contains(cgroup)).then_some(())
    });
    eprintln!("known again within {:.1?}", PERIOD * asked);
    for node in reporting(&door, &viewer, Duration::ZERO) {
        assert_whole(&node);
    }
}

#[test]
fn a_certificate_is_replaced_while_everybody_goes_on() {
    let Some(stage) = Stage::with_berth() else { return };
    let (door, viewer) = (Door::find(&stage), stage.viewer());
    let before = reporting(&door, &viewer, Duration::ZERO);
    let mut ticks = door.tail(&viewer).unwrap();
    let kept = r"kubectl get secret -n berth-system berth-tls -o jsonpath='{.data.tls\.crt}'";
    let certificate = stage.shell.must(kept);
    let another = "another certificate is served from now on";
    let served = || {
        let log = stage.shell.must("kubectl logs -n berth-system deployment/berth-aggregator");
        log.lines().filter(|line| line.contains(another)).count()
    };
    let installed = served();
    let remove = r#"[{"op":"remove","path":"/data/tls.crt"},{"op":"remove","path":"/data/tls.key"}]"#;
    stage.shell.must(&format!("kubectl patch secret -n berth-system berth-tls --type=json -p '{remove}'"));
    wait_every(ASK_AGAIN, "another certificate", SOON, || {
        // An open stream goes on, and every new one is served.
        assert!(door.next(&mut ticks).unwrap().is_some(), "the stream has ended");
        assert_eq!(Door::find(&stage).nodes(&viewer).unwrap().len(), 2);
        (served() > installed).then_some(())
    });
    assert_ne!(stage.shell.must(kept), certificate);
    assert_eq!(Door::find(&stage).nodes(&viewer).unwrap().len(), 2);
    assert!(door.next(&mut ticks).unwrap().is_some(), "the stream has ended");
    for (before, after) in before.iter().zip(reporting(&door, &viewer, Duration::ZERO)) {
        assert_eq!(after.incarnation, before.incarnation);
        assert_whole(&after);
    }
}
