//! A model server whose answers a test decides.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// What a server has seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Bodies, in the order in which requests came.
    pub(crate) bodies: Mutex<Vec<Bytes>>,
    /// Method, path and headers of the last request.
    pub(crate) last_head: Mutex<Option<hyper::http::request::Parts>>,
    /// How many requests have come, and how many connections are open.
    pub(crate) requests: watch::Sender<usize>,
    pub(crate) open: watch::Sender<usize>,
    pub(crate) most_open: watch::Sender<usize>,
}

impl Seen {
    /// The rows that came: the first cell of each, as a number.
    pub(crate) fn first_cells(&self) -> Vec<u64> {
        let cell = |body: &Bytes| {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            body["payload"]["instances"][0][0].as_u64().unwrap()
        };
        self.bodies.lock().unwrap().iter().map(cell).collect()
    }
}

pub(crate) struct ModelServer {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

pub(crate) type Answer = Response<Full<Bytes>>;

/// 200, with so many predictions.
pub(crate) fn predictions(count: usize) -> Answer {
    let body = serde_json::json!({"payload": {"predictions": vec![1; count]}});
    Response::new(Full::new(body.to_string().into()))
}

pub(crate) fn status(status: u16) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

impl ModelServer {
    /// Answers request `nth` with what `answer` makes of it; an error breaks the connection.
    pub(crate) async fn start<F>(answer: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Answer>> + Send + 'static,
    {
        Self::with(http1::Builder::new(), answer).await
    }

    pub(crate) async fn with<F>(
        http: http1::Builder,
        answer: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<Answer>> + Send + 'static,
    {
        Self::behind(Door::Plain, http, answer).await
    }

    async fn behind<F>(
        door: Door,
        http: http1::Builder,
        answer: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<Answer>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, door, http, Arc::new(answer), Arc::clone(&seen)));
        Self { address, seen, tasks }
    }

    /// Answers each request with one prediction, at once, through TLS.
    pub(crate) async fn secure(certified: &CertifiedKey<KeyPair>) -> Self {
        Self::behind(Door::Tls(acceptor(certified)), http1::Builder::new(), |_| async { Ok(predictions(1)) })
            .await
    }

    /// Shakes hands once, and closes every later connection in the middle of it.
    pub(crate) async fn secure_once(certified: &CertifiedKey<KeyPair>) -> Self {
        let door = Door::TlsOnce(acceptor(certified));
        Self::behind(door, http1::Builder::new(), |_| async { Ok(predictions(1)) }).await
    }

    /// Answers each request with one prediction, at once.
    pub(crate) async fn predicting() -> Self {
        Self::start(|_| async { Ok(predictions(1)) }).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/model/predict", self.address)
    }

    /// Of a server behind TLS.
    pub(crate) fn secure_url(&self) -> String {
        format!("https://localhost:{}/model/predict", self.address.port())
    }

    /// Closes every connection, and accepts no more.
    pub(crate) async fn shut(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// How a connection comes in.
enum Door {
    Plain,
    Tls(TlsAcceptor),
    TlsOnce(TlsAcceptor),
}

fn acceptor(certified: &CertifiedKey<KeyPair>) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Door {
    /// `None`: it did not come in.
    async fn pass(&self, stream: TcpStream, nth: usize) -> Option<Stream> {
        match self {
            Self::Plain => Some(Either::Left(stream)),
            Self::TlsOnce(_) if nth > 0 => None,
            Self::Tls(acceptor) | Self::TlsOnce(acceptor) => {
                acceptor.accept(stream).await.ok().map(Either::Right)
            }
        }
    }
}

async fn accept<F>(
    listener: TcpListener,
    door: Door,
    http: http1::Builder,
    answer: Arc<impl Fn(usize) -> F + Send + Sync + 'static>,
    seen: Arc<Seen>,
) where
    F: Future<Output = io::Result<Answer>> + Send + 'static,
{
    let door = Arc::new(door);
    let mut connections: JoinSet<Result<(), Infallible>> = JoinSet::new();
    for connection in 0.. {
        let stream = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted.unwrap().0,
                Some(_closed) = connections.join_next() => {}
            }
        };
        let (http, answer, seen, door) =
            (http.clone(), Arc::clone(&answer), Arc::clone(&seen), Arc::clone(&door));
        seen.open.send_modify(|open| *open += 1);
        seen.most_open
            .send_if_modified(|most| std::mem::replace(most, (*most).max(*seen.open.borrow())) < *most);
        connections.spawn(async move {
            if let Some(stream) = door.pass(stream, connection).await {
                serve(stream, &http, &*answer, &seen).await;
            }
            seen.open.send_modify(|open| *open -= 1);
            Ok(())
        });
    }
}

async fn serve<F>(stream: Stream, http: &http1::Builder, answer: &impl Fn(usize) -> F, seen: &Seen)
where
    F: Future<Output = io::Result<Answer>>,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        *seen.last_head.lock().unwrap() = Some(head);
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let nth = {
            let mut bodies = seen.bodies.lock().unwrap();
            bodies.push(body);
            bodies.len() - 1
        };
        seen.requests.send_replace(nth + 1);
        answer(nth).await
    });
    // A connection that the test breaks is no failure of the server.
    let _broken = http.serve_connection(TokioIo::new(stream), service).await;
}
