//! The command line, and what is made of it. Nothing below sees a raw flag.

use std::path::PathBuf;

use berth::{CpuList, NodeName, ServerAddress, limits};
use clap::Parser;
use tonic::transport::Uri;

/// Samples this node at high frequency and streams it to a Berth aggregator.
#[derive(Debug, Parser)]
#[command(name = "berth-agent", version)]
pub struct Args {
    /// The aggregator; plain http:// is allowed to this machine only
    #[arg(long, env = "BERTH_SERVER", default_value = "http://127.0.0.1:7700", value_name = "URL")]
    server: String,
    /// Trust the certificates in this PEM file for an https:// server; read again at each dial
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// Show the service account's token in this file; read again at each dial
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// This node's name [default: the host's name]
    #[arg(long, env = "NODE_NAME")]
    node: Option<String>,
    /// Ticks a second; stall is read once a second whatever this is
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    hz: u32,
    /// Answer for these CPUs only, like 0-3,8 [default: all of this node's]
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
    /// Take each child of this cgroup (a path below the hierarchy's root) as a container; repeatable
    /// [default: the kubelet's pods, or every container that is found]
    #[arg(long = "cgroup-root", value_name = "PATH")]
    cgroup_roots: Vec<String>,
    /// Sample this cgroup as a part of the system too; repeatable
    #[arg(long = "system-cgroup", value_name = "PATH")]
    system_cgroups: Vec<String>,
    /// Where the host's /proc is mounted
    #[arg(long, default_value = "/proc", value_name = "PATH")]
    proc_root: PathBuf,
    /// Use only cgroup hierarchies that are mounted here or below
    #[arg(long, default_value = "/", value_name = "PATH")]
    cgroup_mount: PathBuf,
    /// CPUs that the agent may use before it samples less often; 0 for no bound
    #[arg(long, default_value_t = 0.02, value_name = "CPUS", allow_negative_numbers = true)]
    cpu_budget: f64,
}

/// A flag that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Where the aggregator is.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address.
    pub uri: Uri,
    /// Trusted certificates, for an https address.
    pub ca_file: Option<PathBuf>,
    /// Who we are, for an aggregator that asks.
    pub token_file: Option<PathBuf>,
}

/// What the agent was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The aggregator.
    pub server: Server,
    /// Our name.
    pub node: NodeName,
    /// Base ticks a second.
    pub tick_hz: u32,
    /// The CPUs to answer for; none for all of the node's.
    pub cpus: Option<CpuList>,
    /// Cgroups whose children are containers.
    pub cgroup_roots: Vec<String>,
    /// Cgroups that are parts of the system.
    pub system_cgroups: Vec<String>,
    /// The host's /proc.
    pub proc_root: PathBuf,
    /// Above the cgroup mounts.
    pub cgroup_mount: PathBuf,
    /// CPUs; 0 for no bound.
    pub cpu_budget: f64,
}

fn refused(text: impl Into<String>) -> UsageError {
    UsageError(text.into())
}

impl Server {
    /// An address in the clear is of this machine, so a token never leaves it unencrypted.
    fn new(url: &str, ca_file: Option<PathBuf>, token_file: Option<PathBuf>) -> Result<Self, UsageError> {
        let refusal = |error: &dyn std::fmt::Display| refused(format!("--server: {error}"));
        let address = ServerAddress::parse(url, ca_file.is_some()).map_err(|error| refusal(&error))?;
        let uri = address.as_str().parse().map_err(|error| refusal(&error))?;
        Ok(Self { uri, ca_file, token_file })
    }
}

impl Args {
    /// Checks all that can be checked without looking at the node. Errors: name the flag and the
    /// mend.
    pub fn config(self) -> Result<Config, UsageError> {
        let host_name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let node = NodeName::new(self.node.filter(|name| !name.is_empty()).unwrap_or_else(host_name));
        let cpus = self.cpus.as_deref().map(CpuList::parse).transpose();
        if !(0.0..=1_024.0).contains(&self.cpu_budget) {
            return Err(refused("--cpu-budget: a number of CPUs, or 0 for no bound"));
        }
        debug_assert!(limits::TICK_HZ.contains(&self.hz), "clap checks the same range");
        Ok(Config {
            server: Server::new(&self.server, self.ca_file, self.token_file)?,
            node: node.map_err(|error| refused(format!("--node: {error}")))?,
            tick_hz: self.hz,
            cpus: cpus.map_err(|error| refused(format!("--cpus: {error}")))?,
            cgroup_roots: self.cgroup_roots,
            system_cgroups: self.system_cgroups,
            proc_root: self.proc_root,
            cgroup_mount: self.cgroup_mount,
            cpu_budget: self.cpu_budget,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = ["berth-agent", "--node", "n1"].into_iter().chain(flags.iter().copied());
        let args = Args::try_parse_from(args).map_err(|error| error.to_string())?;
        args.config().map_err(|error| error.to_string())
    }

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for good in ["http://127.0.0.1:7700", "http://localhost:7700", "http://[::1]:7700"] {
            assert!(config(&["--server", good]).is_ok(), "{good}");
        }
        for bad in
            ["http://10.0.0.1:7700", "http://berth-aggregator:7700", "127.0.0.1:7700", "ftp://x", "", "://"]
        {
            assert!(config(&["--server", bad]).unwrap_err().contains("--server"), "{bad}");
            let with_token = config(&["--server", bad, "--token-file", "/token"]);
            assert!(with_token.unwrap_err().contains("--server"), "{bad}");
        }
        assert!(config(&["--server", "https://berth-aggregator:7700"]).unwrap_err().contains("--ca-file"));
        assert!(config(&["--server", "https://berth-aggregator:7700", "--ca-file", "/ca.pem"]).is_ok());
    }

    #[test]
    fn a_bad_value_is_refused_by_the_name_of_its_flag() {
        for (flags, name) in [
            (["--hz", "0"], "--hz"),
            (["--hz", "101"], "--hz"),
            (["--cpus", "3-1"], "--cpus"),
            (["--node", "a b"], "--node"),
            (["--cpu-budget", "-1"], "--cpu-budget"),
            (["--cpu-budget", "NaN"], "--cpu-budget"),
        ] {
            assert!(config(&flags).unwrap_err().contains(name), "{flags:?}");
        }
    }
}
