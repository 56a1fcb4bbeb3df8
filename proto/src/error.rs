//! Why a message breaks the contract. The text names the field, so that the sender can mend it.

/// A message that breaks a rule or a limit of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A field holds a value that it may not hold.
    #[error("{field}: {value} is not valid: {rule}")]
    Invalid {
        /// The field, as the `.proto` file names it.
        field: &'static str,
        /// What it held, shortened.
        value: String,
        /// What it may hold.
        rule: &'static str,
    },
    /// A field that must be set is not.
    #[error("{field} is missing")]
    Missing {
        /// The field, as the `.proto` file names it.
        field: &'static str,
    },
    /// More elements or bytes than the limit allows.
    #[error("{field}: {count} is over the limit of {limit}")]
    TooMany {
        /// The field, as the `.proto` file names it.
        field: &'static str,
        /// How many there were.
        count: usize,
        /// How many there may be; see [`crate::limits`].
        limit: usize,
    },
}

/// A value is quoted up to this length: enough to recognise it, not enough to flood a log.
const QUOTED_CHARS: usize = 64;

impl ProtocolError {
    #[expect(clippy::needless_pass_by_value, reason = "every caller is done with the value")]
    pub(crate) fn invalid(field: &'static str, value: impl ToString, rule: &'static str) -> Self {
        Self::Invalid { field, value: value.to_string().chars().take(QUOTED_CHARS).collect(), rule }
    }

    pub(crate) fn at_most(field: &'static str, count: usize, limit: usize) -> Result<(), Self> {
        if count > limit { Err(Self::TooMany { field, count, limit }) } else { Ok(()) }
    }
}

impl From<ProtocolError> for tonic::Status {
    fn from(error: ProtocolError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}
