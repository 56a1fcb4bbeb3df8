//! One watch: list, follow, list again, for ever.

use std::sync::Arc;

use berth_core::cluster::{Event, News, Object};
use kube::runtime::watcher;
use tokio_stream::{Stream, StreamExt as _};

use super::{directory::Directory, health::Watched};

/// How one kind is watched.
pub(super) struct Watch<Begin, Keep, Tell, Gone> {
    pub(super) watched: Watched,
    /// Begins the watch, with a list.
    pub(super) begin: Begin,
    /// What is kept of an object.
    pub(super) keep: Keep,
    /// How the cluster is told.
    pub(super) news: Tell,
    /// Hears of pods that are gone, by their UIDs.
    pub(super) gone: Gone,
}

/// Follows one kind. After an error it goes on where it stood, unless the API server says that this
/// is too long ago; after an outage in which the watch did not break it may be dead without knowing,
/// and begins anew.
pub(super) async fn follow<K, T, S>(
    directory: Arc<Directory>,
    watch: Watch<
        impl Fn() -> S,
        impl Fn(K) -> Option<Object<T>>,
        impl Fn(Event<T>) -> News,
        impl Fn(Arc<str>),
    >,
) where
    S: Stream<Item = watcher::Result<watcher::Event<K>>>,
{
    let Watch { watched, begin, keep, news, gone } = watch;
    let health = &directory.health;
    let mut outages = health.outages();
    let mut failures = 0;
    let mut events = Box::pin(begin());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = outages.long_one_over() => {
                events.set(begin());
                continue;
            }
        };
        match event {
            Some(Ok(event)) => {
                // The beginning of a list is told before anything is asked of the API server.
                if !matches!(event, watcher::Event::Init) {
                    failures = 0;
                    health.worked(watched, matches!(event, watcher::Event::InitDone));
                }
                if let Some(event) = kept(event, &keep) {
                    directory.tell(news(event)).into_iter().for_each(&gone);
                }
            }
            Some(Err(error)) => {
                health.failed(watched, &error);
                failures = outages.pause(failures + 1).await;
                health.resumed(watched);
            }
            // A watch does not end by itself.
            None => events.set(begin()),
        }
    }
}

fn kept<K, T>(event: watcher::Event<K>, keep: impl Fn(K) -> Option<Object<T>>) -> Option<Event<T>> {
    Some(match event {
        watcher::Event::Init => Event::Init,
        watcher::Event::InitApply(object) => Event::InitApply(keep(object)?),
        watcher::Event::InitDone => Event::InitDone,
        watcher::Event::Apply(object) => Event::Apply(keep(object)?),
        watcher::Event::Delete(object) => Event::Delete(keep(object)?),
    })
}
