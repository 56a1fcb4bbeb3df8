//! Stands before every service: who is not let in by the [`Gate`] does not reach one.
//!
//! Invariant: a request that passes a gate carries its [`Principal`] and its [`Lease`], unless the method
//! is open to all. Without a gate, as on loopback, everything passes and carries none.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use berth::NodeName;
use tonic::{
    Extensions, Status,
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    transport::server::TcpConnectInfo,
};

use super::{cache::Lease, gate::Gate, principal::Principal};

/// A service behind a gate.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    gate: Option<Arc<Gate>>,
}

impl<S> Guarded<S> {
    /// Puts the gate before it, if there is one.
    pub(crate) fn new(inner: S, gate: Option<Arc<Gate>>) -> Self {
        Self { inner, gate }
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(gate) = self.gate.clone() else { return Box::pin(self.inner.call(request)) };
        // The one that was polled ready is called; its clone waits for the next request.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let connection = request.extensions().get::<TcpConnectInfo>();
            let peer = connection.and_then(TcpConnectInfo::remote_addr).map(|address| address.ip());
            match gate.admit(request.uri().path(), request.headers(), peer).await {
                Ok(principal) => {
                    if let Some(principal) = principal {
                        request.extensions_mut().insert(gate.lease(&principal));
                        request.extensions_mut().insert(principal);
                    }
                    inner.call(request).await
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// What holds while the pod of this request's sender lives; without a gate it never ends.
pub(crate) fn lease(extensions: &Extensions) -> Lease {
    extensions.get().cloned().unwrap_or_else(Lease::unbound)
}

/// What a stream is told whose pod is gone.
pub(crate) fn pod_gone() -> Status {
    Status::unauthenticated("the pod of this token is gone")
}

/// Whether the sender of this request may speak for a node: its token says which is its own.
pub(crate) fn speaks_for(extensions: &Extensions, node: &NodeName) -> Result<(), Status> {
    let place = extensions.get::<Principal>().and_then(Principal::place);
    match place {
        Some(place) if place.node != *node => {
            Err(Status::permission_denied(format!("the token is not of node {node}")))
        }
        Some(_) | None => Ok(()),
    }
}
