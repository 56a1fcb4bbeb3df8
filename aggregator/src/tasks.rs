//! The tasks behind open streams, and the signal that ends them.
//!
//! Invariant: no task outlives the [`Tasks`] that it was started on. A task that panicked has
//! lost its own stream only; it is logged here, once.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, task::JoinSet};

/// The owner of every task that serves a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// Starts a task; those that have ended meanwhile are cleared away.
    pub(crate) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = set.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a stream's task panicked; report this as a bug");
            }
        }
        set.spawn(task);
    }

    /// Ends all of them where they stand, and returns when none is left.
    pub(crate) async fn shutdown(&self) {
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        set.shutdown().await;
    }
}

/// Tells every stream that the aggregator stops.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
}

/// The one who may ask for the stop.
#[derive(Debug)]
pub(crate) struct Stopper {
    ask: watch::Sender<bool>,
}

impl Stopper {
    /// A stop that nobody has asked for yet.
    pub(crate) fn new() -> (Self, Stop) {
        let (ask, asked) = watch::channel(false);
        (Self { ask }, Stop { asked })
    }

    /// Asks for it.
    pub(crate) fn stop(&self) {
        self.ask.send_replace(true);
    }
}

impl Stop {
    /// Returns once it has been asked for, or nobody is left to ask.
    pub(crate) async fn asked(&mut self) {
        // An error means that the stopper is gone, which is a stop too.
        drop(self.asked.wait_for(|asked| *asked).await);
    }
}

/// What a stream that is closed by a stop ends with.
pub(crate) fn stopping() -> tonic::Status {
    tonic::Status::unavailable("the aggregator stops: connect again")
}
