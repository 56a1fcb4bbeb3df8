//! How many requests are sent, when, and with which body.

use std::{num::NonZeroU64, time::Duration};

use berth_loadgen::{
    Ended, Label, Model, Payload, Protocol, RequestHead, Spacing, SpecDraft, Stripe, Summary,
};

use crate::server::ModelServer;
use crate::{draft, load, row};

#[tokio::test]
async fn exactly_rate_times_duration_requests_are_sent_and_spread_over_the_whole_run() {
    const RUN: Duration = Duration::from_secs(2);
    let runs = [(1.0, 2), (7.0, 14), (999.5, 1_999)].map(|(rate, requests)| async move {
        let server = ModelServer::predicting().await;
        let outcome = load(draft(server.url(), rate, RUN), row()).await;
        let counts = outcome.totals.tally().counts;
        assert_eq!(
            (counts.scheduled, counts.sent, counts.completed),
            (requests, requests, requests),
            "{rate}/s"
        );
        assert_eq!(u64::try_from(*server.seen.requests.borrow()).unwrap(), requests);
        assert_eq!(outcome.ended, Ended::Completed);
        // The last request is due when all but one of the others' periods have passed.
        assert!(outcome.totals.load.span_nanos >= 2_000_000_000);
        let throughput = Summary::of(&outcome.totals).throughput_per_sec;
        assert!(throughput <= rate * 1.001 && throughput > rate * 0.9, "{throughput} at {rate}/s");
    });
    let [one, seven, thousand] = runs;
    tokio::join!(one, seven, thousand);
}

#[tokio::test]
async fn a_run_of_so_many_requests_ends_with_the_last_answer() {
    const LONG: Duration = Duration::from_secs(60);
    for (model, workers) in [(Model::steady(500.0).unwrap(), 1), (Model::Closed { in_flight: 4 }, 2)] {
        let server = ModelServer::predicting().await;
        let mut sent = 0;
        for index in 0..workers {
            let stripe = Stripe::new(index, workers).unwrap();
            let requests = NonZeroU64::new(25);
            let part = draft(server.url(), 1.0, LONG);
            let outcome = load(SpecDraft { model: model.clone(), requests, stripe, ..part }, row()).await;
            let counts = outcome.totals.tally().counts;
            assert_eq!(
                (counts.completed, counts.censored, outcome.ended),
                (counts.sent, 0, Ended::Completed)
            );
            assert!(outcome.totals.load.span_nanos < 10_000_000_000, "{model:?}");
            sent += counts.sent;
        }
        assert_eq!((sent, *server.seen.requests.borrow()), (25, 25), "{model:?}");
    }
}

#[tokio::test]
async fn a_rate_that_changes_is_kept_stage_by_stage() {
    let server = ModelServer::predicting().await;
    let model = Model::Open { rate: "100,0,0..300".parse().unwrap(), spacing: Spacing::Even };
    let outcome =
        load(SpecDraft { model, ..draft(server.url(), 1.0, Duration::from_millis(1_500)) }, row()).await;
    assert_eq!(outcome.totals.tally().counts.completed, 50 + 75);
    assert!(outcome.totals.load.span_nanos >= 1_500_000_000);
}

#[tokio::test]
async fn method_and_headers_are_sent_as_they_were_given() {
    let server = ModelServer::predicting().await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![header("X-Team", "a"), header("x-team", "b"), header("Host", "model.shop")];
    let head = RequestHead { method: "PUT".to_owned(), headers };
    load(SpecDraft { head, ..draft(server.url(), 10.0, Duration::from_millis(200)) }, row()).await;
    let seen = server.seen.last_head.lock().unwrap().take().unwrap();
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("PUT", "/model/predict"));
    let values =
        |name| seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((values("x-team"), values("host")), (vec!["a", "b"], vec!["model.shop"]));
    assert!(values("user-agent")[0].starts_with("berth-loadgen/"));
}

#[tokio::test]
async fn rows_are_cycled_in_order() {
    let server = ModelServer::predicting().await;
    let mut csv = vec!["Row,Geography,Balance,Exited".to_owned()];
    csv.extend((1..=3_000).map(|row| format!("{row},Geography_Germany,{row}.5,0")));
    let label = Label::Named("Exited".to_owned());
    let payload = Payload::csv("rows.csv", csv.join("\n").as_bytes(), &label, Protocol::Predict).unwrap();
    // One connection keeps the order; what it cannot send in time waits for it.
    let one = SpecDraft { connections: 1, ..draft(server.url(), 7_001.0, Duration::from_secs(1)) };
    let outcome = load(one, payload).await;

    assert_eq!(outcome.totals.tally().counts.completed, 7_001);
    let expected: Vec<u64> = (1..=3_000).cycle().take(7_001).collect();
    assert_eq!(server.seen.first_cells(), expected);
    let first = server.seen.bodies.lock().unwrap()[0].clone();
    assert_eq!(first, &br#"{"payload":{"instances":[[1,"Geography_Germany",1.5]]}}"#[..]);
}

#[tokio::test]
async fn three_workers_send_together_what_one_would_send() {
    let server = ModelServer::predicting().await;
    let lines: Vec<String> = (0..50).map(|row| format!("[{row}]")).collect();
    let payload = Payload::ndjson("rows", lines.join("\n").as_bytes(), Protocol::Predict).unwrap();
    let worker = |index| {
        let stripe = Stripe::new(index, 3).unwrap();
        let part = SpecDraft { stripe, ..draft(server.url(), 100.0, Duration::from_millis(500)) };
        load(part, payload.clone())
    };
    let outcomes = tokio::join!(worker(0), worker(1), worker(2));
    let sent = [&outcomes.0, &outcomes.1, &outcomes.2].map(|outcome| outcome.totals.tally().counts.sent);
    assert_eq!(sent, [17, 17, 16]);
    let mut rows = server.seen.first_cells();
    rows.sort_unstable();
    assert_eq!(rows, (0..50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_closed_run_keeps_its_number_in_flight_and_its_requests_in_order() {
    let server = ModelServer::predicting().await;
    let model = Model::Closed { in_flight: 3 };
    let closed = SpecDraft { model, ..draft(server.url(), 1.0, Duration::from_millis(500)) };
    let outcome = load(closed, row()).await;
    let tally = outcome.totals.tally();
    assert!(tally.counts.completed >= 30, "{:?}", tally.counts);
    assert_eq!(tally.counts.scheduled, tally.counts.completed);
    assert_eq!(tally.connect.count(), 3);
    // The preflight's connection may still be open beside them.
    assert!(*server.seen.most_open.borrow() <= 4);
    assert_eq!(tally.response, tally.service);
    assert_eq!(tally.send_lag.quantile_usec(1.0), Some(1));
}
