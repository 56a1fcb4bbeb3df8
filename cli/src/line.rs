//! The line to an aggregator: a connection that reopens itself, and says who asks.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::transport::Channel;

use crate::cluster::Tokens;

/// What every client is built on.
#[derive(Debug, Clone)]
pub struct Line {
    channel: Channel,
    /// None where the server asks for none.
    tokens: Option<Arc<Tokens>>,
}

impl Line {
    /// Without a token.
    pub fn open(channel: Channel) -> Self {
        Self { channel, tokens: None }
    }

    /// With a token in each call.
    pub fn authorized(channel: Channel, tokens: Tokens) -> Self {
        Self { channel, tokens: Some(Arc::new(tokens)) }
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The channel that was ready makes the call; its clone may not be ready yet.
        let next = self.channel.clone();
        let mut channel = mem::replace(&mut self.channel, next);
        let tokens = self.tokens.clone();
        Box::pin(async move {
            if let Some(tokens) = tokens {
                // An answer that may become another on its own: whoever goes on asking asks again.
                let bearer = tokens.bearer().await.map_err(|error| Status::unavailable(error.to_string()))?;
                request.headers_mut().insert(AUTHORIZATION, bearer);
            }
            Ok(channel.call(request).await?)
        })
    }
}
