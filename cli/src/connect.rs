//! The way to the aggregator.
//!
//! Every failure on it becomes one line that names the address and the mend. Deliberately absent:
//! tokens and port-forwarding through the API server; for now somebody else opens the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use berth::ServerAddress;
use berth::limits::{KEEPALIVE_PERIOD, KEEPALIVE_TIMEOUT};
use berth::wire::ListNodesRequest;
use berth::wire::advisor_client::AdvisorClient;
use berth::wire::episodes_client::EpisodesClient;
use berth::wire::load_client::LoadClient;
use berth::wire::samples_client::SamplesClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use crate::Invocation;
use crate::exit::{Exit, Failure};
use crate::view::plain;

/// Where an aggregator on this machine listens.
const DEFAULT_URL: &str = "http://127.0.0.1:7700";

/// A handshake over the slowest link that anybody would work on.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Names in a message: a line or two.
const NODES_SHOWN: usize = 8;

/// Until an answer begins. An aggregator answers from memory; one that takes longer is in trouble.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the aggregator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: ServerAddress,
    ca_file: Option<PathBuf>,
}

impl Address {
    /// From the flags; nothing is opened yet.
    pub fn new(
        server: Option<&str>,
        ca_file: Option<&Path>,
        invocation: Invocation,
    ) -> Result<Self, Failure> {
        let url = match (server, invocation) {
            (Some(url), _) => url,
            (None, Invocation::Berth) => DEFAULT_URL,
            (None, Invocation::KubectlPlugin) => {
                return Err(usage(
                    "kubectl berth cannot forward a port yet: run \
                    `kubectl -n berth-system port-forward svc/berth-aggregator 7700` and give \
                    --server https://localhost:7700 --ca-file ca.crt",
                ));
            }
        };
        let url = ServerAddress::parse(url, ca_file.is_some())
            .map_err(|error| usage(format!("--server: {error}")))?;
        Ok(Self { url, ca_file: ca_file.map(Path::to_path_buf) })
    }

    /// Opens the connection, so that a wrong address is found before anything is asked.
    pub async fn connect(&self) -> anyhow::Result<Server> {
        let mut endpoint = Endpoint::from_shared(self.url.as_str().to_owned())
            .with_context(|| format!("dial {}", self.url))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_PERIOD)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        if let Some(path) = &self.ca_file {
            let pem = fs::read(path).with_context(|| format!("read --ca-file {}", path.display()))?;
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
                .with_context(|| format!("use the certificate in {}", path.display()))?;
        }
        let channel = endpoint.connect().await.map_err(|error| self.unreachable(&root_cause(&error)))?;
        Ok(Server { address: self.clone(), channel })
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::new(
            Exit::Environment,
            format!(
                "cannot reach berth-aggregator at {} ({why}): is it running? Try `berth demo --keep`, or give --server",
                self.url
            ),
        )
    }
}

/// A connection that reopens itself.
#[derive(Debug, Clone)]
pub struct Server {
    address: Address,
    channel: Channel,
}

impl Server {
    /// Who suffers, how much, from whom.
    pub fn episodes(&self) -> EpisodesClient<Channel> {
        EpisodesClient::new(self.channel.clone())
    }

    /// What to change.
    pub fn advisor(&self) -> AdvisorClient<Channel> {
        AdvisorClient::new(self.channel.clone())
    }

    /// What the agents saw.
    pub fn samples(&self) -> SamplesClient<Channel> {
        SamplesClient::new(self.channel.clone())
    }

    /// Load runs by workers.
    pub fn load(&self) -> LoadClient<Channel> {
        LoadClient::new(self.channel.clone())
    }

    /// Errors: it has not heard of the node, and says of which it has.
    pub async fn knows(&self, node: &str) -> Result<(), Failure> {
        let answer = self.samples().list_nodes(ListNodesRequest {}).await;
        let nodes = answer.map_err(|status| self.failure(&status))?.into_inner().nodes;
        let names: Vec<&str> = nodes.iter().map(|one| one.node.as_str()).collect();
        if names.contains(&node) {
            return Ok(());
        }
        if names.is_empty() {
            return Err(Failure::new(Exit::Environment, "no agent has reported yet: is one running?"));
        }
        let shown = names.iter().take(NODES_SHOWN).copied().collect::<Vec<_>>().join(", ");
        let rest = if names.len() > NODES_SHOWN { " and more" } else { "" };
        Err(usage(plain(&format!("no node {node:?} has reported; those that have: {shown}{rest}"))))
    }

    /// A refused call as a line for a person.
    pub fn failure(&self, status: &Status) -> Failure {
        let said = status.message();
        match status.code() {
            Code::NotFound | Code::InvalidArgument | Code::OutOfRange => usage(said),
            Code::Unauthenticated | Code::PermissionDenied => Failure::new(
                Exit::Environment,
                format!("{} does not let you ask that: {said}", self.address.url),
            ),
            Code::Unimplemented => Failure::new(
                Exit::Environment,
                format!(
                    "{} does not know this question: is it the gRPC port (7700) of a berth-aggregator of this version?",
                    self.address.url
                ),
            ),
            Code::DeadlineExceeded | Code::Cancelled => {
                self.address.unreachable(&format!("no answer within {CALL_TIMEOUT:?}"))
            }
            Code::Unavailable => self.address.unreachable(said),
            code => Failure::new(Exit::Environment, format!("{} failed ({code}): {said}", self.address.url)),
        }
    }
}

/// Whether asking again may help: not when the question itself is refused.
pub fn is_lasting(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
    )
}

/// What a command that goes on says of a call that may be tried again.
pub fn lost(status: &Status) -> String {
    format!("lost the aggregator, trying again ({})", plain(status.message()))
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// The last of an error's sources says what happened; those above it say only "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(server: Option<&str>, ca_file: Option<&str>, invocation: Invocation) -> String {
        Address::new(server, ca_file.map(Path::new), invocation).unwrap_err().to_string()
    }

    #[test]
    fn an_address_that_cannot_work_is_refused_with_the_mend() {
        let berth = Invocation::Berth;
        assert!(refusal(Some("node:7700"), None, berth).contains("http://host:port"));
        assert!(refusal(Some("https://node:7700"), None, berth).contains("needs --ca-file"));
        assert!(refusal(Some("http://node:7700"), None, berth).contains("use https:// and --ca-file"));
        assert!(refusal(Some("http://node:7700"), Some("ca.pem"), berth).contains("is for https"));
        assert!(refusal(None, None, Invocation::KubectlPlugin).contains("port-forward"));
    }

    #[test]
    fn without_flags_the_aggregator_is_on_this_machine() {
        assert_eq!(Address::new(None, None, Invocation::Berth).unwrap().url.as_str(), DEFAULT_URL);
    }
}
