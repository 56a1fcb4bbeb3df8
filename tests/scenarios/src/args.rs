//! The command line of `accuracy`. Nothing below it sees a raw flag.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use berth_cli::{
    exit::{self, Exit},
    stage::Cpus,
};
use clap::Parser;

use crate::{bench::Bench, load::ENGINE_NICE, matrix, parts::Part, run};

/// Runs labelled trials of contention, and keeps one result file of each.
#[derive(Debug, Parser)]
#[command(name = "accuracy", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run every trial that has no result yet; about two hours
    Run {
        /// Where results are kept
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// What tools.sh fetched
        #[arg(long, value_name = "DIR", default_value = "")]
        tools: PathBuf,
        /// Only trials with this in their id
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
    },
    /// List the trials' ids
    List,
    /// Play a part in a trial
    #[command(subcommand, hide = true)]
    Play(Part),
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    execute(Args::parse().command)
        .unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            exit::of_error(&error)
        })
        .into()
}

fn execute(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Play(part) => part.play().map(|()| Exit::Done),
        Command::List => {
            use std::io::Write as _;
            let mut out = std::io::stdout().lock();
            matrix::trials()
                .iter()
                .try_for_each(|trial| writeln!(out, "{}", trial.id))
                .context("list the trials")?;
            Ok(Exit::Done)
        }
        Command::Run { dir, tools, only } => {
            let all = Cpus::allowed().context("ask which CPUs this process may use")?;
            let (_, rest) = all.first_and_rest().context("a trial needs two CPUs: one is the victim's")?;
            rest.confine_this_thread().context("leave the victim's CPU")?;
            rustix::process::setpriority_process(None, ENGINE_NICE)
                .context("go before others: run it as root")?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("start the runtime")?;
            runtime.block_on(async { run::run(&Bench::new(dir, tools, all).await?, &only).await })
        }
    }
}
