//! Traces: what a detector takes, recorded while it says what it finds, and replayed.

use berth::{
    trace::{ContainerUse, Entry, Header},
    wire::{self, agent_message},
};
use berth_core::{
    contention::{Cause, Episode, Input, Replay},
    time::AxisNsec,
    trace::Decoder,
};
use tonic::{Code, Streaming};

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene, TICK_NSEC, TICKS_PER_BATCH},
    server::{Server, until, within},
};

/// 30 s: quiet for 10 s, contended for 8, quiet again.
const BATCHES: u64 = 150;

/// Batches that are sent before what came of them is read: no recorder falls behind by them.
const BATCHES_AT_ONCE: u64 = 10;

fn request(node: &str, names: bool, threads: bool) -> wire::RecordTraceRequest {
    wire::RecordTraceRequest { node: node.to_owned(), names, threads }
}

async fn record(server: &Server, names: bool, threads: bool) -> Streaming<wire::TraceEntry> {
    let request = request("node-1", names, threads);
    server.traces().record(request).await.unwrap().into_inner()
}

async fn next(entries: &mut Streaming<wire::TraceEntry>) -> Entry {
    Entry::try_from(within("an entry", entries.message()).await.unwrap().unwrap()).unwrap()
}

/// A whole scene, recorded from before its first tick.
async fn recorded(server: &Server, names: bool) -> (Header, Vec<Entry>) {
    let scene = Scene::new("node-1", BATCHES, 100..180);
    let agent = Agent::hello(&server.channel, scene.hello(1, 1)).await;
    agent.resumed().await;
    let mut stream = record(server, names, false).await;
    let first = next(&mut stream).await;
    let Entry::Header(header) = first.clone() else { panic!("the first entry is {first:?}") };
    agent.name_series().await;
    let mut entries = vec![first];
    for first in (1..=BATCHES).step_by(usize::try_from(BATCHES_AT_ONCE).unwrap()) {
        let last = first + BATCHES_AT_ONCE - 1;
        agent.batches(&scene, first..=last).await;
        loop {
            let entry = next(&mut stream).await;
            let tick = if let Entry::Frame(frame) = &entry { Some(frame.tick) } else { None };
            entries.push(entry);
            if tick == Some(last * TICKS_PER_BATCH - 1) {
                break;
            }
        }
    }
    (*header, entries)
}

fn replay(entries: Vec<Entry>) -> (Vec<Input>, Vec<Episode>) {
    let mut entries = entries.into_iter();
    let mut decoder = Decoder::new(entries.next().unwrap()).unwrap();
    let mut replay = Replay::new(decoder.header().node.to_string());
    let inputs: Vec<Input> = entries.filter_map(|entry| decoder.decode(entry).unwrap()).collect();
    for input in inputs.clone() {
        replay.take(input);
    }
    (inputs, replay.finish())
}

async fn closed(server: &Server) -> wire::Episode {
    until("the episode to close", || async {
        let all = server.episodes().list(wire::ListEpisodesRequest::default()).await.unwrap().into_inner();
        all.episodes.into_iter().find(|episode| episode.cleared.is_some())
    })
    .await
}

fn axis(at: Option<prost_types::Timestamp>) -> Option<AxisNsec> {
    let at = at?;
    Some(AxisNsec(u64::try_from(at.seconds).unwrap() * 1_000_000_000 + u64::try_from(at.nanos).unwrap()))
}

/// The name of a value, as both sides spell it: `VERDICT_SELF_THROTTLED` is `SelfThrottled`.
fn word(wire: &str, prefix: &str) -> String {
    wire.strip_prefix(prefix).unwrap().to_lowercase().replace('_', "")
}

fn strict(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn assert_same(live: &wire::Episode, replayed: &Episode) {
    assert_eq!(live.id, replayed.id.to_string());
    assert_eq!((live.node.as_str(), live.saturated), (replayed.node.as_str(), replayed.saturated));
    assert_eq!(word(live.resource().as_str_name(), "RESOURCE_"), strict(replayed.resource));
    assert_eq!(word(live.verdict().as_str_name(), "VERDICT_"), strict(replayed.verdict));
    assert_eq!(word(live.severity().as_str_name(), "SEVERITY_"), strict(replayed.severity));
    assert_eq!(word(live.confidence().as_str_name(), "CONFIDENCE_"), strict(replayed.confidence));
    assert_eq!(word(live.tier().as_str_name(), "TIER_"), strict(replayed.tier));
    assert_eq!(
        [axis(live.onset), axis(live.alarm), axis(live.verdict_at), axis(live.cleared)],
        [Some(replayed.onset), Some(replayed.alarm), Some(replayed.verdict_at), replayed.cleared]
    );
    let slowdown = live.slowdown.unwrap();
    let bits = |values: [f64; 5]| values.map(f64::to_bits);
    assert_eq!(
        bits([slowdown.estimate, slowdown.lo, slowdown.hi, live.added_wait_msec_per_cpu_sec, live.coverage]),
        bits([
            replayed.slowdown.estimate,
            replayed.slowdown.lo,
            replayed.slowdown.hi,
            replayed.added_wait_msec_per_cpu_sec,
            replayed.coverage,
        ])
    );
    let live_shares = live.shares.iter().map(|share| {
        (share.who.as_ref().map(|who| (who.pod.clone(), who.cgroup.clone())), share.share.to_bits())
    });
    let replayed_shares = replayed.shares.iter().map(|share| {
        let who = if let Cause::Culprit(who) = &share.cause { Some(who) } else { None };
        (who.map(|who| (who.pod.clone(), who.cgroup.clone())), share.share.to_bits())
    });
    assert_eq!(live_shares.collect::<Vec<_>>(), replayed_shares.collect::<Vec<_>>());
    let live_evidence = live.evidence.iter().map(|one| (one.name.as_str(), one.value.to_bits()));
    let replayed_evidence = replayed.evidence.iter().map(|one| (one.name, one.value.to_bits()));
    assert_eq!(live_evidence.collect::<Vec<_>>(), replayed_evidence.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_says_to_the_last_bit_what_the_live_detector_said() {
    let server = Server::start(ROSTER).await;
    let (header, entries) = recorded(&server, true).await;
    assert_eq!((header.node.as_str(), header.facts.cpus, header.named), ("node-1", 2, true));
    let live = closed(&server).await;
    let (inputs, episodes) = replay(entries.clone());
    assert_eq!(episodes.len(), 1);
    assert_same(&live, &episodes[0]);
    assert_eq!(live.victim.unwrap().pod, episodes[0].victim.pod);
    assert_eq!(replay(entries), (inputs, episodes), "and says it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_names_a_trace_names_nobody_and_gives_the_same_verdict() {
    let server = Server::start(ROSTER).await;
    let (header, entries) = recorded(&server, false).await;
    assert_eq!((header.node.as_str(), header.named), ("node-1", false));
    let told = format!("{entries:?}");
    for name in ["prod", "batch", "model-0", "scan-0", "main", "\"model\"", "/scan"] {
        assert!(!told.contains(name), "{name} is told");
    }
    let live = closed(&server).await;
    let (_, episodes) = replay(entries);
    let hidden = &episodes[0];
    assert_ne!(hidden.id.to_string(), live.id, "an id tells a name to whoever can guess it");
    assert_eq!(word(live.verdict().as_str_name(), "VERDICT_"), strict(hidden.verdict));
    assert_eq!(axis(live.cleared), hidden.cleared);
    assert_eq!(live.shares[0].share.to_bits(), hidden.shares[0].share.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_heard_of_and_one_recording_too_many_are_refused() {
    let server = Server::start(ROSTER).await;
    let ask = |node: &str| {
        let request = request(node, false, false);
        let mut traces = server.traces();
        async move { traces.record(request).await }
    };
    assert_eq!(ask("node-9").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(ask("no node").await.unwrap_err().code(), Code::InvalidArgument);
    let _agent = Agent::play(&server.channel, &Scene::new("node-1", 1, 0..0), 1).await;
    let mut recordings = Vec::new();
    let refused = loop {
        match ask("node-1").await {
            Ok(recording) => recordings.push(recording),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), recordings.len()), (Code::ResourceExhausted, 4));
    recordings.clear();
    until("a place", || async { ask("node-1").await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_ends_with_the_aggregator_and_says_why() {
    let server = Server::start(ROSTER).await;
    let _agent = Agent::play(&server.channel, &Scene::new("node-1", 1, 0..0), 1).await;
    let mut stream = record(&server, true, false).await;
    assert!(matches!(next(&mut stream).await, Entry::Header(_)));
    server.aggregator.stop().await;
    let end = within("the end", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => break other,
            }
        }
    });
    assert_eq!(end.await.unwrap_err().code(), Code::Unavailable);
}

/// What thread 41 of the model did around a tick of the scene.
fn raw(scene: &Scene, tick: u64) -> agent_message::Message {
    let threads = wire::ThreadReadings { tid: vec![41], run_nsec: vec![tick], wait_nsec: vec![9] };
    let at_nsec = scene.began_nsec + tick * TICK_NSEC;
    let of = wire::ContainerThreads { series: 4, at_nsec, dt_nsec: 20_000_000, threads: Some(threads) };
    agent_message::Message::RawThreads(wire::RawThreads { lost: 0, containers: vec![of] })
}

fn is_raw(entry: &Entry) -> bool {
    matches!(entry, Entry::RawThreads(_))
}

/// What each tick says of its containers.
fn frames(entries: &[Entry]) -> Vec<(u64, &[ContainerUse])> {
    let frames = entries.iter().filter_map(|entry| match entry {
        Entry::Frame(frame) => Some((frame.tick, frame.containers.as_slice())),
        _ => None,
    });
    frames.collect()
}

async fn hears_raw(agent: &Agent, asked: bool) {
    until("the Focus", || async { (agent.heard().raw_threads == asked).then_some(()) }).await;
}

/// The entries up to a frame's tick.
async fn until_tick(entries: &mut Streaming<wire::TraceEntry>, last: u64) -> Vec<Entry> {
    let mut heard = Vec::new();
    loop {
        heard.push(next(entries).await);
        if matches!(heard.last(), Some(Entry::Frame(frame)) if frame.tick == last) {
            return heard;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_threads_reach_the_recording_that_asked_for_them_and_end_with_it() {
    let server = Server::start(ROSTER).await;
    let scene = Scene::new("node-1", 20, 0..0);
    let agent = Agent::hello(&server.channel, scene.hello(1, 1)).await;
    agent.resumed().await;
    let mut plain = record(&server, false, false).await;
    agent.name_series().await;
    agent.batches(&scene, 1..=1).await;
    until("the Focus", || async { agent.heard().focus }).await;
    assert!(!agent.heard().raw_threads);
    // Nobody asked for these.
    agent.say(raw(&scene, 1)).await;
    agent.batches(&scene, 2..=2).await;
    assert!(!until_tick(&mut plain, 3).await.iter().any(is_raw));

    let mut threads = record(&server, false, true).await;
    let Entry::Header(header) = next(&mut threads).await else { panic!("the first entry is a header") };
    assert!(header.threads);
    hears_raw(&agent, true).await;
    agent.say(raw(&scene, 5)).await;
    agent.batches(&scene, 3..=3).await;
    agent.say(raw(&scene, 6)).await;
    agent.batches(&scene, 4..=4).await;
    let (mut with, without) = (until_tick(&mut threads, 7).await, until_tick(&mut plain, 7).await);
    // What single threads did comes behind the ticks of its round.
    while with.iter().filter(|entry| is_raw(entry)).count() < 2 {
        with.push(next(&mut threads).await);
    }
    let read = with.iter().filter_map(|entry| match entry {
        Entry::RawThreads(raw) => Some((raw.key.get(), raw.threads[0].tid, raw.threads[0].run_nsec)),
        _ => None,
    });
    assert_eq!(read.collect::<Vec<_>>(), [(2, 41, 5), (2, 41, 6)]);
    assert_eq!(frames(&with), frames(&without), "the detector's input is the same");

    drop(threads);
    hears_raw(&agent, false).await;
    agent.say(raw(&scene, 9)).await;
    for seq in 5..=6 {
        agent.batches(&scene, seq..=seq).await;
        let without = until_tick(&mut plain, seq * TICKS_PER_BATCH - 1).await;
        assert!(!without.iter().any(is_raw), "the other recording did not ask for them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_threads_wait_can_be_read_a_recording_of_them_is_refused() {
    let server = Server::start(ROSTER).await;
    let mut hello = Scene::new("node-1", 1, 0..0).hello(1, 1);
    hello.facts.as_mut().unwrap().thread_waits = false;
    let agent = Agent::hello(&server.channel, hello).await;
    agent.resumed().await;
    let refused = server.traces().record(request("node-1", false, true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(server.traces().record(request("node-1", false, false)).await.is_ok());
}
