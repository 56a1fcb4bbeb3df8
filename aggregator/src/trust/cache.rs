//! What was learnt of tokens, for a while.
//!
//! Invariant: a token itself is not kept, only its SHA-256; what is kept is bounded in time and in
//! number, and refusals never crowd out what was accepted. Pure: the caller supplies the time.

use std::{collections::HashMap, time::Duration};

use berth::BearerToken;
use berth_core::time::AxisNsec;
use sha2::{Digest as _, Sha256};

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
    /// Grows whenever something is forgotten before its time.
    revoked: u64,
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

    /// To be given back with what is learnt from a question that is asked now.
    pub(crate) fn revocations(&self) -> u64 {
        self.revoked
    }

    /// Keeps what was learnt, unless it may have been overtaken since the question was asked.
    pub(crate) fn keep(
        &mut self,
        key: Key,
        learnt: &Result<Principal, Refusal>,
        revocations: u64,
        now: AxisNsec,
    ) {
        match learnt {
            Ok(principal) if revocations == self.revoked => {
                self.refused.remove(&key);
                let kept = (principal.clone(), now + ACCEPTED_FOR);
                insert(&mut self.accepted, ACCEPTED, key, kept, now);
            }
            Ok(_) => {}
            Err(refusal) => {
                insert(&mut self.refused, REFUSED, key, (refusal.clone(), now + REFUSED_FOR), now);
            }
        }
    }

    /// A pod is gone, and every token of it with it.
    pub(crate) fn forget_pod(&mut self, uid: &str) {
        self.revoked += 1;
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
        cache.keep(numbered(1), &Ok(agent("p")), 0, START);
        cache.keep(numbered(2), &Err(Refusal::Unbound), 0, START);
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
        cache.keep(key(&token, Audience::Ingest), &Ok(agent("p")), 0, START);
        assert_eq!(cache.find(&key(&token, Audience::Query), START), None);
    }

    #[test]
    fn a_deleted_pods_tokens_are_forgotten_even_while_one_is_being_asked_about() {
        let mut cache = Cache::default();
        cache.keep(numbered(1), &Ok(agent("gone")), cache.revocations(), START);
        cache.keep(numbered(2), &Ok(agent("here")), cache.revocations(), START);
        let asked = cache.revocations();
        cache.forget_pod("gone");
        assert_eq!(cache.find(&numbered(1), START), None);
        assert_eq!(cache.find(&numbered(2), START), Some(Ok(agent("here"))));
        cache.keep(numbered(3), &Ok(agent("gone")), asked, START);
        assert_eq!(cache.find(&numbered(3), START), None);
    }

    #[test]
    fn no_number_of_bad_tokens_crowds_out_a_good_one() {
        let mut cache = Cache::default();
        cache.keep(numbered(0), &Ok(agent("p")), 0, START);
        for number in 1..2 * REFUSED {
            cache.keep(numbered(number), &Err(Refusal::Unbound), 0, START);
        }
        assert_eq!(cache.refused.len(), REFUSED);
        assert_eq!(cache.find(&numbered(0), START), Some(Ok(agent("p"))));
        let later = START + REFUSED_FOR;
        cache.keep(numbered(9 * REFUSED), &Err(Refusal::Unbound), 0, later);
        assert_eq!(cache.refused.len(), 1);
    }
}
