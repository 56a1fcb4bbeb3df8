//! The way through a cluster: real TLS, real gRPC, real HTTP, with the forwarded port replaced by a
//! plain one of this machine.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use berth::wire;
use berth::wire::episodes_client::EpisodesClient;
use berth_cli::cluster::{Account, Cluster, Dial, GRPC_PORT, Stream};
use berth_cli::connect::Server;
use berth_cli::exit::Failure;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::{Endpoint, Identity};

use crate::aggregator::{Aggregator, Script, port};
use crate::api::{Api, BERTH};
use crate::program::{DEADLINE, berth, kubectl_berth, run};
use crate::sample;
use crate::target::Target;

/// The name that the aggregator's certificate bears.
const HOST: &str = "berth-aggregator.berth-system.svc";

/// Ports of this machine in place of the aggregator's.
#[derive(Debug)]
struct Loopback {
    grpc: SocketAddr,
    http: SocketAddr,
}

#[tonic::async_trait]
impl Dial for Loopback {
    async fn open(&self, port: u16) -> Result<Stream, Failure> {
        let address = if port == GRPC_PORT { self.grpc } else { self.http };
        Ok(Box::new(TcpStream::connect(address).await.unwrap()))
    }
}

fn signed() -> (String, Identity) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    (made.cert.pem(), Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem()))
}

fn script() -> Script {
    Script { models: vec![sample::model()], ..Script::default() }
}

/// One that works on while it is asked to wait; the others' are not its own, so that they may be dropped.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The API server's cluster, with these ports in place of the aggregator's.
async fn cluster(api: &Api, grpc: SocketAddr, http: SocketAddr) -> Cluster {
    let kubeconfig = Kubeconfig::read_from(api.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    Cluster::dialling(client, Arc::new(Loopback { grpc, http }), "test", "berth-system")
}

async fn connected(api: &Api, socket: &TcpListener) -> Result<Server, Failure> {
    let address = socket.local_addr().unwrap();
    cluster(api, address, address).await.connect(Account::Viewer).await
}

async fn models(server: &Server) -> Result<usize, tonic::Status> {
    let answer = server.episodes().list_models(wire::ListModelsRequest::default()).await?;
    Ok(answer.into_inner().models.len())
}

#[test]
fn a_question_travels_over_tls_with_a_viewers_token_for_the_aggregator_alone() {
    let (ca, identity) = signed();
    let (socket, api, runtime) = (port(), Api::start(), runtime());
    let aggregator = Aggregator::on(&socket, script(), Some(identity));
    api.installed(&ca, 600);
    let server = runtime.block_on(connected(&api, &socket)).unwrap();
    for _ in 0..2 {
        assert_eq!(runtime.block_on(models(&server)).unwrap(), 1);
    }
    assert_eq!(aggregator.bearers(), ["Bearer berth-viewer"; 2]);
    let requests = api.bodies();
    assert_eq!(requests.len(), 1, "one token for both questions");
    assert_eq!(requests[0]["spec"]["audiences"], json!(["berth.query"]));
    assert_eq!(requests[0]["spec"]["expirationSeconds"], 600);
}

#[test]
fn a_token_near_its_end_is_renewed_before_the_next_question() {
    let (ca, identity) = signed();
    let (socket, api, runtime) = (port(), Api::start(), runtime());
    let _aggregator = Aggregator::on(&socket, script(), Some(identity));
    api.installed(&ca, 0);
    let server = runtime.block_on(connected(&api, &socket)).unwrap();
    for _ in 0..2 {
        runtime.block_on(models(&server)).unwrap();
    }
    assert_eq!(api.bodies().len(), 3, "at the connection, and at each question");
    api.forbid(&format!("POST {BERTH}/serviceaccounts/berth-viewer/token"));
    let refused = runtime.block_on(models(&server)).unwrap_err();
    assert!(refused.message().contains("you may not create serviceaccounts/token"), "{refused}");
}

#[test]
fn a_token_that_is_still_good_serves_while_the_cluster_gives_no_other() {
    let (ca, identity) = signed();
    let (socket, api, runtime) = (port(), Api::start(), runtime());
    let _aggregator = Aggregator::on(&socket, script(), Some(identity));
    api.installed(&ca, 600);
    let server = runtime.block_on(connected(&api, &socket)).unwrap();
    api.forbid(&format!("POST {BERTH}/serviceaccounts/berth-viewer/token"));
    runtime.block_on(async {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(500)).await;
        tokio::time::resume();
    });
    assert_eq!(runtime.block_on(models(&server)).unwrap(), 1, "it is wanted anew from 400 s on");
}

#[test]
fn another_pod_of_the_aggregator_is_reached_by_the_same_connection() {
    let (ca, identity) = signed();
    let (socket, api, runtime) = (port(), Api::start(), runtime());
    let first = Aggregator::on(&socket, script(), Some(identity.clone()));
    api.installed(&ca, 600);
    let server = runtime.block_on(connected(&api, &socket)).unwrap();
    assert_eq!(runtime.block_on(models(&server)).unwrap(), 1);
    drop(first);
    let _second = Aggregator::on(&socket, Script::default(), Some(identity));
    let back = async { while models(&server).await.is_err() {} };
    runtime.block_on(async { tokio::time::timeout(DEADLINE, back).await }).unwrap();
    assert_eq!(runtime.block_on(models(&server)).unwrap(), 0, "the second has none");
}

#[test]
fn an_aggregator_with_another_certificate_is_not_believed() {
    let (_, identity) = signed();
    let (other, _) = signed();
    let (socket, api, runtime) = (port(), Api::start(), runtime());
    let aggregator = Aggregator::on(&socket, script(), Some(identity));
    api.installed(&other, 600);
    let refused = runtime.block_on(connected(&api, &socket)).unwrap_err().to_string();
    assert!(refused.contains("cannot reach berth-aggregator of context test"), "{refused}");
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(aggregator.bearers(), [""; 0], "no token was shown to it");
}

/// What the binary says, with a kubeconfig of this API server.
fn ask(api: &Api, args: &[&str]) -> (Option<i32>, String, String) {
    let kubeconfig = api.kubeconfig();
    let ended = run(berth(&[args, &["--kubeconfig", kubeconfig.to_str().unwrap()]].concat()));
    (ended.code, ended.stdout, ended.stderr)
}

#[test]
fn whatever_the_way_lacks_is_one_line_with_its_mend() {
    let (ca, _) = signed();
    let api = Api::start();
    let tokens = format!("POST {BERTH}/serviceaccounts/berth-viewer/token");
    let mut lines = Vec::new();
    let mut say = |api: &Api| {
        let (code, stdout, stderr) = ask(api, &["report"]);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(3), "", 1), "{stderr}");
        lines.push(stderr);
    };
    say(&api);
    say(api.forbid(&tokens));
    say(api.installed("", 600));
    say(api.installed(&ca, 600).forbid(&format!("GET {BERTH}/pods")));
    say(api.list(&format!("{BERTH}/pods"), &json!([])));
    let waiting = json!({"metadata": {"name": "berth-aggregator-x"}, "status": {"phase": "Pending"}});
    say(api.list(&format!("{BERTH}/pods"), &json!([waiting])));
    let ready = json!({"metadata": {"name": "berth-aggregator-x"}, "status": {"conditions": [
        {"type": "Ready", "status": "True"}
    ]}});
    api.list(&format!("{BERTH}/pods"), &json!([ready]));
    say(api.forbid(&format!("GET {BERTH}/pods/berth-aggregator-x/portforward")));
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn the_plugin_asks_through_a_port_that_the_api_server_forwards() {
    let (ca, identity) = signed();
    let (socket, api) = (port(), Api::start());
    let node = wire::NodeStatus {
        node: "node-1".to_owned(),
        connected: true,
        facts: Some(wire::NodeFacts { thread_waits: true, pressure: true, ..wire::NodeFacts::default() }),
        ..wire::NodeStatus::default()
    };
    let aggregator = Aggregator::on(&socket, Script { nodes: vec![node], ..script() }, Some(identity));
    api.installed(&ca, 600).forward("berth-aggregator-x", socket.local_addr().unwrap());
    api.list("/api/v1/nodes", &json!([{"metadata": {"name": "node-1"}}]));
    let plugin = |args: &[&str]| {
        let mut command = kubectl_berth(args);
        command.env("KUBECONFIG", api.kubeconfig());
        let ended = run(command);
        assert_eq!(ended.stderr, "", "{args:?}");
        (ended.code, ended.stdout)
    };
    let (code, stdout) = plugin(&["report", "-o", "name"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "pod/ref-models-x1\n"));
    let (code, stdout) = plugin(&["status"]);
    assert_eq!(code, Some(0), "all is green: {stdout}");
    insta::assert_snapshot!(stdout);
    let bearers = aggregator.bearers();
    assert!(
        !bearers.is_empty() && bearers.iter().all(|bearer| bearer == "Bearer berth-viewer"),
        "{bearers:?}"
    );
}

#[test]
fn a_context_that_is_not_there_is_a_usage_error() {
    let (code, _, stderr) = ask(&Api::start(), &["report", "--context", "prod"]);
    assert_eq!(code, Some(2));
    assert_eq!(stderr, "error: the kubeconfig has no context prod: it has test\n");
}

#[test]
fn a_server_is_no_cluster_to_lead_to_or_to_look_for_labels_in() {
    for command in [&["proxy"][..], &["uninstall", "--check"]] {
        let ended = run(berth(&[command, &["--server", "http://127.0.0.1:1"]].concat()));
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("give --context instead"), "{}", ended.stderr);
    }
}

#[test]
fn the_plugin_reads_the_kubeconfig_and_both_programs_take_a_server_instead() {
    let mut command = kubectl_berth(&["report"]);
    command.env("KUBECONFIG", "/nonexistent/config");
    let ended = run(command);
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(2), 1), "{}", ended.stderr);
    assert!(ended.stderr.contains("/nonexistent/config"), "{}", ended.stderr);
    let both = run(berth(&["report", "--server", "http://127.0.0.1:1", "--context", "test"]));
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("give one of them"), "{}", both.stderr);
}

#[test]
fn a_cluster_without_an_aggregator_has_a_status_all_the_same() {
    let api = Api::start();
    api.list(&format!("{BERTH}/pods"), &json!([]))
        .list("/api/v1/nodes", &json!([{"metadata": {"name": "node-a"}}]));
    let (code, stdout, stderr) = ask(&api, &["status"]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    insta::assert_snapshot!(stdout);
}

#[test]
fn what_is_left_behind_is_named_and_exits_1() {
    let api = Api::start();
    for path in [
        "/api/v1/namespaces",
        "/api/v1/pods",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/statefulsets",
        "/apis/apps/v1/daemonsets",
        "/apis/batch/v1/jobs",
        "/apis/batch/v1/cronjobs",
    ] {
        api.list(path, &json!([]));
    }
    api.list("/api/v1/nodes", &json!([{"metadata": {"name": "node-a", "labels": {"zone": "z"}}}]));
    let (code, stdout, stderr) = ask(&api, &["uninstall", "--check"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "nothing is left\n"));
    let is_noted = |stderr: &str| stderr.lines().count() == 1 && stderr.contains("under a key of your own");
    assert!(is_noted(&stderr), "{stderr}");
    let own = json!({"metadata": {"name": "w", "namespace": "berth-system", "labels": {"berth.dev/role": "model"}}});
    api.list("/api/v1/pods", &json!([own]));
    api.list("/api/v1/nodes", &json!([{"metadata": {"name": "node-a", "labels": {"node_for": "models"}}}]));
    let (code, stdout, stderr) = ask(&api, &["uninstall", "--check", "-o", "yaml"]);
    assert_eq!(code, Some(1));
    assert!(is_noted(&stderr), "{stderr}");
    insta::assert_snapshot!(stdout);
}

async fn page(address: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_proxied_port_adds_the_token_to_grpc_and_serves_pages_to_this_machine_only() {
    let (ca, identity) = signed();
    let (socket, api, runtime) = (port(), Api::start(), runtime());
    let aggregator = Aggregator::on(&socket, script(), Some(identity));
    let pages = Target::answering("200 OK");
    api.installed(&ca, 600);
    runtime.block_on(async {
        let cluster = cluster(&api, socket.local_addr().unwrap(), pages.address()).await;
        let server = cluster.connect(Account::Operator).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move { berth_cli::proxy::serve(listener, &server, cluster).await });

        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = EpisodesClient::new(endpoint.connect().await.unwrap());
        let answer = client.list_models(wire::ListModelsRequest::default()).await.unwrap();
        assert_eq!(answer.into_inner().models.len(), 1);
        let missing = client.get(wire::GetEpisodeRequest { id: "ff".to_owned() }).await.unwrap_err();
        assert_eq!(missing.code(), tonic::Code::NotFound, "a refusal passes through as it is");
        assert_eq!(aggregator.bearers(), ["Bearer berth-operator"; 2]);

        let served = page(address, "localhost:7700").await;
        assert!(served.starts_with("HTTP/1.1 200 OK") && served.contains("predictions"), "{served}");
        let refused = page(address, "evil.example").await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    });
}
