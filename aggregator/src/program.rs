//! The program: flags in, exit code out.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::{Aggregator, args::Args, error::StartError};

/// The exit code of an environment that does not let it run.
const ENVIRONMENT: u8 = 3;

/// Threads of the runtime: they bound how many messages are decoded at once, and beyond some the
/// owners' locks and queues are what is waited for.
const THREADS_MAX: usize = 16;

/// Runs until SIGTERM or Ctrl-C.
pub fn run(args: Args) -> ExitCode {
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(args.log.clone())
        .with_ansi(ansi)
        .with_writer(io::stderr)
        .init();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-aggregator: {error:#}");
            let known = error.downcast_ref::<StartError>();
            ExitCode::from(known.map_or(ENVIRONMENT, StartError::exit_code))
        }
    }
}

fn serve(args: Args) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = Builder::new_multi_thread()
        .worker_threads(cores.min(THREADS_MAX))
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        // From here on neither signal ends the process by itself.
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let aggregator = Aggregator::start(settings).await?;
        eprintln!("grpc listening on {}", aggregator.grpc_address());
        eprintln!("http listening on {}", aggregator.http_address());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        aggregator.stop().await;
        Ok(())
    })
}
