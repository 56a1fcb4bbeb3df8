//! Who is let in at the aggregator's port, and what the API server says of those who are not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf, time::Duration};

use berth_kit::{cluster::image::POD_IMAGE, wait_every, wait_for};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    door::Door,
    forge::Forge,
    stage::{SOON, Stage},
};

/// Lines about refused callers: several pairs of neighbours.
const LINES: usize = 4;

/// For so long a peer is heard no more that has shown too many.
const SECOND: Duration = Duration::from_secs(1);

/// What `berth-agent` would be given on node-b, by a pod that nobody else made.
const PROBE: &str = "probe";

fn start_probe(stage: &Stage, account: &str) {
    stage.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PROBE, "namespace": "berth-system"},
        "spec": {
            "nodeName": "node-b",
            "serviceAccountName": account,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "probe", "image": POD_IMAGE, "imagePullPolicy": "Never", "args": ["serve"]}],
        },
    }));
    stage
        .shell
        .must(&format!("kubectl wait -n berth-system --for=condition=Ready pod/{PROBE} --timeout=60s"));
}

/// What the API server says of a token for agents, without what differs from run to run.
fn reviewed(stage: &Stage, token: &str) -> Value {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["berth.ingest"]},
    });
    let file = stage.scratch.path().join("review.json");
    fs::write(&file, review.to_string()).unwrap();
    let answer = stage.shell.must(&format!("kubectl create -o json -f {}", file.display()));
    let mut status = serde_json::from_str::<Value>(&answer).unwrap()["status"].clone();
    if let Some(uid) = status.pointer_mut("/user/uid") {
        *uid = json!("UID");
    }
    let extra = status.pointer_mut("/user/extra").and_then(Value::as_object_mut);
    for (_, value) in
        extra.into_iter().flatten().filter(|(key, _)| key.ends_with("-uid") || key.ends_with("-id"))
    {
        *value = json!(["UID"]);
    }
    status
}

/// The answers that the unit tests of the aggregator go by are those of this API server.
fn assert_recorded(answers: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/token-reviews.json");
    if std::env::var_os("BERTH_UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{answers:#}\n")).unwrap();
    }
    let recorded: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(&recorded, answers, "run it with BERTH_UPDATE_GOLDEN=1 and look at the difference");
}

/// The lines about refused callers, with their times.
fn refusals(stage: &Stage) -> Vec<Timestamp> {
    let log = stage.shell.must("kubectl logs -n berth-system deployment/berth-aggregator");
    let lines = log.lines().filter(|line| line.contains("caller refused"));
    lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

fn between(before: &Timestamp, after: &Timestamp) -> Duration {
    let nsec = |time: &Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    Duration::from_nanos(u64::try_from(nsec(after) - nsec(before)).unwrap())
}

#[test]
fn of_fourteen_bad_tokens_none_is_let_in_and_none_fills_the_log() {
    let Some(stage) = Stage::with_berth() else { return };
    start_probe(&stage, "berth-agent");
    let ingest = |account: &str, pod: Option<&str>| stage.token(account, "berth.ingest", pod);
    let good = ingest("berth-agent", Some(PROBE));
    let forge = Forge::new(&stage, &good);
    let signed = [
        ("good", good.clone()),
        ("expired", forge.expired()),
        ("not yet valid", forge.not_yet_valid()),
        ("wrong audience", stage.token("berth-agent", "berth.load", Some(PROBE))),
        ("wrong issuer", forge.claiming(|claims| claims["iss"] = json!("https://elsewhere.example"))),
        ("alg none", forge.unsigned("c2lnbmF0dXJl")),
        ("HS256 with the public key", forge.signed_with_the_public_key()),
        ("another account", ingest("berth-loadgen", None)),
        ("rotated key", forge.of_another_key()),
        ("no node claim", ingest("berth-agent", None)),
    ];
    let answers = signed.iter().map(|(what, token)| (*what, reviewed(&stage, token)));
    let answers: Value = answers.map(|(what, answer)| (what.to_owned(), answer)).collect();

    let door = Door::find(&stage);
    let viewer = stage.viewer();
    wait_for("both agents", SOON, || (door.nodes(&viewer).ok()?.len() == 2).then_some(()));
    let refused = |token: Option<&str>, node: &str| door.hello(token, node).map_err(|status| status.code());
    let huge = format!("a.b.{}", "c".repeat(9_000));
    let none = forge.unsigned("");
    let signed = signed.iter().map(|(what, token)| {
        // Good tokens of somebody else; the API server finds no fault in them.
        let is_good = ["good", "another account", "no node claim"].contains(what);
        let (what, node) = if *what == "good" { ("another node's", "node-a") } else { (*what, "node-b") };
        let code = if is_good { Code::PermissionDenied } else { Code::Unauthenticated };
        (what, Some(token.as_str()), node, code)
    });
    let shapeless =
        [("none", None), ("garbage", Some("garbage")), ("huge", Some(&huge)), ("no signature", Some(&none))];
    let shapeless = shapeless.map(|(what, token)| (what, token, "node-b", Code::Unauthenticated));
    let bad: Vec<_> = signed.chain(shapeless).collect();
    for (what, token, node, code) in &bad {
        // Of one peer only so many are looked at in a second.
        let judged = wait_every(SECOND, "a token to be judged", SOON, || {
            Some(refused(*token, node)).filter(|answer| *answer != Err(Code::ResourceExhausted))
        });
        assert_eq!(judged, Err(*code), "{what}");
    }
    // As somebody who tries does it, for as long as it takes to fill a log.
    let at = wait_for("some lines about them", SOON, || {
        for (what, token, node, _) in &bad {
            assert!(refused(*token, node).is_err(), "{what}");
        }
        Some(refusals(&stage)).filter(|at| at.len() >= LINES)
    });
    assert!(!door.has_stranger(&viewer), "something of a refused agent is kept");

    for pair in at.windows(2) {
        assert!(between(&pair[0], &pair[1]) >= Duration::from_millis(990), "{pair:?}");
    }

    // What is forged is close to what is good: with nothing changed it is let in.
    let as_good = forge.claiming(|_| {});
    wait_every(SECOND, "the good token to be let in", SOON, || {
        door.hello(Some(&as_good), "node-b").inspect_err(|refusal| eprintln!("{refusal}")).ok()
    });
    assert!(door.has_stranger(&viewer));
    stage.shell.must(&format!("kubectl delete pod -n berth-system {PROBE} --now"));
    wait_every(SECOND, "a deleted pod's token to be refused", SOON, || {
        (refused(Some(&good), "node-b") == Err(Code::Unauthenticated)).then_some(())
    });
    assert_recorded(&answers);
}

#[test]
fn a_viewer_looks_and_cannot_start_load() {
    let Some(stage) = Stage::with_berth() else { return };
    let viewer = stage.viewer();
    let operator = stage.token("berth-operator", "berth.query", None);
    let door = Door::find(&stage);
    wait_for("the aggregator to answer", SOON, || door.nodes(&viewer).ok());
    assert_eq!(door.start_load(&viewer).unwrap_err().code(), Code::PermissionDenied);
    // Let in, and told that there is nothing in it.
    let refused = door.start_load(&operator).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}
