//! What each peer had refused in the last second.
//!
//! Invariant: a peer causes one line in the log a second at most, and so many reviews of bad tokens,
//! so that it neither fills the disk nor takes the API server from others. The number of peers is
//! bounded; those beyond it share one account. Pure: the caller supplies the time.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use berth_core::time::AxisNsec;

/// One line a second is what a person can read, and a disk can bear.
const SECOND: Duration = Duration::from_secs(1);

/// Bad tokens of one peer that are looked at in a second: an honest one brings one and backs off.
const REFUSED_PER_SEC: u32 = 10;

/// Peers of one second: as many as may be connected.
const PEERS: usize = 6_000;

/// What one peer did.
#[derive(Debug, Clone, Copy)]
struct Account {
    since: AxisNsec,
    refused: u32,
    left_out: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    accounts: HashMap<Option<IpAddr>, Account>,
}

impl Peers {
    /// Whether another token of this peer may be looked at.
    pub(crate) fn may_try(&self, peer: Option<IpAddr>, now: AxisNsec) -> bool {
        let account = self.accounts.get(&self.known(peer));
        account.is_none_or(|account| now.since(account.since) >= SECOND || account.refused < REFUSED_PER_SEC)
    }

    /// One more was refused. `Some`: write it to the log, and that so many before were left out.
    pub(crate) fn refused(&mut self, peer: Option<IpAddr>, now: AxisNsec) -> Option<u64> {
        if self.accounts.len() >= PEERS {
            self.accounts.retain(|_, account| now.since(account.since) < SECOND);
        }
        let account = self.known(peer);
        let fresh = Account { since: now, refused: 0, left_out: 0 };
        let mut is_due = false;
        let account = self.accounts.entry(account).or_insert_with(|| {
            is_due = true;
            fresh
        });
        let left_out = account.left_out;
        if now.since(account.since) >= SECOND {
            is_due = true;
            *account = fresh;
        }
        account.refused = account.refused.saturating_add(1);
        account.left_out = if is_due { 0 } else { account.left_out + 1 };
        is_due.then_some(left_out)
    }

    /// The account that a peer is kept under.
    fn known(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.filter(|_| self.accounts.len() < PEERS || self.accounts.contains_key(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(msec: u64) -> AxisNsec {
        AxisNsec(1_000_000_000_000 + msec * 1_000_000)
    }

    fn peer(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn each_peer_has_one_line_a_second_which_says_how_many_it_stands_for() {
        let mut peers = Peers::default();
        assert_eq!(peers.refused(Some(peer(1)), at(0)), Some(0));
        assert_eq!(peers.refused(Some(peer(2)), at(1)), Some(0));
        assert_eq!(
            (peers.refused(Some(peer(1)), at(2)), peers.refused(Some(peer(1)), at(999))),
            (None, None)
        );
        assert_eq!(peers.refused(Some(peer(1)), at(1_000)), Some(2));
        assert_eq!(peers.refused(Some(peer(1)), at(2_000)), Some(0));
    }

    #[test]
    fn a_peer_with_many_bad_tokens_is_not_looked_at_until_the_second_is_over() {
        let mut peers = Peers::default();
        for _ in 0..REFUSED_PER_SEC {
            assert!(peers.may_try(Some(peer(1)), at(5)));
            peers.refused(Some(peer(1)), at(5));
        }
        assert!(!peers.may_try(Some(peer(1)), at(1_004)));
        assert!(peers.may_try(Some(peer(2)), at(5)) && peers.may_try(Some(peer(1)), at(1_005)));
    }

    #[test]
    fn a_crowd_of_peers_shares_one_account_and_is_forgotten_after_it() {
        let mut peers = Peers::default();
        let crowd = u32::try_from(PEERS).unwrap();
        for number in 0..crowd {
            peers.refused(Some(peer(number)), at(0));
        }
        assert_eq!(peers.refused(Some(peer(crowd)), at(1)), Some(0));
        assert_eq!(peers.refused(Some(peer(crowd + 1)), at(1)), None);
        assert_eq!(peers.accounts.len(), PEERS + 1);
        peers.refused(Some(peer(1)), at(1_001));
        assert_eq!(peers.accounts.len(), 1);
    }
}
