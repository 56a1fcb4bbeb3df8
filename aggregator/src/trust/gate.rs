//! Who may come in.
//!
//! Invariant: a call that needs somebody is let through only with that one's token; whatever fails,
//! it stays outside. What cannot be a token never reaches the API server, and the rest only so fast.
//! A caller is told what is needed, never what was wrong; that stands in our log.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth::BearerToken;
use tokio::sync::Semaphore;
use tonic::{
    Status,
    codegen::http::{HeaderMap, HeaderValue, header::AUTHORIZATION},
};

use super::{
    cache::{self, Cache, Lease},
    pace::Pace,
    peers::Peers,
    principal::{Audience, Need, Principal},
    review::{Refusal, Reviewer, judge},
};
use crate::{clock::Clock, counters::Counters, seldom::Seldom};

/// An API server that takes longer is in trouble; with the wait before it, an agent still has its
/// answer within the 10 s of its greeting.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Questions under way: connections to the API server, if it hangs. At 5 ms an answer two would do.
const REVIEWS_AT_ONCE: usize = 32;

/// Who knows which pods there are.
pub(crate) trait Pods: std::fmt::Debug + Send + Sync {
    /// It knows them all, and none of this UID is among them.
    fn lack(&self, uid: &str) -> bool;
}

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    reviewer: Arc<dyn Reviewer>,
    /// The API server goes on believing a token for 10 s after its pod is deleted (Kubernetes'
    /// pkg/kubeapiserver/options/authentication.go, `TokenSuccessCacheTTL`); our own watch does not.
    pods: Option<Arc<dyn Pods>>,
    /// Our own, whose accounts are believed.
    namespace: String,
    clock: Clock,
    counters: Arc<Counters>,
    cache: Mutex<Cache>,
    peers: Mutex<Peers>,
    pace: Mutex<Pace>,
    under_way: Semaphore,
    away_lines: Seldom,
}

/// Why a caller stays outside.
enum Outside {
    Refused(Refusal),
    /// Nothing can be said now.
    Unknown(String),
}

impl From<Refusal> for Outside {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Gate {
    /// Nobody is known yet.
    pub(crate) fn new(
        reviewer: Arc<dyn Reviewer>,
        pods: Option<Arc<dyn Pods>>,
        namespace: String,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            reviewer,
            pods,
            namespace,
            clock,
            counters,
            cache: Mutex::default(),
            peers: Mutex::default(),
            pace: Mutex::default(),
            under_way: Semaphore::new(REVIEWS_AT_ONCE),
            away_lines: Seldom::default(),
        }
    }

    /// Who calls; `None` where the method is open to all.
    pub(crate) async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Option<Principal>, Status> {
        let Some(need) = Need::of(path) else { return Ok(None) };
        match self.holder(need, headers, peer).await {
            Ok(principal) => Ok(Some(principal)),
            Err(Outside::Refused(refusal)) => Err(self.refuse(path, need, peer, &refusal)),
            Err(Outside::Unknown(error)) => {
                if let Some(left_out) = self.away_lines.due(self.clock.now()) {
                    tracing::warn!(
                        error,
                        left_out,
                        "tokens cannot be checked; who is not known waits outside"
                    );
                }
                Err(Status::unavailable("no token can be checked now: try again"))
            }
        }
    }

    /// A pod is gone: its tokens are believed no longer.
    pub(crate) fn forget_pod(&self, uid: &str) {
        lock(&self.cache).forget_pod(uid);
    }

    /// What holds while the pod of this caller lives.
    pub(crate) fn lease(&self, holder: &Principal) -> Lease {
        let Some(place) = holder.place() else { return Lease::unbound() };
        let mut cache = lock(&self.cache);
        let lease = cache.lease(&place.pod_uid);
        if self.is_gone(holder) {
            cache.forget_pod(&place.pod_uid);
        }
        lease
    }

    fn is_gone(&self, holder: &Principal) -> bool {
        let place = holder.place();
        place.zip(self.pods.as_ref()).is_some_and(|(place, pods)| pods.lack(&place.pod_uid))
    }

    async fn holder(
        &self,
        need: Need,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Principal, Outside> {
        let values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = BearerToken::from_headers(values).map_err(Refusal::from)?;
        let key = cache::key(&token, need.audience());
        let known = lock(&self.cache).find(&key, self.clock.now());
        let learnt = match known {
            Some(learnt) => learnt,
            None if lock(&self.peers).may_try(peer, self.clock.now()) => {
                self.review(&token, need.audience(), key).await?
            }
            None => return Err(Refusal::TooMany.into()),
        };
        let principal = learnt?;
        if need.is_met_by(&principal) { Ok(principal) } else { Err(Refusal::NotAllowed.into()) }
    }

    /// Asks, as fast as is allowed, and keeps the answer.
    async fn review(
        &self,
        token: &BearerToken,
        audience: Audience,
        key: cache::Key,
    ) -> Result<Result<Principal, Refusal>, Outside> {
        let reserved = lock(&self.pace).reserve(self.clock.now());
        let wait = reserved.ok_or_else(|| Outside::Unknown("too many new callers at once".to_owned()))?;
        tokio::time::sleep(wait).await;
        let asked = async {
            let _place = self.under_way.acquire().await.expect("the semaphore is never closed");
            Counters::add(&self.counters.token_reviews);
            self.reviewer.review(token, audience).await
        };
        let answered = tokio::time::timeout(REVIEW_TIMEOUT, asked).await;
        let status = match answered {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(Outside::Unknown(with_sources(&error))),
            Err(_) => return Err(Outside::Unknown(format!("no answer within {REVIEW_TIMEOUT:?}"))),
        };
        let said = judge(&status, audience, &self.namespace);
        // Under the lock, so that a pod that is deleted just now is either missed here or forgotten next.
        let mut cache = lock(&self.cache);
        let learnt =
            said.and_then(|holder| if self.is_gone(&holder) { Err(Refusal::Gone) } else { Ok(holder) });
        cache.keep(key, &learnt, self.clock.now());
        Ok(learnt)
    }

    fn refuse(&self, path: &str, need: Need, peer: Option<IpAddr>, refusal: &Refusal) -> Status {
        Counters::add(&self.counters.tokens_refused);
        if let Some(left_out) = lock(&self.peers).refused(peer, self.clock.now()) {
            tracing::warn!(?peer, path, reason = %refusal, left_out, "caller refused");
        }
        let (account, audience) = (need.account(), need.audience().as_str());
        let needed = format!("this needs a token of {account} for {audience}");
        match refusal {
            Refusal::Unreadable(_) | Refusal::Bad(_) | Refusal::Audience(_) | Refusal::Gone => {
                Status::unauthenticated(needed)
            }
            Refusal::Account(_) | Refusal::Unbound | Refusal::NotAllowed => Status::permission_denied(needed),
            Refusal::TooMany => Status::resource_exhausted("too many tokens were refused: try again later"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The whole of an error, for a log that shows one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
