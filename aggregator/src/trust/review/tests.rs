//! The answers have the shape that the Kubernetes API documents for such tokens; none was recorded yet.

use serde_json::{Value, json};

use super::*;

const OURS: &str = "berth-system";

fn status(answer: Value) -> TokenReviewStatus {
    serde_json::from_value(answer).unwrap()
}

fn judged(answer: Value, audience: Audience) -> Result<Principal, Refusal> {
    judge(&status(answer), audience, OURS)
}

/// A good token of an account of ours, of a pod on node-a.
fn good(account: &str, audience: &str) -> Value {
    json!({
        "authenticated": true,
        "user": {
            "username": format!("system:serviceaccount:berth-system:{account}"),
            "uid": "3fd0fb0e-5b4b-4f0b-8c0e-9d2f6b0f3c11",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:berth-system", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=8f2c1a34-7f8f-4b1c-a2a3-0f6f2d1e9b77"],
                "authentication.kubernetes.io/node-name": ["node-a"],
                "authentication.kubernetes.io/node-uid": ["b1a7c2d0-33a0-4c43-9d2a-5a0e2c9ef001"],
                "authentication.kubernetes.io/pod-name": ["berth-agent-x7k2p"],
                "authentication.kubernetes.io/pod-uid": ["c0ffee00-0000-4000-8000-000000000001"],
            },
        },
        "audiences": [audience],
    })
}

fn refused(error: &str) -> Value {
    json!({"user": {}, "error": error})
}

#[test]
fn a_good_token_says_who_holds_it_and_on_which_node() {
    let node = NodeName::new("node-a").unwrap();
    let place = Place { node, pod_uid: "c0ffee00-0000-4000-8000-000000000001".into() };
    let agent = judged(good("berth-agent", "berth.ingest"), Audience::Ingest);
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
    for error in [
        "[invalid bearer token, service account token has expired]",
        "[invalid bearer token, service account token is not valid yet]",
        "[invalid bearer token, token audiences [\"berth.load\"] is invalid for the target audiences [\"berth.ingest\"]]",
        "[invalid bearer token, service account token has been invalidated]",
        "invalid bearer token",
    ] {
        let refusal = judged(refused(error), Audience::Ingest).unwrap_err();
        assert_eq!(refusal, Refusal::Bad(error.to_owned()));
    }
    assert!(matches!(judged(json!({}), Audience::Ingest), Err(Refusal::Bad(_))));
    let long = judged(refused(&"x".repeat(10_000)), Audience::Ingest).unwrap_err();
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
