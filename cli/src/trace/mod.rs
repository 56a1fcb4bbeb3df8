//! `berth trace`: what a node's detector takes, for later and for elsewhere.

use std::path::PathBuf;

use crate::connect::Place;
use crate::exit::Exit;
use crate::output::Output;

mod file;
mod record;

pub use file::{Reader, TraceError, Writer, read};

const EXAMPLES: &str = "Examples:\n  # Forty seconds of the only node that reports\n  \
    berth trace record -o node.trace --for 40s\n\n  \
    # One of several, until Ctrl-C, with the names of its pods\n  \
    berth trace record -o node.trace --node node-1 --names\n\n  \
    # What each thread of its models does, too\n  \
    berth trace record -o node.trace --for 10s --threads";

/// Subcommands of `berth trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write what a node's detector takes to a file, until Ctrl-C
    Record(record::Args),
}

/// Runs the command; `file` is what `-o` names.
pub async fn run(args: Args, file: Option<PathBuf>, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    match args.command {
        Command::Record(args) => record::run(args, file, place, output).await,
    }
}
