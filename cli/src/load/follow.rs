//! A run while it goes on: its bar on a terminal, its seconds as lines, and Ctrl-C.

use std::time::Duration;

use berth_loadgen::{Interval, Outcome, Ready, SpecDraft, StartAt};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::second::Second;
use super::{Form, refused};
use crate::output::Output;
use crate::{stop, text};

/// Intervals come once a second, and showing one takes no time.
const EVENTS: usize = 8;

/// How the bar of a run looks.
const BAR: &str = "{elapsed:>4} [{bar:40}] {msg}";

/// The same of a run that a number of requests ends.
const REQUESTS_BAR: &str = "{elapsed:>4} [{bar:40}] {human_pos} of {human_len}, {msg}";

pub(super) struct Follower<'a> {
    output: &'a Output,
    bar: ProgressBar,
    /// The bar fills with the requests that have their end, not with the time.
    by_requests: bool,
    settled: u64,
    writes_seconds: bool,
}

impl<'a> Follower<'a> {
    pub(super) fn new(draft: &SpecDraft, form: Form, output: &'a Output) -> Self {
        let bar = match draft.requests {
            Some(requests) => output.bar(requests.get(), REQUESTS_BAR),
            None => output.bar(millis(draft.duration), BAR),
        };
        let by_requests = draft.requests.is_some();
        Self { output, bar, by_requests, settled: 0, writes_seconds: form == Form::Ndjson }
    }

    /// Runs it to its end. The first Ctrl-C ends the sending, and what was sent is still counted.
    pub(super) async fn follow(
        mut self,
        ready: Ready,
        requests: &mut stop::Requests,
    ) -> anyhow::Result<Outcome> {
        let stop = CancellationToken::new();
        let (events, mut intervals) = mpsc::channel(EVENTS);
        let mut run = std::pin::pin!(ready.run(StartAt::Now, events, stop.clone()));
        let outcome = loop {
            tokio::select! {
                outcome = &mut run => break outcome,
                Some(interval) = intervals.recv() => self.show(&interval)?,
                () = requests.next(), if !stop.is_cancelled() => {
                    stop.cancel();
                    let words = "waiting for the answers in flight; Ctrl-C again ends it without figures";
                    self.bar.suspend(|| self.output.note(words));
                }
            }
        };
        self.bar.finish_and_clear();
        while let Ok(last) = intervals.try_recv() {
            self.show(&last)?;
        }
        outcome.map_err(|error| refused(error).into())
    }

    fn show(&mut self, interval: &Interval) -> anyhow::Result<()> {
        if self.writes_seconds {
            self.output.object(&Second::from(interval))?;
        }
        let counts = interval.tally.counts;
        let errors = counts.errors.total();
        self.settled += counts.completed + errors;
        self.bar.set_position(if self.by_requests { self.settled } else { interval.to_nanos / 1_000_000 });
        let seconds = (interval.to_nanos - interval.from_nanos) as f64 / 1e9;
        let p99 = interval.tally.response.quantile_usec(0.99);
        self.bar.set_message(format!(
            "{:.0}/s answered, p99 {}, {errors} errors",
            counts.completed as f64 / seconds.max(f64::MIN_POSITIVE),
            p99.map_or_else(|| text::NONE.to_owned(), |usec| format!("{:.1} ms", usec as f64 / 1e3)),
        ));
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
