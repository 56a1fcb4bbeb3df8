//! `berth demo`: Berth's main job on real processes of this machine, while you watch.
//!
//! It starts the real programs that lie beside this one, treats two halves of the machine's CPUs as
//! two nodes, and tells what it measures: a model alone, the same model beside a scanner, what
//! Berth says of it, the advice, and the model after the move. Deliberately absent: Kubernetes,
//! configuration, and any figure that was not measured in this very run.

mod result;
mod runs;
mod stage;
mod story;

use std::net::SocketAddr;

use crate::{
    connect::Address,
    exit::{Exit, Failure},
    output::Output,
    stage::Cpus,
    stop,
};
use result::Outcome;
use stage::{MODEL_WORKERS, Stage};
use story::Story;

/// The comparison needs at least eight one-second intervals, and ten leave room for a slow one.
const SHORTEST_PHASE_SECONDS: u64 = 10;

/// Longer phases only narrow intervals that are narrow by then.
const LONGEST_PHASE_SECONDS: u64 = 600;

/// Flags of `berth demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # Observe, detect, advise, move, verify\n  berth demo\n\n  \
    # The same without a culprit: nobody is blamed\n  berth demo --without scanner\n\n  \
    # Leave it running, and look around with berth report, berth top or curl\n  berth demo --keep")]
pub struct Args {
    /// Length of each measured phase.
    #[arg(long, value_name = "N", default_value_t = 12, allow_negative_numbers = true,
        value_parser = clap::value_parser!(u64).range(SHORTEST_PHASE_SECONDS..=LONGEST_PHASE_SECONDS))]
    seconds: u64,
    /// Leave a part out.
    #[arg(long, value_name = "PART", value_enum, conflicts_with = "scanners")]
    without: Vec<Part>,
    /// Scanners beside the model; with several, the first has the most threads.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=8))]
    scanners: u32,
    /// CPU limit of the model, as a pod has it.
    #[arg(long, value_name = "CPUS", allow_negative_numbers = true, value_parser = cpus_of_limit)]
    model_cpu_limit: Option<f64>,
    /// Start a busy process outside every cgroup of the demonstration.
    #[arg(long)]
    stray: bool,
    /// Stay up until Ctrl-C, so that report, top and curl have something to talk to.
    #[arg(long)]
    keep: bool,
    /// Where the aggregator answers gRPC.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7700", value_parser = loopback)]
    listen: SocketAddr,
    /// Where the aggregator answers HTTP.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7701", value_parser = loopback)]
    http: SocketAddr,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// No scanner comes.
    Scanner,
}

/// The kernel's quota has a floor of 1 ms a period of 100 ms; no model serves on less than 50 ms a
/// second anyway.
fn cpus_of_limit(text: &str) -> Result<f64, String> {
    let cpus = text.parse().map_err(|_| "not a number of CPUs, such as 0.3".to_owned())?;
    if (0.05..=64.0).contains(&cpus) { Ok(cpus) } else { Err("from 0.05 to 64 CPUs".to_owned()) }
}

/// The demonstration has no certificates, so it answers on this machine only.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:7700".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("only this machine: 127.0.0.1:PORT".to_owned()) }
}

impl Args {
    fn scanner_count(&self) -> u32 {
        if self.without.contains(&Part::Scanner) { 0 } else { self.scanners }
    }
}

/// Runs the demonstration. Whatever happens, it leaves no process, cgroup or port behind.
pub async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let mut requests = stop::Requests::listen()?;
    let (mut stage, outcome) = tokio::select! {
        told = demonstrate(&args, output) => told?,
        () = requests.next() => return Ok(Exit::Stopped),
    };
    if args.keep {
        output.note(&format!(
            "\nstaying up until Ctrl-C: gRPC on {}, metrics on {}; try `berth report`, `berth top`, `berth advise`",
            stage.server, stage.metrics
        ));
        tokio::select! {
            error = stage.watch() => return Err(error),
            () = requests.next() => {}
        }
    }
    stage.strike().await;
    if let Some(reason) = outcome.generator_limit() {
        return Err(Failure::new(Exit::Invalid, format!("the load generator was the limit: {reason}")).into());
    }
    Ok(outcome.exit())
}

async fn demonstrate(args: &Args, output: &Output) -> anyhow::Result<(Stage, Outcome)> {
    let cpus = Cpus::allowed()?;
    if let Some(limit) = args.model_cpu_limit {
        let most = cpus.halves().0.count().min(usize::try_from(MODEL_WORKERS)?);
        if limit >= most as f64 {
            let message =
                format!("--model-cpu-limit {limit}: the model can use {most} CPUs here, so give less");
            return Err(Failure::new(Exit::Usage, message).into());
        }
    }
    let mut stage = output.during("starting", Stage::set(args, &cpus)).await?;
    let server = Address::of_server(Some(&stage.server), None)?.connect().await?;
    let outcome = Story::new(args, output, &server).tell(&mut stage).await?;
    Ok((stage, outcome))
}
