//! What was learnt of tokens, for a while.
//!
//! Invariant: a token itself is not kept, only its SHA-256; what is kept is bounded in time and in
//! number, and refusals never crowd out what was accepted. Pure: the caller supplies the time.

use std::{collections::HashMap, time::Duration};

use berth::BearerToken;
use berth_core::time::AxisNsec;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{
    principal::{Audience, Principal},
    review::Refusal,
};

/// How long a revoked token may still be believed: the bound that the design gives.
const ACCEPTED_FOR: Duration = Duration::from_secs(600);

/// A refused token may be good a moment later, as when it was not valid yet or its account is new;
/// an agent dials every 30 s at the latest.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Agents, workers and people of ten minutes: thrice the 5,000 nodes that one aggregator is for.
const ACCEPTED: usize = 16_384;

/// The reviews of [`REFUSED_FOR`], at the rate at which they are asked for at most.
const REFUSED: usize = 2_048;

/// A token as it is known here, for one audience.
pub(crate) type Key = ([u8; 32], Audience);

/// What was learnt.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    accepted: HashMap<Key, (Principal, AxisNsec)>,
    refused: HashMap<Key, (Refusal, AxisNsec)>,
    /// By the pods whose streams are open, or were while the pod lives; one end of each lease.
    leases: HashMap<Box<str>, watch::Sender<()>>,
}

/// Holds while the pod of a token lives.
#[derive(Debug, Clone)]
pub(crate) struct Lease(Option<watch::Receiver<()>>);

impl Lease {
    /// Of whoever is bound to no pod: it never ends.
    pub(crate) fn unbound() -> Self {
        Self(None)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) {
        if let Some(held) = &mut self.0 {
            // Nothing is ever sent: the other end is dropped.
            while held.changed().await.is_ok() {}
        } else {
            std::future::pending::<()>().await;
        }
    }
}

/// The key of a token.
pub(crate) fn key(token: &BearerToken, audience: Audience) -> Key {
    (Sha256::digest(token.secret()).into(), audience)
}

impl Cache {
    /// What is known of a token.
    pub(crate) fn find(&self, key: &Key, now: AxisNsec) -> Option<Result<Principal, Refusal>> {
        let accepted = self.accepted.get(key).filter(|(_, until)| now < *until);
        let refused = || self.refused.get(key).filter(|(_, until)| now < *until);
        match accepted {
            Some((principal, _)) => Some(Ok(principal.clone())),
            None => refused().map(|(refusal, _)| Err(refusal.clone())),
        }
    }

    /// Keeps what was learnt.
    pub(crate) fn keep(&mut self, key: Key, learnt: &Result<Principal, Refusal>, now: AxisNsec) {
        match learnt {
            Ok(principal) => {
                self.refused.remove(&key);
                insert(&mut self.accepted, ACCEPTED, key, (principal.clone(), now + ACCEPTED_FOR), now);
            }
            // Its pod may be one of which no watch has told yet.
            Err(Refusal::Gone) => {}
            Err(refusal) => {
                insert(&mut self.refused, REFUSED, key, (refusal.clone(), now + REFUSED_FOR), now);
            }
        }
    }

    /// What holds while this pod lives; there are as many as pods that have called.
    pub(crate) fn lease(&mut self, pod_uid: &str) -> Lease {
        let held = self.leases.entry(pod_uid.into()).or_insert_with(|| watch::Sender::new(()));
        Lease(Some(held.subscribe()))
    }

    /// A pod is gone, and every token of it with it.
    pub(crate) fn forget_pod(&mut self, uid: &str) {
        self.leases.remove(uid);
        self.accepted.retain(|_, (principal, _)| principal.place().is_none_or(|place| place.pod_uid != uid));
    }
}

/// Where the table is full of what still holds, a newcomer is asked for again each time.
fn insert<T>(
    table: &mut HashMap<Key, (T, AxisNsec)>,
    most: usize,
    key: Key,
    kept: (T, AxisNsec),
    now: AxisNsec,
) {
    if table.len() >= most {
        table.retain(|_, (_, until)| now < *until);
    }
    if table.len() < most {
        table.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use berth::NodeName;

    use super::{super::principal::Place, *};

    const START: AxisNsec = AxisNsec(1_000_000_000_000);

    fn numbered(number: usize) -> Key {
        key(&BearerToken::parse(&format!("a.b.{number}")).unwrap(), Audience::Ingest)
    }

    fn agent(pod: &str) -> Principal {
        let node = NodeName::new("node-1").unwrap();
        Principal::Agent(Place { node, pod_uid: pod.to_owned() })
    }

    #[test]
    fn what_was_accepted_holds_for_ten_minutes_and_what_was_refused_for_ten_seconds() {
        let mut cache = Cache::default();
        cache.keep(numbered(1), &Ok(agent("p")), START);
        cache.keep(numbered(2), &Err(Refusal::Unbound), START);
        let after = |secs: u64| START + Duration::from_secs(secs);
        assert_eq!(cache.find(&numbered(1), after(599)), Some(Ok(agent("p"))));
        assert_eq!(cache.find(&numbered(1), after(600)), None);
        assert_eq!(cache.find(&numbered(2), after(9)), Some(Err(Refusal::Unbound)));
        assert_eq!(cache.find(&numbered(2), after(10)), None);
        assert_eq!(cache.find(&numbered(3), START), None);
    }

    #[test]
    fn a_token_for_one_audience_says_nothing_for_another() {
        let mut cache = Cache::default();
        let token = BearerToken::parse("a.b.c").unwrap();
        cache.keep(key(&token, Audience::Ingest), &Ok(agent("p")), START);
        assert_eq!(cache.find(&key(&token, Audience::Query), START), None);
    }

    #[tokio::test]
    async fn a_deleted_pods_tokens_are_forgotten_and_its_leases_end() {
        let mut cache = Cache::default();
        cache.keep(numbered(1), &Ok(agent("gone")), START);
        cache.keep(numbered(2), &Ok(agent("here")), START);
        let (mut gone, mut here) = (cache.lease("gone"), cache.lease("here"));
        cache.forget_pod("gone");
        assert_eq!(cache.find(&numbered(1), START), None);
        assert_eq!(cache.find(&numbered(2), START), Some(Ok(agent("here"))));
        gone.ended().await;
        let still = tokio::time::timeout(Duration::ZERO, here.ended()).await;
        assert!(still.is_err(), "the other pod lives");
    }

    #[test]
    fn no_number_of_bad_tokens_crowds_out_a_good_one() {
        let mut cache = Cache::default();
        cache.keep(numbered(0), &Ok(agent("p")), START);
        for number in 1..2 * REFUSED {
            cache.keep(numbered(number), &Err(Refusal::Unbound), START);
        }
        assert_eq!(cache.refused.len(), REFUSED);
        assert_eq!(cache.find(&numbered(0), START), Some(Ok(agent("p"))));
        let later = START + REFUSED_FOR;
        cache.keep(numbered(9 * REFUSED), &Err(Refusal::Unbound), later);
        assert_eq!(cache.refused.len(), 1);
    }
}
