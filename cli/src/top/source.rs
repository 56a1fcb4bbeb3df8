//! What `top` knows, and where more of it comes from.

use std::collections::HashSet;
use std::time::Duration;

use berth::wire;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::meter::{GROUPS, Meter};
use super::rows::Table;
use crate::connect::Server;
use crate::exit::Failure;
use crate::view::{ModelSummary, Subject};

/// Who is there is asked again this often, and at once when a stranger's samples came.
const SUBJECTS_PERIOD: Duration = Duration::from_secs(10);

/// Strangers that stay strangers (GPUs, the node itself) are no reason to ask more often than this.
const STRANGERS_PERIOD: Duration = Duration::from_secs(1);

/// The aggregator, and what it said so far.
#[derive(Debug)]
pub(super) struct Source {
    server: Server,
    node: String,
    namespace: String,
    meter: Meter,
    subjects: Vec<Subject>,
    /// When the subjects were asked for.
    asked: Option<Instant>,
}

impl Source {
    /// Empty node or namespace: all.
    pub(super) fn new(server: Server, node: String, namespace: String) -> Self {
        Self { server, node, namespace, meter: Meter::default(), subjects: Vec::new(), asked: None }
    }

    /// Another aggregator numbers its subjects anew.
    pub(super) fn forget(&mut self) {
        self.meter = Meter::default();
        self.asked = None;
    }

    /// A refused call as a line for a person.
    pub(super) fn failure(&self, status: &Status) -> Failure {
        self.server.failure(status)
    }

    /// Samples from now on.
    pub(super) async fn tail(&self) -> Result<Streaming<wire::SampleChunk>, Status> {
        let request = wire::TailRequest {
            filter: Some(self.filter()),
            groups: GROUPS.map(i32::from).to_vec(),
            resolution: wire::Resolution::OneSecond.into(),
        };
        Ok(self.server.samples().tail(request).await?.into_inner())
    }

    /// Takes in the next samples; a stream has no end of its own.
    pub(super) fn take(&mut self, chunk: Option<wire::SampleChunk>) -> Result<(), Status> {
        let chunk = chunk.ok_or_else(|| Status::unavailable("it ended the samples"))?;
        self.meter.take(&chunk);
        Ok(())
    }

    /// Returns when every container that is there has a rate.
    pub(super) async fn until_measured(&mut self) -> Result<(), Status> {
        let mut chunks = self.tail().await?;
        loop {
            self.refresh_subjects().await?;
            let measured = |subject: &Subject| self.meter.cpus(&subject.id).is_some();
            if !self.subjects.is_empty() && self.subjects.iter().all(measured) {
                return Ok(());
            }
            self.take(chunks.message().await?)?;
        }
    }

    /// Everything as it is now.
    pub(super) async fn table(&mut self) -> Result<Table, Status> {
        self.refresh_subjects().await?;
        let request = wire::ListModelsRequest { namespace: self.namespace.clone(), node: self.node.clone() };
        let answer = self.server.episodes().list_models(request).await?.into_inner();
        let models: Vec<ModelSummary> = answer.models.into_iter().map(ModelSummary::from).collect();
        Ok(Table::new(&self.subjects, &self.meter, &models))
    }

    async fn refresh_subjects(&mut self) -> Result<(), Status> {
        let now = Instant::now();
        let known: HashSet<&str> = self.subjects.iter().map(|subject| subject.id.as_str()).collect();
        let has_stranger = self.meter.has_stranger(|subject| known.contains(subject));
        let period = if has_stranger { STRANGERS_PERIOD } else { SUBJECTS_PERIOD };
        if self.asked.is_some_and(|asked| now.duration_since(asked) < period) {
            return Ok(());
        }
        let request = wire::ListSubjectsRequest { filter: Some(self.filter()) };
        let answer = self.server.samples().list_subjects(request).await?.into_inner();
        self.subjects =
            answer.subjects.into_iter().filter_map(Subject::from_wire).filter(|one| one.live).collect();
        let known: HashSet<&str> = self.subjects.iter().map(|subject| subject.id.as_str()).collect();
        self.meter.keep(|subject| known.contains(subject));
        self.asked = Some(now);
        Ok(())
    }

    fn filter(&self) -> wire::SubjectFilter {
        wire::SubjectFilter {
            node: self.node.clone(),
            namespace: self.namespace.clone(),
            ..wire::SubjectFilter::default()
        }
    }
}
