//! One entry a model, hurt or not.

use berth::wire;
use berth_core::{
    cluster::{Cluster, Place},
    who::Role,
};

use super::{filter::ModelFilter, show};
use crate::ingest::Published;

/// Models that were not started are named one by one up to here; one shows what keeps the others too.
const UNSTARTED: usize = 3;

/// The models that match, by node and name, and what a person should know of the list.
pub(super) fn list(
    nodes: &[Published],
    cluster: Option<&Cluster>,
    filter: &ModelFilter,
) -> wire::ListModelsResponse {
    let mut models = Vec::new();
    let mut notes = cluster.map(|cluster| unstarted(cluster, filter)).unwrap_or_default();
    let is_any_known = !notes.is_empty();
    for node in nodes.iter().map(|node| &*node.view).filter(|node| filter.is_on(&node.name)) {
        let mut here: Vec<_> = node.models.iter().filter(|model| filter.matches(&model.who)).collect();
        here.sort_by(|a, b| a.who.cmp(&b.who));
        if !node.connected && !here.is_empty() {
            notes.push(format!("{} is not connected: its models are as they were last seen", node.name));
        }
        models.extend(here.into_iter().map(|model| show::model(node.name.as_str(), model)));
    }
    if models.is_empty() && !is_any_known {
        notes.push(why_none(nodes).to_owned());
    }
    wire::ListModelsResponse { models, notes }
}

/// Those that should serve and were not started: nobody can say how they fare.
fn unstarted(cluster: &Cluster, filter: &ModelFilter) -> Vec<String> {
    let mut waiting = cluster.unstarted_models().filter(|place| filter.is_in(&place.namespace));
    let note = |Place { namespace, name }: &Place| {
        format!(
            "{namespace}/{name} is a model and was not started yet: kubectl describe pod -n {namespace} {name}"
        )
    };
    let mut notes: Vec<String> = waiting.by_ref().take(UNSTARTED).map(note).collect();
    let more = waiting.count();
    if more > 0 {
        notes.push(format!("{more} models more were not started yet"));
    }
    notes
}

fn why_none(nodes: &[Published]) -> &'static str {
    let is_model = |node: &Published| {
        let roles = node.view.subjects.iter().filter_map(|subject| subject.who.as_deref());
        roles.into_iter().any(|who| who.role == Role::Model)
    };
    if nodes.is_empty() {
        "no agent has reported yet: start berth-agent on a node"
    } else if nodes.iter().any(is_model) {
        "no model matches, or none has been seen for long enough"
    } else {
        "nothing is known as a model: label a pod with berth.dev/role=model (berth roles --suggest helps); off Kubernetes name it in the file of --config"
    }
}
