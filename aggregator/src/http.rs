//! Plain HTTP/1.1: /metrics, /healthz, /readyz.
//!
//! Invariant: a request has no body worth reading, headers are bounded in size and time, and a
//! connection that says nothing is closed. Deliberately absent: TLS and authentication; it carries
//! no data but metrics, and a `NetworkPolicy` says who may scrape.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;

use crate::{listener::Listener, metrics::Metrics, tasks::Stop};

/// A request's head must come this soon; a connection that is kept open for the next scrape and
/// closed for its silence is opened anew.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A scraper's headers are below 1 KiB; hyper's least buffer is 8 KiB.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves until the stop; connections end with it.
pub(crate) async fn serve(listener: Listener, pages: Arc<Metrics>, mut stop: Stop) {
    let mut connections = JoinSet::new();
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = stop.asked() => return,
        };
        while connections.try_join_next().is_some() {}
        let pages = Arc::clone(&pages);
        connections.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = respond(&request, &pages);
                async { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(connection), answer);
            if let Err(error) = served.await {
                tracing::debug!(%error, "HTTP connection ended");
            }
        });
    }
}

fn respond(request: &Request<Incoming>, pages: &Metrics) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => {
            let mut metrics = text(StatusCode::OK, pages.metrics());
            let exposition = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            metrics.headers_mut().insert(CONTENT_TYPE, exposition);
            metrics
        }
        "/healthz" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => match pages.ready() {
            Ok(line) => text(StatusCode::OK, line),
            Err(line) => text(StatusCode::SERVICE_UNAVAILABLE, line.to_owned()),
        },
        _ => text(StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n".into()),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
