//! Who may come in, and by what certificate they know us.
//!
//! On a cluster every caller shows a `ServiceAccount`'s token, which the API server reviews for the
//! audience of the service that is called (`gate`); an agent's node is the one that its token
//! names. The aggregator makes its own authority and certificate and keeps them in one Secret
//! (`keeper`). Invariant: what is not proven is refused, and what cannot be proven now is refused
//! for now. Deliberately absent: users, passwords and namespaces; who may have which token is for
//! the cluster's RBAC to say.

mod cache;
mod certificate;
mod cluster;
mod gate;
mod guard;
mod keeper;
mod pace;
mod peers;
mod principal;
mod review;
mod serving;

use std::sync::Arc;

pub(crate) use cache::Lease;
pub(crate) use certificate::{CertificateError, pair};
pub(crate) use gate::{Gate, Pods};
pub(crate) use guard::{Guarded, lease, pod_gone, speaks_for};
pub(crate) use keeper::Keeper;
pub use keeper::{Kept, Object, Vault, VaultError};
pub use principal::Audience;
pub use review::{ReviewError, Reviewer};
pub(crate) use serving::{Serving, acceptor};

use self::cluster::ApiServer;

/// Who says whether a token is good, and where the certificate is kept.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Says whether a token is good.
    pub reviewer: Arc<dyn Reviewer>,
    /// Keeps the certificate.
    pub vault: Arc<dyn Vault>,
    /// Berth's own namespace, whose accounts are believed.
    pub namespace: String,
}

impl Authority {
    /// The API server is both.
    pub(crate) fn of_cluster(client: kube::Client, namespace: String) -> Self {
        let server = Arc::new(ApiServer::new(client, namespace.clone()));
        Self { reviewer: Arc::<ApiServer>::clone(&server), vault: server, namespace }
    }

    /// The names that the certificate is for: the Service's, as pods of every namespace may write it,
    /// and this machine's, for whoever forwards a port.
    pub(crate) fn names(&self) -> Vec<String> {
        const SERVICE: &str = "berth-aggregator";
        let in_namespace = format!("{SERVICE}.{}", self.namespace);
        let (short, full) = (format!("{in_namespace}.svc"), format!("{in_namespace}.svc.cluster.local"));
        vec![SERVICE.to_owned(), in_namespace, short, full, "localhost".to_owned()]
    }
}
