//! `berth proxy`: a port of this machine that leads to the aggregator in a cluster.
//!
//! gRPC (HTTP/2) goes to the aggregator's gRPC port, over TLS and with the token added; HTTP/1.1 goes to
//! its HTTP port. Invariant: it listens on loopback only, and answers HTTP/1.1 only to those who call it
//! by a loopback name, so that no page of a browser reads it under a name of its own. Deliberately
//! absent: a password. Whoever can open this machine's loopback ports can ask what the token allows, as
//! with `kubectl proxy`.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::{CONNECTION, HOST, HeaderValue};
use tonic::codegen::http::uri::Authority;
use tonic::codegen::http::{Request, Response, StatusCode, Version};

use crate::cluster::{Account, Cluster, HTTP_PORT, Target};
use crate::connect::Server;
use crate::exit::Exit;
use crate::line::Line;
use crate::output::Output;
use crate::view::plain;

/// Connections at once: a browser opens six, a load tool a hundred.
const CONNECTIONS: usize = 256;

/// What keeps a connection from being taken, such as too many open files, passes.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A request's head comes this soon, or never.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// One page, from the first question about pods to its last byte.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// One page: ten times the metrics of the largest fleet.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Flags of `berth proxy`.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(
    after_help = "Examples:\n  # Let grpcurl, Python or a browser in, on port 7700 of this machine\n  berth proxy\n\n  \
    # ... and then, in another shell\n  grpcurl -plaintext 127.0.0.1:7700 berth.v1.Episodes/ListModels\n  \
    curl http://127.0.0.1:7700/metrics\n\n\
    gRPC and HTTP share the port. Every program of this machine may use it, until Ctrl-C."
)]
pub struct Args {
    /// The port of this machine; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 7700)]
    port: u16,
    /// Ask as berth-operator, who may also start load.
    #[arg(long)]
    operator: bool,
}

/// Runs the command.
pub async fn run(args: Args, target: &Target, output: &Output) -> anyhow::Result<Exit> {
    let cluster = target.cluster().await?;
    let account = if args.operator { Account::Operator } else { Account::Viewer };
    let server = output.during("connecting", cluster.connect(account)).await?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address} (--port names another one)"))?;
    let address = listener.local_addr().context("read the port")?;
    output.note(&format!(
        "gRPC and HTTP of {} as {}: listening on {address}, until Ctrl-C",
        cluster.context(),
        account.name()
    ));
    serve(listener, &server, cluster).await
}

/// Ends by an error only; Ctrl-C is the caller's.
pub async fn serve(listener: TcpListener, server: &Server, cluster: Cluster) -> anyhow::Result<Exit> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.context("count connections")?;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_RETRY).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (line, cluster) = (server.line(), cluster.clone());
        connections.spawn(async move {
            // How one client's connection ends is that client's affair.
            drop(connection(stream, line, cluster).await);
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, line: Line, cluster: Cluster) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let answers = service_fn(move |request: Request<Incoming>| {
        let (line, cluster) = (line.clone(), cluster.clone());
        async move {
            Ok::<_, Infallible>(match request.version() {
                Version::HTTP_2 => call(line, request).await,
                _ => page(&cluster, request).await,
            })
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.serve_connection(TokioIo::new(stream), answers).await.map_err(anyhow::Error::from_boxed)
}

/// One gRPC call, passed on as it is.
async fn call(mut line: Line, request: Request<Incoming>) -> Response<Body> {
    let answer = match poll_fn(|context| line.poll_ready(context)).await {
        Ok(()) => line.call(request.map(Body::new)).await,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| Status::from_error(error).into_http())
}

/// One page of the aggregator's HTTP port.
async fn page(cluster: &Cluster, request: Request<Incoming>) -> Response<Body> {
    if !names_loopback(&request) {
        return text(StatusCode::FORBIDDEN, "call this port localhost or 127.0.0.1\n".to_owned());
    }
    match tokio::time::timeout(PAGE_TIMEOUT, fetched(cluster, request)).await {
        Ok(Ok(page)) => page.map(Body::new),
        Ok(Err(error)) => text(StatusCode::BAD_GATEWAY, plain(&format!("{error:#}")) + "\n"),
        Err(_) => text(StatusCode::GATEWAY_TIMEOUT, format!("no answer within {PAGE_TIMEOUT:?}\n")),
    }
}

/// A connection a page: nobody asks often, and none is left idle.
async fn fetched(cluster: &Cluster, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let stream = cluster.open(HTTP_PORT).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut asked = Request::new(Empty::<Bytes>::new());
    *asked.method_mut() = request.method().clone();
    *asked.uri_mut() = request.uri().clone();
    asked.headers_mut().insert(HOST, HeaderValue::from_static("berth-aggregator"));
    asked.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let answered = async move {
        let (mut head, body) = sender.send_request(asked).await?.into_parts();
        let bytes = Limited::new(body, PAGE_BYTES).collect().await.map_err(anyhow::Error::from_boxed)?;
        // It speaks of the connection to the aggregator, which is another than the client's.
        head.headers.remove(CONNECTION);
        Ok(Response::from_parts(head, Full::new(bytes.to_bytes())))
    };
    // The page comes only while somebody drives its connection; how that one ends is known by the page.
    tokio::join!(answered, connection).0
}

fn names_loopback(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    host.parse::<Authority>().is_ok_and(|host| matches!(host.host(), "localhost" | "127.0.0.1" | "[::1]"))
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response
}
