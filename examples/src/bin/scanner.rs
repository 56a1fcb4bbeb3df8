//! A stand-in for a batch AI scanner.

use std::process::ExitCode;

use berth_examples::{args, scanner};
use clap::Parser as _;

/// The exit code for an environment that does not let us start.
const ENVIRONMENT: u8 = 3;

fn main() -> ExitCode {
    match scanner::scan(&args::Scanner::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scanner: {error:#}");
            ExitCode::from(ENVIRONMENT)
        }
    }
}
