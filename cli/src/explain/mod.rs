//! `berth explain`: one episode in plain lines, with the numbers.

use berth::wire;

use crate::connect::Place;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::view::{Episode, Who};

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
pub async fn run(args: Args, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    let server = output.during("connecting", place.address.connect()).await?;
    let mut episodes = server.episodes();
    let asked = episodes.get(wire::GetEpisodeRequest { id: args.id.to_ascii_lowercase() });
    let answer = output.during("asking the aggregator", asked).await;
    let episode = Episode::from(answer.map_err(|status| server.failure(&status))?.into_inner());
    match output.format() {
        Format::Json | Format::Yaml => output.object(&episode)?,
        Format::Name => output.names(episode.victim.as_ref().and_then(Who::pod_name))?,
        Format::Table | Format::Wide => output.text(&render::episode(&episode))?,
    }
    Ok(Exit::Done)
}
