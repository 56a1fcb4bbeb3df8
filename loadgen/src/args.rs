//! The worker's command line and environment; nothing below this module reads either.

use std::path::PathBuf;

use berth::{NodeName, ServerAddress, ServerAddressError};
use clap::Parser;

use crate::link::Worker;

/// A command line that cannot work, with the mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    /// The aggregator cannot be dialled there.
    #[error("--server: {0}")]
    Server(#[from] ServerAddressError),
    /// It would spoil the names of series and files.
    #[error("{flag} {name:?} is no name: write 1 to 253 letters, digits, dashes, underscores or dots")]
    Name { flag: &'static str, name: String },
}

/// Sends load for berth-aggregator: it dials in and waits for orders.
#[derive(Debug, Parser)]
#[command(name = "berth-loadgen", version)]
pub(crate) struct Args {
    /// Where berth-aggregator listens.
    #[arg(long, value_name = "URL", env = "BERTH_SERVER", default_value = "http://127.0.0.1:7700")]
    server: String,
    /// The certificate (PEM) that signed an https server's; read again at each dial.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Show the service account's token in this file; read again at each call.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Unique among the workers; by default the host's name, which is a pod's.
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// The node that it runs on; by default the host's name.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node: Option<String>,
}

impl Args {
    /// Checks all that can be checked without opening anything.
    pub(crate) fn worker(self) -> Result<Worker, UsageError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = |flag, given: Option<String>| {
            let name = given.filter(|name| !name.is_empty()).unwrap_or_else(|| host.clone());
            NodeName::new(name.as_str()).map_err(|_| UsageError::Name { flag, name })
        };
        Ok(Worker {
            server: ServerAddress::parse(&self.server, self.ca_file.is_some())?,
            ca_file: self.ca_file,
            token_file: self.token_file,
            id: name("--id", self.id)?,
            node: name("--node", self.node)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(args: &[&str]) -> Result<Worker, String> {
        let args = Args::try_parse_from([&["berth-loadgen", "--node", "n"], args].concat());
        args.map_err(|error| error.to_string())?.worker().map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_that_cannot_work_is_refused_in_one_line_with_the_mend() {
        for (args, mend) in [
            (&["--server", "node:7700"][..], "http://host:port"),
            (&["--server", "https://node:7700"], "needs --ca-file"),
            (&["--server", "http://node:7700"], "use https:// and --ca-file"),
            (&["--server", "http://node:7700", "--token-file", "t"], "use https:// and --ca-file"),
            (&["--id", "a b"], "--id \"a b\" is no name"),
            (&["--id", "w\n1"], "letters, digits"),
        ] {
            let error = worker(args).unwrap_err();
            assert!(error.contains(mend) && error.lines().count() == 1, "{args:?}: {error}");
        }
    }

    #[test]
    fn a_worker_on_this_machine_needs_no_flags() {
        let worker = worker(&["--id", "w-1"]).unwrap();
        assert_eq!((worker.id.as_str(), worker.node.as_str()), ("w-1", "n"));
    }
}
