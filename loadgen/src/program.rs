//! The worker as a program: arguments, logs, signals, exit codes.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{args::Args, link::Worker};

/// The command line is wrong: the exit code of every program of Berth for that, and clap's own.
const USAGE: u8 = 2;

/// The environment does not let it work: the exit code of every program of Berth for that.
const ENVIRONMENT: u8 = 3;

/// Works until SIGTERM or SIGINT, and then ends with 0.
pub fn run() -> ExitCode {
    let worker = match Args::parse().worker() {
        Ok(worker) => worker,
        Err(error) => {
            eprintln!("berth-loadgen: {error}");
            return USAGE.into();
        }
    };
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(io::stderr).init();
    match work(&worker) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-loadgen: {error:#}");
            ENVIRONMENT.into()
        }
    }
}

fn work(worker: &Worker) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        worker
            .work(async {
                tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            })
            .await;
        Ok(())
    })
}
