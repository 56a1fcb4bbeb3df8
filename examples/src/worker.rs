//! A worker of the model server: one thread that computes one request at a time.
//!
//! It has a runtime of its own and computes inline, so N workers use at most N CPUs, and a request that finds
//! its worker busy waits: what the worker processes of a Python model server do.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::model::Model;
use crate::predict;
use crate::server::CONNECTIONS_MAX;

/// Route of the model, named by the data set.
pub const PREDICT: &str = "/breast_cancer/predict";

/// Route of the readiness probe.
pub const HEALTH: &str = "/health";

/// A batch of 3,000 rows fits, and keeps a worker busy for some fifteen seconds. With [`CONNECTIONS_MAX`] it
/// bounds all bodies to 64 MiB.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Longer than the 60 s for which proxies usually keep an idle connection, so that it is they who close it.
const IDLE: Duration = Duration::from_secs(75);

/// The largest body at 26 kB/s; a slower sender is stuck.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct Guest {
    stream: std::net::TcpStream,
    seat: OwnedSemaphorePermit,
}

impl Guest {
    /// Takes the stream off the runtime that accepted it.
    pub fn new(stream: TcpStream, seat: OwnedSemaphorePermit) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream: stream.into_std()?, seat })
    }
}

/// The door's handle on a worker; the worker ends when the handle is dropped.
#[derive(Debug)]
pub struct Worker {
    inbox: mpsc::Sender<(Guest, Arc<()>)>,
    /// Every open connection holds a clone: the count of clones is the count of connections.
    open: Arc<()>,
}

impl Worker {
    /// Starts the thread; it keeps `alive` until its last request is answered.
    pub fn start(number: u8, model: Arc<Model>, alive: mpsc::Sender<()>) -> anyhow::Result<Self> {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let (inbox, guests) = mpsc::channel(CONNECTIONS_MAX);
        let work = move || {
            runtime.block_on(work(&model, guests));
            drop(alive);
        };
        thread::Builder::new().name(format!("worker-{number}")).spawn(work).context("start a worker")?;
        Ok(Self { inbox, open: Arc::new(()) })
    }

    /// Connections that this worker has, or is about to have.
    pub fn open_connections(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// Hands it a connection.
    pub async fn take(&self, guest: Guest) -> anyhow::Result<()> {
        self.inbox.send((guest, self.open.clone())).await.map_err(|_| anyhow!("a worker has died"))
    }
}

async fn work(model: &Arc<Model>, mut guests: mpsc::Receiver<(Guest, Arc<()>)>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    while let Some((guest, open)) = guests.recv().await {
        // Forget those that have ended, so that their results do not pile up.
        while connections.try_join_next().is_some() {}
        let Ok(stream) = TcpStream::from_std(guest.stream) else { continue };
        let model = model.clone();
        let service = service_fn(move |request| respond(model.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that fails concerns its peer, who knows.
            drop(connection.await);
            drop((open, guest.seat));
        });
    }
    graceful.shutdown().await;
}

async fn respond(model: Arc<Model>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, HEALTH) => response(StatusCode::OK, "text/plain", "OK!"),
        (&Method::POST, PREDICT) => match read(request.into_body()).await {
            Ok(body) => {
                let (status, answer) = predict::answer(&model, &body);
                response(status, "application/json", answer)
            }
            Err((status, error)) => failure(status, &error),
        },
        (method, path) => {
            let error = format!("no route {method} {path}: there are POST {PREDICT} and GET {HEALTH}");
            failure(StatusCode::NOT_FOUND, &error)
        }
    })
}

async fn read(body: Incoming) -> Result<Bytes, (StatusCode, String)> {
    match timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let error = format!("the body is larger than {BODY_BYTES_MAX} bytes: send fewer rows at a time");
            Err((StatusCode::PAYLOAD_TOO_LARGE, error))
        }
        Ok(Err(error)) => Err((StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {BODY_TIMEOUT:?}"))),
    }
}

fn failure(status: StatusCode, error: &str) -> Response<Full<Bytes>> {
    response(status, "application/json", predict::failure(error))
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
