//! A load run's specification, valid by construction.

use std::time::Duration;

use crate::{ProtocolError, TargetUrl, limits, wire};

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// On schedule, whatever the answers do.
    Open {
        /// Over all workers.
        rate_per_sec: f64,
    },
    /// When an answer has come.
    Closed {
        /// Over all workers.
        in_flight: u32,
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
        wire::run_spec::Model::Open(open) => {
            let rate = open.rate_per_sec;
            if !(rate > 0.0 && rate <= limits::LOAD_RATE_PER_SEC) {
                return Err(ProtocolError::invalid(
                    "spec.open.rate_per_sec",
                    rate,
                    "above 0, at most 200000",
                ));
            }
            Ok(Model::Open { rate_per_sec: rate })
        }
        wire::run_spec::Model::Closed(closed) => Ok(Model::Closed {
            in_flight: count("spec.closed.in_flight", closed.in_flight, limits::LOAD_CONNECTIONS)?,
        }),
    }
}

impl TryFrom<wire::RunSpec> for RunSpec {
    type Error = ProtocolError;

    fn try_from(wire: wire::RunSpec) -> Result<Self, ProtocolError> {
        ProtocolError::at_most("spec.target_url", wire.target_url.len(), limits::PATH_BYTES)?;
        if TargetUrl::parse(&wire.target_url).is_err() {
            let rule = "http://host:port/path";
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
            target_url: wire.target_url,
        })
    }
}

impl From<RunSpec> for wire::RunSpec {
    fn from(spec: RunSpec) -> Self {
        let model = match spec.model {
            Model::Open { rate_per_sec } => wire::run_spec::Model::Open(wire::OpenModel { rate_per_sec }),
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
        }
    }
}
