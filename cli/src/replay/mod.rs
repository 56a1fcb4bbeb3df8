//! `berth replay`: what the detector says of a trace.
//!
//! Invariant: the same file and the same version print the same bytes. No server is asked.

use std::path::PathBuf;

use berth_core::contention::{self, Replay};

use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};
use crate::report::render;
use crate::trace::{self, TraceError};
use crate::view::{Episode, Who};

mod line;

use line::Line;

/// Inputs between two looks whether a person wants to stop: some milliseconds.
const INPUTS_AT_ONCE: usize = 256;

/// Flags of `berth replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # The episodes of a trace, by onset\n  berth replay node.trace\n\n  \
    # As JSON, an episode a line, as it was when it cleared\n  berth replay node.trace -o json\n\n\
    A trace that is cut, as one of a recording that was killed, is replayed to its end: a line on stderr \
    says so, and the exit code is 0.")]
pub struct Args {
    /// What `berth trace record` wrote.
    file: PathBuf,
    /// Print each change of an episode, in order, instead of each episode once.
    #[arg(long)]
    revisions: bool,
}

/// Runs the command, of the victims of one namespace or of all.
pub async fn run(args: Args, namespace: Option<&str>, output: &Output) -> anyhow::Result<Exit> {
    let episodes = output.during("replaying", replay(&args, namespace, output)).await?;
    if args.revisions {
        return Ok(Exit::Done);
    }
    match output.format() {
        Format::Json | Format::Yaml => {
            episodes.iter().try_for_each(|episode| output.object(&Line::from(episode)))?;
        }
        Format::Name => {
            output.names(episodes.iter().filter_map(|episode| episode.victim.as_ref()?.pod_name()))?;
        }
        Format::Table | Format::Wide if episodes.is_empty() => output.text("no episodes\n")?,
        Format::Table | Format::Wide => {
            let mut page = String::new();
            render::episodes(&mut page, &episodes, output.colour());
            output.text(&page)?;
        }
    }
    Ok(Exit::Done)
}

/// Every episode at its end; with `--revisions` each change is printed as it comes.
async fn replay(args: &Args, namespace: Option<&str>, output: &Output) -> anyhow::Result<Vec<Episode>> {
    let inputs = trace::read(&args.file).map_err(refused)?;
    if namespace.is_some() && !inputs.header().named {
        let file = args.file.display();
        let message =
            format!("{file} was recorded without --names, so nobody's namespace is known: leave -n out");
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let matters =
        |episode: &contention::Episode| namespace.is_none_or(|name| episode.victim.namespace == name);
    let mut replay = Replay::new(inputs.header().node.to_string());
    for (index, input) in inputs.enumerate() {
        match input {
            Ok(input) => {
                let changed = replay.take(input);
                if args.revisions {
                    let mut changed = changed.iter().filter(|episode| matters(episode));
                    changed.try_for_each(|episode| show(episode, output))?;
                }
            }
            Err(cut @ TraceError::Cut { .. }) => output.note(&format!("{cut}; this is what they say")),
            Err(error) => return Err(refused(error).into()),
        }
        if index % INPUTS_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(replay.finish().iter().filter(|episode| matters(episode)).map(Episode::from).collect())
}

fn show(episode: &contention::Episode, output: &Output) -> std::io::Result<()> {
    let episode = Episode::from(episode);
    match output.format() {
        Format::Json | Format::Yaml => output.object(&Line::from(&episode)),
        Format::Name => output.names(episode.victim.as_ref().and_then(Who::pod_name)),
        Format::Table | Format::Wide => output.text(&render::revision(&episode, output.colour())),
    }
}

/// Which file, and what it holds, is the person's to mend.
fn refused(error: TraceError) -> Failure {
    match error {
        TraceError::Io { path, source } => {
            Failure::new(Exit::Usage, format!("read {}: {source}", path.display()))
        }
        error @ (TraceError::Foreign { .. } | TraceError::Entry { .. } | TraceError::Cut { .. }) => {
            Failure::new(Exit::Usage, error.to_string())
        }
    }
}
