//! What a load run is: a specification that is valid by construction.

use std::{num::NonZeroU64, time::Duration};

use berth::load::{Check, Model, RequestHead};
use berth::{ProtocolError, TargetUrlError, limits};

use crate::schedule::{Schedule, Stripe};
use crate::target::Target;
use crate::tls::{Tls, TlsDraft, TlsError};

/// Connections of one engine: 28,232 ephemeral ports to one destination is the kernel's default
/// (`net.ipv4.ip_local_port_range`), and closed ones hold theirs for a minute.
pub const ENGINE_CONNECTIONS: u32 = 20_000;

/// The shortest run: below this not even the start is over.
pub const SHORTEST_RUN: Duration = Duration::from_millis(100);

/// What a caller asks for; [`Spec::new`] checks it.
#[derive(Debug, Clone)]
pub struct SpecDraft {
    /// `http://host:port/path`.
    pub target_url: String,
    /// When requests are sent, over all workers.
    pub model: Model,
    /// How long requests are sent.
    pub duration: Duration,
    /// At most, over all workers.
    pub connections: u32,
    /// Of one request, from its send to its last byte; and of one connection attempt.
    pub request_timeout: Duration,
    /// How long answers may come after the last send.
    pub drain: Duration,
    /// What counts as a success.
    pub check: Check,
    /// This engine's part of the run.
    pub stripe: Stripe,
    /// The run ends when so many are settled, over all workers; `None`: as many as its time allows.
    pub requests: Option<NonZeroU64>,
    /// Of every request.
    pub head: RequestHead,
    /// For an https target.
    pub tls: TlsDraft,
}

/// Why a specification is refused, with the mend.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The target is no http URL.
    #[error(transparent)]
    Target(#[from] TargetUrlError),
    /// Method or headers that no request can have.
    #[error(transparent)]
    Head(#[from] ProtocolError),
    /// TLS cannot be spoken with what was given.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Too short or too long a run.
    #[error("duration {duration:?}: give one from {SHORTEST_RUN:?} to {limit:?}", limit = limits::LOAD_DURATION)]
    Duration {
        /// What was given.
        duration: Duration,
    },
    /// No timeout, or one that nobody waits for.
    #[error("request timeout {timeout:?}: give one above 0 s, at most {limit:?}", limit = limits::LOAD_REQUEST_TIMEOUT)]
    Timeout {
        /// What was given.
        timeout: Duration,
    },
    /// A longer drain than a request may take.
    #[error("drain {drain:?}: give at most {limit:?}", limit = limits::LOAD_REQUEST_TIMEOUT)]
    Drain {
        /// What was given.
        drain: Duration,
    },
    /// Fewer connections than workers, or more than one engine can hold.
    #[error(
        "{connections} connections over {workers} workers: each worker needs from 1 to {ENGINE_CONNECTIONS}"
    )]
    Connections {
        /// What was given.
        connections: u32,
        /// Over how many workers.
        workers: u32,
    },
    /// A closed run whose requests in flight have no connection each, or leave a worker idle.
    #[error(
        "{in_flight} in flight over {workers} workers with {connections} connections: HTTP/1.1 needs a connection for each, and each worker at least one"
    )]
    InFlight {
        /// What was given.
        in_flight: u32,
        /// What was given.
        connections: u32,
        /// Over how many workers.
        workers: u32,
    },
}

/// When this engine sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pace {
    /// By the schedule.
    Open(Schedule),
    /// This many at a time.
    Closed { in_flight: u32 },
}

/// A checked specification of one engine's part of a run.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) target: Target,
    pub(crate) pace: Pace,
    pub(crate) duration: Duration,
    /// Of this engine alone.
    pub(crate) connections: u32,
    pub(crate) request_timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) check: Check,
    pub(crate) stripe: Stripe,
    /// Over all engines.
    pub(crate) requests: u64,
    pub(crate) head: RequestHead,
    /// Of an https target.
    pub(crate) tls: Option<Tls>,
}

impl Spec {
    /// Checks a draft against the limits of the contract and of one engine.
    pub fn new(draft: SpecDraft) -> Result<Self, SpecError> {
        let SpecDraft {
            target_url,
            model,
            duration,
            connections,
            request_timeout,
            drain,
            check,
            stripe,
            requests,
            head,
            tls,
        } = draft;
        let target = Target::parse(&target_url)?;
        let head = head.checked()?;
        let tls = target.is_tls().then(|| Tls::new(&tls, target.host())).transpose()?;
        if duration < SHORTEST_RUN || duration > limits::LOAD_DURATION {
            return Err(SpecError::Duration { duration });
        }
        if request_timeout.is_zero() || request_timeout > limits::LOAD_REQUEST_TIMEOUT {
            return Err(SpecError::Timeout { timeout: request_timeout });
        }
        if drain > limits::LOAD_REQUEST_TIMEOUT {
            return Err(SpecError::Drain { drain });
        }
        let workers = stripe.of();
        if connections < workers || connections.div_ceil(workers) > ENGINE_CONNECTIONS {
            return Err(SpecError::Connections { connections, workers });
        }
        let requests = requests.map_or(u64::MAX, NonZeroU64::get);
        let pace = match model {
            Model::Open { rate, spacing } => Pace::Open(Schedule::new(&rate, spacing, duration, requests)),
            Model::Closed { in_flight } if in_flight < workers || in_flight > connections => {
                return Err(SpecError::InFlight { in_flight, connections, workers });
            }
            Model::Closed { in_flight } => Pace::Closed { in_flight: stripe.share(in_flight) },
        };
        let connections = stripe.share(connections);
        Ok(Self {
            target,
            pace,
            duration,
            connections,
            request_timeout,
            drain,
            check,
            stripe,
            requests,
            head,
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> SpecDraft {
        SpecDraft {
            target_url: "http://model:5111/predict".to_owned(),
            model: Model::steady(999.5).unwrap(),
            duration: Duration::from_secs(3),
            connections: 100,
            request_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(1),
            check: Check::PredictApi,
            stripe: Stripe::WHOLE,
            requests: None,
            head: RequestHead::default(),
            tls: TlsDraft::default(),
        }
    }

    #[test]
    fn every_bound_has_its_own_error() {
        type Damage = fn(&mut SpecDraft);
        let cases: [(&str, Damage, &str); 8] = [
            ("another scheme", |d| d.target_url = "ftp://model/".to_owned(), "http://host:port/path"),
            ("too short", |d| d.duration = Duration::from_millis(99), "duration 99ms"),
            ("too long", |d| d.duration = Duration::from_secs(3_601), "duration 3601s"),
            ("no timeout", |d| d.request_timeout = Duration::ZERO, "request timeout 0ns"),
            ("endless drain", |d| d.drain = Duration::from_secs(301), "drain 301s"),
            ("no connection", |d| d.connections = 0, "0 connections"),
            ("too many for one engine", |d| d.connections = 20_001, "20001 connections"),
            (
                "more in flight than connections",
                |d| d.model = Model::Closed { in_flight: 101 },
                "101 in flight",
            ),
        ];
        for (name, damage, text) in cases {
            let mut draft = draft();
            damage(&mut draft);
            let error = Spec::new(draft).unwrap_err().to_string();
            assert!(error.contains(text), "{name}: {error}");
        }
    }

    #[test]
    fn a_worker_takes_its_share_of_connections_and_requests_in_flight() {
        let spec = Spec::new(SpecDraft {
            model: Model::Closed { in_flight: 7 },
            connections: 8,
            stripe: Stripe::new(2, 3).unwrap(),
            ..draft()
        })
        .unwrap();
        assert_eq!((spec.connections, spec.pace), (2, Pace::Closed { in_flight: 2 }));
    }
}
