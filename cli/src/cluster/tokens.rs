//! Tokens for the aggregator, made by the cluster for one of Berth's `ServiceAccounts`.
//!
//! Invariant: a token is kept in memory only, is good for the aggregator only (its audience), and is
//! renewed while it still has a third of its life.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::codegen::http::HeaderValue;

use super::refusal::Wish;
use crate::exit::{Exit, Failure};

/// Whom the aggregator's query services want to be addressed.
const AUDIENCE: &str = "berth.query";

/// The shortest life that the API server grants: a stolen token is soon worthless.
const LIFE_SEC: i64 = 600;

/// On whose behalf questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Sees everything.
    Viewer,
    /// May also start load.
    Operator,
}

impl Account {
    /// The `ServiceAccount`'s name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "berth-viewer",
            Self::Operator => "berth-operator",
        }
    }
}

/// A token, and when to want another.
struct Held {
    bearer: HeaderValue,
    renew: Instant,
    end: Instant,
}

/// The tokens of one account, one after the other.
pub struct Tokens {
    accounts: Api<ServiceAccount>,
    account: Account,
    context: String,
    namespace: String,
    held: Mutex<Option<Held>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(client: Client, account: Account, context: &str, namespace: &str) -> Self {
        Self {
            accounts: Api::namespaced(client, namespace),
            account,
            context: context.to_owned(),
            namespace: namespace.to_owned(),
            held: Mutex::default(),
        }
    }

    /// What the header `authorization` says, good for at least the next minutes.
    pub async fn bearer(&self) -> Result<HeaderValue, Failure> {
        // Held while another is asked for, so that many calls at once ask once.
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.renew) {
            return Ok(held.bearer.clone());
        }
        match (self.request().await, held.as_ref()) {
            (Ok(fresh), _) => Ok(held.insert(fresh).bearer.clone()),
            // The API server may be away for a while: an old token is as good until its end.
            (Err(_), Some(old)) if Instant::now() < old.end => Ok(old.bearer.clone()),
            (Err(refused), _) => Err(refused),
        }
    }

    async fn request(&self) -> Result<Held, Failure> {
        // The life counts from before the question, so that it never ends later than the token's.
        let asked = Instant::now();
        let name = self.account.name();
        let wish =
            Wish { verb: "create", resource: "serviceaccounts/token", name, namespace: &self.namespace };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                expiration_seconds: Some(LIFE_SEC),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let answer = self.accounts.create_token_request(name, &params, &request);
        let granted = wish.granted(&self.context, answer).await?;
        let unusable = || {
            let message = format!("cannot {wish}: the API server answered without a token");
            Failure::new(Exit::Environment, message)
        };
        let token = granted.status.and_then(|status| status.token).ok_or_else(unusable)?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable())?;
        bearer.set_sensitive(true);
        let granted_sec = granted.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(LIFE_SEC);
        let life = Duration::from_secs(u64::try_from(granted_sec).unwrap_or_default());
        Ok(Held { bearer, renew: asked + life * 2 / 3, end: asked + life })
    }
}
