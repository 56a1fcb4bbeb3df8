//! One entry a model, hurt or not.

use berth::wire;
use berth_core::{node::NodeView, who::Role};

use super::show;
use crate::ingest::Published;

/// The models of these nodes, by node and name, and what a person should know of the list.
pub(super) fn list(nodes: &[Published], request: &wire::ListModelsRequest) -> wire::ListModelsResponse {
    let mut models = Vec::new();
    let mut notes = Vec::new();
    let wanted = |node: &NodeView| request.node.is_empty() || node.name.as_str() == request.node;
    for node in nodes.iter().map(|node| &*node.view).filter(|node| wanted(node)) {
        let here = node
            .models
            .iter()
            .filter(|model| request.namespace.is_empty() || model.who.namespace == request.namespace);
        let mut here: Vec<_> = here.collect();
        here.sort_by(|a, b| a.who.cmp(&b.who));
        if !node.connected && !here.is_empty() {
            notes.push(format!("{} is not connected: its models are as they were last seen", node.name));
        }
        models.extend(here.into_iter().map(|model| show::model(node.name.as_str(), model)));
    }
    if models.is_empty() {
        notes.push(why_none(nodes).to_owned());
    }
    wire::ListModelsResponse { models, notes }
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
        "no pod is known as a model: label one with berth.dev/role=model, or try berth roles --suggest"
    }
}
