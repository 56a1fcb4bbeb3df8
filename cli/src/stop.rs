//! Ctrl-C: once to stop, twice to stop at once.
//!
//! Deliberately absent: a global flag. Each caller listens for itself; the runtime tells them all.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// The requests to stop, from when this was made.
#[derive(Debug)]
pub struct Requests {
    interrupt: Signal,
    terminate: Signal,
}

impl Requests {
    /// From here on Ctrl-C (or SIGTERM) no longer ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns at the next request.
    pub async fn next(&mut self) {
        // `None` would mean that the runtime's signal driver is gone, and then nobody polls this.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The command, or [`Exit::Stopped`] at the first request: for commands with nothing to tidy up.
pub async fn or_stopped(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let mut requests = Requests::listen()?;
    tokio::select! {
        exit = command => exit,
        () = requests.next() => Ok(Exit::Stopped),
    }
}

/// The command, or [`Exit::Killed`] at the second request.
pub async fn or_killed(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let mut requests = Requests::listen()?;
    tokio::select! {
        exit = command => exit,
        () = async { requests.next().await; requests.next().await } => Ok(Exit::Killed),
    }
}
