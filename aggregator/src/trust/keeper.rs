//! Keeps the certificate: makes it once, publishes whose it is, and serves it.
//!
//! Invariant: nothing is written over but what was read just before, so that two keepers, or a keeper
//! and a person, never undo each other. What is served was kept first and published first. While
//! the API server is away, what is served goes on being served.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use berth_core::time::AxisNsec;

use super::{
    certificate::{CA_CRT, CertificateError, Settled, settle},
    gate::with_sources,
    serving::Serving,
};
use crate::clock::Clock;

/// How soon a rotation by somebody else is seen; 24 reads a minute are nothing to an API server.
const LOOK: Duration = Duration::from_secs(5);

/// After a failure: at the start nobody is let in before it works.
const RETRY: Duration = Duration::from_secs(1);

/// Two requests of an API server in trouble.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The kubelet brings a changed `ConfigMap` to its pods within its sync period and its cache's
/// time, a minute each.
const PUBLISHED_AHEAD: Duration = Duration::from_secs(150);

/// Authorities that are published together: the one that signs, and the one before, which signed
/// what is still served.
const PUBLISHED: usize = 2;

/// The two objects of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// Secret `berth-tls`, with the keys.
    Secret,
    /// `ConfigMap` `berth-ca`, with what everybody may know.
    ConfigMap,
}

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Texts by key.
    pub data: BTreeMap<String, String>,
    /// Its version, as `metadata.resourceVersion` tells it.
    pub version: String,
}

/// Why an object cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It has been changed since it was read; what stands there now is read next.
    #[error("{0} was changed by somebody else")]
    Conflict(Object),
    /// It is not there, or not to be reached.
    #[error("{0} cannot be used")]
    Unusable(Object, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where the two objects are kept: the API server, or a test's memory.
#[tonic::async_trait]
pub trait Vault: fmt::Debug + Send + Sync {
    /// What an object holds.
    async fn read(&self, object: Object) -> Result<Kept, VaultError>;
    /// Sets these keys, if its version is still the one given; other keys stay as they are.
    async fn write(&self, object: Object, kept: Kept) -> Result<(), VaultError>;
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "Secret berth-tls",
            Self::ConfigMap => "ConfigMap berth-ca",
        })
    }
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("Secret berth-tls holds no certificate to serve")]
    Certificate(#[from] CertificateError),
    #[error("no answer within {LOOK_TIMEOUT:?}")]
    Silent,
}

/// The keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    vault: Arc<dyn Vault>,
    serving: Arc<Serving>,
    names: Vec<String>,
    clock: Clock,
    /// When an authority was published while another's certificate was served.
    published: Option<AxisNsec>,
    /// What failed last, which is said once.
    said: String,
}

impl Keeper {
    /// Serves `names` from what `vault` keeps.
    pub(crate) fn new(
        vault: Arc<dyn Vault>,
        serving: Arc<Serving>,
        names: Vec<String>,
        clock: Clock,
    ) -> Self {
        Self { vault, serving, names, clock, published: None, said: String::new() }
    }

    /// Keeps it, for ever.
    pub(crate) async fn keep(mut self) {
        loop {
            let looked = tokio::time::timeout(LOOK_TIMEOUT, self.look()).await;
            let looked = looked.unwrap_or(Err(KeepError::Silent));
            let pause = if looked.is_ok() { LOOK } else { RETRY };
            self.say(looked.err());
            tokio::time::sleep(pause).await;
        }
    }

    async fn look(&mut self) -> Result<(), KeepError> {
        let now = self.clock.now();
        let kept = self.vault.read(Object::Secret).await?;
        let Settled { key, ca, write } = settle(&kept.data, &self.names, Duration::from_nanos(now.0))?;
        if let Some(pems) = write {
            self.vault.write(Object::Secret, Kept { data: pems, version: kept.version }).await?;
            tracing::info!("a certificate was made and is kept in Secret berth-tls");
        }
        self.publish(&ca, now).await?;
        let is_believed = self.published.is_none_or(|at| now.since(at) >= PUBLISHED_AHEAD);
        if !self.serving.is(&key) && (is_believed || !self.serving.is_ready()) {
            self.serving.install(key);
            tracing::info!("another certificate is served from now on");
        }
        Ok(())
    }

    async fn publish(&mut self, ca: &str, now: AxisNsec) -> Result<(), VaultError> {
        let Kept { data, version } = self.vault.read(Object::ConfigMap).await?;
        let before = data.get(CA_CRT).map(String::as_str).unwrap_or_default();
        let Some(published) = published(before, ca) else { return Ok(()) };
        let data = [(CA_CRT.to_owned(), published)].into();
        self.vault.write(Object::ConfigMap, Kept { data, version }).await?;
        tracing::info!("the authority's certificate was published in ConfigMap berth-ca");
        self.published = self.serving.is_ready().then_some(now);
        Ok(())
    }

    fn say(&mut self, error: Option<KeepError>) {
        let text = error.map(|error| with_sources(&error)).unwrap_or_default();
        if text != self.said {
            if text.is_empty() {
                tracing::info!("the certificate is looked after again");
            } else if self.serving.is_ready() {
                tracing::warn!(
                    error = text,
                    "the certificate is not looked after; it is tried again until it is"
                );
            } else {
                tracing::error!(
                    error = text,
                    "there is no certificate, so nobody can connect; it is tried again until there is"
                );
            }
        }
        self.said = text;
    }
}

/// What to publish so that `ca` is believed, if it is not yet.
fn published(before: &str, ca: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    if before.contains(ca.trim()) {
        return None;
    }
    let whole = |pem: &str| format!("{}\n{END}\n", pem.trim());
    let others = before.split(END).filter(|pem| pem.contains("-----BEGIN CERTIFICATE-----")).map(whole);
    let all = std::iter::once(format!("{}\n", ca.trim())).chain(others);
    Some(all.take(PUBLISHED).collect())
}

#[cfg(test)]
mod tests;
