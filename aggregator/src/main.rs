//! The aggregator's program.

use std::process::ExitCode;

use berth_aggregator::args::Args;
use clap::Parser as _;

fn main() -> ExitCode {
    berth_aggregator::run(Args::parse())
}
