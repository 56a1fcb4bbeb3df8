//! `kubectl berth`: the same commands, found by kubectl as a plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    berth_cli::run(berth_cli::Invocation::KubectlPlugin)
}
