//! `berth advise`: what to change, why, and how to take it back.

use berth::wire;
use serde::Serialize;

use crate::connect::Place;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::view::{Advice, plain};

mod render;

/// Flags of `berth advise`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # Everything worth changing, with the commands to run and to undo\n  \
    berth advise\n\n  # Only advice of one kind\n  berth advise --code BA101\n\n\
    Nothing is changed. Exits 1 when there is advice, 0 when there is none.")]
pub struct Args {
    /// Only advice with this code, such as BA101.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

/// What there is to show.
#[derive(Debug, Serialize)]
struct Answer {
    advice: Vec<Advice>,
    /// Why there may be none.
    notes: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    let server = output.during("connecting", place.address.connect()).await?;
    let request =
        wire::ListAdviceRequest { namespace: place.scope.filter(), code: args.code.unwrap_or_default() };
    let mut advisor = server.advisor();
    let asked = output.during("asking the aggregator", advisor.list(request)).await;
    let wire = asked.map_err(|status| server.failure(&status))?.into_inner();
    let answer = Answer {
        advice: wire.advice.into_iter().map(Advice::from).collect(),
        notes: wire.notes.iter().map(|note| plain(note)).collect(),
    };
    match output.format() {
        Format::Json | Format::Yaml => output.object(&answer)?,
        Format::Name => output.names(answer.advice.iter().map(|advice| format!("advice/{}", advice.id)))?,
        Format::Table | Format::Wide => {
            output.text(&render::advice(&answer.advice))?;
            answer.notes.iter().for_each(|note| output.note(note));
        }
    }
    if answer.advice.is_empty()
        && let Some(hint) = place.scope.hint()
    {
        output.note(&hint);
    }
    Ok(if answer.advice.is_empty() { Exit::Done } else { Exit::Found })
}
