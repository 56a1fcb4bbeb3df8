//! Episodes and models, as clients ask for them.

use std::{cmp::Reverse, sync::Arc};

use berth::{
    ProtocolError, limits,
    wire::{self, episodes_server::Episodes},
};
use berth_core::{contention::EpisodeId, time::AxisNsec};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{
    answer,
    filter::{EpisodeFilter, id_prefix},
    models, show,
};
use crate::{
    downlink::{Downlink, Sender, downlink},
    edge::refused,
    ingest::Nodes,
    journal::{Journal, Place, Revised, Since},
    kubernetes::Directory,
    tasks::{Stop, Tasks, stopping},
};

/// A page stays below a message: room for its token and for the frame around it.
const PAGE_BYTES: usize = limits::MESSAGE_BYTES - 16 * 1024;

/// Events on their way to one watcher; it reads further ones from the journal at its own pace.
const EVENTS_WAITING: usize = 16;

/// Revisions that a watcher takes from the journal at a time.
const REVISIONS_AT_ONCE: usize = 64;

/// The service for episodes and models.
#[derive(Debug, Clone)]
pub(crate) struct EpisodeService {
    /// Where episodes are.
    pub(crate) journal: Arc<Journal>,
    /// Where models are.
    pub(crate) nodes: Arc<Nodes>,
    /// Who owns the watching tasks.
    pub(crate) tasks: Tasks,
    /// When to end.
    pub(crate) stop: Stop,
}

fn page_rows(asked: u32) -> Result<usize, ProtocolError> {
    let rows = if asked == 0 { limits::DEFAULT_PAGE_ROWS } else { asked };
    if rows > limits::PAGE_ROWS {
        return Err(refused("page_size", asked, "1 to 500, or 0 for 100"));
    }
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// Names the last episode of a page by what never changes of it, so that a page goes on there
/// whatever came or changed meanwhile.
fn page_token(revised: &Revised) -> String {
    format!("{:016x}{}", revised.episode.onset.0, revised.episode.id)
}

fn place(token: &str) -> Result<Option<Place>, ProtocolError> {
    if token.is_empty() {
        return Ok(None);
    }
    let number = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok());
    let parts = number(token.get(..16)).zip(number(token.get(16..32)));
    let (onset, id) = parts
        .filter(|_| token.len() == 32)
        .ok_or_else(|| refused("page_token", token, "the next_page_token of an answer"))?;
    Ok(Some((Reverse(AxisNsec(onset)), EpisodeId(id))))
}

/// What a watcher is told next.
pub(crate) enum Step {
    /// Forget what you know; this is the newest revision.
    Reset(u64),
    /// An episode as it is at a revision.
    Episode(Revised),
}

struct Watcher {
    journal: Arc<Journal>,
    filter: EpisodeFilter,
    /// The newest revision that was told; `None`: nothing was.
    told: Option<u64>,
    to: Sender<Step>,
    stop: Stop,
}

impl Watcher {
    async fn follow(mut self) {
        let mut newest = self.journal.newest();
        loop {
            // Seen before reading, so that what comes in between is not missed.
            newest.mark_unchanged();
            let steps = self.next();
            let idle = steps.is_empty();
            for step in steps {
                let sent = tokio::select! {
                    sent = self.to.items.send(step) => sent,
                    () = self.stop.asked() => return self.end(),
                };
                if sent.is_err() {
                    return;
                }
            }
            if !idle {
                continue;
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = self.to.items.closed() => return,
                () = self.stop.asked() => return self.end(),
            }
        }
    }

    fn end(self) {
        // A watcher that has gone needs no reason.
        drop(self.to.end.send(stopping()));
    }

    /// What comes next; nothing when all was told.
    fn next(&mut self) -> Vec<Step> {
        loop {
            let since = match self.told {
                Some(told) => self.journal.read().since(told, REVISIONS_AT_ONCE),
                None => Since::Gone,
            };
            let (first, revisions) = match since {
                Since::Revisions(revisions) => (None, revisions),
                Since::Gone => {
                    let ledger = self.journal.read();
                    self.told = Some(ledger.newest());
                    (Some(Step::Reset(ledger.newest())), ledger.open())
                }
            };
            let Some(last) = revisions.last().map(|last| last.revision) else {
                return first.into_iter().collect();
            };
            self.told = self.told.max(Some(last));
            let wanted = revisions.into_iter().filter(|revised| self.filter.matches(&revised.episode));
            let steps: Vec<Step> = first.into_iter().chain(wanted.map(Step::Episode)).collect();
            if !steps.is_empty() {
                return steps;
            }
        }
    }
}

#[tonic::async_trait]
impl Episodes for EpisodeService {
    async fn list(
        &self,
        request: Request<wire::ListEpisodesRequest>,
    ) -> Result<Response<wire::ListEpisodesResponse>, Status> {
        let request = request.into_inner();
        let rows = page_rows(request.page_size)?;
        let filter = EpisodeFilter::try_from(request.filter.unwrap_or_default())?;
        let after = place(&request.page_token)?;
        let ledger = self.journal.read();
        let mut page = wire::ListEpisodesResponse {
            revision: ledger.newest(),
            incarnation: self.journal.incarnation().to_owned(),
            ..Default::default()
        };
        let (mut bytes, mut last) = (0, String::new());
        for revised in ledger.list(after).filter(|revised| filter.matches(&revised.episode)) {
            let episode = show::episode(revised, self.journal.incarnation());
            bytes += episode.encoded_len();
            if page.episodes.len() == rows || (bytes > PAGE_BYTES && !page.episodes.is_empty()) {
                page.next_page_token = last;
                break;
            }
            last = page_token(revised);
            page.episodes.push(episode);
        }
        Ok(Response::new(page))
    }

    async fn get(
        &self,
        request: Request<wire::GetEpisodeRequest>,
    ) -> Result<Response<wire::Episode>, Status> {
        let id = request.into_inner().id;
        let ids = id_prefix(&id)?;
        let ledger = self.journal.read();
        let mut found = ledger.within(EpisodeId(*ids.start())..=EpisodeId(*ids.end()));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(Response::new(show::episode(one, self.journal.incarnation()))),
            (None, _) => Err(Status::not_found(format!(
                "no episode whose id begins with {id} is kept: berth report lists those that are"
            ))),
            (Some(_), Some(_)) => Err(refused("id", id, "the beginning of one id, not of several").into()),
        }
    }

    type WatchStream = Downlink<Step, wire::EpisodeEvent>;

    async fn watch(
        &self,
        request: Request<wire::WatchEpisodesRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let filter = EpisodeFilter::try_from(request.filter.unwrap_or_default())?;
        let ours = request.incarnation == self.journal.incarnation();
        let told = ours.then_some(request.after_revision);
        let incarnation = self.journal.incarnation().to_owned();
        let (to, stream) = downlink(EVENTS_WAITING, move |step| {
            use wire::episode_event::Event;
            let event = match step {
                Step::Reset(revision) => {
                    Event::Reset(wire::WatchReset { incarnation: incarnation.clone(), revision })
                }
                Step::Episode(revised) => Event::Episode(show::episode(&revised, &incarnation)),
            };
            Ok(wire::EpisodeEvent { event: Some(event) })
        });
        let journal = Arc::clone(&self.journal);
        self.tasks.start(Watcher { journal, filter, told, to, stop: self.stop.clone() }.follow());
        Ok(Response::new(stream))
    }

    async fn list_models(
        &self,
        request: Request<wire::ListModelsRequest>,
    ) -> Result<Response<wire::ListModelsResponse>, Status> {
        let filter = request.into_inner().try_into()?;
        let cluster = self.nodes.directory().map(Directory::read);
        let mut list = models::list(&self.nodes.all(), cluster.as_deref(), &filter);
        drop(cluster);
        list.notes.extend(self.nodes.names().and_then(|view| view.note()));
        answer(list, "name a node or a namespace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::fixture::episode;

    #[test]
    fn a_page_token_names_a_place_and_nothing_else_does() {
        let revised = Revised { revision: 9, at: AxisNsec(0), episode: Arc::new(episode(0xab, 77)) };
        assert_eq!(place(&page_token(&revised)).unwrap(), Some((Reverse(AxisNsec(77)), EpisodeId(0xab))));
        assert_eq!(place("").unwrap(), None);
        for bad in ["x", "0".repeat(31).as_str(), "0".repeat(33).as_str(), "ä".repeat(16).as_str()] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_has_1_to_500_rows() {
        assert_eq!((page_rows(0).unwrap(), page_rows(1).unwrap(), page_rows(500).unwrap()), (100, 1, 500));
        assert!(page_rows(501).is_err());
    }
}
