//! The cluster around us: who is who, from the API server's watches, and Events for its people.
//!
//! Invariant: nothing here is needed for samples to be taken in. While the API server is away what is
//! known stays, says its age, and is complete again within seconds of its return. Deliberately
//! absent: every write but Events, and every read but what names pods.

mod connect;
mod directory;
mod events;
mod health;
mod kept;
mod watch;

pub(crate) use connect::connect;
pub(crate) use directory::Directory;
pub(crate) use health::View;

use std::sync::Arc;

use berth_core::cluster::{GroupKind, News, Object};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{Namespace, Node, Pod},
};
use kube::{Api, Client, Resource, core::PartialObjectMeta, runtime::watcher};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use self::{
    health::Watched,
    watch::{Watch, follow},
};
use crate::parts::Parts;

/// Starts every watch, and the telling of episodes, on `tasks`. `gone` hears of pods that are no more.
pub(crate) fn start(
    client: &Client,
    parts: &Parts,
    directory: &Arc<Directory>,
    gone: impl Fn(Arc<str>) + Send + 'static,
    tasks: &mut JoinSet<()>,
) {
    let pods: Api<Pod> = Api::all(client.clone());
    let roster = Arc::clone(&parts.roster);
    tasks.spawn(follow(
        Arc::clone(directory),
        Watch {
            watched: Watched::Pods,
            begin: move || watcher(pods.clone(), watcher::Config::default()),
            keep: move |pod| kept::pod(pod, &roster),
            news: News::Pod,
            gone,
        },
    ));
    let nodes: Api<Node> = Api::all(client.clone());
    tasks.spawn(follow(
        Arc::clone(directory),
        Watch {
            watched: Watched::Nodes,
            begin: move || watcher(nodes.clone(), watcher::Config::default()),
            keep: kept::machine,
            news: News::Machine,
            gone: drop,
        },
    ));
    group::<Namespace>(client, directory, GroupKind::Namespace, tasks);
    group::<Deployment>(client, directory, GroupKind::Deployment, tasks);
    group::<ReplicaSet>(client, directory, GroupKind::ReplicaSet, tasks);
    group::<StatefulSet>(client, directory, GroupKind::StatefulSet, tasks);
    group::<DaemonSet>(client, directory, GroupKind::DaemonSet, tasks);
    group::<Job>(client, directory, GroupKind::Job, tasks);
    group::<CronJob>(client, directory, GroupKind::CronJob, tasks);
    tasks.spawn(health::listen(client.clone(), Arc::clone(directory)));
    let journal = Arc::clone(&parts.journal);
    tasks.spawn(events::tell(client.clone(), journal, Arc::clone(directory), parts.clock));
}

/// Watches the metadata of what pods belong to.
fn group<K>(client: &Client, directory: &Arc<Directory>, kind: GroupKind, tasks: &mut JoinSet<()>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    tasks.spawn(follow(
        Arc::clone(directory),
        Watch {
            watched: Watched::Groups(kind),
            begin: move || watcher(api.clone(), watcher::Config::default()),
            keep: |object: PartialObjectMeta<K>| -> Option<Object<_>> { kept::group(object.metadata) },
            news: move |event| News::Group(kind, event),
            gone: drop,
        },
    ));
}
