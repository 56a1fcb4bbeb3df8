//! What the API server says of a token, and what that makes of its holder.
//!
//! Invariant: a token is believed only where the API server found it good, for our audience, of one
//! of our accounts, and, of a pod, with the claim that names its node. Pure but for the question
//! itself, which is the [`Reviewer`]'s. Deliberately absent: any reading of the token here, and a
//! review without an audience, which every token of the cluster would pass.

use std::fmt;

use berth::{BearerError, BearerToken, NodeName};
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

use super::principal::{Audience, Place, Principal};

/// The claim that names the node of a token's pod, as a review tells it (Kubernetes 1.30 on).
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// The claim that names the pod.
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// What the API server says of a bad token is quoted up to here: it may repeat parts of the claims.
const SAID_CHARS: usize = 200;

/// Why nothing can be said of a token now.
#[derive(Debug, thiserror::Error)]
#[error("the API server does not say whether tokens are good")]
pub struct ReviewError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Who can say whether a token is good: the API server's `TokenReview`, or its recorded answers.
#[tonic::async_trait]
pub trait Reviewer: fmt::Debug + Send + Sync {
    /// What it says of this token for this audience.
    async fn review(&self, token: &BearerToken, audience: Audience)
    -> Result<TokenReviewStatus, ReviewError>;
}

/// Why a caller is turned away. It is for our log only: who tries tokens learns nothing from us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// None, or none that could be one.
    #[error("{0}")]
    Unreadable(#[from] BearerError),
    /// The API server does not find it good.
    #[error("the API server refuses the token: {0}")]
    Bad(String),
    /// Made for somebody else, or by a server that does not know audiences.
    #[error("the token is not for {}", .0.as_str())]
    Audience(Audience),
    /// Of an account that is none of ours.
    #[error("the token is of {0}")]
    Account(String),
    /// Bound to no pod on a node.
    #[error("the token names no node and pod")]
    Unbound,
    /// Its pod is deleted, or so new that no watch has told of it.
    #[error("there is no pod of that token")]
    Gone,
    /// Good, but not for this.
    #[error("the token is of another kind of caller")]
    NotAllowed,
    /// This peer brought too many bad ones just now.
    #[error("too many tokens of this peer were refused")]
    TooMany,
}

/// Who holds a token of which the API server says this. `namespace` is our own.
pub(crate) fn judge(
    status: &TokenReviewStatus,
    audience: Audience,
    namespace: &str,
) -> Result<Principal, Refusal> {
    if status.authenticated != Some(true) {
        let said = status.error.as_deref().unwrap_or("it gives no reason");
        return Err(Refusal::Bad(said.chars().take(SAID_CHARS).collect()));
    }
    // A server that ignores audiences calls every token good, and says so by their absence.
    let named = status.audiences.iter().flatten().any(|name| name == audience.as_str());
    if !named {
        return Err(Refusal::Audience(audience));
    }
    let user = status.user.as_ref();
    let username = user.and_then(|user| user.username.as_deref()).unwrap_or_default();
    let ours = |name: &str| username == format!("system:serviceaccount:{namespace}:{name}");
    let place = || user.and_then(place).ok_or(Refusal::Unbound);
    match audience {
        Audience::Ingest if ours("berth-agent") => place().map(Principal::Agent),
        Audience::Load if ours("berth-loadgen") => place().map(Principal::LoadWorker),
        Audience::Query if ours("berth-viewer") => Ok(Principal::Viewer),
        Audience::Query if ours("berth-operator") => Ok(Principal::Operator),
        Audience::Ingest | Audience::Load | Audience::Query => {
            Err(Refusal::Account(username.chars().take(SAID_CHARS).collect()))
        }
    }
}

fn place(user: &UserInfo) -> Option<Place> {
    let claim = |key: &str| match user.extra.as_ref()?.get(key)?.as_slice() {
        [value] if !value.is_empty() => Some(value.clone()),
        _ => None,
    };
    let node = NodeName::new(claim(NODE_NAME)?).ok()?;
    Some(Place { node, pod_uid: claim(POD_UID)? })
}

#[cfg(test)]
mod tests;
