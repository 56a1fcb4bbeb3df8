//! The engine against a real HTTP server on loopback.

#![expect(clippy::unwrap_used, reason = "what breaks beside a test function fails the test as well")]

mod ends;
mod failures;
mod omission;
mod rates;
mod secure;
mod server;

use std::time::Duration;

use berth_loadgen::{
    Check, Interval, LoadError, Model, Outcome, Payload, RequestHead, Spec, SpecDraft, StartAt, Stripe,
    TlsDraft, run,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than any run here: an interval a second.
const INTERVALS: usize = 64;

/// One row of the Predict API.
const ROW: &[u8] = br#"{"payload":{"instances":[[7,107,74]]}}"#;

fn draft(target_url: String, rate_per_sec: f64, duration: Duration) -> SpecDraft {
    SpecDraft {
        target_url,
        model: Model::steady(rate_per_sec).unwrap(),
        duration,
        connections: 200,
        request_timeout: Duration::from_secs(20),
        drain: Duration::from_secs(20),
        check: Check::PredictApi,
        stripe: Stripe::WHOLE,
        requests: None,
        head: RequestHead::default(),
        tls: TlsDraft::default(),
    }
}

fn row() -> Payload {
    Payload::single(ROW.into())
}

/// Makes a run of which nobody hears before its end.
async fn outcome_of(draft: SpecDraft, payload: Payload) -> Result<(Outcome, Vec<Interval>), LoadError> {
    let (events, mut received) = mpsc::channel(INTERVALS);
    let spec = Spec::new(draft).unwrap();
    let outcome = run(spec, payload, StartAt::Now, events, CancellationToken::new()).await?;
    let mut intervals = Vec::new();
    while let Some(interval) = received.recv().await {
        intervals.push(interval);
    }
    Ok((outcome, intervals))
}

/// Makes a run and checks what holds of every run: the intervals add up to the totals, and every
/// request has exactly one end.
async fn load(draft: SpecDraft, payload: Payload) -> Outcome {
    let (outcome, intervals) = outcome_of(draft, payload).await.unwrap();
    outcome.totals.check_sum(&intervals).unwrap();
    settled(&outcome);
    outcome
}

fn settled(outcome: &Outcome) {
    let tally = outcome.totals.tally();
    let counts = tally.counts;
    assert_eq!(
        counts.scheduled,
        counts.completed + counts.errors.total() + counts.dropped + counts.censored,
        "{counts:?}"
    );
    for latencies in [&tally.response, &tally.service, &tally.first_byte] {
        assert_eq!(latencies.count(), counts.completed);
    }
    assert_eq!(tally.send_lag.count(), counts.sent);
    assert_eq!(outcome.censored_age.count(), counts.censored);
}
