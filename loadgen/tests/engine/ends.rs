//! How a run starts and how it ends.

use std::time::Duration;

use berth_loadgen::{Ended, LoadError, MonoNanos, Phase, Spec, SpecDraft, StartAt, run};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::{ModelServer, predictions};
use crate::{INTERVALS, draft, load, row, settled};

/// Far longer than any test takes, far shorter than anyone waits.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_has_no_answer_when_the_drain_ends_is_censored_with_its_age() {
    let server = ModelServer::start(|nth| async move {
        if nth >= 5 {
            std::future::pending::<()>().await;
        }
        Ok(predictions(1))
    })
    .await;
    let short = SpecDraft {
        drain: Duration::from_millis(100),
        connections: 10,
        ..draft(server.url(), 100.0, Duration::from_millis(300))
    };
    let outcome = load(short, row()).await;
    let counts = outcome.totals.tally().counts;
    // Ten connections hold a request each, and 15 more wait for a connection.
    assert_eq!((counts.completed, counts.sent, counts.censored), (5, 15, 25), "{counts:?}");
    let (youngest, oldest) =
        (outcome.censored_age.quantile_usec(0.0), outcome.censored_age.quantile_usec(1.0));
    assert!(youngest.unwrap() >= 100_000 && oldest.unwrap() >= 350_000, "{youngest:?} {oldest:?}");
    assert!(outcome.totals.drain.span_nanos >= 100_000_000);
}

#[tokio::test]
async fn answers_of_the_drain_are_in_intervals_of_their_own() {
    let (load_is_over, over) = watch::channel(false);
    let server = ModelServer::start(move |nth| {
        let mut over = over.clone();
        async move {
            if nth == 19 {
                over.wait_for(|over| *over).await.unwrap();
            }
            Ok(predictions(1))
        }
    })
    .await;
    let spec = Spec::new(draft(server.url(), 100.0, Duration::from_millis(200))).unwrap();
    let (events, mut received) = mpsc::channel(INTERVALS);
    let run = run(spec, row(), StartAt::Now, events, CancellationToken::new());
    let answer_the_last_after_the_load = async {
        let load = received.recv().await.unwrap();
        load_is_over.send_replace(true);
        [load, received.recv().await.unwrap()]
    };
    let (outcome, intervals) = tokio::join!(run, answer_the_last_after_the_load);
    outcome.unwrap().totals.check_sum(&intervals).unwrap();
    let phases = intervals.each_ref().map(|interval| (interval.phase, interval.tally.counts.completed));
    assert_eq!(phases, [(Phase::Load, 19), (Phase::Drain, 1)]);
    assert_eq!(intervals[0].to_nanos, intervals[1].from_nanos);
    assert_eq!(intervals[1].tally.counts.scheduled, 0);
}

#[tokio::test]
async fn a_stopped_run_sends_no_more_and_counts_what_it_sent() {
    let server = ModelServer::predicting().await;
    let (events, mut received) = mpsc::channel(INTERVALS);
    let stop = CancellationToken::new();
    let spec = Spec::new(draft(server.url(), 200.0, Duration::from_secs(600))).unwrap();
    let run = run(spec, row(), StartAt::Now, events, stop.clone());
    let stop_after_the_first_second = async {
        received.recv().await.unwrap();
        stop.cancel();
        while received.recv().await.is_some() {}
    };
    let both = async { tokio::join!(run, stop_after_the_first_second) };
    let (outcome, ()) = timeout(DEADLINE, both).await.unwrap();
    let outcome = outcome.unwrap();
    settled(&outcome);
    let counts = outcome.totals.tally().counts;
    assert_eq!(outcome.ended, Ended::Stopped);
    assert!((200..4_000).contains(&counts.scheduled), "{counts:?}");
    assert_eq!(u64::try_from(*server.seen.requests.borrow()).unwrap(), counts.sent);
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_ends_at_once() {
    let server = ModelServer::predicting().await;
    let mut requests = server.seen.requests.subscribe();
    let mut open = server.seen.open.subscribe();
    let (events, _received) = mpsc::channel(INTERVALS);
    let spec = Spec::new(draft(server.url(), 200.0, Duration::from_secs(600))).unwrap();
    tokio::select! {
        ended = run(spec, row(), StartAt::Now, events, CancellationToken::new()) => panic!("{ended:?}"),
        come = requests.wait_for(|requests| *requests >= 5) => drop(come.unwrap()),
    }
    timeout(DEADLINE, open.wait_for(|open| *open == 0)).await.unwrap().unwrap();
}

#[tokio::test]
async fn workers_start_at_the_time_that_they_are_given() {
    let server = ModelServer::predicting().await;
    let spec = Spec::new(draft(server.url(), 100.0, Duration::from_millis(100))).unwrap();
    let at = |start| {
        let (events, _received) = mpsc::channel(INTERVALS);
        run(spec.clone(), row(), StartAt::At(start), events, CancellationToken::new())
    };
    let soon = MonoNanos::now().plus(100_000_000);
    let (first, second) = tokio::join!(at(soon), at(soon));
    assert_eq!((first.unwrap().start, second.unwrap().start), (soon, soon));
    assert!(MonoNanos::now().since(soon) >= 100_000_000);

    let late = at(soon).await.unwrap_err();
    assert!(matches!(late, LoadError::LateStart { .. }), "{late:?}");
}

#[tokio::test]
async fn a_run_that_is_stopped_before_its_start_sends_nothing() {
    let server = ModelServer::predicting().await;
    let (events, _received) = mpsc::channel(INTERVALS);
    let stop = CancellationToken::new();
    stop.cancel();
    let spec = Spec::new(draft(server.url(), 100.0, Duration::from_millis(100))).unwrap();
    let start = StartAt::At(MonoNanos::now().plus(3_600_000_000_000));
    let outcome = timeout(DEADLINE, run(spec, row(), start, events, stop)).await.unwrap().unwrap();
    assert_eq!(outcome.ended, Ended::Stopped);
    assert_eq!(outcome.totals.tally().counts.scheduled, 0);
}
