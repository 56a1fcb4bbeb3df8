//! The worker's command line and environment; nothing below this module reads either.

use std::path::PathBuf;

use clap::Parser;

use crate::link::Worker;

/// Sends load for berth-aggregator: it dials in and waits for orders.
#[derive(Debug, Parser)]
#[command(name = "berth-loadgen", version)]
pub struct Args {
    /// Where berth-aggregator listens.
    #[arg(long, value_name = "URL", env = "BERTH_SERVER", default_value = "http://127.0.0.1:7700")]
    server: String,
    /// The certificate (PEM) that signed an https server's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Unique among the workers; by default the host's name, which is a pod's.
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// The node that it runs on; by default the host's name.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node: Option<String>,
}

impl From<Args> for Worker {
    fn from(args: Args) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            server: args.server,
            ca_file: args.ca_file,
            id: args.id.unwrap_or_else(|| host.clone()),
            node: args.node.unwrap_or(host),
        }
    }
}
