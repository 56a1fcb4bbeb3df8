//! The command line. Nothing below this module sees a raw flag or the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;

use crate::{
    access::{Access, TlsFiles},
    config::Config,
    error::StartError,
    settings::Settings,
};

/// Without the client of the API server, which logs each failed request: we say what that means, once.
const DEFAULT_LOG: &str = "info,kube_client=off,kube_runtime=off";

/// Shown below `--help`: scripts rely on it.
const EXIT_CODES: &str = "\
Exit codes:
  0    stopped by SIGTERM or Ctrl-C
  2    the command line or the configuration is wrong
  3    this machine does not let it start: a port is taken, a file cannot be used";

/// Takes the agents' streams in, runs load, and answers.
#[derive(Debug, Parser)]
#[command(name = "berth-aggregator", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Where agents, load workers and people connect (gRPC); port 0 takes any.
    #[arg(long, value_name = "ADDRESS", env = "BERTH_LISTEN", default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// Where /metrics, /healthz and /readyz are served (HTTP); port 0 takes any.
    #[arg(long, value_name = "ADDRESS", env = "BERTH_HTTP", default_value = "127.0.0.1:7701")]
    http: SocketAddr,
    /// Run on a Kubernetes cluster: watch it, serve gRPC under a certificate of its own, and let in
    /// only who shows a token of the cluster's.
    #[arg(long, conflicts_with = "tls_cert")]
    kubernetes: bool,
    /// Berth's own namespace, whose accounts are believed, and where its Secret and `ConfigMap` lie.
    #[arg(long, value_name = "NAME", env = "BERTH_NAMESPACE", default_value = "berth-system")]
    berth_namespace: String,
    /// The certificate (PEM) to serve gRPC with off Kubernetes; without it only loopback is allowed.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Who is who, and what load may do (YAML).
    #[arg(long, value_name = "FILE", env = "BERTH_CONFIG")]
    config: Option<PathBuf>,
    /// Append closed episodes to episodes.jsonl in this directory; the last line of an id holds.
    #[arg(long, value_name = "DIR", env = "BERTH_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// What to log to stderr: error, warn, info, debug or trace.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = DEFAULT_LOG)]
    pub log: tracing_subscriber::EnvFilter,
}

impl Args {
    /// The settings that the flags ask for. Errors: they contradict each other or the files.
    pub fn settings(self) -> Result<Settings, StartError> {
        let config = match self.config {
            Some(path) => Config::read(&path).map_err(|source| StartError::Config { path, source })?,
            None => Config::none(),
        };
        let files = self.tls_cert.zip(self.tls_key).map(|(cert, key)| TlsFiles { cert, key });
        let access = match files {
            _ if self.kubernetes => Access::Kubernetes { namespace: self.berth_namespace },
            Some(files) => Access::Files(files),
            None => Access::Loopback,
        };
        Settings::new(self.listen, self.http, access, config, self.data_dir)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn plaintext_off_loopback_is_refused_with_the_mend() {
        let args = Args::parse_from(["berth-aggregator", "--listen", "0.0.0.0:7700"]);
        let error = args.settings().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--tls-cert"), "{error}");
        let args = Args::parse_from(["berth-aggregator", "--listen", "[::1]:7700", "--http", "0.0.0.0:7701"]);
        assert!(args.settings().is_ok());
    }

    #[test]
    fn on_a_cluster_it_listens_for_all_and_asks_for_tokens() {
        let args = ["berth-aggregator", "--listen", "0.0.0.0:7700", "--kubernetes"];
        let settings = Args::parse_from(args).settings().unwrap();
        let Access::Kubernetes { namespace } = settings.access else { panic!("{settings:?}") };
        assert_eq!(namespace, "berth-system");
        let both = [&args[..], &["--tls-cert", "c", "--tls-key", "k"]].concat();
        assert!(Args::try_parse_from(both).is_err());
    }
}
