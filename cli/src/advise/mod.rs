//! `berth advise`: what to change, why, and how to take it back.

use berth::wire;
use serde::Serialize;

use crate::connect::Address;
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
    /// Only advice about objects of this namespace.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// What there is to show.
#[derive(Debug, Serialize)]
struct Answer {
    advice: Vec<Advice>,
    /// Why there may be none.
    notes: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, address: &Address, output: &Output) -> anyhow::Result<Exit> {
    let server = output.during("connecting", address.connect()).await?;
    let request = wire::ListAdviceRequest {
        namespace: args.namespace.unwrap_or_default(),
        code: args.code.unwrap_or_default(),
    };
    let mut advisor = server.advisor();
    let asked = output.during("asking the aggregator", advisor.list(request)).await;
    let wire = asked.map_err(|status| server.failure(&status))?.into_inner();
    let answer = Answer {
        advice: wire.advice.into_iter().map(Advice::from).collect(),
        notes: wire.notes.iter().map(|note| plain(note)).collect(),
    };
    match output.format() {
        Format::Json => output.json(&answer)?,
        Format::Table => {
            output.text(&render::advice(&answer.advice))?;
            answer.notes.iter().for_each(|note| output.note(note));
        }
    }
    Ok(if answer.advice.is_empty() { Exit::Done } else { Exit::Found })
}
