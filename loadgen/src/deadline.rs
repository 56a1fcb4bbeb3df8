//! A request's timeout, without a timer operation for each request.
//!
//! Most requests are answered in time, so the timer is left where an earlier request set it; when it
//! fires too early for the present one it is set again. A timer for each request would also wake the
//! runtime through a system call each time (measured: a `write` for every request at 1,000/s).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::clock::MonoNanos;

/// The time did not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Every request may take `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: Box::pin(sleep(limit)) }
    }

    /// Waits for `request`, which was sent at `sent`, not longer than the limit.
    pub(crate) async fn keep<T>(
        &mut self,
        sent: MonoNanos,
        request: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut request = pin!(request);
        poll_fn(|cx| match request.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_elapsed(sent, cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    fn poll_elapsed(&mut self, sent: MonoNanos, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let taken = Duration::from_nanos(MonoNanos::now().since(sent));
            let left = self.limit.saturating_sub(taken);
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(Instant::now() + left);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn each_request_has_the_whole_limit_though_the_timer_was_set_before_it() {
        let mut deadline = Deadline::new(LIMIT);
        for _ in 0..3 {
            let sent = MonoNanos::now();
            assert_eq!(deadline.keep(sent, pending::<()>()).await, Err(Elapsed));
            assert!(MonoNanos::now().since(sent) >= 30_000_000);
        }
    }

    #[tokio::test]
    async fn an_answer_in_time_is_passed_on() {
        let mut deadline = Deadline::new(LIMIT);
        assert_eq!(deadline.keep(MonoNanos::now(), ready(5)).await, Ok(5));
        // Even after the timer has fired: an answer that is there counts.
        assert_eq!(deadline.keep(MonoNanos(1), ready(6)).await, Ok(6));
    }
}
