//! A demonstration on this machine: a model, a scanner, an agent and an aggregator.

use crate::exit::Exit;
use crate::output::Output;

/// Flags of `berth demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the demonstration.
#[expect(clippy::unused_async, reason = "the demonstration is not here yet")]
pub async fn run(_args: Args, _output: &Output) -> anyhow::Result<Exit> {
    anyhow::bail!("there is no demonstration yet")
}
