//! Single threads, from the kernel into a recording, and not a moment longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth::{
    trace::{Entry, RawThreads},
    wire,
};
use berth_kit::{DEADLINE, wait_for};
use tokio::time::timeout;
use tonic::Streaming;

use crate::node::Node;

/// Readings of threads to wait for: more than a second of a process that sleeps most of the time.
const READINGS: usize = 20;

async fn next(entries: &mut Streaming<wire::TraceEntry>) -> Entry {
    let entry = timeout(DEADLINE, entries.message()).await.unwrap().unwrap().unwrap();
    Entry::try_from(entry).unwrap()
}

#[test]
fn a_real_threads_numbers_reach_the_recording_and_end_with_it() {
    let Some(node) = Node::start() else { return };
    let asked = "somebody records single threads";
    let over = "nobody records single threads any more";
    let mut traces = node.traces();
    let mut record = |threads| {
        let request = wire::RecordTraceRequest { node: "node-1".to_owned(), names: true, threads };
        wait_for("a recording", DEADLINE, || node.runtime.block_on(traces.record(request.clone())).ok())
    };
    let mut plain = record(false).into_inner();
    let mut entries = record(true).into_inner();
    let heard: Vec<RawThreads> = node.runtime.block_on(async {
        let Entry::Header(header) = next(&mut entries).await else { panic!("the first entry is a header") };
        assert!(header.threads && header.facts.thread_waits, "{header:?}");
        let mut heard = Vec::new();
        while heard.len() < READINGS {
            if let Entry::RawThreads(raw) = next(&mut entries).await {
                heard.push(raw);
            }
        }
        heard
    });
    let threads: Vec<_> = heard.iter().flat_map(|raw| &raw.threads).collect();
    // A child that it forks for its sleep may be seen as well.
    assert!(threads.iter().any(|thread| thread.tid == node.busy_pid()), "{threads:?}");
    assert!(threads.iter().all(|thread| thread.run_nsec + thread.wait_nsec > 0));
    assert!(heard.windows(2).all(|pair| pair[0].at < pair[1].at && pair[0].key == pair[1].key));
    assert!(node.agent_said(asked) && !node.agent_said(over));

    // The recording beside it goes on, and has none of them. To read it drives the client, which else
    // would not say that the other one was dropped.
    drop(entries);
    let mut seen = Vec::new();
    wait_for("the agent to stop", DEADLINE, || {
        seen.push(node.runtime.block_on(next(&mut plain)));
        node.agent_said(over).then_some(())
    });
    assert!(!seen.iter().any(|entry| matches!(entry, Entry::RawThreads(_))));
}
