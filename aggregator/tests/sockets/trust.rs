//! Tokens and certificates over real TLS, with the real agent and the real load worker.

use std::{fs, process::Command, time::Duration};

use berth::wire::{
    self, agent_message::Message, ingest_client::IngestClient, load_client::LoadClient,
    load_workers_client::LoadWorkersClient, samples_client::SamplesClient,
};
use berth_aggregator::trust::Object;
use berth_kit::{Running, program};
use tonic::{Code, Status};

use crate::{
    authority::{Caller, Guarded},
    scene::Scene,
    server::{page, until, within},
};

async fn nodes(caller: Caller) -> Result<Vec<wire::NodeStatus>, Status> {
    let mut samples = SamplesClient::new(caller);
    let asked = samples.list_nodes(wire::ListNodesRequest {});
    within("an answer", asked).await.map(|answer| answer.into_inner().nodes)
}

/// Says hello as this node; the first order, or the refusal.
async fn hello(caller: Caller, node: &str) -> Result<(), Status> {
    let hello = Scene::new(node, 1, 0..0).hello(1, 2);
    let hello = wire::AgentMessage { message: Some(Message::Hello(hello)) };
    let mut client = IngestClient::new(caller);
    let asked = async {
        let mut orders = client.stream(tokio_stream::iter([hello])).await?.into_inner();
        orders.message().await.map(|_| ())
    };
    within("an answer", asked).await
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_good_token_is_refused_and_nothing_of_it_is_stored() {
    let guarded = Guarded::start().await;
    let huge = format!("Bearer a.b.{}", "c".repeat(40_000));
    let long = format!("Bearer a.b.{}", "c".repeat(9_000));
    for (what, authorization, expected) in [
        ("none", None, Code::Unauthenticated),
        ("garbage", Some("Bearer garbage"), Code::Unauthenticated),
        ("another scheme", Some("Basic YWRtaW46YWRtaW4="), Code::Unauthenticated),
        ("unsigned", Some("Bearer eyJhbGciOiJub25lIn0.e30."), Code::Unauthenticated),
        ("long", Some(long.as_str()), Code::Unauthenticated),
        ("another audience", Some("Bearer berth-agent.load.node-1"), Code::Unauthenticated),
        ("another account", Some("Bearer berth-loadgen.ingest.node-1"), Code::PermissionDenied),
        ("a person", Some("Bearer berth-operator.query.node-1"), Code::Unauthenticated),
        ("no node claim", Some("Bearer berth-agent.ingest.unbound"), Code::PermissionDenied),
        ("another node's", Some("Bearer berth-agent.ingest.node-2"), Code::PermissionDenied),
    ] {
        let refused = hello(guarded.caller(authorization), "node-1").await.unwrap_err();
        assert_eq!(refused.code(), expected, "{what}: {refused}");
    }
    // The transport refuses it before anybody reads it.
    assert!(hello(guarded.caller(Some(&huge)), "node-1").await.is_err());
    let viewer = guarded.holder("berth-viewer.query.unbound");
    assert_eq!(nodes(viewer.clone()).await.unwrap().len(), 0);
    hello(guarded.holder("berth-agent.ingest.node-1"), "node-1").await.unwrap();
    assert_eq!(nodes(viewer).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_starts_nothing() {
    let guarded = Guarded::start().await;
    let (viewer, operator) =
        (guarded.holder("berth-viewer.query.unbound"), guarded.holder("berth-operator.query.unbound"));
    for caller in [&viewer, &operator] {
        assert_eq!(code(nodes(caller.clone()).await), Code::Ok);
        let get = LoadClient::new(caller.clone()).get(wire::GetRunRequest { id: "none".into() }).await;
        assert!(!matches!(code(get), Code::PermissionDenied | Code::Unauthenticated));
    }
    let start = |caller: &Caller| {
        let mut client = LoadClient::new(caller.clone());
        async move { code(client.start(wire::StartRunRequest::default()).await) }
    };
    assert_eq!(start(&viewer).await, Code::PermissionDenied);
    assert_eq!(start(&operator).await, Code::InvalidArgument);
    let stop = LoadClient::new(viewer.clone()).stop(wire::StopRunRequest { id: "none".into() }).await;
    assert_eq!(code(stop), Code::PermissionDenied);
    let put = LoadClient::new(viewer).put_payload(tokio_stream::iter([wire::PayloadChunk::default()])).await;
    assert_eq!(code(put), Code::PermissionDenied);
    let fetch = LoadWorkersClient::new(operator).get_payload(wire::GetPayloadRequest::default()).await;
    assert_eq!(code(fetch), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_and_worker_come_in_with_their_tokens_and_stay_while_the_certificate_changes() {
    let guarded = Guarded::start().await;
    let (ca, token) = (guarded.file("ca.crt"), guarded.file("agent-token"));
    fs::write(&token, "berth-agent.ingest.node-2\n").unwrap();
    let mut agent = Command::new(program("berth-agent", "berth-agent"));
    // Named, so that nothing else on this machine is looked for.
    agent.args(["--server", &guarded.url(), "--node", "node-1", "--cgroup-root", "/", "--ca-file"]).arg(&ca);
    let agent = Running::start(agent.arg("--token-file").arg(&token), guarded.file("agent.log"));
    until("its refusal", || async { agent.said().contains("not of node node-1").then_some(()) }).await;

    // The kubelet has replaced it.
    fs::write(&token, "berth-agent.ingest.node-1\n").unwrap();
    let viewer = guarded.holder("berth-viewer.query.unbound");
    let stored =
        || async { nodes(viewer.clone()).await.unwrap().first().map_or(0, |node| node.values_stored) };
    until("samples", || async { (stored().await > 0).then_some(()) }).await;

    let worker_token = guarded.file("worker-token");
    fs::write(&worker_token, "berth-loadgen.load.node-1").unwrap();
    let mut worker = Command::new(program("berth-loadgen", "berth-loadgen"));
    worker.args(["--server", &guarded.url(), "--node", "node-1", "--id", "w", "--ca-file"]).arg(&ca);
    let worker = Running::start(worker.arg("--token-file").arg(&worker_token), guarded.file("worker.log"));
    until("the worker", || async { worker.said().contains("waiting for orders").then_some(()) }).await;

    let streams = || async {
        let (_, metrics) = page(guarded.aggregator.http_address(), "/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with("berth_ingest_streams_total "));
        line.unwrap().to_owned()
    };
    let before = streams().await;
    let old = guarded.memory.data(Object::Secret)["tls.crt"].clone();
    guarded.memory.edit(Object::Secret, |data| drop(data.remove("tls.crt")));
    until("another certificate", || async {
        guarded.memory.data(Object::Secret).get("tls.crt").is_some_and(|new| *new != old).then_some(())
    })
    .await;
    let so_far = stored().await;
    until("more samples", || async { (stored().await > so_far).then_some(()) }).await;
    assert_eq!(streams().await, before, "no stream was opened anew");
    assert!(nodes(guarded.holder("berth-viewer.query.unbound")).await.is_ok(), "the same authority");
    assert_eq!(worker.said().matches("not connected").count(), 0, "{}", worker.said());
    let stopped = tokio::time::timeout(Duration::from_secs(5), guarded.aggregator.stop()).await;
    assert!(stopped.is_ok());
}
