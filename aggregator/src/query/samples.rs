//! Samples, as clients ask for them.

use std::{ops::Range, sync::Arc, time::Duration};

use berth::{
    Group, ProtocolError,
    wire::{self, samples_server::Samples},
};
use berth_core::{history::Resolution, time::AxisNsec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::{
    answer,
    chunks::{Wanted, chunks},
    filter::{self, SubjectFilter},
    subjects, tail,
};
use crate::{
    clock::Clock,
    downlink::{Downlink, Sender, downlink},
    edge::{optional_axis, refused},
    ingest::{Nodes, Published},
    tasks::{Stop, Tasks, stopping},
};

/// Readers of samples at once: each may hold on to a node's history of 32 MiB while it reads.
const READERS: usize = 64;

/// Chunks on their way to one reader.
const CHUNKS_WAITING: usize = 4;

/// A reader that takes no chunk for this long holds memory for nothing.
const READER_PATIENCE: Duration = Duration::from_secs(10);

/// The service for samples.
#[derive(Debug, Clone)]
pub(crate) struct SampleService {
    nodes: Arc<Nodes>,
    clock: Clock,
    tasks: Tasks,
    stop: Stop,
    readers: Arc<Semaphore>,
}

impl SampleService {
    /// Over these nodes.
    pub(crate) fn new(nodes: Arc<Nodes>, clock: Clock, tasks: Tasks, stop: Stop) -> Self {
        Self { nodes, clock, tasks, stop, readers: Arc::new(Semaphore::new(READERS)) }
    }

    fn reader(&self) -> Result<(Reader, Downlink<wire::SampleChunk, wire::SampleChunk>), Status> {
        let place = Arc::clone(&self.readers)
            .try_acquire_owned()
            .map_err(|_| Status::resource_exhausted(format!("{READERS} readers read samples: try again")))?;
        let (to, stream) = downlink(CHUNKS_WAITING, Ok);
        Ok((Reader { to, stop: self.stop.clone(), _place: place }, stream))
    }
}

/// What a reader of samples wants.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) filter: SubjectFilter,
    pub(super) groups: Vec<Group>,
    pub(super) resolution: Resolution,
}

impl Selection {
    fn parse(
        filter: Option<wire::SubjectFilter>,
        groups: &[i32],
        resolution: i32,
    ) -> Result<Self, ProtocolError> {
        Ok(Self {
            filter: filter.unwrap_or_default().try_into()?,
            groups: filter::groups(groups)?,
            resolution: filter::resolution(resolution)?,
        })
    }
}

/// The sending side of a stream of samples.
pub(super) struct Reader {
    to: Sender<wire::SampleChunk>,
    stop: Stop,
    _place: OwnedSemaphorePermit,
}

/// Why a stream of samples ends early.
pub(super) enum End {
    /// Nobody reads any more.
    Gone,
    /// The reader is told.
    Told(Status),
}

impl Reader {
    /// Hands what a node's history holds of that time over, as fast as it is read.
    pub(super) async fn send(
        &mut self,
        node: &Published,
        selection: &Selection,
        during: Range<AxisNsec>,
    ) -> Result<(), End> {
        let view = &node.view;
        let wanted = Wanted::of(view, &selection.filter, &selection.groups);
        for slice in view.history.range(selection.resolution, during, move |key| wanted.holds(key)) {
            for chunk in chunks(&view.name, &slice) {
                self.hand_over(chunk).await?;
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self, chunk: wire::SampleChunk) -> Result<(), End> {
        let sent = tokio::select! {
            sent = tokio::time::timeout(READER_PATIENCE, self.to.items.send(chunk)) => sent,
            () = self.stop.asked() => return Err(End::Told(stopping())),
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Told(tail::too_slow())),
        }
    }

    /// Returns when nobody reads any more, or the aggregator stops.
    pub(super) async fn ended(&mut self) -> End {
        tokio::select! {
            () = self.to.items.closed() => End::Gone,
            () = self.stop.asked() => End::Told(stopping()),
        }
    }

    pub(super) fn finish(self, end: End) {
        if let End::Told(status) = end {
            // A reader that has gone meanwhile needs no reason.
            drop(self.to.end.send(status));
        }
    }
}

async fn send_range(nodes: Vec<Published>, selection: Selection, during: Range<AxisNsec>, mut to: Reader) {
    for node in nodes.into_iter().filter(|node| selection.filter.may_match(&node.view.name)) {
        if let Err(end) = to.send(&node, &selection, during.clone()).await {
            return to.finish(end);
        }
    }
}

#[tonic::async_trait]
impl Samples for SampleService {
    async fn list_nodes(
        &self,
        _: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        let nodes = self.nodes.all().iter().map(|node| subjects::node(&node.view)).collect();
        answer(wire::ListNodesResponse { nodes }, "this many nodes are beyond one aggregator")
    }

    async fn list_subjects(
        &self,
        request: Request<wire::ListSubjectsRequest>,
    ) -> Result<Response<wire::ListSubjectsResponse>, Status> {
        let filter = SubjectFilter::try_from(request.into_inner().filter.unwrap_or_default())?;
        let subjects = subjects::subjects(&self.nodes.all(), &filter);
        answer(wire::ListSubjectsResponse { subjects }, "name a node or a namespace in the filter")
    }

    type RangeStream = Downlink<wire::SampleChunk, wire::SampleChunk>;

    async fn range(
        &self,
        request: Request<wire::RangeRequest>,
    ) -> Result<Response<Self::RangeStream>, Status> {
        let request = request.into_inner();
        let selection = Selection::parse(request.filter, &request.groups, request.resolution)?;
        let start = optional_axis("start", request.start)?.unwrap_or_default();
        let end = optional_axis("end", request.end)?.unwrap_or_else(|| self.clock.now());
        if end < start {
            return Err(refused("end", end.0, "not before start").into());
        }
        let (reader, stream) = self.reader()?;
        self.tasks.start(send_range(self.nodes.all(), selection, start..end, reader));
        Ok(Response::new(stream))
    }

    type TailStream = Downlink<wire::SampleChunk, wire::SampleChunk>;

    async fn tail(&self, request: Request<wire::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let request = request.into_inner();
        let selection = Selection::parse(request.filter, &request.groups, request.resolution)?;
        let (reader, stream) = self.reader()?;
        self.tasks.start(tail::follow(Arc::clone(&self.nodes), selection, self.clock.now(), reader));
        Ok(Response::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Stopper;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_told_that_it_is_too_slow() {
        let (to, mut unread) = downlink::<wire::SampleChunk, wire::SampleChunk>(CHUNKS_WAITING, Ok);
        let (_stopper, stop) = Stopper::new();
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let mut reader = Reader { to, stop, _place: place };
        for _ in 0..CHUNKS_WAITING {
            assert!(reader.hand_over(wire::SampleChunk::default()).await.is_ok());
        }
        let Err(end) = reader.hand_over(wire::SampleChunk::default()).await else { panic!("it was taken") };
        reader.finish(end);
        let told = tokio_stream::StreamExt::next(&mut unread).await.unwrap();
        assert_eq!(told.unwrap_err().code(), tonic::Code::ResourceExhausted, "before what still waits");
    }
}
