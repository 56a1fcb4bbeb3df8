//! `berth load`: one load run from this machine, measured.
//!
//! The engine is berth-loadgen's; what is here is its flags, its progress and its report.

use std::path::PathBuf;
use std::time::Duration;

use berth_loadgen::{
    Check, Ended, Interval, Label, LoadError, Model, Outcome, Payload, Ready, Spec, SpecDraft, StartAt,
    Stripe, Verdict,
};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};
use crate::stop;

mod objective;
mod render;
mod report;

use objective::{Judged, Objectives};
use report::Report;

/// Connections of an open run when nobody says: enough for 1,000 requests a second of 100 ms each.
const CONNECTIONS: u32 = 100;

/// Intervals come once a second, and showing one takes no time.
const EVENTS: usize = 8;

/// How the bar of a run looks.
const BAR: &str = "{elapsed:>4} [{bar:40}] {msg}";

/// What counts as a success.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CheckArg {
    /// 200, and as many predictions as instances were sent.
    Predict,
    /// Any 2xx.
    Status,
}

/// Flags of `berth load`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # 200 requests a second for a minute, from the rows of a table\n  \
    berth load http://127.0.0.1:5111/predict --rate 200 -z 1m --payload rows.csv --label-column target\n\n\
    # Fail a pipeline unless the target answers fast enough and hardly ever fails\n  \
    berth load http://127.0.0.1:5111/predict --rate 50 --payload rows.csv --slo 'p99<50ms,errors<0.1%'\n\n\
    Latency counts from the time at which a request was due, so a stalled target cannot hide.")]
#[command(group(clap::ArgGroup::new("model").required(true).args(["rate", "in_flight"])))]
pub struct Args {
    /// Where requests are sent: http://host:port/path.
    url: String,
    /// Send this many requests a second, whatever the answers do.
    #[arg(long, value_name = "PER_SEC", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Keep this many requests in flight: a new one for each answer.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    in_flight: Option<u32>,
    /// How long requests are sent.
    #[arg(short = 'z', long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    duration: Duration,
    /// Connections at most; by default 100, or one for each request in flight.
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    connections: Option<u32>,
    /// The requests: a .csv with a header, or an .ndjson with a row or a whole body on each line.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// The column of the .csv that is the answer, and is not sent.
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// How long one request may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
    /// What counts as a success.
    #[arg(
        long,
        value_enum,
        value_name = "predict|status",
        hide_possible_values = true,
        default_value = "predict"
    )]
    check: CheckArg,
    /// Exit with 4 unless the run meets these: mean, p50, p90, p95, p99, p99.9 and max of the response time,
    /// errors, throughput.
    #[arg(long, value_name = "OBJECTIVES")]
    slo: Vec<Objectives>,
}

/// Runs the command.
pub async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let draft = draft(&args);
    let spec = Spec::new(draft.clone()).map_err(|error| usage(error.to_string()))?;
    let payload = payload(&args)?;
    let mut requests = stop::Requests::listen()?;
    let ready = tokio::select! {
        ready = output.during("connecting to the target", Ready::new(spec, payload)) => ready.map_err(refused)?,
        () = requests.next() => return Ok(Exit::Stopped),
    };
    let bar = output.bar(millis(args.duration), BAR);
    let outcome = drive(ready, &mut requests, &bar, output).await;
    bar.finish_and_clear();
    let objectives = args.slo.iter().flat_map(|objectives| &objectives.0);
    let report = Report::new(draft, outcome?, objectives);
    match output.format() {
        Format::Json | Format::Yaml => output.object(&report)?,
        Format::Table | Format::Wide | Format::Name => output.text(&render::report(&report))?,
    }
    Ok(exit(&report))
}

/// The whole run is this process's. Answers are awaited as long as a request may take, so that none
/// is cut off.
fn draft(args: &Args) -> SpecDraft {
    let (model, connections) = match (args.rate, args.in_flight) {
        (_, Some(in_flight)) => (Model::Closed { in_flight }, in_flight),
        // clap lets nobody through without one of the two.
        (rate, None) => (Model::Open { rate_per_sec: rate.unwrap_or_default() }, CONNECTIONS),
    };
    SpecDraft {
        target_url: args.url.clone(),
        model,
        duration: args.duration,
        connections: args.connections.unwrap_or(connections),
        request_timeout: args.timeout,
        drain: args.timeout,
        check: match args.check {
            CheckArg::Predict => Check::PredictApi,
            CheckArg::Status => Check::Status,
        },
        stripe: Stripe::WHOLE,
    }
}

fn payload(args: &Args) -> Result<Payload, Failure> {
    let Some(path) = &args.payload else {
        return Err(usage(
            "what to send is not said: give --payload FILE, a .csv of rows with a header, or an .ndjson with a row \
             or a whole body on each line",
        ));
    };
    let label = args.label_column.clone().map_or(Label::None, Label::Named);
    Payload::read(path, &label).map_err(|error| usage(whole(&error)))
}

/// Follows the run; the first Ctrl-C ends the sending, and what was sent is still counted.
async fn drive(
    ready: Ready,
    requests: &mut stop::Requests,
    bar: &ProgressBar,
    output: &Output,
) -> anyhow::Result<Outcome> {
    let stop = CancellationToken::new();
    let (events, mut intervals) = mpsc::channel(EVENTS);
    let mut run = std::pin::pin!(ready.run(StartAt::Now, events, stop.clone()));
    loop {
        tokio::select! {
            outcome = &mut run => return outcome.map_err(|error| refused(error).into()),
            Some(interval) = intervals.recv() => show(&interval, bar),
            () = requests.next(), if !stop.is_cancelled() => {
                stop.cancel();
                bar.suspend(|| output.note("waiting for the answers in flight; Ctrl-C again ends it without figures"));
            }
        }
    }
}

fn show(interval: &Interval, bar: &ProgressBar) {
    bar.set_position(interval.to_nanos / 1_000_000);
    let counts = interval.tally.counts;
    bar.set_message(format!(
        "{} answered, {} errors in the last second",
        counts.completed,
        counts.errors.total()
    ));
}

fn exit(report: &Report) -> Exit {
    match (report.ended, &report.summary.generator) {
        (Ended::Stopped, _) => Exit::Stopped,
        (Ended::Completed, Verdict::GeneratorLimited { .. }) => Exit::Invalid,
        // Latencies of nothing are no figures.
        (Ended::Completed, Verdict::Ok) if report.summary.counts.completed == 0 => Exit::Invalid,
        (Ended::Completed, Verdict::Ok) if !report.objectives.iter().all(Judged::is_met) => {
            Exit::ObjectiveMissed
        }
        (Ended::Completed, Verdict::Ok) => Exit::Done,
    }
}

/// Why there was no run.
fn refused(error: LoadError) -> Failure {
    match error {
        LoadError::Payload(error) => usage(whole(&error)),
        error @ (LoadError::Unreachable { .. }
        | LoadError::LateStart { .. }
        | LoadError::FileLimit { .. }
        | LoadError::Setup(_)
        | LoadError::Died) => Failure::new(Exit::Environment, whole(&error)),
    }
}

/// The error and its causes, on one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |line, cause| line + ": " + &cause.to_string())
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
