//! What the services of one aggregator share.

use std::{path::Path, sync::Arc};

use berth_core::roles::Roster;

use crate::{
    access::Access,
    clock::Clock,
    counters::Counters,
    entropy::random_u64,
    error::StartError,
    ingest::Nodes,
    journal::Journal,
    kubernetes::Directory,
    load::Load,
    metrics::Metrics,
    settings::Settings,
    tasks::{Stop, Tasks},
    trust::Serving,
};

/// What the services share.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The axis.
    pub(crate) clock: Clock,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// What was found.
    pub(crate) journal: Arc<Journal>,
    /// Who has which role.
    pub(crate) roster: Arc<Roster>,
    /// Who is who on the cluster; `None` off Kubernetes.
    pub(crate) directory: Option<Arc<Directory>>,
    /// Who was heard.
    pub(crate) nodes: Arc<Nodes>,
    /// What runs.
    pub(crate) load: Arc<Load>,
    /// Who owns the tasks of streams.
    pub(crate) tasks: Tasks,
    /// When to end.
    pub(crate) stop: Stop,
}

impl Parts {
    /// Errors: the data directory cannot be written, or there is no randomness.
    pub(crate) fn new(settings: Settings, tasks: Tasks, stop: Stop) -> Result<Self, StartError> {
        let clock = Clock::start();
        let counters = Arc::new(Counters::default());
        let journal = Self::journal(settings.data_dir.as_deref())?;
        let roster = Arc::new(settings.config.roster);
        let on_cluster = matches!(settings.access, Access::Kubernetes { .. });
        let directory = on_cluster.then(|| Arc::new(Directory::new(clock)));
        let nodes = Nodes::new(
            Arc::clone(&roster),
            directory.clone(),
            clock,
            Arc::clone(&journal),
            Arc::clone(&counters),
            tasks.clone(),
        );
        let (nodes, load) =
            (Arc::new(nodes), Load::new(settings.config.load, clock, tasks.clone(), stop.clone()));
        Ok(Self { clock, counters, journal, roster, directory, nodes, load: Arc::new(load), tasks, stop })
    }

    fn journal(data_dir: Option<&Path>) -> Result<Arc<Journal>, StartError> {
        let unusable = |source| {
            let path = data_dir.map(Path::to_owned).unwrap_or_default();
            StartError::DataDir { path, source }
        };
        let incarnation = random_u64().map_err(StartError::Entropy)?;
        Journal::open(incarnation, data_dir).map(Arc::new).map_err(unusable)
    }

    /// What is scraped.
    pub(crate) fn metrics(&self, certificate: Option<Arc<Serving>>) -> Metrics {
        Metrics {
            nodes: Arc::clone(&self.nodes),
            journal: Arc::clone(&self.journal),
            load: Arc::clone(&self.load),
            counters: Arc::clone(&self.counters),
            certificate,
        }
    }
}
