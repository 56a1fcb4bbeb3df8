//! Every way to fail has its class, and none enters the latencies.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use berth_loadgen::{
    Check, ErrorClass, LoadError, Model, Outcome, Payload, PayloadError, Protocol, SpecDraft,
};
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use tokio::net::TcpListener;

use crate::server::{ModelServer, predictions, status};
use crate::{draft, load, outcome_of, row};

const RUN: Duration = Duration::from_millis(200);
const REQUESTS: u64 = 20;

/// That all requests failed in one way; `load` has checked that nothing entered the latencies.
fn all_failed(outcome: &Outcome, class: ErrorClass) {
    let counts = outcome.totals.tally().counts;
    assert_eq!((counts.errors.of(class), counts.completed), (REQUESTS, 0), "{counts:?}");
}

#[tokio::test]
async fn every_answer_that_is_no_success_has_its_class() {
    for (class, code) in
        [(ErrorClass::Status4xx, 404), (ErrorClass::Status5xx, 503), (ErrorClass::StatusOther, 302)]
    {
        let server = ModelServer::start(move |_| async move { Ok(status(code)) }).await;
        let outcome = load(draft(server.url(), 100.0, RUN), row()).await;
        all_failed(&outcome, class);
        assert!(outcome.examples[&class].starts_with(&code.to_string()), "{:?}", outcome.examples);
        // An answer with an error leaves its connection usable.
        assert!(outcome.totals.tally().connect.count() < REQUESTS);
    }
}

#[tokio::test]
async fn a_wrong_number_of_predictions_is_a_count_mismatch() {
    let server = ModelServer::start(|_| async { Ok(predictions(2)) }).await;
    all_failed(&load(draft(server.url(), 100.0, RUN), row()).await, ErrorClass::CountMismatch);
}

#[tokio::test]
async fn a_body_of_another_api_is_a_success_only_when_the_status_alone_is_checked() {
    let server = ModelServer::start(|_| async { Ok(Response::new(Full::new("OK!".into()))) }).await;
    let predict_api = draft(server.url(), 100.0, RUN);
    let status_only = SpecDraft { check: Check::Status, ..predict_api.clone() };
    all_failed(&load(predict_api, row()).await, ErrorClass::Body);
    let outcome = load(status_only, Payload::single("{}".into())).await;
    assert_eq!(outcome.totals.tally().counts.completed, REQUESTS);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let large = vec![b' '; 2 * 1024 * 1024];
    let server = ModelServer::start(move |_| {
        let answer = Response::new(Full::new(large.clone().into()));
        async { Ok(answer) }
    })
    .await;
    all_failed(&load(draft(server.url(), 100.0, RUN), row()).await, ErrorClass::Body);
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_reset() {
    let server = ModelServer::start(|_| async { Err(io::ErrorKind::BrokenPipe.into()) }).await;
    all_failed(&load(draft(server.url(), 100.0, RUN), row()).await, ErrorClass::Reset);
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout() {
    let server = ModelServer::start(|_| std::future::pending()).await;
    let impatient =
        SpecDraft { request_timeout: Duration::from_millis(50), ..draft(server.url(), 100.0, RUN) };
    all_failed(&load(impatient, row()).await, ErrorClass::Timeout);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_costs_connections_and_no_errors() {
    let mut closing = http1::Builder::new();
    closing.keep_alive(false);
    let server = ModelServer::with(closing, |_| async { Ok(predictions(1)) }).await;
    let outcome = load(draft(server.url(), 100.0, RUN), row()).await;
    let tally = outcome.totals.tally();
    assert_eq!((tally.counts.completed, tally.connect.count()), (REQUESTS, REQUESTS));
}

#[tokio::test]
async fn a_target_that_goes_away_is_a_connect_error_and_stops_neither_model() {
    for model in [Model::steady(100.0).unwrap(), Model::Closed { in_flight: 2 }] {
        let mut server = ModelServer::predicting().await;
        let is_closed = matches!(model, Model::Closed { .. });
        let spec = SpecDraft { model, ..draft(server.url(), 1.0, Duration::from_millis(800)) };
        let mut requests = server.seen.requests.subscribe();
        let run = load(spec, row());
        let gone = async {
            requests.wait_for(|requests| *requests >= 10).await.unwrap();
            server.shut().await;
        };
        let (outcome, ()) = tokio::join!(run, gone);
        let counts = outcome.totals.tally().counts;
        assert!(counts.completed >= 9, "{counts:?}");
        assert!(counts.errors.of(ErrorClass::Connect) >= 2, "{counts:?}");
        assert!(outcome.examples[&ErrorClass::Connect].contains("refused"), "{:?}", outcome.examples);
        // A refused closed run rests before it tries again.
        assert!(!is_closed || counts.errors.total() < 30, "{counts:?}");
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_is_named_before_the_run() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/predict");
    let error = outcome_of(draft(url.clone(), 100.0, RUN), row()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("start the service there"), "{text}");
}

#[tokio::test]
async fn a_payload_that_the_check_cannot_judge_is_refused_before_the_run() {
    let server = ModelServer::predicting().await;
    let payload = Payload::ndjson("rows", b"{\"rows\":[1]}", Protocol::Predict).unwrap();
    let error = outcome_of(draft(server.url(), 100.0, RUN), payload).await.unwrap_err();
    assert!(matches!(error, LoadError::Payload(PayloadError::NoInstances { number: 1 })), "{error:?}");
    assert_eq!(*server.seen.requests.borrow(), 0);
}
