//! What /metrics says.
//!
//! Invariant: everything is read from published views at the scrape; a container that has ended is
//! gone with the next one, and no sample carries a time. Containers are those of models and of their
//! suspects only, up to a cap that is itself a metric. Deliberately absent: cAdvisor's and DCGM's
//! names, which would count twice beside them.

mod containers;
mod exposition;
mod models;
mod nodes;
mod own;

use std::sync::Arc;

use exposition::Exposition;

use crate::{
    counters::Counters,
    ingest::{Nodes, Published},
    journal::Journal,
    load::Load,
    trust::Serving,
};

/// Everything that is scraped.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// What the agents delivered.
    pub(crate) nodes: Arc<Nodes>,
    /// What was found.
    pub(crate) journal: Arc<Journal>,
    /// What runs.
    pub(crate) load: Arc<Load>,
    /// What the aggregator counts of itself.
    pub(crate) counters: Arc<Counters>,
    /// What is served, where that may not be there yet.
    pub(crate) certificate: Option<Arc<Serving>>,
}

impl Metrics {
    /// The text of /metrics.
    pub(crate) fn metrics(&self) -> String {
        let nodes = self.nodes.all();
        let mut out = Exposition::default();
        own::write(&mut out, self);
        nodes::write(&mut out, &nodes);
        models::episodes(&mut out, &self.journal);
        models::write(&mut out, &nodes);
        containers::write(&mut out, &nodes);
        out.finish()
    }

    /// A line that says who reports, for /readyz. Errors: why nobody can connect yet.
    pub(crate) fn ready(&self) -> Result<String, &'static str> {
        if self.certificate.as_ref().is_some_and(|certificate| !certificate.is_ready()) {
            return Err("not ready: there is no certificate yet; the log says why\n");
        }
        let nodes = self.nodes.all();
        let reporting = nodes.iter().filter(|node| node.view.connected).count();
        Ok(format!("ready: {reporting} of {} known nodes report\n", nodes.len()))
    }
}

/// The labels of one container, in order; a name is one series however many cgroups have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Labels<'a> {
    node: &'a str,
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
}

impl<'a> Labels<'a> {
    fn of(node: &'a Published, who: &'a berth_core::who::Who) -> Self {
        Self {
            node: node.view.name.as_str(),
            namespace: &who.namespace,
            pod: &who.pod,
            container: &who.container,
        }
    }

    fn pairs(&self) -> [(&'static str, &'a str); 4] {
        [("node", self.node), ("namespace", self.namespace), ("pod", self.pod), ("container", self.container)]
    }
}

/// Metrics have base units.
fn seconds(nsec: u64) -> f64 {
    nsec as f64 / 1e9
}
