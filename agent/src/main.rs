//! The agent's process: arguments, logging, exit codes.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Parser as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = berth_agent::args::Args::parse();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.with_ansi(io::stderr().is_terminal()).init();
    match berth_agent::start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("berth-agent: {failure:#}");
            failure.exit_code()
        }
    }
}
