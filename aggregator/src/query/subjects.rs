//! The nodes and what is sampled on them.

use berth::{Subject, wire};
use berth_core::node::{NodeView, SubjectView};

use super::{
    filter::{SubjectFilter, subject_id},
    show,
};
use crate::{edge::timestamp, ingest::Published};

/// A node and the account of what its agent sent.
pub(super) fn node(view: &NodeView) -> wire::NodeStatus {
    let account = &view.account;
    let gaps = account.gaps().filter(|(_, count)| count.gaps > 0);
    wire::NodeStatus {
        node: view.name.to_string(),
        facts: view.agent.as_ref().map(|agent| agent.facts.clone().into()),
        connected: view.connected,
        last_sample: view.history.newest_at().map(timestamp),
        history_begins: view.history.begins().map(timestamp),
        agent_version: view.agent.as_ref().map(|agent| agent.agent_version.clone()).unwrap_or_default(),
        incarnation: view.agent.as_ref().map_or(0, |agent| agent.incarnation.get()),
        values_received: account.values_received,
        values_stored: account.values_stored,
        values_repeated: account.values_repeated,
        values_refused: account.values_refused,
        gaps: gaps
            .map(|(reason, count)| wire::GapCount {
                reason: reason.to_wire().into(),
                gaps: count.gaps,
                ticks: count.ticks,
                values: count.values,
            })
            .collect(),
        clock_error_nsec: view.clock_error_nsec,
    }
}

/// The subjects that match, by node and cgroup.
pub(super) fn subjects(nodes: &[Published], filter: &SubjectFilter) -> Vec<wire::Subject> {
    let mut out = Vec::new();
    for node in nodes.iter().map(|node| &*node.view).filter(|node| filter.may_match(&node.name)) {
        let mut here: Vec<_> = node.subjects.iter().filter(|subject| filter.matches(subject)).collect();
        here.sort_by_key(|subject| (cgroup(&subject.subject), subject.id));
        out.extend(here.into_iter().map(|one| subject(node, one)));
    }
    out
}

fn cgroup(subject: &Subject) -> &str {
    match subject {
        Subject::Container(container) => &container.cgroup,
        Subject::GpuContainer(part) => part.cgroup.as_deref().unwrap_or_default(),
        Subject::Node | Subject::Gpu(_) => "",
    }
}

fn subject(node: &NodeView, subject: &SubjectView) -> wire::Subject {
    let gpu_uuid = match &*subject.subject {
        Subject::Gpu(gpu) => gpu.uuid.clone(),
        Subject::GpuContainer(part) => part.gpu_uuid.clone(),
        Subject::Node | Subject::Container(_) => String::new(),
    };
    wire::Subject {
        id: subject_id(&node.name, subject.id),
        node: node.name.to_string(),
        who: subject.who.as_deref().map(show::who),
        role_reason: subject.role_reason.to_string(),
        groups: subject.groups.iter().map(|group| group.to_wire().into()).collect(),
        live: subject.live,
        first_sample: subject.first_sample.map(timestamp),
        gpu_uuid,
    }
}
