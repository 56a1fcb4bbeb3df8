//! Episodes, told where people look first: as Events on the model's pod.
//!
//! One when an episode's verdict has settled, and one when it has cleared. Invariant: an episode is told
//! each verdict once: an Event's name derives from them, so that one who starts over does not tell it again;
//! and what comes back within minutes is counted on the Event that is there. Deliberately absent: numbers
//! that follow the episode; `kubectl berth explain` has those.

mod story;

use std::{sync::Arc, time::Duration};

use berth_core::time::AxisNsec;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use self::story::{Story, Telling};
use super::directory::Directory;
use crate::{
    clock::Clock,
    journal::{Journal, Since},
    seldom::Seldom,
};

/// Revisions that are looked at in one go.
const REVISIONS: usize = 256;

/// A request that takes longer is lost.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is older than this is not told any more: the API server was away for long.
const NEWS_FOR: Duration = Duration::from_secs(15 * 60);

/// HTTP: there is one of this name.
const CONFLICT: u16 = 409;

/// Tells of every episode, for ever.
pub(super) async fn tell(client: Client, journal: Arc<Journal>, directory: Arc<Directory>, clock: Clock) {
    let mut newest = journal.newest();
    let mut told_to = *newest.borrow_and_update();
    let mut story = Story::default();
    let herald = Herald { client, directory, clock, lines: Seldom::default() };
    while newest.changed().await.is_ok() {
        newest.borrow_and_update();
        loop {
            let since = journal.read().since(told_to, REVISIONS);
            let revised = match since {
                Since::Revisions(revised) => revised,
                // Too many at once: what was missed is not told.
                Since::Gone => {
                    told_to = journal.read().newest();
                    continue;
                }
            };
            let Some(last) = revised.last() else { break };
            told_to = last.revision;
            for one in revised {
                if let Some(telling) = story.goes_on(&one.episode, one.at) {
                    herald.publish(&telling).await;
                }
            }
        }
    }
}

struct Herald {
    client: Client,
    directory: Arc<Directory>,
    clock: Clock,
    lines: Seldom,
}

impl Herald {
    /// Tries until the API server has answered, or nobody cares any more.
    async fn publish(&self, telling: &Telling) {
        let mut outages = self.directory.health.outages();
        let mut failures = 0;
        loop {
            let now = self.clock.now();
            let left_out = || self.lines.due(now);
            let asked = tokio::time::timeout(TIMEOUT, self.ask(telling)).await;
            let refused =
                matches!(&asked, Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code));
            match asked {
                Ok(Ok(())) => return,
                Ok(Err(error)) if refused => {
                    if let Some(left_out) = left_out() {
                        let pod = &telling.pod.pod;
                        tracing::warn!(%error, pod, left_out, "an event is refused: look at the ClusterRole");
                    }
                    return;
                }
                _ if now.since(telling.at) > NEWS_FOR => return,
                Ok(Err(_)) | Err(_) => {}
            }
            failures = outages.pause(failures + 1).await;
        }
    }

    async fn ask(&self, telling: &Telling) -> Result<(), kube::Error> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &telling.pod.namespace);
        if telling.count > 1 {
            let series = json!({"series": {"count": telling.count, "lastObservedTime": time(telling.at)}});
            let patched = events.patch(&telling.name, &PatchParams::default(), &Patch::Merge(series)).await;
            return patched.map(drop);
        }
        match events.create(&PostParams::default(), &event(telling)).await {
            // One who was here before us has told it.
            Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(()),
            created => created.map(drop),
        }
    }
}

fn time(at: AxisNsec) -> MicroTime {
    MicroTime(Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn event(telling: &Telling) -> Event {
    const WE: &str = "berth.dev/aggregator";
    let who = &telling.pod;
    Event {
        metadata: ObjectMeta {
            name: Some(telling.name.clone()),
            namespace: Some(who.namespace.clone()),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(who.namespace.clone()),
            name: Some(who.pod.clone()),
            uid: Some(who.pod_uid.clone()),
            ..ObjectReference::default()
        }),
        type_: Some(if telling.is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(telling.reason.to_owned()),
        action: Some("Observe".to_owned()),
        note: Some(telling.note.clone()),
        event_time: Some(time(telling.at)),
        reporting_controller: Some(WE.to_owned()),
        reporting_instance: Some("berth-aggregator".to_owned()),
        ..Event::default()
    }
}
