//! berth-loadgen: the worker that the aggregator drives.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use berth_loadgen::{Worker, args::Args};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let worker = Worker::from(Args::parse());
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    if let Err(error) = work(&worker).await {
        eprintln!("error: {error:#}");
        return 3.into();
    }
    0.into()
}

async fn work(worker: &Worker) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    worker
        .work(async {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        })
        .await
}
