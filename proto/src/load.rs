//! A load run's specification, valid by construction.

use std::{num::NonZeroU64, time::Duration};

use crate::{ProtocolError, TargetUrl, limits, wire};

mod head;
mod rate;

pub use head::RequestHead;
pub use rate::{Rate, RateError, Stage};

/// When requests are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// On schedule, whatever the answers do.
    Open {
        /// Over all workers.
        rate: Rate,
        /// How it is laid out.
        spacing: Spacing,
    },
    /// When an answer has come.
    Closed {
        /// Over all workers.
        in_flight: u32,
    },
}

impl Model {
    /// On schedule, always as far apart.
    pub fn steady(per_sec: f64) -> Result<Self, RateError> {
        Ok(Self::Open { rate: Rate::steady(per_sec)?, spacing: Spacing::Even })
    }
}

/// The times between the requests of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Equal, where the rate is.
    Even,
    /// Exponentially distributed: what many users who know nothing of each other do.
    Poisson {
        /// The same seed gives the same times.
        seed: u64,
    },
}

/// What counts as a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// 200, and as many predictions as instances were sent.
    PredictApi,
    /// Any 2xx.
    Status,
}

/// What to do when a worker is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// The run fails.
    Abort,
    /// The others go on, and the result says so.
    Degrade,
}

/// SHA-256 of a payload.
pub type PayloadHash = [u8; 32];

/// A load run, checked against [`limits`].
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    /// One that [`TargetUrl`] parses.
    pub target_url: String,
    /// When requests are sent.
    pub model: Model,
    /// How long requests are sent.
    pub duration: Duration,
    /// Over all workers; at least one.
    pub connections: u32,
    /// Of one request.
    pub request_timeout: Duration,
    /// How long answers may come after the last send.
    pub drain: Duration,
    /// The request bodies.
    pub payload: PayloadHash,
    /// What counts as a success.
    pub check: Check,
    /// Workers to run on; at least one.
    pub workers: u32,
    /// What to do when one is lost.
    pub on_loss: OnLoss,
    /// The run ends when so many are settled; `None`: as many as its time allows.
    pub requests: Option<NonZeroU64>,
    /// Of every request.
    pub head: RequestHead,
}

fn seconds(field: &'static str, value: f64, limit: Duration) -> Result<Duration, ProtocolError> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= limit)
        .ok_or_else(|| ProtocolError::invalid(field, value, "above 0 s and within its limit"))
}

fn count(field: &'static str, value: u32, limit: u32) -> Result<u32, ProtocolError> {
    if value == 0 || value > limit {
        return Err(ProtocolError::invalid(field, value, "at least 1 and within its limit"));
    }
    Ok(value)
}

fn model(wire: Option<wire::run_spec::Model>) -> Result<Model, ProtocolError> {
    match wire.ok_or(ProtocolError::Missing { field: "spec.model" })? {
        wire::run_spec::Model::Open(open) => open_model(&open),
        wire::run_spec::Model::Closed(closed) => Ok(Model::Closed {
            in_flight: count("spec.closed.in_flight", closed.in_flight, limits::LOAD_CONNECTIONS)?,
        }),
    }
}

fn open_model(wire: &wire::OpenModel) -> Result<Model, ProtocolError> {
    let stage =
        |stage: &wire::RateStage| Stage { from_per_sec: stage.from_per_sec, to_per_sec: stage.to_per_sec };
    let rate = if wire.stages.is_empty() {
        let rule = "from 0.000001 to 200000";
        Rate::steady(wire.rate_per_sec)
            .map_err(|_| ProtocolError::invalid("spec.open.rate_per_sec", wire.rate_per_sec, rule))?
    } else if wire.rate_per_sec == 0.0 {
        ProtocolError::at_most("spec.open.stages", wire.stages.len(), limits::LOAD_STAGES)?;
        let stages: Vec<Stage> = wire.stages.iter().map(stage).collect();
        let rule = "stages with rates from 0.000001 to 200000, or 0, of which one is above 0";
        let shown = stages.iter().map(Stage::to_string).collect::<Vec<_>>().join(",");
        Rate::new(stages).map_err(|_| ProtocolError::invalid("spec.open.stages", shown, rule))?
    } else {
        let rule = "0 where there are stages";
        return Err(ProtocolError::invalid("spec.open.rate_per_sec", wire.rate_per_sec, rule));
    };
    let spacing = wire.poisson_seed.map_or(Spacing::Even, |seed| Spacing::Poisson { seed });
    Ok(Model::Open { rate, spacing })
}

fn wire_open_model(rate: &Rate, spacing: Spacing) -> wire::OpenModel {
    let stage =
        |stage: &Stage| wire::RateStage { from_per_sec: stage.from_per_sec, to_per_sec: stage.to_per_sec };
    let steady = match rate.stages() {
        [only] => only.steady(),
        _ => None,
    };
    let stages = steady.is_none().then(|| rate.stages().iter().map(stage).collect());
    let (rate_per_sec, stages) = (steady.unwrap_or_default(), stages.unwrap_or_default());
    let poisson_seed = match spacing {
        Spacing::Even => None,
        Spacing::Poisson { seed } => Some(seed),
    };
    wire::OpenModel { rate_per_sec, stages, poisson_seed }
}

impl TryFrom<wire::RunSpec> for RunSpec {
    type Error = ProtocolError;

    fn try_from(wire: wire::RunSpec) -> Result<Self, ProtocolError> {
        ProtocolError::at_most("spec.target_url", wire.target_url.len(), limits::PATH_BYTES)?;
        if TargetUrl::parse(&wire.target_url).is_err() {
            let rule = "http://host:port/path, or https";
            return Err(ProtocolError::invalid("spec.target_url", wire.target_url, rule));
        }
        let check = match wire::ResponseCheck::try_from(wire.check) {
            Ok(wire::ResponseCheck::Status) => Check::Status,
            Ok(wire::ResponseCheck::Unspecified | wire::ResponseCheck::PredictApi) => Check::PredictApi,
            Err(_) => {
                return Err(ProtocolError::invalid("spec.check", wire.check, "a check of this contract"));
            }
        };
        let on_loss = match wire::LossPolicy::try_from(wire.on_loss) {
            Ok(wire::LossPolicy::Degrade) => OnLoss::Degrade,
            Ok(wire::LossPolicy::Unspecified | wire::LossPolicy::Abort) => OnLoss::Abort,
            Err(_) => return Err(ProtocolError::invalid("spec.on_loss", wire.on_loss, "abort or degrade")),
        };
        Ok(Self {
            model: model(wire.model)?,
            duration: seconds("spec.duration_sec", wire.duration_sec, limits::LOAD_DURATION)?,
            connections: count("spec.connections", wire.connections, limits::LOAD_CONNECTIONS)?,
            request_timeout: seconds(
                "spec.request_timeout_sec",
                wire.request_timeout_sec,
                limits::LOAD_REQUEST_TIMEOUT,
            )?,
            drain: seconds("spec.drain_sec", wire.drain_sec, limits::LOAD_REQUEST_TIMEOUT)?,
            payload: PayloadHash::try_from(&wire.payload_sha256[..]).map_err(|_| {
                ProtocolError::invalid("spec.payload_sha256", wire.payload_sha256.len(), "32 bytes")
            })?,
            check,
            workers: count("spec.workers", wire.workers.max(1), limits::LOAD_WORKERS)?,
            on_loss,
            requests: NonZeroU64::new(wire.requests),
            head: head::read(wire.method, wire.headers)?,
            target_url: wire.target_url,
        })
    }
}

impl From<RunSpec> for wire::RunSpec {
    fn from(spec: RunSpec) -> Self {
        let model = match spec.model {
            Model::Open { rate, spacing } => wire::run_spec::Model::Open(wire_open_model(&rate, spacing)),
            Model::Closed { in_flight } => wire::run_spec::Model::Closed(wire::ClosedModel { in_flight }),
        };
        let check = match spec.check {
            Check::PredictApi => wire::ResponseCheck::PredictApi,
            Check::Status => wire::ResponseCheck::Status,
        };
        let on_loss = match spec.on_loss {
            OnLoss::Abort => wire::LossPolicy::Abort,
            OnLoss::Degrade => wire::LossPolicy::Degrade,
        };
        let (method, headers) = head::write(spec.head);
        Self {
            target_url: spec.target_url,
            model: Some(model),
            duration_sec: spec.duration.as_secs_f64(),
            connections: spec.connections,
            request_timeout_sec: spec.request_timeout.as_secs_f64(),
            drain_sec: spec.drain.as_secs_f64(),
            payload_sha256: spec.payload.to_vec().into(),
            check: check.into(),
            workers: spec.workers,
            on_loss: on_loss.into(),
            requests: spec.requests.map_or(0, NonZeroU64::get),
            method,
            headers,
        }
    }
}
