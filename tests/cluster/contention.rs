//! The main job, in a cluster: a scanner starts beside a model, is named, is moved as advised, and
//! nobody is left to blame.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_kit::wait_every;
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::{
    shell::{ASK_AGAIN, list, text},
    shop::{MODEL, NAMESPACE, Pod, model, scanner},
    stage::{SOON, Stage},
};

/// From the scanner's start to a report that names it.
const NAMED_WITHIN: Duration = Duration::from_secs(5);

/// Pairs of reports after the move: more than ten seconds, which is as far back as a report looks.
const LOOKS: u32 = 12;

/// The scanner beside the model, and the one on the other node.
const NEIGHBOUR: &str = "certifai-scan";
const ELSEWHERE: &str = "other-scan";

/// The owners that an open episode of this pod names, the gravest first.
fn culprits(report: &Value, victim: &str) -> Vec<String> {
    let open = list(report, "/episodes").iter().filter(|episode| episode["cleared"].is_null());
    let its = open.filter(|episode| text(episode, "/victim/pod") == victim);
    let mut shares: Vec<(f64, String)> = its
        .flat_map(|episode| list(episode, "/shares"))
        .filter_map(|share| {
            Some((share["share"].as_f64()?, share.pointer("/who/owner_name")?.as_str()?.to_owned()))
        })
        .collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    shares.into_iter().map(|(_, owner)| owner).collect()
}

/// CPUs that a model uses at least while it serves the requests: a third of what they cost.
const SERVING_CPUS: f64 = 0.05;

/// The pod serves, and nobody hurts it.
fn is_well(report: &Value, pod: &str) -> bool {
    list(report, "/models").iter().any(|model| {
        text(model, "/who/pod") == pod
            && text(model, "/verdict") == "nobody"
            && model["cpus"].as_f64().is_some_and(|cpus| cpus > SERVING_CPUS)
    })
}

/// The other node's scanner is in no report, whatever else is.
fn assert_elsewhere_is_not_blamed(report: &Value) {
    assert!(!report.to_string().contains(ELSEWHERE), "{ELSEWHERE} is on another node: {report}");
}

/// Whatever hurts this pod does so for a moment, and most of it is no other pod's doing.
fn assert_nobody_is_blamed_for_long(report: &Value, victim: &str) {
    let open = list(report, "/episodes").iter().filter(|episode| episode["cleared"].is_null());
    for episode in open.filter(|episode| text(episode, "/victim/pod") == victim) {
        assert_eq!(text(episode, "/severity"), "transient", "{episode}");
        let most = list(episode, "/shares").first().unwrap();
        assert!(most.pointer("/who/pod").is_none_or(|pod| pod == ""), "{episode}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a container's start is known in wall time only")]
fn age(started: &str) -> Duration {
    let started: Timestamp = started.parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.saturating_sub(Duration::from_secs(started.seconds.try_into().unwrap()))
}

/// Waits until the report names the scanner first, and tells how old its container is by then.
fn named(stage: &Stage, model: &Pod, scanner: &Pod) -> Duration {
    let report = stage.shell.berth_until("the scanner to be named", SOON, "report -A", |report| {
        assert_elsewhere_is_not_blamed(report);
        let first = culprits(report, &model.name).into_iter().next();
        (first.as_deref() == Some(NEIGHBOUR)).then(|| report.clone())
    });
    let age = age(&scanner.started);
    let open = list(&report, "/episodes").iter().find(|one| text(one, "/victim/pod") == model.name).unwrap();
    assert_eq!(text(open, "/victim/owner_name"), MODEL);
    assert!(open["slowdown"]["lo"].as_f64().unwrap() > 1.0, "{open}");
    age
}

/// Events of this reason in what `kubectl describe` says of a pod.
fn described(stage: &Stage, pod: &Pod, reason: &str) -> Option<String> {
    let described = stage.shell.must(&format!("kubectl describe pod -n {NAMESPACE} {}", pod.name));
    let mut lines = described.lines().filter(|line| line.split_whitespace().nth(1) == Some(reason));
    lines.next().map(str::to_owned)
}

#[test]
fn a_scanner_is_named_within_5_s_and_after_the_advice_was_followed_nobody_is() {
    let Some(stage) = Stage::with_berth_away_from("node-a") else { return };
    stage.open_shop();
    stage.start_on("node-b", &scanner(ELSEWHERE, "500m"));
    let victim = stage.start_on("node-a", &model(&json!({})));
    let mut requests = stage.requests(&victim);
    stage.shell.berth_until("the model to be well", SOON, "report -A", |report| {
        assert_elsewhere_is_not_blamed(report);
        is_well(report, &victim.name).then_some(())
    });

    let neighbour = stage.start_on("node-a", &scanner(NEIGHBOUR, "1"));
    let age = named(&stage, &victim, &neighbour);
    eprintln!("named {age:.1?} after its start");
    assert!(age <= NAMED_WITHIN, "named only {age:?} after its start");
    let told = wait_every(ASK_AGAIN, "an Event", SOON, || described(&stage, &victim, "SlowedByNeighbour"));
    assert!(told.contains(NEIGHBOUR), "{told}");

    stage.shell.must(&format!("kubectl scale -n {NAMESPACE} deployment/{NEIGHBOUR} --replicas=0"));
    stage.shell.berth_until("the model to be well again", SOON, "report -A", |report| {
        is_well(report, &victim.name).then_some(())
    });
    wait_every(ASK_AGAIN, "the second Event", SOON, || described(&stage, &victim, "SlowdownCleared"));

    stage.shell.must("kubectl cordon node-b");
    stage.shell.must(&format!("kubectl scale -n {NAMESPACE} deployment/{NEIGHBOUR} --replicas=1"));
    let neighbour = stage.ready(NEIGHBOUR, "node-a");
    stage.shell.must("kubectl uncordon node-b");
    named(&stage, &victim, &neighbour);
    requests.go_on();

    let advice = stage.shell.berth_until("advice", SOON, "advise -A --code BA101", |advice| {
        list(advice, "/advice").first().cloned()
    });
    drop(requests);
    for action in list(&advice, "/actions") {
        stage.shell.must(text(action, "/command"));
    }
    let moved = stage.ready(MODEL, "node-a");
    stage.ready(NEIGHBOUR, "node-b");
    let mut requests = stage.requests(&moved);
    stage.shell.berth_until("the report to say nobody", SOON, "report -A", |report| {
        assert_elsewhere_is_not_blamed(report);
        requests.go_on();
        assert!(!culprits(report, &moved.name).iter().any(|owner| owner == NEIGHBOUR), "{report}");
        is_well(report, &moved.name).then_some(())
    });
    // It goes on so. What this test and the control plane do on that CPU is work in no pod, and told as such.
    let mut well = 0;
    for _ in 0..LOOKS {
        let mut looked = false;
        stage.shell.berth_until("another report", SOON, "report -A", |report| {
            assert_elsewhere_is_not_blamed(report);
            assert!(!culprits(report, &moved.name).iter().any(|owner| owner == NEIGHBOUR), "{report}");
            well += u32::from(is_well(report, &moved.name));
            assert_nobody_is_blamed_for_long(report, &moved.name);
            std::mem::replace(&mut looked, true).then_some(())
        });
    }
    eprintln!("nobody in {well} of {} reports after the move", 2 * LOOKS);
    stage.shell.berth_until("the report to say nobody in the end", SOON, "report -A", |report| {
        requests.go_on();
        is_well(report, &moved.name).then_some(())
    });
    for action in list(&advice, "/actions").iter().rev() {
        stage.shell.must(text(action, "/inverse_command"));
    }
    let said = stage.shell.run("kubectl berth uninstall --check");
    assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
    let traces = said.out;
    assert!(!traces.contains("node_for"), "the undoing left something: {traces}");
}
