//! Load runs with hand-played workers: the barrier, the merge, the losses.

use berth::{
    Latencies,
    wire::{self, run_event::Event, run_spec::Model},
};
use tonic::{Code, Status, Streaming};

use crate::{
    server::{Server, until, within},
    worker::Worker,
};

const HOUR_NSEC: u64 = 3_600_000_000_000;

/// Workers that do not get ready are waited for only shortly here.
const IMPATIENT: &str = "load: {max_rate_per_sec: 1000, max_duration_sec: 60, prepare_timeout_sec: 0.3}";

fn payload() -> Vec<u8> {
    let mut bytes = Vec::new();
    for body in [&b"{\"instances\":[[1]]}"[..], b"{}"] {
        berth::columns::put_unsigned(&mut bytes, u64::try_from(body.len()).unwrap());
        bytes.extend_from_slice(body);
    }
    bytes
}

async fn put(server: &Server, bytes: Vec<u8>) -> Result<wire::PutPayloadResponse, Status> {
    let chunks: Vec<_> =
        bytes.chunks(7).map(|data| wire::PayloadChunk { data: data.to_vec().into() }).collect();
    server.load().put_payload(tokio_stream::iter(chunks)).await.map(tonic::Response::into_inner)
}

fn spec(sha256: &bytes::Bytes, workers: u32) -> wire::RunSpec {
    wire::RunSpec {
        target_url: "http://model:8080/predict".into(),
        model: Some(steady(100.0)),
        duration_sec: 2.0,
        connections: 4,
        request_timeout_sec: 1.0,
        drain_sec: 1.0,
        payload_sha256: sha256.clone(),
        check: wire::ResponseCheck::Status.into(),
        workers,
        on_loss: wire::LossPolicy::Abort.into(),
        requests: 0,
        method: String::new(),
        headers: Vec::new(),
    }
}

fn steady(rate_per_sec: f64) -> Model {
    Model::Open(wire::OpenModel { rate_per_sec, ..Default::default() })
}

async fn try_start(server: &Server, spec: wire::RunSpec) -> Result<wire::Run, Status> {
    let request = wire::StartRunRequest { spec: Some(spec) };
    server.load().start(request).await.map(tonic::Response::into_inner)
}

/// Starts it once its workers are there.
async fn start(server: &Server, spec: wire::RunSpec) -> wire::Run {
    until("enough free workers", || async {
        match try_start(server, spec.clone()).await {
            Ok(run) => Some(run),
            Err(status) if status.message().contains("load workers are needed") => None,
            Err(status) => panic!("{status}"),
        }
    })
    .await
}

async fn get(server: &Server, id: &str) -> wire::Run {
    server.load().get(wire::GetRunRequest { id: id.to_owned() }).await.unwrap().into_inner()
}

async fn ended(server: &Server, id: &str) -> wire::Run {
    until("the run to end", || async {
        Some(get(server, id).await)
            .filter(|run| !matches!(run.state(), wire::RunState::Preparing | wire::RunState::Running))
    })
    .await
}

async fn watch(server: &Server, id: &str) -> Streaming<wire::RunEvent> {
    server.load().watch(wire::WatchRunRequest { id: id.to_owned() }).await.unwrap().into_inner()
}

fn verdict(run: &wire::Run) -> (wire::GeneratorVerdict, &str) {
    let generator = run.generator.as_ref().unwrap();
    (generator.verdict(), &generator.reason)
}

fn sent(counts: Option<&wire::Counts>) -> u64 {
    counts.unwrap().sent
}

/// Two workers, both told to begin.
async fn running(server: &Server, spec: wire::RunSpec) -> (wire::Run, [Worker; 2]) {
    let channel = &server.channel;
    let mut workers = [Worker::join(channel, "w-1", 0).await, Worker::join(channel, "w-2", HOUR_NSEC).await];
    let run = start(server, spec).await;
    for worker in &mut workers {
        worker.prepared().await;
    }
    for worker in &mut workers {
        worker.ready(&run.id).await;
    }
    let [one, two] = &mut workers;
    let (first, second) = (one.begun().await, two.begun().await);
    let apart = first.abs_diff(second);
    assert!(apart < 20_000_000, "workers whose clocks differ by an hour begin {apart} ns apart");
    (run, workers)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_begin_together_and_their_seconds_merge_exactly() {
    let server = Server::start("").await;
    let stored = put(&server, payload()).await.unwrap();
    assert_eq!(stored.rows, 2);
    let (run, [one, two]) = running(&server, spec(&stored.sha256, 2)).await;

    let request = wire::GetPayloadRequest { sha256: stored.sha256.clone() };
    let mut chunks = server.workers().get_payload(request).await.unwrap().into_inner();
    assert_eq!(chunks.message().await.unwrap().unwrap().data, payload());

    let mut events = watch(&server, &run.id).await;
    // The second second comes before the first of the other worker, and one comes twice.
    for (worker, seq, count) in [(&one, 0, 10), (&one, 1, 20), (&two, 0, 3), (&two, 0, 3), (&two, 1, 4)] {
        worker.interval(&run.id, seq, count).await;
    }
    one.report(&run.id, 2, 30).await;
    two.report(&run.id, 2, 7).await;
    let mut seconds = Vec::new();
    let end = loop {
        match within("an event", events.message()).await.unwrap().unwrap().event.unwrap() {
            Event::Interval(second) => seconds.push((second.seq, sent(second.counts.as_ref()))),
            Event::Run(run) if run.state() == wire::RunState::Done => break run,
            Event::Run(_) => {}
        }
    };
    assert_eq!(seconds, [(0, 13), (1, 24)]);
    assert!(within("the end", events.message()).await.unwrap().is_none());
    assert_eq!(verdict(&end), (wire::GeneratorVerdict::Ok, ""));
    let totals = end.totals.as_ref().unwrap();
    let response = Latencies::decode("hdr", &totals.histograms.as_ref().unwrap().response_hdr).unwrap();
    assert_eq!((sent(totals.counts.as_ref()), response.count()), (37, 37));
    assert!(end.started.is_some() && end.ended.is_some());

    let again = watch(&server, &run.id).await.message().await.unwrap().unwrap();
    assert!(matches!(again.event, Some(Event::Run(again)) if again == end), "an ended run can be watched");
    let stopped = server.load().stop(wire::StopRunRequest { id: run.id.clone() }).await.unwrap().into_inner();
    assert_eq!(stopped, end, "stopping an ended run changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_goes_away_fails_the_run_or_leaves_it_limited() {
    let server = Server::start("").await;
    let sha256 = put(&server, payload()).await.unwrap().sha256;
    let (run, [mut one, two]) = running(&server, spec(&sha256, 2)).await;
    drop(two);
    let failed = ended(&server, &run.id).await;
    assert_eq!(failed.state(), wire::RunState::Failed);
    assert!(failed.reason.contains("w-2 was lost"), "{}", failed.reason);
    assert!(failed.workers.iter().any(|worker| worker.id == "w-2" && worker.lost));
    one.stopped().await;
    one.report(&run.id, 0, 0).await;

    let degrade = wire::RunSpec { on_loss: wire::LossPolicy::Degrade.into(), ..spec(&sha256, 2) };
    drop(one);
    let (run, [one, two]) = running(&server, degrade).await;
    one.interval(&run.id, 0, 5).await;
    drop(two);
    one.report(&run.id, 1, 5).await;
    let limited = ended(&server, &run.id).await;
    assert_eq!(limited.state(), wire::RunState::Done);
    let (verdict, reason) = verdict(&limited);
    assert_eq!(verdict, wire::GeneratorVerdict::Limited);
    assert!(reason.contains("w-2 was lost"), "{reason}");
    assert_eq!(sent(limited.totals.unwrap().counts.as_ref()), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_report_that_is_not_the_sum_of_its_intervals_makes_the_run_invalid() {
    let server = Server::start("").await;
    let sha256 = put(&server, payload()).await.unwrap().sha256;
    let (run, [one, two]) = running(&server, spec(&sha256, 2)).await;
    one.interval(&run.id, 0, 5).await;
    two.interval(&run.id, 0, 5).await;
    one.report(&run.id, 1, 5).await;
    two.report(&run.id, 1, 6).await;
    let end = ended(&server, &run.id).await;
    let (verdict, reason) = verdict(&end);
    assert_eq!((end.state(), verdict), (wire::RunState::Done, wire::GeneratorVerdict::Invalid));
    assert!(reason.contains("w-2"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_get_ready_is_named() {
    let server = Server::start(IMPATIENT).await;
    let sha256 = put(&server, payload()).await.unwrap().sha256;
    let mut one = Worker::join(&server.channel, "w-1", 0).await;
    let mut two = Worker::join(&server.channel, "w-2", 0).await;
    let run = start(&server, spec(&sha256, 2)).await;
    one.prepared().await;
    two.prepared().await;
    one.ready(&run.id).await;
    let end = ended(&server, &run.id).await;
    assert_eq!((end.state(), end.reason.as_str()), (wire::RunState::Failed, "not ready within 0.3 s: w-2"));
    one.stopped().await;
    two.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_may_not_start_says_why() {
    let server = Server::start(IMPATIENT).await;
    let sha256 = put(&server, payload()).await.unwrap().sha256;
    let _worker = Worker::join(&server.channel, "w-1", 0).await;
    let refused = |spec| async { try_start(&server, spec).await.unwrap_err() };

    let many = refused(spec(&sha256, 9)).await;
    assert_eq!(many.code(), Code::InvalidArgument, "fewer connections than workers: {many}");
    assert!(many.message().contains("4 over 9 workers"), "{many}");
    let wide = refused(wire::RunSpec { connections: 40_001, ..spec(&sha256, 2) }).await;
    assert!(wide.message().contains("40001 over 2 workers: give each worker from 1 to 20000"), "{wide}");
    let closed = Some(Model::Closed(wire::ClosedModel { in_flight: 5 }));
    let crowded = refused(wire::RunSpec { model: closed, ..spec(&sha256, 1) }).await;
    assert_eq!(crowded.code(), Code::InvalidArgument);
    assert!(crowded.message().contains("5 over 1 workers with 4 connections"), "{crowded}");
    let few = refused(wire::RunSpec { connections: 9, ..spec(&sha256, 9) }).await;
    assert_eq!(few.code(), Code::FailedPrecondition);
    assert!(few.message().contains("9 load workers are needed"), "{few}");
    let unknown = refused(spec(&vec![0; 32].into(), 1)).await;
    assert_eq!(unknown.code(), Code::FailedPrecondition);
    let fast = Some(steady(1_001.0));
    let fast = refused(wire::RunSpec { model: fast, ..spec(&sha256, 1) }).await;
    assert!(
        fast.code() == Code::InvalidArgument && fast.message().contains("load.max_rate_per_sec"),
        "{fast}"
    );
    let long = refused(wire::RunSpec { duration_sec: 61.0, ..spec(&sha256, 1) }).await;
    assert!(long.message().contains("load.max_duration_sec"), "{long}");

    let run = start(&server, spec(&sha256, 1)).await;
    let busy =
        refused(wire::RunSpec { target_url: "http://MODEL:8080/other".into(), ..spec(&sha256, 1) }).await;
    assert_eq!(busy.code(), Code::FailedPrecondition);
    assert!(busy.message().contains(&run.id), "{busy}");

    let torn = put(&server, vec![200]).await.unwrap_err();
    assert!(torn.code() == Code::InvalidArgument && torn.message().contains("payload"), "{torn}");
    let nobody = server.load().get(wire::GetRunRequest { id: "no run".into() }).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_counts_what_was_sent_and_frees_its_workers() {
    let server = Server::start("").await;
    let sha256 = put(&server, payload()).await.unwrap().sha256;
    let (run, mut workers) = running(&server, spec(&sha256, 2)).await;
    for worker in &workers {
        worker.interval(&run.id, 0, 8).await;
    }
    let mut load = server.load();
    let stopping = load.stop(wire::StopRunRequest { id: run.id.clone() });
    let playing = async {
        for worker in &mut workers {
            worker.stopped().await;
            worker.report(&run.id, 1, 8).await;
        }
    };
    let (stopped, ()) = tokio::join!(stopping, playing);
    let stopped = stopped.unwrap().into_inner();
    assert_eq!(stopped.state(), wire::RunState::Stopped);
    assert_eq!(sent(stopped.totals.unwrap().counts.as_ref()), 16);
    start(&server, spec(&sha256, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_contract_is_closed_and_a_newer_one_takes_over() {
    let server = Server::start("").await;
    let sha256 = put(&server, payload()).await.unwrap().sha256;
    let (run, [mut one, mut two]) = running(&server, spec(&sha256, 2)).await;
    one.interval(&run.id, 1_000, 1).await;
    let end = one.told().await.unwrap_err();
    assert_eq!(end.code(), Code::InvalidArgument);
    assert!(end.message().contains("interval.seq"), "{end}");
    assert_eq!(ended(&server, &run.id).await.state(), wire::RunState::Failed);
    two.stopped().await;
    let _newer = Worker::join(&server.channel, "w-2", 0).await;
    assert_eq!(two.told().await.unwrap_err().code(), Code::Aborted);
}
