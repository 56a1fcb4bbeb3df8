//! One entry a model, hurt or not.

use berth::wire;
use berth_core::who::Role;

use super::{filter::ModelFilter, show};
use crate::ingest::Published;

/// The models that match, by node and name, and what a person should know of the list.
pub(super) fn list(nodes: &[Published], filter: &ModelFilter) -> wire::ListModelsResponse {
    let mut models = Vec::new();
    let mut notes = Vec::new();
    for node in nodes.iter().map(|node| &*node.view).filter(|node| filter.is_on(&node.name)) {
        let mut here: Vec<_> = node.models.iter().filter(|model| filter.matches(&model.who)).collect();
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
