//! Every episode that is kept, and the order of its changes.
//!
//! Invariant: each change of any episode takes the next revision, and a revision never changes. What
//! is kept is bounded: open episodes and closed ones by count, closed ones also by age, revisions by
//! count. Pure: time comes in as a value.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::{Bound, RangeInclusive},
    sync::Arc,
    time::Duration,
};

use berth_core::{
    contention::{Episode, EpisodeId},
    time::AxisNsec,
};

/// Open episodes: five models on each of 5,000 nodes at once, twice over.
const OPEN: usize = 50_000;

/// Closed episodes: about 1 KiB each.
const CLOSED: usize = 10_000;

/// Closed episodes are asked for on the day after.
const CLOSED_FOR: Duration = Duration::from_secs(48 * 3_600);

/// Revisions: a watcher that was away for less than these misses none of them.
const REVISIONS: usize = 8_192;

/// An episode as one revision has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Revised {
    /// Of the whole aggregator, from 1.
    pub(crate) revision: u64,
    /// When it was taken in.
    pub(crate) at: AxisNsec,
    /// What it says.
    pub(crate) episode: Arc<Episode>,
}

/// Where a list stands: newest onset first, then by id.
pub(crate) type Place = (Reverse<AxisNsec>, EpisodeId);

fn place(episode: &Episode) -> Place {
    (Reverse(episode.onset), episode.id)
}

/// What came of an episode that was handed in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Taken {
    /// It has changed nothing.
    Same,
    /// It has this revision now, and has just closed.
    Closed(Revised),
    /// It has this revision now.
    Changed(Revised),
    /// Too many are open.
    Refused,
}

/// What a watcher gets.
#[derive(Debug, PartialEq)]
pub(crate) enum Since {
    /// The next revisions, in order; none when there is nothing newer.
    Revisions(Vec<Revised>),
    /// History does not reach back that far.
    Gone,
}

/// All episodes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    episodes: BTreeMap<EpisodeId, Revised>,
    by_onset: BTreeSet<Place>,
    closed: BTreeSet<(AxisNsec, EpisodeId)>,
    revisions: VecDeque<Revised>,
    newest: u64,
}

impl Ledger {
    /// Takes an episode in as it is `now`.
    pub(crate) fn take(&mut self, episode: Episode, now: AxisNsec) -> Taken {
        let known = self.episodes.get(&episode.id).map(|known| Arc::clone(&known.episode));
        if known.as_deref() == Some(&episode) {
            return Taken::Same;
        }
        if known.is_none() && self.open_count() >= OPEN {
            return Taken::Refused;
        }
        let was_open = known.as_ref().is_none_or(|known| known.cleared.is_none());
        if let Some(known) = known {
            self.forget(&known);
        }
        self.newest += 1;
        let revised = Revised { revision: self.newest, at: now, episode: Arc::new(episode) };
        self.keep(revised.clone());
        if self.revisions.len() == REVISIONS {
            self.revisions.pop_front();
        }
        self.revisions.push_back(revised.clone());
        if was_open && revised.episode.cleared.is_some() {
            Taken::Closed(revised)
        } else {
            Taken::Changed(revised)
        }
    }

    /// Lets go of closed episodes that are too many or too old.
    pub(crate) fn age(&mut self, now: AxisNsec) {
        while let Some(&(cleared, id)) = self.closed.first() {
            if self.closed.len() <= CLOSED && now.since(cleared) <= CLOSED_FOR {
                return;
            }
            let Some(old) = self.episodes.get(&id).map(|old| Arc::clone(&old.episode)) else { return };
            self.forget(&old);
            self.episodes.remove(&id);
        }
    }

    /// The newest revision; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Newest onset first, from after `after`.
    pub(crate) fn list(&self, after: Option<Place>) -> impl Iterator<Item = &Revised> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_onset.range((start, Bound::Unbounded)).filter_map(|(_, id)| self.episodes.get(id))
    }

    /// Those that have not cleared, in the order of their revisions.
    pub(crate) fn open(&self) -> Vec<Revised> {
        let open = self.episodes.values().filter(|revised| revised.episode.cleared.is_none());
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by_key(|revised| revised.revision);
        open
    }

    /// Every episode whose id is among these, by id.
    pub(crate) fn within(&self, ids: RangeInclusive<EpisodeId>) -> impl Iterator<Item = &Revised> {
        self.episodes.range(ids).map(|(_, revised)| revised)
    }

    /// At most `limit` revisions after `revision`.
    pub(crate) fn since(&self, revision: u64, limit: usize) -> Since {
        let oldest = self.newest.saturating_sub(u64::try_from(self.revisions.len()).unwrap_or(u64::MAX));
        if revision < oldest || revision > self.newest {
            return Since::Gone;
        }
        let skip = usize::try_from(revision - oldest).unwrap_or(usize::MAX);
        Since::Revisions(self.revisions.iter().skip(skip).take(limit).cloned().collect())
    }

    fn open_count(&self) -> usize {
        self.episodes.len() - self.closed.len()
    }

    fn keep(&mut self, revised: Revised) {
        let episode = &revised.episode;
        self.by_onset.insert(place(episode));
        if let Some(cleared) = episode.cleared {
            self.closed.insert((cleared, episode.id));
        }
        self.episodes.insert(episode.id, revised);
    }

    /// Takes it out of the indexes.
    fn forget(&mut self, episode: &Episode) {
        self.by_onset.remove(&place(episode));
        if let Some(cleared) = episode.cleared {
            self.closed.remove(&(cleared, episode.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: AxisNsec = AxisNsec(1_000);
    use crate::journal::fixture::episode;

    fn ids<'a>(list: impl Iterator<Item = &'a Revised>) -> Vec<u64> {
        list.map(|revised| revised.episode.id.0).collect()
    }

    fn cleared(mut episode: Episode, at: u64) -> Episode {
        episode.cleared = Some(AxisNsec(at));
        episode
    }

    #[test]
    fn a_change_takes_the_next_revision_and_no_change_takes_none() {
        let mut ledger = Ledger::default();
        assert!(matches!(ledger.take(episode(1, 10), NOW), Taken::Changed(Revised { revision: 1, .. })));
        assert_eq!(ledger.take(episode(1, 10), NOW), Taken::Same);
        assert!(matches!(ledger.take(episode(2, 10), NOW), Taken::Changed(Revised { revision: 2, .. })));
        assert!(matches!(
            ledger.take(cleared(episode(1, 10), 99), NOW),
            Taken::Closed(Revised { revision: 3, .. })
        ));
        assert_eq!(ledger.take(cleared(episode(1, 10), 99), NOW), Taken::Same);
        assert!(matches!(ledger.take(cleared(episode(1, 10), 100), NOW), Taken::Changed(_)));
        assert_eq!((ledger.newest(), ids(ledger.open().iter())), (4, vec![2]));
    }

    #[test]
    fn a_list_goes_on_where_it_stood_although_episodes_came_and_changed() {
        let mut ledger = Ledger::default();
        for id in 1..=4 {
            ledger.take(episode(id, id * 10), NOW);
        }
        let first: Vec<_> = ledger.list(None).take(2).cloned().collect();
        assert_eq!(ids(first.iter()), [4, 3]);
        ledger.take(episode(5, 50), NOW);
        ledger.take(cleared(episode(3, 30), 60), NOW);
        assert_eq!(ids(ledger.list(Some(place(&first[1].episode)))), [2, 1]);
    }

    #[test]
    fn a_watcher_gets_every_revision_once_or_learns_that_some_are_gone() {
        let mut ledger = Ledger::default();
        let total = u64::try_from(REVISIONS).unwrap() + 10;
        for id in 1..=total {
            ledger.take(episode(id, id), NOW);
        }
        assert_eq!(ledger.since(9, 1), Since::Gone);
        assert_eq!(ledger.since(total + 1, 1), Since::Gone);
        assert_eq!(ledger.since(total, 5), Since::Revisions(vec![]));
        let (mut seen, mut at) = (Vec::new(), 10);
        while let Since::Revisions(next) = ledger.since(at, 1_000) {
            let Some(last) = next.last() else { break };
            at = last.revision;
            seen.extend(next.iter().map(|revised| revised.revision));
        }
        assert_eq!(seen, (11..=total).collect::<Vec<_>>());
    }

    #[test]
    fn closed_episodes_go_when_they_are_too_many_or_too_old() {
        let mut ledger = Ledger::default();
        let many = u64::try_from(CLOSED).unwrap() + 1;
        for id in 1..=many {
            ledger.take(cleared(episode(id, id), id), NOW);
        }
        ledger.take(episode(many + 1, 1), NOW);
        ledger.age(AxisNsec(many));
        assert_eq!(ledger.within(EpisodeId(1)..=EpisodeId(1)).count(), 0);
        assert_eq!(ledger.list(None).count(), CLOSED + 1);
        ledger.age(AxisNsec(many) + CLOSED_FOR + Duration::from_secs(1));
        assert_eq!(ids(ledger.list(None)), [many + 1], "what is open stays");
    }
}
