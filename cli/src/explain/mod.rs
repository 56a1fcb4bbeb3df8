//! `berth explain`: one episode in plain lines, with the numbers.

use berth::wire;

use crate::connect::Address;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::view::Episode;

mod render;

/// Flags of `berth explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  # Why the episode whose id begins with 8f3a was found\n  berth explain 8f3a"
)]
pub struct Args {
    /// The id of an episode, or the beginning of one; `berth report` lists them.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,
}

/// Runs the command.
pub async fn run(args: Args, address: &Address, output: &Output) -> anyhow::Result<Exit> {
    let server = output.during("connecting", address.connect()).await?;
    let mut episodes = server.episodes();
    let asked = episodes.get(wire::GetEpisodeRequest { id: args.id.to_ascii_lowercase() });
    let answer = output.during("asking the aggregator", asked).await;
    let episode = Episode::from(answer.map_err(|status| server.failure(&status))?.into_inner());
    match output.format() {
        Format::Json => output.json(&episode)?,
        Format::Table => output.text(&render::episode(&episode))?,
    }
    Ok(Exit::Done)
}
