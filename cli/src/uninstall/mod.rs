//! `berth uninstall --check`: what Berth's advice left in the cluster.
//!
//! Berth itself is gone with `kubectl delete -k deploy/`. What people did by its advice stays: labels
//! and taints under `node_for` and `berth.dev/`, and pod templates that mention them. Deliberately
//! absent: removing anything, and telling what advice completed under a key of the people's own from what
//! was there before it; a note says so.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use crate::cluster::{Cluster, Target};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};
use crate::text;

mod traces;

use traces::{Trace, Workload};

/// What the list cannot know: advice completes a fence under whatever key it was begun.
const OTHER_KEYS: &str = "only `node_for` and `berth.dev/` are looked for: labels, taints, tolerations and affinity \
                          that advice completed under a key of your own, such as `role`, are yours, and not listed";

/// Flags of `berth uninstall`.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Examples:\n  # What is left, and the command that removes each of it\n  \
    berth uninstall --check\n\n\
    Nothing is removed. Berth itself goes with `kubectl delete -k deploy/`. Exits 1 when something is left.\n\
    Looks for the keys `node_for` and `berth.dev/` only: where advice completed a fence that you began under\n\
    another, such as `role`, its labels, taints, tolerations and affinity are yours, and not listed.")]
pub struct Args {
    /// Name what is left; nothing is changed.
    #[arg(long)]
    check: bool,
}

/// What there is to show.
#[derive(Debug, Serialize)]
struct Left {
    /// Nodes first, then by kind and name.
    left: Vec<Trace>,
}

/// Runs the command.
pub async fn run(args: Args, target: &Target, output: &Output) -> anyhow::Result<Exit> {
    if !args.check {
        let message =
            "berth removes nothing: `kubectl delete -k deploy/` removes Berth, and --check names what stays";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let cluster = target.cluster().await?;
    let left = Left { left: output.during("asking the cluster", Box::pin(find(&cluster))).await? };
    match output.format() {
        Format::Json | Format::Yaml => output.object(&left)?,
        Format::Name => output.names(left.left.iter().map(|one| format!("{}/{}", one.kind, one.name)))?,
        Format::Table | Format::Wide => output.text(&render(&left.left))?,
    }
    output.note(OTHER_KEYS);
    Ok(if left.left.is_empty() { Exit::Done } else { Exit::Found })
}

async fn find(cluster: &Cluster) -> Result<Vec<Trace>, Failure> {
    let mut left: Vec<Trace> = cluster.nodes().await?.iter().flat_map(traces::of_node).collect();
    let namespaces = cluster.namespaces().await?;
    left.extend(namespaces.iter().flat_map(|namespace| traces::of_labels("namespace", &namespace.metadata)));
    let (deployments, stateful_sets, daemon_sets) = tokio::try_join!(
        cluster.everywhere::<Deployment>("deployments.apps"),
        cluster.everywhere::<StatefulSet>("statefulsets.apps"),
        cluster.everywhere::<DaemonSet>("daemonsets.apps"),
    )?;
    let (jobs, cron_jobs, pods) = tokio::try_join!(
        cluster.everywhere::<Job>("jobs.batch"),
        cluster.everywhere::<CronJob>("cronjobs.batch"),
        cluster.everywhere::<Pod>("pods"),
    )?;
    let workloads = deployments
        .iter()
        .map(Workload::from)
        .chain(stateful_sets.iter().map(Workload::from))
        .chain(daemon_sets.iter().map(Workload::from))
        .chain(jobs.iter().map(Workload::from))
        .chain(cron_jobs.iter().map(Workload::from))
        .chain(pods.iter().map(Workload::from));
    // Berth's own go with Berth.
    let others = workloads.filter(|workload| workload.namespace() != cluster.berth_namespace());
    left.extend(others.flat_map(|workload| workload.traces()));
    Ok(left)
}

fn render(left: &[Trace]) -> String {
    if left.is_empty() {
        return "nothing is left\n".to_owned();
    }
    let mut table = text::table(&["OBJECT", "LEFT", "REMOVE WITH"], &[]);
    for one in left {
        table.add_row([one.object(), one.what.clone(), one.mend.clone()]);
    }
    let mut page = String::new();
    text::add_table(&mut page, &table, []);
    page
}
