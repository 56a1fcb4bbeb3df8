//! Values that many objects have in common, kept once.
//!
//! A workload's pods say the same about nodes, and most pods say nothing: of 100,000 pods some hundred
//! such values remain. Invariant: two that are shared are equal exactly when they are one.

use std::{collections::BTreeSet, sync::Arc};

/// So few are never worth looking through.
const SWEPT_FROM: usize = 1_024;

/// The values that are in use, and some that were.
#[derive(Debug)]
pub(super) struct Shared<T> {
    known: BTreeSet<Arc<T>>,
    /// When there are so many, those that nobody has any more go: twice as many as were in use the
    /// last time, so that looking costs little for each new one.
    sweep_at: usize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { known: BTreeSet::new(), sweep_at: SWEPT_FROM }
    }
}

impl<T: Ord> Shared<T> {
    /// Puts the one that is kept in place of its equal.
    pub(super) fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.known.get(value) {
            *value = Arc::clone(known);
            return;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|one| Arc::strong_count(one) > 1);
            self.sweep_at = SWEPT_FROM.max(2 * self.known.len());
        }
        self.known.insert(Arc::clone(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_those_that_nobody_has_go() {
        let mut shared = Shared::default();
        let (mut first, mut second) = (Arc::new(7), Arc::new(7));
        shared.share(&mut first);
        shared.share(&mut second);
        assert!(Arc::ptr_eq(&first, &second));
        for value in 100..10 * SWEPT_FROM {
            shared.share(&mut Arc::new(value));
            assert!(shared.known.len() <= SWEPT_FROM);
        }
        assert!(shared.known.contains(&7));
    }
}
