//! Whether an answer is a success, and what kind of failure it is otherwise.

use berth::load::Check;
use hyper::StatusCode;

use crate::protocol;

/// Why a request failed. Each has its own count; none enters a latency histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No connection could be opened.
    Connect,
    /// A connection was opened, and TLS failed over it.
    Tls,
    /// The last byte did not come in time.
    Timeout,
    /// The connection broke between the send and the last byte.
    Reset,
    /// A status from 400 to 499.
    #[serde(rename = "status_4xx")]
    Status4xx,
    /// A status from 500 to 599.
    #[serde(rename = "status_5xx")]
    Status5xx,
    /// Any other status that is no success, such as a redirect.
    StatusOther,
    /// An answer that is not HTTP, too long, or without predictions that could be counted.
    Body,
    /// Another number of predictions than instances that were sent.
    CountMismatch,
}

impl ErrorClass {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Status4xx,
        Self::Status5xx,
        Self::StatusOther,
        Self::Body,
        Self::CountMismatch,
    ];

    /// Its name in reports and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::StatusOther => "status_other",
            Self::Body => "body",
            Self::CountMismatch => "count_mismatch",
        }
    }
}

/// Judges a whole answer to a request that asked for `instances` predictions.
pub(crate) fn judge(
    check: Check,
    status: StatusCode,
    body: &[u8],
    instances: Option<u32>,
) -> Result<(), ErrorClass> {
    if status.is_client_error() {
        return Err(ErrorClass::Status4xx);
    }
    if status.is_server_error() {
        return Err(ErrorClass::Status5xx);
    }
    match check {
        Check::Status if status.is_success() => Ok(()),
        Check::PredictApi if status == StatusCode::OK => match protocol::predictions(body) {
            None => Err(ErrorClass::Body),
            predictions if predictions == instances => Ok(()),
            Some(_) => Err(ErrorClass::CountMismatch),
        },
        Check::Status | Check::PredictApi => Err(ErrorClass::StatusOther),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = br#"{"payload":{"predictions":[1,0]}}"#;
    const REFUSED: &[u8] = br#"{"payload":{"success":false,"error":"x"}}"#;

    #[test]
    fn a_success_needs_status_200_and_one_prediction_for_each_instance() {
        for (status, body, instances, verdict) in [
            (200, TWO, 2, Ok(())),
            (200, TWO, 1, Err(ErrorClass::CountMismatch)),
            (200, TWO, 3, Err(ErrorClass::CountMismatch)),
            (200, REFUSED, 1, Err(ErrorClass::Body)),
            (200, b"OK!", 1, Err(ErrorClass::Body)),
            (202, TWO, 2, Err(ErrorClass::StatusOther)),
            (302, b"", 1, Err(ErrorClass::StatusOther)),
            (400, REFUSED, 1, Err(ErrorClass::Status4xx)),
            (503, b"", 1, Err(ErrorClass::Status5xx)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(Check::PredictApi, status, body, Some(instances)), verdict, "{status}");
        }
    }

    #[test]
    fn a_body_of_any_kind_is_a_success_only_when_the_status_alone_is_checked() {
        assert_eq!(judge(Check::Status, StatusCode::ACCEPTED, b"OK!", None), Ok(()));
        assert_eq!(judge(Check::Status, StatusCode::FOUND, b"", None), Err(ErrorClass::StatusOther));
        assert_eq!(judge(Check::PredictApi, StatusCode::OK, b"OK!", None), Err(ErrorClass::Body));
    }

    #[test]
    fn every_class_has_the_name_that_its_json_has() {
        for class in ErrorClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }
}
