//! Ctrl-C: once to stop, twice to stop at once. SIGTERM counts as much, and a terminal that closes
//! counts once.
//!
//! Deliberately absent: a global flag. Each caller listens for itself; the runtime tells them all.

use std::future::{self, Future};
use std::io;

use procfs::process::Process;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// The requests to stop, from when this was made.
#[derive(Debug)]
pub struct Requests {
    interrupt: Signal,
    terminate: Signal,
    /// `None` once it was heard: a terminal that closes may say so twice, by the shell and by the
    /// kernel, and that is no second wish of a person.
    hang_up: Option<Signal>,
}

impl Requests {
    /// From here on Ctrl-C, SIGTERM and a closed terminal no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Returns at the next request.
    pub async fn next(&mut self) {
        // `None` would mean that the runtime's signal driver is gone, and then nobody polls this.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up(&mut self.hang_up) => self.hang_up = None,
        }
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => future::pending().await,
    }
}

/// Whether `nohup` or a shell's `trap` wants the program to outlive its terminal.
fn ignores_hang_up() -> bool {
    let status = Process::myself().and_then(|myself| myself.status());
    status.is_ok_and(|status| status.sigign & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0)
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
