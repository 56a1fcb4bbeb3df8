//! The load on a victim: open streams at a constant rate, and the closed one that finds what a request
//! costs.
//!
//! Invariant: streams that start together arrive together, so `n` of them are a burst of `n` requests at
//! each arrival. Deliberately absent: percentiles; a label is a mean.

use std::time::Duration;

use berth_loadgen::{
    Check, Interval, Model, MonoNanos, Payload, Ready, RequestHead, Spec, SpecDraft, StartAt, Stripe,
    TlsDraft,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A saturated victim may take seconds, and its slowest requests belong to the label.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers that come later than this after the end are not waited for.
const DRAIN: Duration = Duration::from_secs(2);

/// From readiness to the first request: every stream is ready by then.
pub const START_LEAD: Duration = Duration::from_millis(300);

/// Of this process, whose threads the engine's are: else it would be late when a decoy shares its CPU.
pub const ENGINE_NICE: i32 = -20;

/// One interval a second: room for all of a long run.
const EVENTS: usize = 4_096;

/// Where requests go, and what they are.
#[derive(Debug, Clone)]
pub struct Door {
    /// `http://host:port/path`.
    pub url: String,
    /// The bodies.
    pub payload: Payload,
    /// What counts as a success.
    pub check: Check,
}

/// How requests come.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Of each stream.
    pub model: Model,
    /// Streams that start together.
    pub at_once: u32,
    /// Of each stream: as many as the victim can serve at a time.
    pub connections: u32,
    /// How long.
    pub duration: Duration,
}

/// Runs every stream to its end and gives the intervals, second by second, over all of them.
pub async fn run(door: &Door, shape: Shape, start: Option<MonoNanos>) -> anyhow::Result<Vec<Interval>> {
    let mut streams = JoinSet::new();
    let mut all_ready = Vec::new();
    for _ in 0..shape.at_once {
        all_ready.push(Ready::new(spec(door, &shape)?, door.payload.clone()).await?);
    }
    let start = start.map_or(StartAt::Now, StartAt::At);
    for ready in all_ready {
        streams.spawn(async move {
            let (events, mut received) = mpsc::channel(EVENTS);
            let outcome = ready.run(start, events, CancellationToken::new()).await;
            let mut intervals = Vec::new();
            while let Ok(interval) = received.try_recv() {
                intervals.push(interval);
            }
            outcome.map(|_| intervals)
        });
    }
    let mut merged: Vec<Interval> = Vec::new();
    while let Some(intervals) = streams.join_next().await {
        merge(&mut merged, intervals??);
    }
    Ok(merged)
}

/// Streams of one start cut their intervals at the same seconds.
fn merge(into: &mut Vec<Interval>, intervals: Vec<Interval>) {
    for interval in intervals {
        match into.iter_mut().find(|one| one.seq == interval.seq && one.phase == interval.phase) {
            Some(one) => one.tally.add(&interval.tally),
            None => into.push(interval),
        }
    }
}

fn spec(door: &Door, shape: &Shape) -> anyhow::Result<Spec> {
    let draft = SpecDraft {
        target_url: door.url.clone(),
        model: shape.model.clone(),
        duration: shape.duration,
        connections: shape.connections,
        request_timeout: REQUEST_TIMEOUT,
        drain: DRAIN,
        check: door.check,
        stripe: Stripe::WHOLE,
        requests: None,
        head: RequestHead::default(),
        tls: TlsDraft::default(),
    };
    Ok(Spec::new(draft)?)
}
