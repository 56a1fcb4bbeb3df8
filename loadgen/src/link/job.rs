//! One run on this worker, from its preparation to its final report.

use super::{Workers, wire_form::final_report};
use crate::{Payload, Ready, Spec, SpecDraft, StartAt, Stripe, TlsDraft, clock::BootNanos};
use anyhow::Context as _;
use berth::{
    limits,
    load::{PayloadHash, RunSpec},
    wire::{self, worker_message::Message},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Intervals on their way to the uplink. More would only wait longer: they come one a second.
const INTERVALS_WAITING: usize = 8;

/// A run that has been asked for. Dropping it ends the run.
#[derive(Debug)]
pub(super) struct Job {
    run_id: String,
    begin: Option<oneshot::Sender<BootNanos>>,
    stop: CancellationToken,
}

/// What the task of a job needs.
#[derive(Debug)]
pub(super) struct Task {
    prepare: wire::Prepare,
    begin: oneshot::Receiver<BootNanos>,
    stop: CancellationToken,
}

impl Job {
    /// The job, and the task that carries it out.
    pub(super) fn new(prepare: wire::Prepare) -> (Self, Task) {
        let stop = CancellationToken::new();
        let (begin, signal) = oneshot::channel();
        let job = Self { run_id: prepare.run_id.clone(), begin: Some(begin), stop: stop.clone() };
        (job, Task { prepare, begin: signal, stop })
    }

    /// Whether an order is for this run.
    pub(super) fn is(&self, run_id: &str) -> bool {
        self.run_id == run_id
    }

    /// Sets the start. A second start changes nothing.
    pub(super) fn begin(&mut self, start: BootNanos) {
        if let Some(begin) = self.begin.take() {
            // The task has gone when the preparation failed, and has said so.
            let _gone = begin.send(start);
        }
    }

    /// Sends nothing more; answers are still waited for.
    pub(super) fn stop(&mut self) {
        self.stop.cancel();
        self.begin = None;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Task {
    /// Carries the run out, reporting through `up`.
    pub(super) async fn run(self, workers: Workers, up: mpsc::Sender<Message>) {
        let run_id = self.prepare.run_id.clone();
        if let Err(error) = self.attempt(workers, &up).await {
            tracing::warn!(run = run_id, error = format!("{error:#}"), "the run failed on this worker");
            let failed = wire::WorkerFailed { run_id, reason: format!("{error:#}") };
            // Where the uplink is gone the aggregator knows already that this worker is lost.
            let _gone = up.send(Message::Failed(failed)).await;
        }
    }

    async fn attempt(self, workers: Workers, up: &mpsc::Sender<Message>) -> anyhow::Result<()> {
        let Self { prepare, begin, stop } = self;
        let run_id = prepare.run_id;
        let spec = RunSpec::try_from(prepare.spec.context("read the order to prepare: it has no spec")?)?;
        let payload = fetch(workers, spec.payload).await?;
        let ready = Ready::new(engine_spec(spec, prepare.index, prepare.of)?, payload).await?;
        up.send(Message::Ready(wire::WorkerReady { run_id: run_id.clone() })).await?;
        let Ok(start) = begin.await else {
            anyhow::bail!("the run was called off before it began");
        };
        let (events, mut intervals) = mpsc::channel(INTERVALS_WAITING);
        let running = ready.run(StartAt::At(start.monotonic()), events, stop);
        let forward = async {
            while let Some(interval) = intervals.recv().await {
                let interval = Some(wire::RunInterval::from(&interval));
                up.send(Message::Interval(wire::WorkerInterval { run_id: run_id.clone(), interval })).await?;
            }
            anyhow::Ok(())
        };
        let (outcome, forwarded) = tokio::join!(running, forward);
        forwarded?;
        up.send(Message::Final(final_report(&run_id, &outcome?))).await?;
        Ok(())
    }
}

fn engine_spec(spec: RunSpec, index: u32, of: u32) -> anyhow::Result<Spec> {
    let stripe =
        Stripe::new(index, of).with_context(|| format!("take stripe {index} of {of}: there is none"))?;
    Ok(Spec::new(SpecDraft {
        target_url: spec.target_url,
        model: spec.model,
        duration: spec.duration,
        connections: spec.connections,
        request_timeout: spec.request_timeout,
        drain: spec.drain,
        check: spec.check,
        stripe,
        requests: spec.requests,
        head: spec.head,
        tls: TlsDraft::default(),
    })?)
}

async fn fetch(mut workers: Workers, hash: PayloadHash) -> anyhow::Result<Payload> {
    let request = wire::GetPayloadRequest { sha256: hash.to_vec().into() };
    let mut chunks = workers.get_payload(request).await.context("fetch the payload")?.into_inner();
    let mut packed = Vec::new();
    while let Some(chunk) = chunks.message().await.context("fetch the payload")? {
        anyhow::ensure!(
            packed.len() + chunk.data.len() <= limits::PAYLOAD_BYTES,
            "the payload is larger than {} bytes",
            limits::PAYLOAD_BYTES
        );
        packed.extend_from_slice(&chunk.data);
    }
    Ok(Payload::unpack(packed.into(), &hash)?)
}
