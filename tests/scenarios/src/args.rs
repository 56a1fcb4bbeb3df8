//! The command line of `accuracy`. Nothing below it sees a raw flag.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use berth_cli::{
    exit::{self, Exit, Failure},
    stage::Cpus,
};
use clap::Parser;

use crate::{
    bench::Bench,
    load::ENGINE_NICE,
    matrix,
    parts::Part,
    result::{self, DEFAULT_SAMPLE_HZ, Half},
    run, score, soak,
};

/// Runs labelled trials of contention, and keeps one result file of each.
#[derive(Debug, Parser)]
#[command(name = "accuracy", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run every trial that has no result yet; about two and a half hours
    Run {
        /// Where results are kept
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// What tools.sh fetched; without it only trials of this tree's own programs are run
        #[arg(long, value_name = "DIR")]
        tools: Option<PathBuf>,
        /// What records who ran while a victim waited; perf.sh prints where it is
        #[arg(long, value_name = "FILE", default_value = "perf")]
        perf: PathBuf,
        /// Only trials with this in their id
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
        /// Only one trial of each main class, within five minutes
        #[arg(long, conflicts_with = "pass")]
        short: bool,
        /// Which pass over the matrix: each has seeds of its own, and all in a folder are judged together
        #[arg(long, value_name = "N", default_value_t = matrix::FIRST_PASS, value_parser = clap::value_parser!(u32).range(1..))]
        pass: u32,
        /// Samples a second that the agent takes; with another than the default, results have it in their
        /// names, and are set beside those of the same trials
        #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLE_HZ, value_parser = clap::value_parser!(u32).range(1..=100))]
        hz: u32,
    },
    /// Watch many quiet models with nothing beside them, one after another with a swing of its own load
    Soak {
        /// Where results are kept
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// How long
        #[arg(long, value_name = "N", default_value_t = 1_860, value_parser = clap::value_parser!(u32).range(120..=36_000))]
        seconds: u32,
        /// Even for tuning, odd for the report
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// How many at once
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100))]
        models: u32,
    },
    /// Print what the verdicts of a folder's trials are worth, as Markdown
    Score {
        /// Where results are kept
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Only that half of the seeds by which thresholds may be chosen
        #[arg(long, conflicts_with = "report")]
        tuning: bool,
        /// Only the other half
        #[arg(long)]
        report: bool,
        /// Where results of the short form on unified cgroups are kept: a section of their own
        #[arg(long, value_name = "DIR")]
        unified: Option<PathBuf>,
        /// Write the latencies there, as a picture
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// List the ids of a pass's trials
    List {
        /// Which pass over the matrix
        #[arg(long, value_name = "N", default_value_t = matrix::FIRST_PASS, value_parser = clap::value_parser!(u32).range(1..))]
        pass: u32,
    },
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
        Command::List { pass } => {
            let ids: Vec<String> = matrix::trials(pass).into_iter().map(|trial| trial.id + "\n").collect();
            print(&ids.concat())
        }
        Command::Score { dir, tuning, report, unified, svg } => {
            let half = if report { Some(Half::Report) } else { tuning.then_some(Half::Tuning) };
            let other = half.map(|half| if half == Half::Report { Half::Tuning } else { Half::Report });
            let asides = score::Asides {
                other_half: other.map(|other| score::read_all(&dir, Some(other))).transpose()?,
                unified: unified.map(|dir| score::read_all(&dir, half)).transpose()?,
            };
            let measured = score::read_all(&dir, half)?;
            if measured.trials.is_empty() {
                let message =
                    format!("no trial with a trace lies in {}: accuracy run makes some", dir.display());
                return Err(Failure::new(Exit::Usage, message).into());
            }
            let page = score::page(&measured, &asides, half);
            if let Some(file) = svg {
                std::fs::write(&file, page.svg).with_context(|| format!("write {}", file.display()))?;
            }
            print(&page.markdown)
        }
        Command::Run { dir, tools, perf, only, short, pass, hz } => {
            let mut trials = if short { matrix::short() } else { matrix::trials(pass) };
            trials.retain(|trial| trial.id.contains(&only));
            for trial in &mut trials {
                trial.id = result::id_at(&trial.id, hz);
            }
            if trials.is_empty() {
                let message = format!("--only {only}: no trial has that in its id; see accuracy list");
                return Err(Failure::new(Exit::Usage, message).into());
            }
            on_bench(async |all| {
                let bench = Bench::new(dir, tools, all)?.with_sample_hz(hz).with_perf(perf).await;
                run::run(&bench, trials).await
            })
        }
        Command::Soak { dir, seconds, seed, models } => {
            let told = soak::Told { seconds, seed, models };
            on_bench(async |all| soak::run(&Bench::new(dir, None, all)?, told).await)
        }
    }
}

fn print(text: &str) -> anyhow::Result<Exit> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(text.as_bytes()).context("print")?;
    Ok(Exit::Done)
}

/// Runs on all CPUs but the victim's, and before others.
fn on_bench(command: impl AsyncFnOnce(Cpus) -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    let all = Cpus::allowed().context("ask which CPUs this process may use")?;
    let (_, rest) = all.first_and_rest().context("a trial needs two CPUs: one is the victim's")?;
    rest.confine_this_thread().context("leave the victim's CPU")?;
    rustix::process::setpriority_process(None, ENGINE_NICE).context("go before others: run it as root")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(command(all))
}
