//! The way to the API server: as the pod's `ServiceAccount`, or by a kubeconfig.

use std::time::Duration;

use kube::{Client, Config};

use crate::error::StartError;

/// For a connection: within a cluster it takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A watch that is silent for longer is broken: the API server sends a bookmark about once a minute
/// (Kubernetes' staging/src/k8s.io/apiserver/pkg/storage/cacher/cacher.go, `bookmarkFrequency`).
const SILENCE: Duration = Duration::from_secs(150);

/// A client. Errors: there is neither a `ServiceAccount` nor a kubeconfig that can be used. Nothing is
/// asked of the API server yet, which may be away.
pub(crate) async fn connect() -> Result<Client, StartError> {
    let mut config = Config::infer().await.map_err(|error| StartError::Kubernetes(error.into()))?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(SILENCE);
    Client::try_from(config).map_err(|error| StartError::Kubernetes(error.into()))
}
