//! How a command ends, as a number that scripts may rely on.

use std::process::ExitCode;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, and nothing is wrong.
    Done,
    /// Something was found: an open episode, advice.
    Found,
    /// The command line is wrong, or names something that is not there.
    Usage,
    /// The aggregator, the target or this machine does not let it be done.
    Environment,
    /// A service level objective was missed.
    ObjectiveMissed,
    /// The result is invalid, or the load generator was the limit.
    Invalid,
    /// A person stopped it.
    Stopped,
    /// A person stopped it for the second time, so it did not tidy up.
    Killed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Found => 1,
            Exit::Usage => 2,
            Exit::Environment => 3,
            Exit::ObjectiveMissed => 4,
            Exit::Invalid => 5,
            Exit::Stopped => 6,
            // 128 + SIGINT, as shells have it.
            Exit::Killed => 130,
        })
    }
}

/// A failure whose exit code is not the usual one, [`Exit::Environment`].
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// One line that names the thing and the mend.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

/// The exit code of a command that failed.
pub fn of_error(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::Environment, |failure| failure.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_exit_code_under_context() {
        let error = anyhow::Error::new(Failure::new(Exit::Usage, "no such episode")).context("explain it");
        assert_eq!(of_error(&error), Exit::Usage);
        assert_eq!(of_error(&anyhow::anyhow!("disk full")), Exit::Environment);
    }
}
