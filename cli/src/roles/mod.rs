//! `berth roles`: which container has which role, and why.

use berth::wire;
use serde::Serialize;

use crate::connect::Place;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::view::Subject;

mod render;
mod suggest;

use suggest::Suggestion;

/// Flags of `berth roles`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  # Who is a model, who is a scanner\n  berth roles\n\n  \
    # Commands that would give roles to those without\n  berth roles --suggest")]
pub struct Args {
    /// Print commands that label what looks like a model, scanner or load generator; nothing is changed.
    #[arg(long)]
    suggest: bool,
}

/// What there is to show.
#[derive(Debug, Serialize)]
struct Roles {
    /// By node, then by name.
    subjects: Vec<Subject>,
    /// Empty unless asked for.
    suggestions: Vec<Suggestion>,
}

/// Runs the command.
pub async fn run(args: Args, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    let server = output.during("connecting", place.address.connect()).await?;
    let filter = wire::SubjectFilter { namespace: place.scope.filter(), ..wire::SubjectFilter::default() };
    let mut samples = server.samples();
    let asked = samples.list_subjects(wire::ListSubjectsRequest { filter: Some(filter) });
    let answer = output.during("asking the aggregator", asked).await;
    let wire = answer.map_err(|status| server.failure(&status))?.into_inner();
    let mut subjects: Vec<Subject> = wire.subjects.into_iter().filter_map(Subject::from_wire).collect();
    subjects.retain(|subject| subject.live);
    subjects.sort_by_cached_key(|subject| (subject.node.clone(), subject.who.name()));

    if !subjects.iter().any(|subject| subject.who.role == wire::Role::Model) {
        output.note(
            "no container has the role model, so no episode can be found: label one, `berth roles --suggest` helps; off \
             Kubernetes name it in the file of berth-aggregator's --config",
        );
    }
    let suggestions = if args.suggest { suggest::suggestions(&subjects) } else { Vec::new() };
    if args.suggest {
        output.note(note(&subjects, &suggestions));
    }
    let roles = Roles { subjects, suggestions };
    match output.format() {
        Format::Json | Format::Yaml => output.object(&roles)?,
        Format::Name => output.names(roles.subjects.iter().filter_map(|subject| subject.who.pod_name()))?,
        Format::Table | Format::Wide if args.suggest => {
            output.text(&render::suggestions(&roles.suggestions))?;
        }
        Format::Table | Format::Wide => output.text(&render::subjects(&roles.subjects, output.is_wide()))?,
    }
    if roles.subjects.is_empty()
        && let Some(hint) = place.scope.hint()
    {
        output.note(&hint);
    }
    Ok(Exit::Done)
}

fn note(subjects: &[Subject], suggestions: &[Suggestion]) -> &'static str {
    if suggestions.iter().any(Suggestion::is_command) {
        "a pod's own label ends with the pod: to keep a role, label what controls it, or its pod template"
    } else if !suggestions.is_empty() {
        "the workloads stand in the file that berth-aggregator's --config names"
    } else if suggest::has_pods(subjects) {
        "nothing to suggest: no workload without a role looks like a model, a scanner or a load generator"
    } else {
        "nothing to suggest: no container here is a pod's, so names and roles come from the file that berth-aggregator's --config names"
    }
}
