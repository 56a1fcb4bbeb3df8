//! Intervals of time, and their union.

use std::collections::VecDeque;

/// From `start` up to `end`, in nanoseconds; never ends before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first nanosecond.
    pub start: u64,
    /// The first one after it.
    pub end: u64,
}

impl Span {
    /// The interval of length `nsec` that ends at `end`.
    pub fn ending(end: u64, nsec: u64) -> Self {
        Self { start: end.saturating_sub(nsec), end }
    }

    /// How long it is.
    pub fn nsec(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The same, so many nanoseconds earlier.
    #[must_use]
    pub fn earlier(self, nsec: u64) -> Self {
        Self { start: self.start.saturating_sub(nsec), end: self.end.saturating_sub(nsec) }
    }

    /// What both cover, if anything.
    pub fn overlap(self, other: Self) -> Option<Self> {
        let both = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (both.start < both.end).then_some(both)
    }
}

/// A union of intervals that come in by rising end. It keeps the newest ones, and allocates nothing
/// after it was made.
#[derive(Debug)]
pub struct Union {
    spans: VecDeque<Span>,
    kept: usize,
}

impl Union {
    /// An empty union of at most `kept` disjoint intervals; the oldest give way.
    pub fn new(kept: usize) -> Self {
        Self { spans: VecDeque::with_capacity(kept + 1), kept }
    }

    /// The disjoint intervals that overlap `span`, newest first.
    pub fn within(&self, span: Span) -> impl Iterator<Item = Span> + '_ {
        let near = self.spans.iter().rev().take_while(move |known| known.end > span.start);
        near.filter_map(move |known| known.overlap(span))
    }

    /// The interval within which `at` lies, its ends excluded.
    pub fn around(&self, at: u64) -> Option<Span> {
        let near = self.spans.iter().rev().take_while(|known| known.end > at);
        near.copied().find(|known| known.start < at)
    }

    /// Takes `span` in, and names each part of it that was not covered yet, newest first.
    pub fn insert(&mut self, span: Span, mut fresh: impl FnMut(Span)) {
        let (mut merged, mut uncovered_end) = (span, span.end);
        while let Some(known) = self.spans.back().copied().filter(|known| known.end >= span.start) {
            if known.end < uncovered_end {
                fresh(Span { start: known.end.max(span.start), end: uncovered_end });
            }
            uncovered_end = uncovered_end.min(known.start);
            merged = Span { start: merged.start.min(known.start), end: merged.end.max(known.end) };
            self.spans.pop_back();
        }
        if uncovered_end > span.start {
            fresh(Span { start: span.start, end: uncovered_end });
        }
        self.spans.push_back(merged);
        if self.spans.len() > self.kept {
            self.spans.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_fresh_parts_and_the_overlap_are_those_of_a_set_of_points(
            ends in prop::collection::vec((0..20_u64, 0..40_u64), 1..20), probe in (0..300_u64, 0..300_u64)) {
            let mut union = Union::new(100);
            let mut points = [false; 400];
            let mut end = 0;
            for (step, length) in ends {
                end += step;
                let span = Span::ending(end, length);
                let mut fresh = [false; 400];
                union.insert(span, |part| (part.start..part.end).for_each(|at| fresh[usize::try_from(at).unwrap()] = true));
                for at in 0..400 {
                    let inside = (span.start..span.end).contains(&u64::try_from(at).unwrap());
                    prop_assert_eq!(fresh[at], inside && !points[at]);
                    points[at] |= inside;
                }
            }
            let probe = Span { start: probe.0.min(probe.1), end: probe.0.max(probe.1) };
            let covered: u64 = union.within(probe).map(Span::nsec).sum();
            let expected = (probe.start..probe.end).filter(|&at| points[usize::try_from(at).unwrap()]).count();
            prop_assert_eq!(covered, u64::try_from(expected).unwrap());
        }
    }

    #[test]
    fn the_oldest_give_way() {
        let mut union = Union::new(2);
        for end in [10, 20, 30] {
            union.insert(Span::ending(end, 5), |_| {});
        }
        assert_eq!(union.within(Span { start: 0, end: 40 }).count(), 2);
    }
}
