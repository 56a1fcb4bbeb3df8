//! The load engine, and the worker that the aggregator drives.
//!
//! A run sends requests on a schedule that no answer can delay, measures each from the time at which
//! it should have been sent, and says whether the generator itself kept up. [`run`] makes one run on
//! a thread of its own; its [`Interval`]s come out each second, and their sum is the
//! [`Outcome`]'s totals.

mod alarm;
mod answer;
mod args;
mod clock;
mod connection;
mod deadline;
mod engine;
mod error;
mod files;
mod link;
mod payload;
mod plan;
pub mod program;
mod protocol;
mod random;
mod ratio;
mod report;
mod schedule;
mod shard;
mod spec;
mod summary;
mod sys;
mod tally;
mod target;
mod throttle;
mod tls;

use std::net::SocketAddr;
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use answer::ErrorClass;
pub use berth::load::{Check, Model, Rate, RateError, RequestHead, Spacing};
pub use berth::{Latencies, TargetUrlError};
pub use clock::{MonoNanos, NANOS_PER_SEC};
pub use engine::{Ended, Outcome, StartAt};
pub use error::LoadError;
pub use link::Worker;
pub use payload::{Body, Label, PackedError, Payload, PayloadError, hash as payload_hash};
pub use protocol::Protocol;
pub use random::Random;
pub use ratio::{FEWEST_INTERVALS, Ratio, RatioError, Statistic, ratio_interval};
pub use schedule::{Arrival, Arrivals, Schedule, Stripe};
pub use spec::{ENGINE_CONNECTIONS, SHORTEST_RUN, Spec, SpecDraft, SpecError};
pub use summary::{Limit, Quantiles, Summary, Verdict};
pub use tally::{Counts, Errors, Generator, Interval, Phase, PhaseTotals, SumError, Tally, Totals};
pub use target::Target;
pub use tls::{TlsDraft, TlsError};

/// A run whose payload fits, whose target answers and which has room for its connections: all that
/// can fail is behind it, so several workers can be readied first and started together.
#[derive(Debug)]
pub struct Ready {
    spec: Spec,
    payload: Payload,
    address: SocketAddr,
}

impl Ready {
    /// Checks the payload, makes room for connections, and connects to the target once.
    pub async fn new(spec: Spec, payload: Payload) -> Result<Self, LoadError> {
        if spec.check == Check::PredictApi {
            payload.require_instances()?;
        }
        files::make_room(spec.connections)?;
        let address = spec.target.preflight(spec.tls.as_ref(), spec.request_timeout).await?;
        Ok(Self { spec, payload, address })
    }

    /// Runs on a thread of its own. Receive `events` meanwhile: intervals wait in the engine for a
    /// full channel, and grow. Cancelling `stop` ends the sending, and answers are still waited for;
    /// dropping the future ends the run at once.
    pub async fn run(
        self,
        start: StartAt,
        events: mpsc::Sender<Interval>,
        stop: CancellationToken,
    ) -> Result<Outcome, LoadError> {
        let Self { spec, payload, address } = self;
        let plan = plan::Plan::new(&spec, payload, address);
        let order = engine::Order { spec, plan, start, events, stop };
        let (result, outcome) = oneshot::channel();
        thread::Builder::new()
            .name("berth-load".to_owned())
            .spawn(move || engine::thread(order, result))
            .map_err(LoadError::Setup)?;
        outcome.await.map_err(|_| LoadError::Died)?
    }
}

/// Readies a run and makes it; see [`Ready`].
pub async fn run(
    spec: Spec,
    payload: Payload,
    start: StartAt,
    events: mpsc::Sender<Interval>,
    stop: CancellationToken,
) -> Result<Outcome, LoadError> {
    Ready::new(spec, payload).await?.run(start, events, stop).await
}
