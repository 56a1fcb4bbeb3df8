//! `berth samples`: what the agents measured, a value a line.
//!
//! Deliberately absent: rates and sums. Counters come as the kernel counts them; `berth top` shows
//! what they mean.

use anyhow::Context;
use berth::wire;
use tonic::{Status, Streaming};

use crate::connect::{Place, Server};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};

mod values;

use values::Names;

/// Flags of `berth samples`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # The last 15 minutes of one pod, a value a second\n  \
    berth samples --pod refmodel-0\n\n  \
    # Every tick of a node from now on, as JSON lines, until Ctrl-C\n  \
    berth samples -w --raw --node node-a -o json\n\n\
    Counters are cumulative; proto/berth/v1/ingest.proto says what each metric counts.")]
pub struct Args {
    /// Go on with what comes from now on, until Ctrl-C, in place of what is kept.
    #[arg(short, long)]
    watch: bool,
    /// Each tick of the last two minutes, in place of one value a second.
    #[arg(long)]
    raw: bool,
    /// Only of this node.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only of this pod.
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
}

/// Runs the command.
pub async fn run(args: Args, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    if output.format() == Format::Name {
        let message = "samples are figures, not names: `berth roles -o name` has those";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let server = output.during("connecting", place.address.connect()).await?;
    if let Some(node) = &args.node {
        server.knows(node).await?;
    }
    let filter = wire::SubjectFilter {
        node: args.node.unwrap_or_default(),
        namespace: place.scope.filter(),
        pod: args.pod.unwrap_or_default(),
        ..wire::SubjectFilter::default()
    };
    let resolution = if args.raw { wire::Resolution::Raw } else { wire::Resolution::OneSecond };
    let mut names = Names::default();
    let refused = |status: Status| server.failure(&status);
    names.learn(&server, &filter).await.map_err(refused)?;
    let chunks = chunks(&server, filter.clone(), resolution, args.watch).await.map_err(refused)?;
    let shown = show(chunks, &server, &filter, &mut names, output).await?;
    if shown == 0 {
        let nothing = || "nothing is kept of what was asked for: berth roles shows who is sampled".to_owned();
        output.note(&place.scope.hint().unwrap_or_else(nothing));
    }
    Ok(Exit::Done)
}

async fn chunks(
    server: &Server,
    filter: wire::SubjectFilter,
    resolution: wire::Resolution,
    watch: bool,
) -> Result<Streaming<wire::SampleChunk>, Status> {
    let (filter, resolution) = (Some(filter), resolution.into());
    let mut samples = server.samples();
    let answer = if watch {
        samples.tail(wire::TailRequest { filter, groups: Vec::new(), resolution }).await
    } else {
        let all = wire::RangeRequest { filter, resolution, ..wire::RangeRequest::default() };
        samples.range(all).await
    };
    Ok(answer?.into_inner())
}

/// Shows every value until the stream ends, and says how many there were.
async fn show(
    mut chunks: Streaming<wire::SampleChunk>,
    server: &Server,
    filter: &wire::SubjectFilter,
    names: &mut Names,
    output: &Output,
) -> anyhow::Result<usize> {
    let mut shown = 0;
    while let Some(chunk) = chunks.message().await.map_err(|status| server.failure(&status))? {
        if names.is_missing(&chunk) {
            names.learn(server, filter).await.map_err(|status| server.failure(&status))?;
        }
        let values = values::of(&chunk, names);
        if shown == 0 && !values.is_empty() && !matches!(output.format(), Format::Json | Format::Yaml) {
            output.text(values::HEADER)?;
        }
        shown += values.len();
        for value in &values {
            match output.format() {
                Format::Json | Format::Yaml => output.object(value),
                Format::Table | Format::Wide | Format::Name => output.text(&value.line()),
            }
            .context("write to stdout")?;
        }
    }
    Ok(shown)
}
