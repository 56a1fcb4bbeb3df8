//! The agent's process: arguments, logging, exit codes.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Parser as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// A flag that cannot be followed.
const USAGE: u8 = 2;

/// This node cannot be sampled.
const ENVIRONMENT: u8 = 3;

fn main() -> ExitCode {
    let args = berth_agent::args::Args::parse();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.with_ansi(io::stderr().is_terminal()).init();
    let (code, problem) = match args.config() {
        Err(usage) => (USAGE, usage.to_string()),
        Ok(config) => match berth_agent::run(config) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(problem) => (ENVIRONMENT, format!("{problem:#}")),
        },
    };
    eprintln!("berth-agent: {problem}");
    ExitCode::from(code)
}
