//! The worker's link to the aggregator: it dials in, says hello, and carries out orders.
//!
//! Invariant: a worker without its aggregator sends nothing: when the stream ends, so does the run.
//! It then dials again, with growing pauses, and says why it had to only when the reason is a new
//! one. Deliberately absent: a queue of runs; a worker has one,
//! and a new order to prepare replaces it.

mod identity;
mod job;
mod pauses;
mod wire_form;

use std::{convert::Infallible, future::Future, path::PathBuf, time::Duration};

use anyhow::Context as _;
use berth::{
    NodeName, ServerAddress,
    hello::PROTOCOL,
    limits::{KEEPALIVE_PERIOD, KEEPALIVE_TIMEOUT, MESSAGE_BYTES},
    wire::{self, load_workers_client::LoadWorkersClient, worker_message::Message, worker_order::Order},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use self::{identity::Identity, job::Job, pauses::Pauses};
use crate::clock::{BootNanos, MonoNanos};

/// Messages on their way up: a few seconds' worth, so that a stalled aggregator holds up a bounded
/// number of reports.
const MESSAGES_WAITING: usize = 16;

/// A handshake over the slowest link that load would be sent from.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The aggregator, as this worker calls it.
type Workers = LoadWorkersClient<InterceptedService<Channel, Identity>>;

/// Who this worker is, and whom it works for.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Where the aggregator answers.
    pub server: ServerAddress,
    /// The certificate (PEM) that signed an https server's.
    pub ca_file: Option<PathBuf>,
    /// The token that says who it is, for an aggregator that asks.
    pub token_file: Option<PathBuf>,
    /// Unique among the workers.
    pub id: NodeName,
    /// Where it runs.
    pub node: NodeName,
}

impl Worker {
    /// Works until `stop` is done; an aggregator that is away, or a certificate or token that is not
    /// there yet, is waited for.
    pub async fn work(&self, stop: impl Future<Output = ()>) {
        let mut pauses = Pauses::new(&self.id);
        let again = async {
            let mut said = String::new();
            loop {
                let (error, lived) = self.session().await;
                let pause = pauses.after(lived);
                let error = format!("{error:#}");
                if error != said || Pauses::is_steady(lived) {
                    tracing::warn!(error, again_in = ?pause, "not connected to the aggregator");
                }
                said = error;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = again => {}
            () = stop => {}
        }
    }

    /// Why one session ended, and how long its stream lived.
    async fn session(&self) -> (anyhow::Error, Duration) {
        let mut opened = None;
        let served = async {
            let channel =
                self.endpoint()?.connect().await.with_context(|| format!("connect to {}", self.server))?;
            self.serve(channel, &mut opened).await
        };
        let Err(error) = served.await;
        let lived = opened.map_or(0, |opened| MonoNanos::now().since(opened));
        (error, Duration::from_nanos(lived))
    }

    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::from_shared(self.server.as_str().to_owned())
            .with_context(|| format!("dial {}", self.server))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_PERIOD)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let Some(file) = &self.ca_file else { return Ok(endpoint) };
        let pem = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        endpoint
            .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
            .with_context(|| format!("use the certificate in {}", file.display()))
    }

    /// One stream, from hello to its end; it says when it was opened.
    async fn serve(&self, channel: Channel, opened: &mut Option<MonoNanos>) -> anyhow::Result<Infallible> {
        let identity = Identity::new(self.token_file.clone());
        let workers =
            LoadWorkersClient::with_interceptor(channel, identity).max_decoding_message_size(MESSAGE_BYTES);
        let (up, messages) = mpsc::channel(MESSAGES_WAITING);
        up.send(Message::Hello(self.hello())).await?;
        let outgoing =
            ReceiverStream::new(messages).map(|message| wire::WorkerMessage { message: Some(message) });
        let mut orders =
            workers.clone().work(outgoing).await.context("open the worker's stream")?.into_inner();
        tracing::info!(server = %self.server, id = %self.id, "waiting for orders");
        *opened = Some(MonoNanos::now());
        let mut session = Session { workers, up, job: None, tasks: JoinSet::new() };
        while let Some(order) = orders.message().await.context("read orders")? {
            if let Some(order) = order.order {
                session.carry_out(order).await?;
            }
        }
        anyhow::bail!("the aggregator closed the stream")
    }

    fn hello(&self) -> wire::WorkerHello {
        let cpus = std::thread::available_parallelism()
            .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
        wire::WorkerHello {
            protocol: PROTOCOL,
            id: self.id.to_string(),
            node: self.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cpus,
        }
    }
}

/// One stream's state. Dropping it ends the run.
struct Session {
    workers: Workers,
    up: mpsc::Sender<Message>,
    job: Option<Job>,
    tasks: JoinSet<()>,
}

impl Session {
    async fn carry_out(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Ping(wire::ClockPing { id }) => {
                let received_nsec = BootNanos::now().0;
                let pong = wire::ClockPong { id, received_nsec, sent_nsec: BootNanos::now().0 };
                self.up.send(Message::Pong(pong)).await?;
            }
            Order::Prepare(prepare) => {
                let (job, task) = Job::new(prepare);
                self.job = Some(job);
                // The task before has ended, or ends now that its job is dropped.
                while self.tasks.try_join_next().is_some() {}
                self.tasks.spawn(task.run(self.workers.clone(), self.up.clone()));
            }
            Order::Begin(wire::Begin { run_id, start_nsec }) => {
                if let Some(job) = self.job.as_mut().filter(|job| job.is(&run_id)) {
                    job.begin(BootNanos(start_nsec));
                }
            }
            Order::Stop(wire::StopWorking { run_id }) => {
                if let Some(job) = self.job.as_mut().filter(|job| job.is(&run_id)) {
                    job.stop();
                }
            }
        }
        Ok(())
    }
}
