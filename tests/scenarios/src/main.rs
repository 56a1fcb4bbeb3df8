//! `accuracy`: runs labelled trials, and plays the parts in them.

use std::process::ExitCode;

fn main() -> ExitCode {
    berth_scenarios::args::run()
}
