//! One HTTP/1.1 connection: takes requests while it lives, one at a time.
//!
//! The connection's protocol state and the request in flight are polled by one task, so a request
//! costs no hand-over between tasks. Deliberately absent: retries. A request that was sent and lost
//! is an error of the target, and a hidden second try would be load that nobody asked for.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::answer::{ErrorClass, judge};
use crate::clock::MonoNanos;
use crate::deadline::{Deadline, Elapsed};
use crate::plan::Plan;
use crate::shard::{Idle, Shard, Ticket};

/// The longest answer that is read: a prediction for each of 10,000 rows fits, a download does not.
const ANSWER_BYTES: usize = 1024 * 1024;

/// What a connection keeps of its buffer between answers: 20,000 connections then hold 320 MiB at
/// most, however long one answer was.
const KEPT_BYTES: usize = 16 * 1024;

/// The longest head of an answer, and how much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// A connection that could not be opened is not tried again for this long: a closed run, which sends
/// as fast as it fails, would otherwise be a loop without rest.
const CONNECT_BACKOFF: Duration = Duration::from_millis(100);

/// Opens a connection and serves requests over it until it closes or breaks.
pub(crate) async fn serve(shard: Rc<Shard>, plan: Rc<Plan>) {
    let began = MonoNanos::now();
    let opened = match timeout(plan.request_timeout, Link::open(&plan)).await {
        Ok(opened) => opened,
        Err(_elapsed) => Err((ErrorClass::Connect, std::io::ErrorKind::TimedOut.into())),
    };
    let mut link = match opened {
        Ok(link) => link,
        Err((class, error)) => {
            if let Some(ticket) = shard.take() {
                ticket.fail(class, &Refused(&error));
            }
            if plan.rests_after_refusal {
                sleep(CONNECT_BACKOFF).await;
            }
            return;
        }
    };
    shard.connected(MonoNanos::now().since(began));
    let idle = Idle::default();
    while link.ready().await {
        if let Some(ticket) = shard.take() {
            if !exchange(&mut link, &plan, ticket).await {
                return;
            }
            continue;
        }
        shard.rest(&idle);
        tokio::select! {
            biased;
            () = idle.notified() => {}
            () = link.closed() => return shard.leave(&idle),
        }
    }
}

/// Sends one request and settles it; whether the connection can be used again.
async fn exchange(link: &mut Link, plan: &Plan, ticket: Ticket) -> bool {
    let body = plan.payload.of_request(ticket.k());
    let request = plan.request(&body.bytes);
    let sent = ticket.send();
    let reply = link.sender.send_request(request);
    link.answer.clear();
    link.answer.shrink_to(KEPT_BYTES);
    let read = read_answer(reply, &mut link.answer);
    match link.deadline.keep(sent, link.protocol.drive(read)).await {
        Ok(Ok(head)) => {
            ticket.answered(head.status.as_u16(), link.answer.len());
            match judge(plan.check, head.status, &link.answer, body.instances) {
                Ok(()) => ticket.complete(sent, head.first_byte, head.last_byte),
                Err(class) => ticket.fail(class, &Rejected { status: head.status, body: &link.answer }),
            }
            true
        }
        Ok(Err(ReadError::TooLong)) => {
            ticket.fail(ErrorClass::Body, &format_args!("the answer is longer than {ANSWER_BYTES} bytes"));
            false
        }
        Ok(Err(ReadError::Http(error))) => {
            let class = if error.is_parse() { ErrorClass::Body } else { ErrorClass::Reset };
            ticket.fail(class, &Broken(&error));
            false
        }
        Err(Elapsed) => {
            ticket.fail(ErrorClass::Timeout, &format_args!("no answer within {:?}", plan.request_timeout));
            false
        }
    }
}

/// What came back, but for its body.
struct Head {
    status: StatusCode,
    first_byte: MonoNanos,
    last_byte: MonoNanos,
}

enum ReadError {
    TooLong,
    Http(hyper::Error),
}

impl From<hyper::Error> for ReadError {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

async fn read_answer(
    reply: impl Future<Output = hyper::Result<Response<Incoming>>>,
    into: &mut Vec<u8>,
) -> Result<Head, ReadError> {
    let reply = reply.await?;
    let first_byte = MonoNanos::now();
    let status = reply.status();
    let mut body = reply.into_body();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            if into.len() + data.len() > ANSWER_BYTES {
                return Err(ReadError::TooLong);
            }
            into.extend_from_slice(data);
        }
    }
    Ok(Head { status, first_byte, last_byte: MonoNanos::now() })
}

/// An answer that is no success, as it is shown once for each class.
struct Rejected<'a> {
    status: StatusCode,
    body: &'a [u8],
}

impl std::fmt::Display for Rejected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Enough for a Predict API error, too little to flood a terminal.
        const SHOWN_BYTES: usize = 200;
        let shown = &self.body[..self.body.len().min(SHOWN_BYTES)];
        write!(f, "{}: {}", self.status, String::from_utf8_lossy(shown).escape_debug())
    }
}

/// A connection that could not be opened, with the mend where the fault is on this side.
struct Refused<'a>(&'a std::io::Error);

impl std::fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.kind() == std::io::ErrorKind::AddrNotAvailable {
            return f.write_str("no ephemeral port is left: keep connections alive, or add workers");
        }
        self.0.fmt(f)
    }
}

/// An exchange that broke: hyper's own text names the step, its source what happened.
struct Broken<'a>(&'a hyper::Error);

impl std::fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.source() {
            Some(source) => write!(f, "{}: {source}", self.0),
            None => self.0.fmt(f),
        }
    }
}

/// An open connection.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    protocol: Protocol,
    deadline: Deadline,
    answer: Vec<u8>,
}

impl Link {
    async fn open(plan: &Plan) -> Result<Self, (ErrorClass, std::io::Error)> {
        let refused = |error| (ErrorClass::Connect, error);
        let stream = TcpStream::connect(plan.address).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let stream = match &plan.tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(tls.secure(stream).await.map_err(|error| (ErrorClass::Tls, error))?),
        };
        let mut http = http1::Builder::new();
        // A request is short: one buffer that is copied together costs less than a write of two.
        http.max_buf_size(READ_BYTES).writev(false);
        let opened = http.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| refused(std::io::Error::other(error)))?;
        let deadline = Deadline::new(plan.request_timeout);
        Ok(Self { sender, protocol: Protocol(Some(connection)), deadline, answer: Vec::new() })
    }

    /// Waits until a request can be sent; false when the connection has closed.
    async fn ready(&mut self) -> bool {
        let Self { sender, protocol, .. } = self;
        poll_fn(|cx| {
            if protocol.step(cx).is_ready() {
                return Poll::Ready(false);
            }
            sender.poll_ready(cx).map(|ready| ready.is_ok())
        })
        .await
    }

    /// Waits until the other side closes.
    async fn closed(&mut self) {
        poll_fn(|cx| self.protocol.step(cx)).await;
    }
}

/// The protocol state of a connection; `None` once it has ended, however that was: a request in
/// flight then learns of it by its own error.
struct Protocol(Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>);

/// In the clear, or through TLS.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Protocol {
    /// Moves bytes; ready when the connection has ended.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &mut self.0 {
            if Pin::new(connection).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.0 = None;
        }
        Poll::Ready(())
    }

    /// Moves bytes while `request` needs them.
    async fn drive<T>(&mut self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        poll_fn(|cx| {
            // That the connection has ended is the request's own error, or the next one's.
            let _ended = self.step(cx);
            request.as_mut().poll(cx)
        })
        .await
    }
}
