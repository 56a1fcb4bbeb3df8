//! The edge of the aggregator: its services, and what they share on the way between the wire and
//! the strict types.
//!
//! Invariant: what a peer did wrong is told to it with the field's name, as `INVALID_ARGUMENT`.

pub(crate) mod services;

use berth::ProtocolError;
use berth_core::time::AxisNsec;
use prost_types::Timestamp;
use tonic::{Code, Status};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// A value is quoted up to this length: enough to recognise it, not enough to flood a log.
const QUOTED_CHARS: usize = 64;

/// A field that breaks a rule of a request.
#[expect(clippy::needless_pass_by_value, reason = "every caller is done with the value")]
pub(crate) fn refused(field: &'static str, value: impl ToString, rule: &'static str) -> ProtocolError {
    let value = value.to_string().chars().take(QUOTED_CHARS).collect();
    ProtocolError::Invalid { field, value, rule }
}

/// More elements or bytes than a limit allows.
pub(crate) fn at_most(field: &'static str, count: usize, limit: usize) -> Result<(), ProtocolError> {
    if count > limit { Err(ProtocolError::TooMany { field, count, limit }) } else { Ok(()) }
}

/// What the transport could not decode is the peer's fault, unless the transport itself broke.
pub(crate) fn undecodable(status: &Status) -> Status {
    match status.code() {
        Code::OutOfRange | Code::Internal if std::error::Error::source(status).is_none() => {
            Status::invalid_argument(format!("message: {}", status.message()))
        }
        _ => status.clone(),
    }
}

/// A time of the axis, as it travels.
pub(crate) fn timestamp(at: AxisNsec) -> Timestamp {
    let seconds = i64::try_from(at.0 / NSEC_PER_SEC).unwrap_or(i64::MAX);
    let nanos = i32::try_from(at.0 % NSEC_PER_SEC).expect("a remainder below 1e9 fits");
    Timestamp { seconds, nanos }
}

/// A time of a request, on the axis; a time before 1970 is 1970.
pub(crate) fn axis(field: &'static str, at: Timestamp) -> Result<AxisNsec, ProtocolError> {
    let nanos = u64::try_from(at.nanos)
        .ok()
        .filter(|&nanos| nanos < NSEC_PER_SEC)
        .ok_or_else(|| refused(field, at.nanos, "nanos from 0 to 999999999"))?;
    let seconds = u64::try_from(at.seconds).unwrap_or(0);
    Ok(AxisNsec(seconds.saturating_mul(NSEC_PER_SEC).saturating_add(nanos)))
}

/// The same of a time that may be left out.
pub(crate) fn optional_axis(
    field: &'static str,
    at: Option<Timestamp>,
) -> Result<Option<AxisNsec>, ProtocolError> {
    at.map(|at| axis(field, at)).transpose()
}
