//! Coordinated omission: a target that stalls must show in the latencies, not vanish from them.

use std::sync::Arc;
use std::time::Duration;

use berth_loadgen::{Spec, SpecDraft, StartAt, Summary, run};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::server::{ModelServer, predictions};
use crate::{INTERVALS, draft, load, row, settled};

const RATE_PER_SEC: f64 = 200.0;
const RUN: Duration = Duration::from_secs(3);
const REQUESTS: u64 = 600;

/// The request with which the stall begins, after one second.
const STALL: usize = 200;

#[tokio::test]
async fn a_stall_of_400_ms_shows_in_the_response_p99_and_every_request_is_sent() {
    /// What becomes due in 400 ms. The server answers again when it has seen all of these: a
    /// generator that waited for answers would wait for ever.
    const STALLED: usize = 80;
    let come = Arc::new(watch::Sender::new(0_usize));
    let server = ModelServer::start(move |nth| {
        let come = Arc::clone(&come);
        async move {
            come.send_replace(nth);
            if (STALL..STALL + STALLED).contains(&nth) {
                come.subscribe().wait_for(|come| *come >= STALL + STALLED).await.unwrap();
            }
            Ok(predictions(1))
        }
    })
    .await;
    let outcome = load(draft(server.url(), RATE_PER_SEC, RUN), row()).await;

    let summary = Summary::of(&outcome.totals);
    assert_eq!((summary.counts.sent, summary.counts.completed), (REQUESTS, REQUESTS));
    // 1 % of 600 requests are 6: the sixth from the top waited for 400 ms less 5 periods of 5 ms.
    let p99 = summary.response.p99_usec.unwrap();
    assert!((365_000..600_000).contains(&p99), "response p99 {p99} us");
    // A tenth of the requests and more met the stall, half did not.
    assert!(summary.response.p90_usec.unwrap() > 50_000);
    assert!(summary.response.p50_usec.unwrap() < 50_000);
    // Each was sent when it was due, so its service time holds its wait as well.
    assert!(summary.service.p99_usec.unwrap() <= p99);
    assert!(summary.send_lag.p50_usec.unwrap() < 5_000);
}

#[tokio::test]
async fn with_few_connections_the_stall_shows_in_the_response_and_the_send_lag_and_nobody_blames_the_generator()
 {
    let answering = Arc::new(watch::Sender::new(true));
    let gate = Arc::clone(&answering);
    let server = ModelServer::start(move |nth| {
        let mut gate = gate.subscribe();
        async move {
            if nth >= STALL {
                gate.wait_for(|answering| *answering).await.unwrap();
            }
            Ok(predictions(1))
        }
    })
    .await;
    let few = SpecDraft { connections: 4, ..draft(server.url(), RATE_PER_SEC, RUN) };
    let (events, mut received) = mpsc::channel(INTERVALS);
    answering.send_replace(false);
    let run = run(Spec::new(few).unwrap(), row(), StartAt::Now, events, CancellationToken::new());
    let release_after_the_second_second = async {
        let mut intervals = Vec::new();
        while let Some(interval) = received.recv().await {
            if interval.seq == 1 {
                answering.send_replace(true);
            }
            intervals.push(interval);
        }
        intervals
    };
    let (outcome, intervals) = tokio::join!(run, release_after_the_second_second);
    let outcome = outcome.unwrap();
    outcome.totals.check_sum(&intervals).unwrap();
    settled(&outcome);

    let summary = Summary::of(&outcome.totals);
    assert_eq!((summary.counts.scheduled, summary.counts.completed), (REQUESTS, REQUESTS));
    // Four of 600 were in flight in the stall of a second, too few for the p99 of the service time;
    // the response time holds the wait of all 200 that could not be sent.
    assert!(summary.service.p99_usec.unwrap() < 200_000, "{:?}", summary.service);
    assert!(summary.service.max_usec.unwrap() > 800_000, "{:?}", summary.service);
    assert!((900_000..1_400_000).contains(&summary.response.p99_usec.unwrap()), "{:?}", summary.response);
    assert!(summary.send_lag.p99_usec.unwrap() > 800_000, "{:?}", summary.send_lag);
    assert!(summary.pacing_lag.p50_usec.unwrap() < 5_000, "{:?}", summary.pacing_lag);
}
