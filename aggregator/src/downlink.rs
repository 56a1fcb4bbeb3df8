//! The sending half of a stream: what its owner hands over, until it ends or is ended.
//!
//! Invariant: an end asked for overtakes whatever still waits, so that a slow reader cannot keep a
//! stream open. Items are turned into messages only when the transport asks for the next one, which
//! is as late as a send time can be taken. Deliberately absent: an unbounded queue.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Status;

/// The receiving end, which the transport polls.
pub(crate) struct Downlink<T, M> {
    items: mpsc::Receiver<T>,
    end: Option<oneshot::Receiver<Status>>,
    message: Box<dyn FnMut(T) -> Result<M, Status> + Send>,
    ended: bool,
}

/// The owner's end: dropping both halves ends the stream well.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    /// What goes down next.
    pub(crate) items: mpsc::Sender<T>,
    /// Ends the stream with an error.
    pub(crate) end: oneshot::Sender<Status>,
}

/// A stream of at most `waiting` items, each turned into a message by `message` as it leaves.
pub(crate) fn downlink<T, M>(
    waiting: usize,
    message: impl FnMut(T) -> Result<M, Status> + Send + 'static,
) -> (Sender<T>, Downlink<T, M>) {
    let (items, received) = mpsc::channel(waiting);
    let (end, ended) = oneshot::channel();
    let stream = Downlink { items: received, end: Some(ended), message: Box::new(message), ended: false };
    (Sender { items, end }, stream)
}

impl<T, M> Downlink<T, M> {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Option<Status> {
        match Pin::new(self.end.as_mut()?).poll(context) {
            Poll::Ready(Ok(status)) => Some(status),
            // Its owner will not end it early any more; what waits is still sent.
            Poll::Ready(Err(_)) => {
                self.end = None;
                None
            }
            Poll::Pending => None,
        }
    }
}

impl<T, M> Stream for Downlink<T, M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(status) = self.poll_end(context) {
            self.ended = true;
            self.items.close();
            return Poll::Ready(Some(Err(status)));
        }
        let item = ready!(self.items.poll_recv(context));
        let message = item.map(|item| (self.message)(item));
        self.ended = !matches!(message, Some(Ok(_)));
        Poll::Ready(message)
    }
}
