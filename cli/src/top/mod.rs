//! `berth top`: every container's use, and every model's wait, as it happens.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::Status;

use crate::connect::{Place, is_lasting};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};
use crate::patience::Patience;

mod display;
mod meter;
mod render;
mod rows;
mod screen;
mod source;

use display::Display;
use rows::Table;
use source::Source;

/// How often a table is shown: samples come once a second.
const REFRESH: Duration = Duration::from_secs(1);

/// How long one table may wait for two seconds of every container.
const ONCE_PATIENCE: Duration = Duration::from_secs(5);

/// Flags of `berth top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # Watch all containers, until Ctrl-C\n  berth top\n\n  \
    # One table of one node\n  berth top --once --node node-1\n\n\
    CPU is in CPUs, THROTTLED is the part of CFS periods in which the nearest CPU limit stopped it,\n\
    ADDED is what a model waits, in milliseconds a second.")]
pub struct Args {
    /// Print one table and end.
    #[arg(long)]
    once: bool,
    /// Only containers on this node.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

/// Runs the command.
pub async fn run(args: Args, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    if output.format() == Format::Name {
        return Err(Failure::new(
            Exit::Usage,
            "top shows figures, not names: `berth roles -o name` has those",
        )
        .into());
    }
    let server = output.during("connecting", place.address.connect()).await?;
    if let Some(node) = &args.node {
        server.knows(node).await?;
    }
    let source = Source::new(server, args.node.unwrap_or_default(), place.scope.filter());
    if args.once {
        output.during("waiting for samples", once(source, output)).await
    } else {
        follow(source, Display::new(output)?).await
    }
}

/// As measured as it gets within [`ONCE_PATIENCE`].
async fn measured(source: &mut Source) -> Result<Table, Status> {
    if let Ok(measured) = timeout(ONCE_PATIENCE, source.until_measured()).await {
        measured?;
    }
    source.table().await
}

async fn once(mut source: Source, output: &Output) -> anyhow::Result<Exit> {
    let table = measured(&mut source).await.map_err(|status| source.failure(&status))?;
    if table.time.is_none() {
        output.note("no samples came: is berth-agent running?");
    }
    display::once(&table, output)?;
    Ok(Exit::Done)
}

/// Ends by an error only; Ctrl-C is the caller's.
async fn follow(mut source: Source, mut display: Display<'_>) -> anyhow::Result<Exit> {
    let mut patience = Patience::default();
    loop {
        let Err(ended) = show(&mut source, &mut display, &mut patience).await;
        let lost = match ended {
            Ended::Output(error) => return Err(error.into()),
            Ended::Lost(status) if is_lasting(status.code()) => return Err(source.failure(&status).into()),
            Ended::Lost(status) => status,
        };
        display.lost(&lost)?;
        let wait = patience.after_failure(Instant::now()).ok_or_else(|| source.failure(&lost))?;
        sleep(wait).await;
        source.forget();
    }
}

/// Why tables stopped coming.
enum Ended {
    Lost(Status),
    Output(io::Error),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Lost(status)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

async fn show(
    source: &mut Source,
    display: &mut Display<'_>,
    patience: &mut Patience,
) -> Result<Infallible, Ended> {
    let mut chunks = source.tail().await?;
    patience.after_answer(Instant::now());
    let mut refresh = interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            chunk = chunks.message() => source.take(chunk?)?,
            _ = refresh.tick() => display.show(&source.table().await?)?,
        }
    }
}
