//! A watcher of the aggregator, who notes when each revision came.
//!
//! Deliberately absent: what a revision is worth.

use anyhow::Context as _;
use berth::wire::{self, episode_event::Event};
use berth_cli::{connect::Server, view::word::Word as _};
use prost_types::Timestamp;
use tokio_stream::StreamExt as _;

use crate::{
    clock::unix_nsec,
    result::{Blame, Interval, Revision},
};

/// Notes revisions into `seen` until the stream ends, which is an error: the aggregator ended first.
pub async fn watch(server: &Server, seen: &mut Vec<Revision>) -> anyhow::Result<()> {
    let answer = server.episodes().watch(wire::WatchEpisodesRequest::default()).await;
    let mut events = answer.map_err(|status| server.failure(&status))?.into_inner();
    while let Some(event) = events.next().await {
        let arrived_unix_nsec = unix_nsec();
        match event.map_err(|status| server.failure(&status))?.event {
            Some(Event::Episode(episode)) => seen.push(revision(arrived_unix_nsec, episode)),
            Some(Event::Reset(_)) | None => {}
        }
    }
    anyhow::bail!("the aggregator closed the watch of episodes")
}

/// Returns when the aggregator knows a model of every name.
pub async fn knows(server: &Server, names: &[String]) -> anyhow::Result<bool> {
    let answer = server.episodes().list_models(wire::ListModelsRequest::default()).await;
    let models = answer.map_err(|status| server.failure(&status)).context("ask for the models")?.into_inner();
    let known: Vec<String> = models.models.into_iter().filter_map(|model| model.who).map(name).collect();
    Ok(names.iter().all(|name| known.contains(name)))
}

fn revision(arrived_unix_nsec: i64, episode: wire::Episode) -> Revision {
    let nsec = |time: Option<Timestamp>| {
        time.map(|time| time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into()))
    };
    let interval = |one: wire::Estimate| Interval { estimate: one.estimate, lo: one.lo, hi: one.hi };
    Revision {
        arrived_unix_nsec,
        verdict: episode.verdict().word(),
        severity: episode.severity().word(),
        resource: episode.resource().word(),
        confidence: episode.confidence().word(),
        id: episode.id,
        victim: episode.victim.map(name).unwrap_or_default(),
        onset_unix_nsec: nsec(episode.onset),
        alarm_unix_nsec: nsec(episode.alarm),
        verdict_unix_nsec: nsec(episode.verdict_at),
        cleared_unix_nsec: nsec(episode.cleared),
        slowdown: episode.slowdown.map(interval),
        shares: episode.shares.into_iter().map(blame).collect(),
    }
}

fn blame(share: wire::Share) -> Blame {
    Blame { cause: share.cause().word(), name: share.who.map(name), share: share.share }
}

/// The owner's name, or what is known in its place.
fn name(who: wire::Who) -> String {
    [who.owner_name, who.container, who.cgroup].into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}
