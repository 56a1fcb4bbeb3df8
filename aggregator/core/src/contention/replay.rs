//! The detector on recorded input.
//!
//! Invariant: the same inputs give the same episodes, byte for byte.

use std::collections::BTreeMap;

use super::{Detector, Episode, EpisodeId, Input};

/// A detector, and what it has said so far.
#[derive(Debug)]
pub struct Replay {
    detector: Detector,
    newest: BTreeMap<EpisodeId, Episode>,
}

impl Replay {
    /// A node's detector that has seen nothing yet.
    pub fn new(node: String) -> Self {
        Self { detector: Detector::new(node), newest: BTreeMap::new() }
    }

    /// Takes in what comes next, and gives the episodes that changed, each as it is now.
    pub fn take(&mut self, input: Input) -> Vec<Episode> {
        let changed = self.detector.take(input);
        self.newest.extend(changed.iter().map(|episode| (episode.id, episode.clone())));
        changed
    }

    /// Every episode as it was last told, by onset.
    pub fn finish(self) -> Vec<Episode> {
        let mut episodes: Vec<Episode> = self.newest.into_values().collect();
        episodes.sort_by_key(|episode| (episode.onset, episode.id));
        episodes
    }
}
