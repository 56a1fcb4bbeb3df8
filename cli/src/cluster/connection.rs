//! A cluster's API server, and the connection to the aggregator that is opened through it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::{Api, Client};
use tonic::codegen::http::Uri;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tower::service_fn;

use super::forward::{Dial, PortForward, Stream};
use super::refusal::Wish;
use super::{AGGREGATOR, Account, GRPC_PORT, Tokens, lists, pods};
use crate::connect::{Server, root_cause, tuned};
use crate::exit::{Exit, Failure};
use crate::line::Line;

/// A handshake over the slowest link that anybody would work on.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// From the first question about pods to the end of the TLS handshake: a handful of round trips over
/// such a link.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// The aggregator's public certificate.
const CA_CONFIG_MAP: &str = "berth-ca";

/// Its key there.
const CA_KEY: &str = "ca.crt";

/// One cluster, as this person's kubeconfig reaches it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    dial: Arc<dyn Dial>,
    context: String,
    /// Berth's own.
    namespace: String,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Cluster {
    /// With ports forwarded by the API server.
    pub fn new(client: Client, context: &str, namespace: &str) -> Self {
        let dial = PortForward::new(client.clone(), context, namespace);
        Self::dialling(client, Arc::new(dial), context, namespace)
    }

    /// With another way to the aggregator's ports.
    pub fn dialling(client: Client, dial: Arc<dyn Dial>, context: &str, namespace: &str) -> Self {
        Self { client, dial, context: context.to_owned(), namespace: namespace.to_owned() }
    }

    /// The kubeconfig's name of it.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Where Berth is installed in it.
    pub fn berth_namespace(&self) -> &str {
        &self.namespace
    }

    /// Opens the connection, so that whatever is missing is found before anything is asked.
    pub async fn connect(&self, account: Account) -> Result<Server, Failure> {
        let name = format!("{AGGREGATOR} of context {}", self.context);
        let tokens = Tokens::new(self.client.clone(), account, &self.context, &self.namespace);
        // Asked for here, so that a refusal is told as what it is.
        tokens.bearer().await?;
        let endpoint = self.endpoint(&self.certificate().await?)?;
        let dial = Arc::clone(&self.dial);
        let connector = service_fn(move |_: Uri| {
            let dial = Arc::clone(&dial);
            async move { dial.open(GRPC_PORT).await.map(TokioIo::new) }
        });
        let opening = Box::pin(endpoint.connect_with_connector(connector));
        let opened = tokio::time::timeout(OPEN_TIMEOUT, opening).await;
        let unreachable = |why: &str| {
            Failure::new(
                Exit::Environment,
                format!(
                    "cannot reach {name} ({why}): `kubectl -n {} logs deployment/{AGGREGATOR}` may say more",
                    self.namespace
                ),
            )
        };
        match opened {
            Ok(Ok(channel)) => {
                let mend = format!("`kubectl -n {} get pods` shows whether it runs", self.namespace);
                Ok(Server::new(Line::authorized(channel, tokens), name, mend))
            }
            Ok(Err(error)) => Err(failure_in(&error).unwrap_or_else(|| unreachable(&root_cause(&error)))),
            Err(_) => Err(unreachable(&format!("no connection within {OPEN_TIMEOUT:?}"))),
        }
    }

    /// Bytes to another of the aggregator's ports.
    pub async fn open(&self, port: u16) -> Result<Stream, Failure> {
        self.dial.open(port).await
    }

    /// The pods of one of Berth's programs.
    pub async fn pods(&self, program: &str) -> Result<Vec<pods::PodState>, Failure> {
        let wish = Wish { verb: "list", resource: "pods", name: "", namespace: &self.namespace };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let labels = format!("{}={program}", pods::NAME_LABEL);
        Ok(lists::all(&api, &labels, wish, &self.context).await?.iter().map(pods::PodState::of).collect())
    }

    /// The cluster's nodes.
    pub async fn nodes(&self) -> Result<Vec<Node>, Failure> {
        self.everywhere("nodes").await
    }

    /// The cluster's namespaces.
    pub async fn namespaces(&self) -> Result<Vec<Namespace>, Failure> {
        self.everywhere("namespaces").await
    }

    /// All objects of a kind, in the whole cluster.
    pub async fn everywhere<K>(&self, resource: &str) -> Result<Vec<K>, Failure>
    where
        K: kube::Resource<DynamicType = ()> + Clone + fmt::Debug + serde::de::DeserializeOwned,
    {
        let wish = Wish { verb: "list", resource, name: "", namespace: "" };
        lists::all(&Api::<K>::all(self.client.clone()), "", wish, &self.context).await
    }

    fn endpoint(&self, certificate: &str) -> Result<Endpoint, Failure> {
        let host = format!("{AGGREGATOR}.{}.svc", self.namespace);
        let unusable = |error: tonic::transport::Error| {
            Failure::new(
                Exit::Environment,
                format!(
                    "ConfigMap {CA_CONFIG_MAP} of namespace {} holds no usable certificate ({})",
                    self.namespace,
                    root_cause(&error)
                ),
            )
        };
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate)).domain_name(&*host);
        let endpoint = Endpoint::from_shared(format!("https://{host}:{GRPC_PORT}")).map_err(unusable)?;
        tuned(endpoint.connect_timeout(OPEN_TIMEOUT)).tls_config(tls).map_err(unusable)
    }

    /// What signs the aggregator's certificate, as it published it.
    async fn certificate(&self) -> Result<String, Failure> {
        let wish =
            Wish { verb: "get", resource: "configmaps", name: CA_CONFIG_MAP, namespace: &self.namespace };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let map = wish.granted(&self.context, api.get(CA_CONFIG_MAP)).await?;
        let certificate = map.data.and_then(|mut data| data.remove(CA_KEY));
        certificate.filter(|pem| !pem.trim().is_empty()).ok_or_else(|| {
            Failure::new(
                Exit::Environment,
                format!(
                    "ConfigMap {CA_CONFIG_MAP} of namespace {ns} is still empty: the aggregator fills it when it \
                     starts, and `kubectl -n {ns} get pods` shows whether it did",
                    ns = self.namespace
                ),
            )
        })
    }
}

/// A failure with its own mend, wherever the transport has put it.
fn failure_in(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<Failure>())
        .cloned()
}
