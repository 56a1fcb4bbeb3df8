//! `berth load`: one load run from this machine, measured.
//!
//! The engine is berth-loadgen's; what is here is its flags, its progress and its report.

use std::path::Path;

use berth_loadgen::{Ended, LoadError, Ready, Spec};

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::stop;

mod args;
mod follow;
pub(crate) mod hey;
mod objective;
mod render;
mod report;
mod second;

pub use args::Args;
use follow::Follower;
use objective::Judged;
use report::{Report, Word};

/// What `-o` takes.
pub(crate) const FORMS: &str = "table|json|yaml|ndjson";

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// hey's report, and what hey does not tell.
    Table,
    /// The run, as JSON.
    Json,
    /// The run, as YAML.
    Yaml,
    /// Each second as it ends, and then the run: JSON, an object a line.
    Ndjson,
}

impl Form {
    fn of(name: Option<&str>) -> Result<Self, Failure> {
        let refused =
            |_| usage(format!("-o {} is no output of a run: write {FORMS}", name.unwrap_or_default()));
        name.map_or(Ok(Self::Table), |name| <Self as clap::ValueEnum>::from_str(name, false).map_err(refused))
    }
}

/// Runs the command. `form` is what `-o` was given, `ca_file` has the certificate that signed an https
/// target's.
pub async fn run(
    args: Args,
    form: Option<&str>,
    ca_file: Option<&Path>,
    output: &Output,
) -> anyhow::Result<Exit> {
    let form = Form::of(form)?;
    let (draft, payload) = args.run(ca_file)?;
    let spec = Spec::new(draft.clone()).map_err(|error| usage(error.to_string()))?;
    let mut requests = stop::Requests::listen()?;
    let ready = tokio::select! {
        ready = output.during("connecting to the target", Ready::new(spec, payload)) => ready.map_err(refused)?,
        () = requests.next() => return Ok(Exit::Stopped),
    };
    let outcome = Follower::new(&draft, form, output).follow(ready, &mut requests).await?;
    let objectives = args.slo.iter().flat_map(|objectives| &objectives.0);
    let report = Report::new(draft, outcome, objectives);
    match form {
        Form::Json | Form::Yaml | Form::Ndjson => output.object(&report)?,
        Form::Table => output.text(&render::report(&report))?,
    }
    Ok(exit(&report))
}

fn exit(report: &Report) -> Exit {
    match (report.ended, report.verdict) {
        (Ended::Stopped, _) => Exit::Stopped,
        (Ended::Completed, Word::GeneratorLimited | Word::Invalid) => Exit::Invalid,
        (Ended::Completed, Word::Ok) if !report.objectives.iter().all(Judged::is_met) => {
            Exit::ObjectiveMissed
        }
        (Ended::Completed, Word::Ok) => Exit::Done,
    }
}

/// Why there was no run.
fn refused(error: LoadError) -> Failure {
    match error {
        LoadError::Payload(error) => usage(whole(&error)),
        error @ (LoadError::Unreachable { .. }
        | LoadError::Untrusted { .. }
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
