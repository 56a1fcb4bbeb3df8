//! The way to the aggregator.
//!
//! Every failure on it becomes one line that names the address and the mend. How a cluster's
//! aggregator is reached is [`crate::cluster`]'s.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use berth::ServerAddress;
use berth::limits::{KEEPALIVE_PERIOD, KEEPALIVE_TIMEOUT, TRACE_ENTRY_BYTES};
use berth::wire::ListNodesRequest;
use berth::wire::advisor_client::AdvisorClient;
use berth::wire::episodes_client::EpisodesClient;
use berth::wire::load_client::LoadClient;
use berth::wire::samples_client::SamplesClient;
use berth::wire::traces_client::TracesClient;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use crate::cluster::{Account, Target};
use crate::exit::{Exit, Failure};
use crate::line::Line;
use crate::scope::Scope;
use crate::view::plain;

/// Where an aggregator on this machine listens.
const DEFAULT_URL: &str = "http://127.0.0.1:7700";

/// A handshake over the slowest link that anybody would work on.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Names in a message: a line or two.
const NODES_SHOWN: usize = 8;

/// Until an answer begins. An aggregator answers from memory; one that takes longer is in trouble.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// What to try when there is none at a URL.
const MEND: &str = "is it running? Try `berth demo --keep`, or give --server";

/// Where the aggregator is.
#[derive(Debug, Clone)]
pub enum Address {
    /// At a URL.
    Url {
        /// Host and port.
        url: ServerAddress,
        /// What signed an https server's certificate.
        ca_file: Option<PathBuf>,
    },
    /// In a cluster.
    Cluster(Box<Target>),
}

/// Where the aggregator is, and which pods matter.
#[derive(Debug, Clone)]
pub struct Place {
    /// The aggregator.
    pub address: Address,
    /// The pods.
    pub scope: Scope,
}

impl Address {
    /// A server's, or this machine's; nothing is opened yet.
    pub fn of_server(server: Option<&str>, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let url = ServerAddress::parse(server.unwrap_or(DEFAULT_URL), ca_file.is_some())
            .map_err(|error| usage(format!("--server: {error}")))?;
        Ok(Self::Url { url, ca_file: ca_file.map(Path::to_path_buf) })
    }

    /// Opens the connection, so that a wrong address is found before anything is asked.
    pub async fn connect(&self) -> anyhow::Result<Server> {
        match self {
            Self::Url { url, ca_file } => at_url(url, ca_file.as_deref()).await,
            Self::Cluster(target) => Ok(Box::pin(target.cluster().await?.connect(Account::Viewer)).await?),
        }
    }

    /// The cluster, for commands that need more than the aggregator.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Url { .. } => None,
            Self::Cluster(target) => Some(target),
        }
    }
}

async fn at_url(url: &ServerAddress, ca_file: Option<&Path>) -> anyhow::Result<Server> {
    let mut endpoint =
        Endpoint::from_shared(url.as_str().to_owned()).with_context(|| format!("dial {url}"))?;
    endpoint = tuned(endpoint.connect_timeout(CONNECT_TIMEOUT));
    if let Some(path) = ca_file {
        let pem = fs::read(path).with_context(|| format!("read --ca-file {}", path.display()))?;
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
            .with_context(|| format!("use the certificate in {}", path.display()))?;
    }
    let name = format!("berth-aggregator at {url}");
    match endpoint.connect().await {
        Ok(channel) => Ok(Server::new(Line::open(channel), name, MEND.to_owned())),
        Err(error) => Err(unreachable(&name, MEND, &root_cause(&error)).into()),
    }
}

fn unreachable(name: &str, mend: &str, why: &str) -> Failure {
    Failure::new(Exit::Environment, format!("cannot reach {name} ({why}): {mend}"))
}

/// What holds for every connection, however its bytes travel.
pub(crate) fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .timeout(CALL_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_PERIOD)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}

/// An aggregator that answered.
#[derive(Debug, Clone)]
pub struct Server {
    line: Line,
    /// How a person is told of it.
    name: String,
    /// What to try when it is out of reach.
    mend: String,
}

impl Server {
    pub(crate) fn new(line: Line, name: String, mend: String) -> Self {
        Self { line, name, mend }
    }

    /// For calls that are passed on as they are.
    pub(crate) fn line(&self) -> Line {
        self.line.clone()
    }

    /// Who suffers, how much, from whom.
    pub fn episodes(&self) -> EpisodesClient<Line> {
        EpisodesClient::new(self.line.clone())
    }

    /// What to change.
    pub fn advisor(&self) -> AdvisorClient<Line> {
        AdvisorClient::new(self.line.clone())
    }

    /// What the agents saw.
    pub fn samples(&self) -> SamplesClient<Line> {
        SamplesClient::new(self.line.clone())
    }

    /// What detectors take.
    pub fn traces(&self) -> TracesClient<Line> {
        TracesClient::new(self.line.clone()).max_decoding_message_size(TRACE_ENTRY_BYTES)
    }

    /// Load runs by workers.
    pub fn load(&self) -> LoadClient<Line> {
        LoadClient::new(self.line.clone())
    }

    /// The only node that it has heard of. Errors: there is none, or more than one.
    pub async fn only_node(&self) -> Result<String, Failure> {
        match self.nodes().await?.as_slice() {
            [node] => Ok(node.clone()),
            nodes => {
                Err(usage(format!("more than one node reports: choose one with --node: {}", shown(nodes))))
            }
        }
    }

    /// Errors: it has not heard of the node, and says of which it has.
    pub async fn knows(&self, node: &str) -> Result<(), Failure> {
        let nodes = self.nodes().await?;
        if nodes.iter().any(|one| one == node) {
            return Ok(());
        }
        let shown = shown(&nodes);
        Err(usage(plain(&format!("no node {node:?} has reported; those that have: {shown}"))))
    }

    /// Those that it has heard of. Errors: there is none.
    async fn nodes(&self) -> Result<Vec<String>, Failure> {
        let answer = self.samples().list_nodes(ListNodesRequest {}).await;
        let nodes = answer.map_err(|status| self.failure(&status))?.into_inner().nodes;
        if nodes.is_empty() {
            return Err(Failure::new(Exit::Environment, "no agent has reported yet: is one running?"));
        }
        Ok(nodes.into_iter().map(|one| one.node).collect())
    }

    /// A refused call as a line for a person.
    pub fn failure(&self, status: &Status) -> Failure {
        let said = status.message();
        let environment = |line: String| Failure::new(Exit::Environment, line);
        match status.code() {
            Code::NotFound | Code::InvalidArgument | Code::OutOfRange => usage(said),
            Code::Unauthenticated | Code::PermissionDenied => {
                environment(format!("{} does not let you ask that: {said}", self.name))
            }
            Code::Unimplemented => environment(format!(
                "{} does not know this question: is it the gRPC port (7700) of a berth-aggregator of this version?",
                self.name
            )),
            Code::DeadlineExceeded | Code::Cancelled => {
                self.unreachable(&format!("no answer within {CALL_TIMEOUT:?}"))
            }
            Code::Unavailable => self.unreachable(said),
            // What answers there speaks no gRPC.
            Code::Unknown => environment(format!(
                "{} failed ({said}): is it the gRPC port (7700) of a berth-aggregator?",
                self.name
            )),
            // The aggregator's own words say what is in the way, and what to do.
            Code::ResourceExhausted | Code::FailedPrecondition => {
                environment(format!("{} cannot do that: {said}", self.name))
            }
            code => environment(format!("{} failed ({code}): {said}", self.name)),
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        unreachable(&self.name, &self.mend, why)
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

fn shown(nodes: &[String]) -> String {
    let shown: Vec<String> = nodes.iter().take(NODES_SHOWN).map(|node| plain(node)).collect();
    shown.join(", ") + if nodes.len() > NODES_SHOWN { " and more" } else { "" }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// The last of an error's sources says what happened; those above it say only "transport error".
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(server: Option<&str>, ca_file: Option<&str>) -> String {
        Address::of_server(server, ca_file.map(Path::new)).unwrap_err().to_string()
    }

    #[test]
    fn an_address_that_cannot_work_is_refused_with_the_mend() {
        assert!(refusal(Some("node:7700"), None).contains("http://host:port"));
        assert!(refusal(Some("https://node:7700"), None).contains("needs --ca-file"));
        assert!(refusal(Some("http://node:7700"), None).contains("use https:// and --ca-file"));
        assert!(refusal(Some("http://node:7700"), Some("ca.pem")).contains("is for https"));
    }

    #[test]
    fn without_flags_the_aggregator_is_on_this_machine() {
        let Address::Url { url, .. } = Address::of_server(None, None).unwrap() else { panic!("no URL") };
        assert_eq!(url.as_str(), DEFAULT_URL);
    }
}
