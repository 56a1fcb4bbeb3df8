//! Load runs, asked of the aggregator and carried out by its worker.

use std::time::Duration;

use anyhow::Context as _;
use berth::{
    limits::PAYLOAD_CHUNK_BYTES,
    load::{Check, Model, OnLoss, PayloadHash, RequestHead, RunSpec},
    wire::{self, run_event::Event},
};
use berth_loadgen::{Interval, Ratio, Statistic, Summary, Totals, ratio_interval};
use tokio_stream::StreamExt as _;

use super::stage::Stage;
use crate::{connect::Server, stage::example_payload};

/// A prediction takes milliseconds; a saturated model may take seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers that come later than this after the last request are counted as still in flight.
const DRAIN: Duration = Duration::from_secs(2);

/// Enough that a slow answer never keeps a request from being sent.
const CONNECTIONS: u32 = 64;

/// The bootstrap's; any number gives the same answer to two digits.
const SEED: u64 = 7;

/// What a model is asked.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// The request bodies.
    pub(super) payload: PayloadHash,
    /// At which rate.
    pub(super) model: Model,
}

/// A finished load run.
#[derive(Debug)]
pub(super) struct Measured {
    intervals: Vec<Interval>,
    summary: Summary,
    /// Why the generator was the limit, if it was.
    pub(super) limit: Option<String>,
}

impl Measured {
    /// Successes a second while requests were sent.
    pub(super) fn rps(&self) -> f64 {
        self.summary.throughput_per_sec
    }

    /// Mean time from the real send to the last byte.
    pub(super) fn service_mean_usec(&self) -> anyhow::Result<f64> {
        self.summary.service.mean_usec.context("measure the model: no request succeeded")
    }

    /// 99th percentile of the time from the intended send to the last byte.
    pub(super) fn response_p99_usec(&self) -> anyhow::Result<u64> {
        self.summary.response.p99_usec.context("measure the model: no request succeeded")
    }

    /// This run's statistic divided by `before`'s, with its interval.
    pub(super) fn ratio(&self, before: &Self, statistic: Statistic) -> anyhow::Result<Ratio> {
        Ok(ratio_interval(&self.intervals, &before.intervals, statistic, SEED)?)
    }
}

/// The 3,000 rows of the example, some in each request body, which the aggregator keeps.
pub(super) async fn put_payload(server: &Server, rows_per_request: usize) -> anyhow::Result<PayloadHash> {
    let packed = example_payload(rows_per_request)?.pack();
    let chunks = packed.chunks(PAYLOAD_CHUNK_BYTES).map(|chunk| packed.slice_ref(chunk));
    let chunks: Vec<_> = chunks.map(|data| wire::PayloadChunk { data }).collect();
    let answer = server.load().put_payload(tokio_stream::iter(chunks)).await;
    let hash = answer.map_err(|status| server.failure(&status))?.into_inner().sha256;
    PayloadHash::try_from(&hash[..]).context("leave the payload with the aggregator")
}

/// Runs one load to its end.
pub(super) async fn run(
    server: &Server,
    stage: &mut Stage,
    load: &Load,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let connections = match load.model {
        Model::Open { .. } => CONNECTIONS,
        Model::Closed { in_flight } => in_flight,
    };
    let spec = RunSpec {
        target_url: stage.target.clone(),
        model: load.model.clone(),
        duration,
        connections,
        request_timeout: REQUEST_TIMEOUT,
        drain: DRAIN,
        payload: load.payload,
        check: Check::PredictApi,
        workers: 1,
        on_loss: OnLoss::Abort,
        requests: None,
        head: RequestHead::default(),
    };
    let request = wire::StartRunRequest { spec: Some(spec.into()) };
    let started = server.load().start(request).await.map_err(|status| server.failure(&status))?.into_inner();
    let watched = server.load().watch(wire::WatchRunRequest { id: started.id }).await;
    let mut events = watched.map_err(|status| server.failure(&status))?.into_inner();
    let mut intervals = Vec::new();
    let mut last = None;
    while let Some(event) = events.next().await {
        stage.check()?;
        match event.map_err(|status| server.failure(&status))?.event {
            Some(Event::Interval(interval)) => {
                intervals.push(Interval::try_from(&interval).context("read an interval of the load run")?);
            }
            Some(Event::Run(run)) => last = Some(run),
            None => {}
        }
    }
    finished(intervals, last.context("watch the load run: the aggregator closed the stream")?)
}

fn finished(intervals: Vec<Interval>, run: wire::Run) -> anyhow::Result<Measured> {
    match run.state() {
        wire::RunState::Done => {}
        state => anyhow::bail!("the load run ended as {}: {}", state.as_str_name(), run.reason),
    }
    let generator = run.generator.unwrap_or_default();
    let limit = match generator.verdict() {
        wire::GeneratorVerdict::Ok => None,
        verdict => Some(format!("{} ({})", generator.reason, verdict.as_str_name())),
    };
    let summary = Summary::of(&Totals::of(&intervals));
    Ok(Measured { intervals, summary, limit })
}
