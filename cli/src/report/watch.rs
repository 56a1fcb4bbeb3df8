//! `berth report -w`: each revision once, across restarts of the aggregator.
//!
//! Invariant: a revision is printed once; where the aggregator says that some may be missing, so does a
//! line on stderr.

use anyhow::Context;
use berth::wire;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tonic::{Status, Streaming};

use super::{filter, render};
use crate::connect::{self, Server, is_lasting};
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::patience::Patience;
use crate::view::{Episode, Who, plain};

/// Where the next watch goes on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Position {
    /// Empty before the first answer.
    incarnation: String,
    revision: u64,
}

/// What a JSON line holds.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Reset { incarnation: &'a str, revision: u64 },
    Episode(&'a Episode),
}

/// Ends by an error only; Ctrl-C is the caller's.
pub(super) async fn run(server: &Server, namespace: String, output: &Output) -> anyhow::Result<Exit> {
    let mut position = Position::default();
    let mut patience = Patience::default();
    loop {
        let request = wire::WatchEpisodesRequest {
            incarnation: position.incarnation.clone(),
            after_revision: position.revision,
            filter: Some(filter(&namespace, false)),
        };
        let lost = match server.episodes().watch(request).await {
            Ok(events) => {
                if patience.is_tried() {
                    output.note("the aggregator is back");
                }
                patience.after_answer(Instant::now());
                follow(events.into_inner(), &mut position, output).await?
            }
            Err(status) => status,
        };
        if is_lasting(lost.code()) {
            return Err(server.failure(&lost).into());
        }
        if !patience.is_tried() {
            output.note(&connect::lost(&lost));
        }
        let wait = patience.after_failure(Instant::now()).ok_or_else(|| server.failure(&lost))?;
        sleep(wait).await;
    }
}

/// Prints events until the stream ends, and says how it ended.
async fn follow(
    mut events: Streaming<wire::EpisodeEvent>,
    position: &mut Position,
    output: &Output,
) -> anyhow::Result<Status> {
    loop {
        match events.message().await {
            Ok(Some(event)) => show(event, position, output).context("write to stdout")?,
            Ok(None) => return Ok(Status::unavailable("it ended the watch")),
            Err(status) => return Ok(status),
        }
    }
}

fn show(event: wire::EpisodeEvent, position: &mut Position, output: &Output) -> std::io::Result<()> {
    match event.event {
        Some(wire::episode_event::Event::Reset(reset)) => {
            if let Some(warning) = position.warning(&reset) {
                output.note(warning);
            }
            *position = Position { incarnation: reset.incarnation, revision: reset.revision };
            match output.format() {
                Format::Table | Format::Wide | Format::Name => Ok(()),
                Format::Json | Format::Yaml => output.object(&Line::Reset {
                    incarnation: &plain(&position.incarnation),
                    revision: position.revision,
                }),
            }
        }
        Some(wire::episode_event::Event::Episode(wire)) => {
            // What follows a reset is older than the reset's own revision.
            position.revision = position.revision.max(wire.revision);
            let episode = Episode::from(wire);
            match output.format() {
                Format::Table | Format::Wide => output.text(&render::revision(&episode, output.colour())),
                Format::Json | Format::Yaml => output.object(&Line::Episode(&episode)),
                Format::Name => output.names(episode.victim.as_ref().and_then(Who::pod_name)),
            }
        }
        // An event of a later version, which this one cannot show.
        None => Ok(()),
    }
}

impl Position {
    /// What a person must know of a reset: nothing, when it is the first answer.
    fn warning(&self, reset: &wire::WatchReset) -> Option<&'static str> {
        if self.incarnation.is_empty() {
            None
        } else if self.incarnation == reset.incarnation {
            Some(
                "the aggregator's history does not reach back: changes were missed; what is open now follows",
            )
        } else {
            Some("the aggregator was restarted: changes may be missing; what is open now follows")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reset_that_loses_something_is_worth_a_warning() {
        let reset = |incarnation: &str| wire::WatchReset { incarnation: incarnation.to_owned(), revision: 7 };
        let position = Position { incarnation: "a".to_owned(), revision: 3 };
        assert_eq!(Position::default().warning(&reset("a")), None);
        assert!(position.warning(&reset("a")).unwrap().contains("missed"));
        assert!(position.warning(&reset("b")).unwrap().contains("restarted"));
    }
}
