//! The real program: its exit codes, its signals, and what a kill costs.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use berth::wire::{self, samples_client::SamplesClient};
use berth_kit::{DEADLINE, Running, wait_for};
use tonic::transport::Channel;

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene, VALUES_PER_TICK},
    server::{channel, until, within},
};

const BATCHES: u64 = 40;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_berth-aggregator"))
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program().args(args).stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn start(directory: &Path, address: &str) -> (Running, String) {
    let config = directory.join("berth.yaml");
    fs::write(&config, ROSTER).unwrap();
    let mut command = program();
    command.args(["--http", "127.0.0.1:0", "--listen", address, "--config"]).arg(config);
    command.arg("--data-dir").arg(directory);
    let mut running = Running::start(&mut command, directory.join("aggregator.log"));
    let address = running.listening("grpc ");
    running.listening("http ");
    (running, address)
}

async fn model_cpu(channel: &Channel) -> Vec<i64> {
    let request = wire::RangeRequest {
        filter: Some(wire::SubjectFilter { pod: "model-0".into(), ..Default::default() }),
        groups: vec![wire::Group::ContainerCpu.into()],
        ..Default::default()
    };
    let Ok(stream) = SamplesClient::new(channel.clone()).range(request).await else { return Vec::new() };
    let mut stream = stream.into_inner();
    let mut read = Vec::new();
    while let Some(chunk) = within("a chunk", stream.message()).await.unwrap() {
        read.extend(crate::samples::values(&chunk));
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_aggregator_asks_for_what_it_lost_and_has_each_sample_once() {
    let directory = tempfile::tempdir().unwrap();
    let (first, address) = start(directory.path(), "127.0.0.1:0");
    let scene = Scene::new("node-1", BATCHES, 0..0);
    let channel = channel(address.parse().unwrap());
    let before = Agent::play(&channel, &scene, BATCHES / 2).await;
    let half: Vec<i64> = (0..BATCHES).map(Scene::model_usec).collect();
    until("the first half", || async { (model_cpu(&channel).await == half).then_some(()) }).await;
    first.kill();
    before.ended().await;

    let (second, _) = start(directory.path(), &address);
    let after = until("the new aggregator", || async {
        let agent = Agent::hello(&channel, scene.hello(1, BATCHES + 1)).await;
        until("an answer", || async {
            let heard = agent.heard();
            (heard.resume.is_some() || heard.end.is_some()).then_some(())
        })
        .await;
        agent.heard().resume.map(|from| (agent, from))
    })
    .await;
    let (agent, from) = after;
    assert_eq!(from, 1, "a new aggregator asks for all that the agent has");
    agent.name_series().await;
    // The last of what was sent before comes twice, as after a reconnect.
    agent.batches(&scene, 1..=BATCHES).await;
    agent.batches(&scene, BATCHES..=BATCHES).await;
    let all: Vec<i64> = (0..BATCHES * 2).map(Scene::model_usec).collect();
    until("every sample", || async { (model_cpu(&channel).await == all).then_some(()) }).await;
    let status = until("the repeat", || async {
        let nodes = SamplesClient::new(channel.clone()).list_nodes(wire::ListNodesRequest {}).await.ok()?;
        nodes.into_inner().nodes.pop().filter(|status| status.values_repeated > 0)
    })
    .await;
    let total = BATCHES * 2 * VALUES_PER_TICK;
    assert_eq!((status.values_stored, status.values_repeated), (total, 2 * VALUES_PER_TICK));
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_aggregator_ends_well_although_streams_are_open() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("berth.yaml");
    fs::write(&config, ROSTER).unwrap();
    let log = directory.path().join("log");
    let mut command = program();
    command.args(["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--config"]).arg(&config);
    command.arg("--data-dir").arg(directory.path().join("data"));
    let mut child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let address = wait_for("its address", DEADLINE, || {
        let said = fs::read_to_string(&log).unwrap();
        let line = said
            .split_inclusive('\n')
            .find(|line| line.ends_with('\n') && line.contains("grpc listening on"));
        line.and_then(|line| line.split_whitespace().last()).map(str::to_owned)
    });
    let contended = Scene::new("node-1", 150, 100..180);
    let agent = Agent::play(&channel(address.parse().unwrap()), &contended, 150).await;
    let lines = directory.path().join("data/episodes.jsonl");
    until("the closed episode's line", || async {
        let text = fs::read_to_string(&lines).unwrap_or_default();
        (text.ends_with('\n') && text.contains("\"verdict\":\"neighbour\"")).then_some(())
    })
    .await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = wait_for("its end", Duration::from_secs(5), || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(agent.ended().await.code(), tonic::Code::Unavailable);
}

#[test]
fn what_cannot_start_says_in_one_line_why_and_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("berth.yaml");
    fs::write(&config, "load:\n  max_rate_per_second: 5\n").unwrap();
    let (code, said) = refused(&["--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("line 2") && said.contains("max_rate_per_sec"), "{said}");

    let (code, said) = refused(&["--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--tls-cert"), "{said}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for flag in ["--listen", "--http"] {
        let other = if flag == "--listen" { "--http" } else { "--listen" };
        let (code, said) = refused(&[flag, &format!("127.0.0.1:{port}"), other, "127.0.0.1:0"]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(&format!("port {port} is in use")) && said.contains(flag), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }

    let (code, said) = refused(&["--tls-cert", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("/nowhere/cert.pem"), "{said}");
}
