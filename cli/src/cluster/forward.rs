//! Byte streams to the aggregator's ports, forwarded by the API server and the kubelet.
//!
//! Each stream finds the pod anew, so whoever dials again after a restart reaches the new pod.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::async_trait;

use super::refusal::Wish;
use super::{AGGREGATOR, lists, pods};
use crate::exit::{Exit, Failure};

/// Bytes both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// One stream, however it came about.
pub type Stream = Box<dyn ByteStream>;

/// The one seam between Berth's clients and a cluster's network.
#[async_trait]
pub trait Dial: Debug + Send + Sync {
    /// A new stream to this port of the aggregator.
    async fn open(&self, port: u16) -> Result<Stream, Failure>;
}

/// A WebSocket begins as a GET, which RBAC calls get; from Kubernetes 1.35 on it wants create too.
const PORTFORWARD_VERBS: &str = "get and create";

/// Through the API server, as `kubectl port-forward` does.
pub(super) struct PortForward {
    pods: Api<Pod>,
    context: String,
    namespace: String,
}

impl PortForward {
    pub(super) fn new(client: Client, context: &str, namespace: &str) -> Self {
        Self {
            pods: Api::namespaced(client, namespace),
            context: context.to_owned(),
            namespace: namespace.to_owned(),
        }
    }
}

impl Debug for PortForward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortForward").field("context", &self.context).finish_non_exhaustive()
    }
}

#[async_trait]
impl Dial for PortForward {
    async fn open(&self, port: u16) -> Result<Stream, Failure> {
        let Self { pods: api, context, namespace } = self;
        let wish = Wish { verb: "list", resource: "pods", name: "", namespace };
        let labels = format!("{}={AGGREGATOR}", pods::NAME_LABEL);
        let found = lists::all(api, &labels, wish, context).await?;
        let pod = pods::aggregator(&found, namespace)?;
        let wish = Wish { verb: PORTFORWARD_VERBS, resource: "pods/portforward", name: &pod, namespace };
        let mut forwarded = wish.granted(context, api.portforward(&pod, &[port])).await?;
        // The errors of the port are not taken: with nobody to tell, the stream ends.
        let stream = forwarded.take_stream(port).ok_or_else(|| {
            Failure::new(Exit::Environment, format!("port {port} of pod {pod} was not forwarded"))
        })?;
        Ok(Box::new(stream))
    }
}
