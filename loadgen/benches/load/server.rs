//! The server of the benchmark: it answers every request alike, counts, and stays on the last CPU.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// As short as predictions are.
const ANSWER: &[u8] = br#"{"payload":{"predictions":[1]}}"#;

pub(crate) struct Server {
    address: SocketAddr,
    served: Arc<AtomicU64>,
}

impl Server {
    /// It serves until the benchmark ends.
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&served);
        thread::spawn(move || {
            super::client::pin_to_last_cpu();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { serve(TcpListener::from_std(listener).unwrap(), counted).await });
        });
        Self { address, served }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/predict", self.address)
    }

    /// Requests so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, served: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            Some(_ended) = connections.join_next() => continue,
        };
        stream.set_nodelay(true).unwrap();
        let served = Arc::clone(&served);
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                // A preflight has no request; a GET would be none of the benchmark's.
                assert!(request.body().size_hint().lower() > 0, "a request without a body");
                served.fetch_add(1, Ordering::Relaxed);
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER)))) }
            });
            // A client that goes away is no failure.
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
