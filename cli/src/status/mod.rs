//! `berth status`: in ten lines what is up, what each node lets us see, and what is degraded.
//!
//! Invariant: an aggregator that cannot be asked is part of the answer, not the end of it, wherever
//! the cluster still says something. Deliberately absent: judging what a node lets us see; a kernel
//! without pressure files is no fault of Berth's, so it is shown, and is not called degraded.

use berth::wire;
use tonic::Status as Refusal;

use crate::cluster::{Cluster, pods::PodState};
use crate::connect::{Place, Server};
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::view::{ModelSummary, plain};

mod model;
mod render;

use model::{Answers, ClusterFacts, Facts, Status};

/// The agents' label.
const AGENT: &str = "berth-agent";

/// The workers' label.
const LOADGEN: &str = "berth-loadgen";

/// Flags of `berth status`.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Examples:\n  # Is Berth well?\n  berth status\n\n  \
    # Node by node\n  berth status -o wide\n\n\
    Exits 1 when something is degraded.")]
pub struct Args {}

/// Runs the command.
pub async fn run(place: &Place, output: &Output) -> anyhow::Result<Exit> {
    let facts = if let Some(target) = place.address.target() {
        let cluster = target.cluster().await?;
        output.during("asking the cluster", Box::pin(of_cluster(&cluster))).await?
    } else {
        let server = output.during("connecting", place.address.connect()).await?;
        let answers = ask(&server).await.map_err(|refusal| server.failure(&refusal))?;
        Facts { cluster: None, answers: Ok(answers) }
    };
    let status = Status::of(facts);
    match output.format() {
        Format::Json | Format::Yaml => output.object(&status)?,
        Format::Name => output.names(status.nodes.iter().map(|node| format!("node/{}", node.node)))?,
        Format::Table | Format::Wide => {
            output.text(&render::status(&status, output.is_wide()))?;
            status.notes.iter().for_each(|note| output.note(note));
        }
    }
    Ok(if status.degraded.is_empty() { Exit::Done } else { Exit::Found })
}

/// Only an API server that does not answer ends it.
async fn of_cluster(cluster: &Cluster) -> anyhow::Result<Facts> {
    let pods = |program| cluster.pods(program);
    let (aggregator, agents, workers) =
        tokio::try_join!(pods(crate::cluster::AGGREGATOR), pods(AGENT), pods(LOADGEN))?;
    let nodes = cluster.nodes().await.map_err(|failure| failure.to_string());
    let nodes = nodes.map(|nodes| {
        let names = nodes.iter().filter_map(|node| node.metadata.name.as_deref());
        names.map(plain).collect()
    });
    let answers = match cluster.connect(crate::cluster::Account::Viewer).await {
        Ok(server) => ask(&server).await.map_err(|refusal| server.failure(&refusal).to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    let aggregator = newest(aggregator);
    let context = cluster.context().to_owned();
    Ok(Facts { cluster: Some(ClusterFacts { context, aggregator, agents, workers, nodes }), answers })
}

/// While one is replaced there are two, and the new one matters.
fn newest(mut pods: Vec<PodState>) -> Option<PodState> {
    pods.sort_by_key(|pod| (pod.ready, pod.started));
    pods.pop()
}

async fn ask(server: &Server) -> Result<Answers, Refusal> {
    let nodes = server.samples().list_nodes(wire::ListNodesRequest {}).await?.into_inner().nodes;
    let models = server.episodes().list_models(wire::ListModelsRequest::default()).await?.into_inner();
    let summaries: Vec<ModelSummary> = models.models.into_iter().map(ModelSummary::from).collect();
    let hurt = summaries.iter().filter(|model| model.severity >= Some(wire::Severity::Contended));
    Ok(Answers {
        nodes,
        hurt: hurt.count(),
        models: summaries.len(),
        notes: models.notes.iter().map(|note| plain(note)).collect(),
    })
}
