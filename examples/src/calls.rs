//! The scanner's calls to the model, at a steady rate and never above its cap.
//!
//! Invariant: `errors <= made`. Every call has a connection of its own, so that a Service spreads calls over
//! its pods. A slow model does not slow the calls down, up to `IN_FLIGHT_MAX` at a time.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::Row;
use crate::pace::Pace;
use crate::scoring::{Noise, Scorer};

/// A model that is this far behind is not helped by more calls: those that come due are passed over.
const IN_FLIGHT_MAX: usize = 16;

/// Many times what a busy model takes; a call that is later has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// One prediction takes some hundred bytes; scores and explanations may come with it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Calls started.
    pub made: u64,
    /// Calls that brought no prediction.
    pub errors: u64,
}

/// Calls the model with perturbed rows until it is dropped; `tally` is right at every moment.
pub async fn call_steadily(model: &Uri, period: Duration, scorer: &Scorer, seed: u64, tally: &mut Tally) {
    let mut noise = Noise::new(seed, 0);
    let mut pace = Pace::new(period, Instant::now());
    let mut in_flight = JoinSet::new();
    let mut index = 0;
    loop {
        tokio::select! {
            () = sleep_until(pace.due()) => {
                pace.called(Instant::now());
                if in_flight.len() < IN_FLIGHT_MAX {
                    tally.made += 1;
                    in_flight.spawn(call(model.clone(), scorer.perturbed(index, &mut noise)));
                    index += 1;
                }
            }
            Some(ended) = in_flight.join_next() => {
                note(ended.context("run a call").and_then(|answer| answer), model, tally);
            }
        }
    }
}

fn note(result: anyhow::Result<()>, model: &Uri, tally: &mut Tally) {
    let Err(error) = result else { return };
    if tally.errors == 0 {
        eprintln!(
            "scanner: warning: {model} gave no prediction ({error:#}); scoring goes on, errors are counted"
        );
    }
    tally.errors += 1;
}

async fn call(model: Uri, row: Row) -> anyhow::Result<()> {
    timeout(CALL_TIMEOUT, predict(&model, &row)).await.with_context(|| format!("wait {CALL_TIMEOUT:?}"))?
}

async fn predict(model: &Uri, row: &Row) -> anyhow::Result<()> {
    let host = model.host().context("find the host in the URL")?;
    let request = Request::post(model.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, model.authority().map_or(host, |authority| authority.as_str()))
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(json!({ "payload": { "instances": [row] } }).to_string())
        .context("build the request")?;
    // A URI keeps the brackets of an IPv6 address; a socket address has none.
    let address = (host.trim_matches(['[', ']']), model.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.context("connect")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("speak HTTP")?;
    // The connection moves the bytes; what becomes of it, the exchange learns.
    let (_, answer) = tokio::join!(connection, exchange(sender, request));
    check(&answer?)
}

async fn exchange(
    mut sender: http1::SendRequest<String>,
    request: Request<String>,
) -> anyhow::Result<Response<Bytes>> {
    let (head, body) = sender.send_request(request).await.context("send the request")?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(anyhow::Error::from_boxed);
    Ok(Response::from_parts(head, body.context("read the answer")?.to_bytes()))
}

/// Success is status 200 and one prediction: an answer to no rows has status 200 too.
fn check(answer: &Response<Bytes>) -> anyhow::Result<()> {
    ensure!(answer.status() == StatusCode::OK, "status {}", answer.status());
    let body: Value = serde_json::from_slice(answer.body()).context("parse the answer")?;
    let predictions = body["payload"]["predictions"].as_array().map_or(0, Vec::len);
    ensure!(predictions == 1, "{predictions} predictions for one row");
    Ok(())
}
