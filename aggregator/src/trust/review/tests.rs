//! The answers are those of a real API server: `tests/cluster` asks it again each time, and holds them
//! to be the same.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;

const OURS: &str = "berth-system";

static RECORDED: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../../tests/fixtures/token-reviews.json");
    serde_json::from_str(text).unwrap()
});

/// What was said of a token for agents.
fn recorded(what: &str) -> Value {
    RECORDED.get(what).unwrap_or_else(|| panic!("{what} was not recorded")).clone()
}

fn status(answer: Value) -> TokenReviewStatus {
    serde_json::from_value(answer).unwrap()
}

fn judged(answer: Value, audience: Audience) -> Result<Principal, Refusal> {
    judge(&status(answer), audience, OURS)
}

/// A good token of an account of ours, of a pod on node-b.
fn good(account: &str, audience: &str) -> Value {
    let mut answer = recorded("good");
    answer["user"]["username"] = json!(format!("system:serviceaccount:berth-system:{account}"));
    answer["audiences"] = json!([audience]);
    answer
}

#[test]
fn a_good_token_says_who_holds_it_and_on_which_node() {
    let node = NodeName::new("node-b").unwrap();
    let place = Place { node, pod_uid: "UID".into() };
    let agent = judged(recorded("good"), Audience::Ingest);
    assert_eq!(agent, Ok(Principal::Agent(place.clone())));
    let worker = judged(good("berth-loadgen", "berth.load"), Audience::Load);
    assert_eq!(worker, Ok(Principal::LoadWorker(place)));
    // Tokens of people, from the TokenRequest API, are bound to no pod.
    let mut viewer = good("berth-viewer", "berth.query");
    viewer["user"]["extra"] = json!({});
    assert_eq!(judged(viewer, Audience::Query), Ok(Principal::Viewer));
    assert_eq!(judged(good("berth-operator", "berth.query"), Audience::Query), Ok(Principal::Operator));
}

#[test]
fn what_the_api_server_refuses_is_refused() {
    for what in [
        "HS256 with the public key",
        "alg none",
        "expired",
        "not yet valid",
        "rotated key",
        "wrong audience",
        "wrong issuer",
    ] {
        let answer = recorded(what);
        let error = answer["error"].as_str().unwrap().to_owned();
        assert!(error.contains("invalid bearer token"), "{what}: {error}");
        assert_eq!(judged(answer, Audience::Ingest), Err(Refusal::Bad(error)), "{what}");
    }
    assert!(matches!(judged(json!({}), Audience::Ingest), Err(Refusal::Bad(_))));
    let long = judged(json!({"error": "x".repeat(10_000)}), Audience::Ingest).unwrap_err();
    assert!(long.to_string().len() < 300);
}

#[test]
fn a_good_token_of_another_is_refused() {
    let with = |pointer: &str, value: Value| {
        let mut answer = good("berth-agent", "berth.ingest");
        *answer.pointer_mut(pointer).unwrap() = value;
        answer
    };
    let account = |username: &str| Refusal::Account(username.to_owned());
    assert_eq!(judged(recorded("no node claim"), Audience::Ingest), Err(Refusal::Unbound));
    let another = account("system:serviceaccount:berth-system:berth-loadgen");
    assert_eq!(judged(recorded("another account"), Audience::Ingest), Err(another));
    let other = "system:serviceaccount:shop:berth-agent";
    let kubelet = "system:node:node-a";
    let cases = [
        ("another namespace", with("/user/username", json!(other)), account(other)),
        ("a kubelet", with("/user/username", json!(kubelet)), account(kubelet)),
        (
            "a server that knows no audiences",
            with("/audiences", Value::Null),
            Refusal::Audience(Audience::Ingest),
        ),
        ("another audience", with("/audiences", json!(["berth.load"])), Refusal::Audience(Audience::Ingest)),
        ("no claims", with("/user/extra", Value::Null), Refusal::Unbound),
        ("no node", with("/user/extra/authentication.kubernetes.io~1node-name", json!([])), Refusal::Unbound),
        (
            "two nodes",
            with("/user/extra/authentication.kubernetes.io~1node-name", json!(["node-a", "node-b"])),
            Refusal::Unbound,
        ),
        (
            "no name of a node",
            with("/user/extra/authentication.kubernetes.io~1node-name", json!(["../node-a"])),
            Refusal::Unbound,
        ),
        ("no pod", with("/user/extra/authentication.kubernetes.io~1pod-uid", json!([""])), Refusal::Unbound),
    ];
    for (what, answer, refusal) in cases {
        assert_eq!(judged(answer, Audience::Ingest), Err(refusal), "{what}");
    }
    // Of an account of ours, but made for what another of ours does.
    for (name, audience) in [
        ("berth-agent", Audience::Query),
        ("berth-agent", Audience::Load),
        ("berth-viewer", Audience::Ingest),
        ("berth-loadgen", Audience::Ingest),
        ("berth-aggregator", Audience::Query),
    ] {
        let refusal = judged(good(name, audience.as_str()), audience).unwrap_err();
        assert_eq!(refusal, account(&format!("system:serviceaccount:berth-system:{name}")), "{name}");
    }
}
