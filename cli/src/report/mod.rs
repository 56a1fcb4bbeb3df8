//! `berth report`: who is hurt, how much and by whom; now, and lately.

use berth::limits::PAGE_ROWS;
use berth::wire;
use serde::Serialize;
use tonic::Status;

use crate::connect::{Place, Server};
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::view::{Episode, ModelSummary, plain};

pub(crate) mod render;
mod watch;

/// Episodes shown that are over: what a screen holds beside the models.
const RECENT_EPISODES: u32 = 20;

/// Pages of open episodes that are read. A page is one message and holds about a hundred; what comes
/// after thousands of them is no help to anybody.
const OPEN_PAGES: usize = 50;

/// Flags of `berth report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # Who is hurt now, and what happened lately\n  berth report\n\n  \
    # Each change in the namespace refmodels, as JSON lines\n  berth report -w -n refmodels -o json\n\n  \
    # The models of all namespaces, with their owners and what was seen of them\n  berth report -A -o wide")]
pub struct Args {
    /// Go on and print each change of an episode as a line, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
    /// Leave out episodes that are over.
    #[arg(long, conflicts_with = "watch")]
    open: bool,
}

/// What there is to show.
#[derive(Debug, Serialize)]
struct Report {
    models: Vec<ModelSummary>,
    /// Newest onset first.
    episodes: Vec<Episode>,
    notes: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    let server = output.during("connecting", place.address.connect()).await?;
    let namespace = place.scope.filter();
    if args.watch {
        return watch::run(&server, namespace, output).await;
    }
    let asked = output.during("asking the aggregator", ask(&server, &namespace, args.open)).await;
    let report = asked.map_err(|status| server.failure(&status))?;
    match output.format() {
        Format::Json | Format::Yaml => output.object(&report)?,
        Format::Name => {
            output.names(report.models.iter().filter_map(|model| model.who.as_ref()?.pod_name()))?;
        }
        Format::Table | Format::Wide => {
            report.notes.iter().for_each(|note| output.note(note));
            output.text(&render::report(&report, output.is_wide(), output.colour()))?;
        }
    }
    if report.models.is_empty()
        && report.episodes.is_empty()
        && let Some(hint) = place.scope.hint()
    {
        output.note(&hint);
    }
    Ok(if report.episodes.iter().any(Episode::needs_action) { Exit::Found } else { Exit::Done })
}

async fn ask(server: &Server, namespace: &str, open_only: bool) -> Result<Report, Status> {
    let request = wire::ListModelsRequest { namespace: namespace.to_owned(), node: String::new() };
    let answer = server.episodes().list_models(request).await?.into_inner();
    let mut models: Vec<ModelSummary> = answer.models.into_iter().map(ModelSummary::from).collect();
    // The worst first; the aggregator's order, by node and name, decides between equals.
    models.sort_by_key(|model| std::cmp::Reverse(model.severity));
    let mut notes: Vec<String> = answer.notes.iter().map(|note| plain(note)).collect();

    let (mut episodes, whole) = open_episodes(server, namespace).await?;
    if !whole {
        notes.push(format!("more than {} episodes are open: choose a namespace with -n", episodes.len()));
    }
    if !open_only {
        let page = list(server, filter(namespace, false), RECENT_EPISODES, String::new()).await?;
        let recent = page.episodes.into_iter().map(Episode::from);
        episodes.extend(recent.filter(|episode| episode.cleared.is_some()));
        episodes.sort_by_key(|episode| std::cmp::Reverse(episode.onset));
    }
    Ok(Report { models, episodes, notes })
}

/// Those that are open, and whether they are all.
async fn open_episodes(server: &Server, namespace: &str) -> Result<(Vec<Episode>, bool), Status> {
    let mut episodes = Vec::new();
    let mut token = String::new();
    for _ in 0..OPEN_PAGES {
        let page = list(server, filter(namespace, true), PAGE_ROWS, token).await?;
        episodes.extend(page.episodes.into_iter().map(Episode::from));
        token = page.next_page_token;
        if token.is_empty() {
            return Ok((episodes, true));
        }
    }
    Ok((episodes, false))
}

async fn list(
    server: &Server,
    filter: wire::EpisodeFilter,
    page_size: u32,
    page_token: String,
) -> Result<wire::ListEpisodesResponse, Status> {
    let request = wire::ListEpisodesRequest { filter: Some(filter), page_size, page_token };
    Ok(server.episodes().list(request).await?.into_inner())
}

fn filter(namespace: &str, open_only: bool) -> wire::EpisodeFilter {
    wire::EpisodeFilter { namespace: namespace.to_owned(), open_only, ..wire::EpisodeFilter::default() }
}
