//! A small real model service.

use std::process::ExitCode;

use berth_examples::{args, server};
use clap::Parser as _;

/// The exit code for an environment that does not let us start.
const ENVIRONMENT: u8 = 3;

fn main() -> ExitCode {
    let args = args::Refmodel::parse();
    match server::serve(args.bind, args.workers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("refmodel: {error:#}");
            ExitCode::from(ENVIRONMENT)
        }
    }
}
