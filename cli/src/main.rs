//! `berth`: every command a person types.

use std::process::ExitCode;

fn main() -> ExitCode {
    berth_cli::run(std::env::args_os().next().into())
}
