//! The last seconds of one victim, step by step.
//!
//! Invariant: a step's split, carry and CUSUM are what its columns say with all news that has come in
//! time; late news redoes the steps from there on, so the order in which it comes does not matter.
//! What is older than `LATE_AT_MOST` is final.

use std::{collections::VecDeque, time::Duration};

use crate::{
    contention::{
        concurrency::Sums,
        cusum::Cusum,
        decompose::{Carry, Foreign, Split, decompose},
        part::Part,
        slowdown::{Blocks, Span},
        step::{STEP_SLACK, Step},
    },
    time::AxisNsec,
    who::ContainerKey,
};

/// The agent corrects the ticks of the last 2 s.
pub(crate) const LATE_AT_MOST: Duration = Duration::from_secs(2);

/// How a model fares now is told over this long: enough waits for a sure split, and a neighbour that
/// takes another's place is seen for what it is in half the time.
pub(crate) const TOLD_OVER: Duration = Duration::from_secs(10);

/// What is told, and the calm after it, which is not: 7 s of what comes a little and often.
const KEPT: Duration = Duration::from_secs(17);

/// What is ordinary is told from a mean over this long: several requests, and short enough that a flood is
/// noticed within a second.
const ORDINARY_OVER: Duration = Duration::from_millis(500);

/// The part of a wait for CPUs that others keep busy by which requests do not take longer: where nobody is in
/// the way, each first wakes an idle CPU, and its work takes more CPU time there. Not derived but found: the
/// median of the 10 trials of the tuning half with a neighbour and none before it, whose range is 0.10 to
/// 0.17; elsewhere, beside three kinds of neighbours, it was 0.06 to 0.24. All are of requests of some
/// milliseconds. Those that take much longer wake CPUs less often for the same work, and are spared less.
const SPARED_OF_BUSY: f64 = 0.13;

/// Whether most of the threads are seen is told over this long: longer than a cgroup's CPU time lags.
const SEEN_OVER: Duration = Duration::from_secs(1);

/// Which step, or steps, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) ordinal: u64,
    pub(crate) start: AxisNsec,
    pub(crate) at: AxisNsec,
    /// CPU time can be had in all of this.
    pub(crate) dt_nsec: f64,
}

/// A split before it was told which of the own wait is ordinary.
#[derive(Debug, Clone, Default)]
struct Raw {
    sums: Sums,
    foreign: Foreign,
}

/// One step of one victim.
#[derive(Debug, Clone)]
pub(crate) struct Tick {
    ordinal: u64,
    pub(crate) start: AxisNsec,
    pub(crate) at: AxisNsec,
    pub(crate) dt_nsec: f64,
    pub(crate) split: Split,
    /// Before it was told which of the own wait is ordinary.
    raw: Raw,
    /// After this step.
    carry: Carry,
    /// After this step.
    cusum: Cusum,
}

impl Tick {
    /// After a step, of one reading or of several, with the CUSUM as it was before.
    fn new(moment: Moment, is_one: bool, split: Split, raw: Raw, carry: Carry, mut cusum: Cusum) -> Self {
        let Moment { ordinal, start, at, dt_nsec } = moment;
        cusum.add(start, dt_nsec, is_one, split.work, split.wait);
        Self { ordinal, start, at, dt_nsec, split, raw, carry, cusum }
    }

    pub(crate) fn span(&self) -> Span {
        let Split { work, wait, spared, .. } = self.split;
        Span { dt: self.dt_nsec, run: work, wait: wait - spared, spared }
    }
}

/// The last steps of one victim, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    without: Option<Part>,
    ticks: VecDeque<Tick>,
    redo_from: Option<u64>,
    /// After this step the alarm's sum was started over.
    forgotten_at: Option<u64>,
}

impl History {
    pub(crate) fn new(without: Option<Part>) -> Self {
        Self { without, ticks: VecDeque::new(), redo_from: None, forgotten_at: None }
    }

    /// Takes in the newest step, once the late news before it is worked in.
    pub(crate) fn push(&mut self, step: &Step, victim: ContainerKey) {
        let (carry, cusum) = self.ticks.back().map(|tick| (tick.carry, tick.cusum)).unwrap_or_default();
        let tick = self.tick(step, victim, carry, cusum);
        self.ticks.extend(tick);
        self.forget(step.at);
    }

    /// A step after those that are here.
    fn tick(&self, step: &Step, victim: ContainerKey, mut carry: Carry, cusum: Cusum) -> Option<Tick> {
        let mut split = decompose(step, victim, &mut carry)?;
        let raw = Raw { sums: Sums::of(&split), foreign: Foreign::of(&split) };
        let before = |over: Duration| {
            self.ticks
                .iter()
                .rev()
                .take_while(move |tick| step.at.since(tick.start) <= over)
                .map(|tick| &tick.raw)
        };
        let recent = |over| before(over).fold(raw.sums, |sums, earlier| sums.with(earlier.sums));
        let sees_enough = recent(SEEN_OVER).are_of_most_threads();
        if !sees_enough && self.without != Some(Part::PressureFile) {
            split = Split::unseen(split.usage);
        } else if self.without != Some(Part::OwnLoad) {
            let foreign = before(ORDINARY_OVER).chain([&raw]).map(|raw| &raw.foreign);
            recent(ORDINARY_OVER).settle(&mut split, foreign);
        }
        if self.without != Some(Part::Spared) {
            split.spared = SPARED_OF_BUSY * split.behind_others();
        }
        Some(Tick::new(step.moment(), true, split, raw, carry, cusum))
    }

    /// Takes in what no late news can change.
    pub(crate) fn push_split(&mut self, moment: Moment, split: Split) {
        let cusum = self.cusum();
        self.ticks.push_back(Tick::new(moment, false, split, Raw::default(), Carry::default(), cusum));
        self.forget(moment.at);
    }

    fn forget(&mut self, now: AxisNsec) {
        while self.ticks.front().is_some_and(|tick| now.since(tick.at) >= KEPT) {
            self.ticks.pop_front();
        }
    }

    /// Late news came for the step `ordinal`.
    pub(crate) fn mark(&mut self, ordinal: u64) {
        self.redo_from = Some(self.redo_from.map_or(ordinal, |from| from.min(ordinal)));
    }

    /// Works the late news in; `steps` are those that can still change, oldest first.
    pub(crate) fn redo(&mut self, steps: &VecDeque<Step>, victim: ContainerKey) {
        let Some(from) = self.redo_from.take() else { return };
        let kept = self.ticks.partition_point(|tick| tick.ordinal < from);
        let newest = self.ticks.back().map(|tick| tick.ordinal);
        let (mut carry, mut cusum) = kept
            .checked_sub(1)
            .and_then(|last| self.ticks.get(last))
            .map(|tick| (tick.carry, tick.cusum))
            .unwrap_or_default();
        self.ticks.truncate(kept);
        for step in steps.iter().filter(|step| step.ordinal >= from && Some(step.ordinal) <= newest) {
            if let Some(mut tick) = self.tick(step, victim, carry, cusum) {
                if self.forgotten_at == Some(tick.ordinal) {
                    tick.cusum = Cusum::default();
                }
                (carry, cusum) = (tick.carry, tick.cusum);
                self.ticks.push_back(tick);
            }
        }
    }

    /// Starts the alarm's sum over: what raised it has had its episode.
    pub(crate) fn forget_alarm(&mut self) {
        if let Some(newest) = self.ticks.back_mut() {
            newest.cusum = Cusum::default();
            self.forgotten_at = Some(newest.ordinal);
        }
    }

    pub(crate) fn cusum(&self) -> Cusum {
        self.ticks.back().map(|tick| tick.cusum).unwrap_or_default()
    }

    /// In which part of the time since `from` its threads were seen; none before the first step.
    pub(crate) fn seen_part(&self, from: AxisNsec) -> f64 {
        let ticks = self.ticks.iter().rev().take_while(|tick| tick.at > from);
        let sum = ticks.fold((0.0, 0.0), |(seen, all), tick| {
            (seen + if tick.split.seen { tick.dt_nsec } else { 0.0 }, all + tick.dt_nsec)
        });
        if sum.1 > 0.0 { sum.0 / sum.1 } else { 0.0 }
    }

    /// The end of the newest step.
    pub(crate) fn now(&self) -> AxisNsec {
        self.ticks.back().map(|tick| tick.at).unwrap_or_default()
    }

    /// The sum over the last `window`; the newest step is always in it.
    pub(crate) fn trailing(&self, window: Duration) -> Span {
        self.recent(window).fold(Span::default(), Span::and)
    }

    /// How long ago the last `steps` began, with what was missed between them; `None`: there are not so many.
    pub(crate) fn last(&self, steps: usize) -> Option<Duration> {
        let first = self.ticks.len().checked_sub(steps)?;
        self.ticks.get(first).map(|tick| self.now().since(tick.start))
    }

    /// The sum of the steps that end after `from` and by `until`.
    pub(crate) fn span(&self, from: AxisNsec, until: AxisNsec) -> Span {
        let ticks = self.ticks.iter().filter(|tick| tick.at > from && tick.at <= until);
        ticks.fold(Span::default(), |sum, tick| sum.and(tick.span()))
    }

    /// The last `window`, to draw from.
    pub(crate) fn blocks(&self, window: Duration) -> Blocks {
        let mut blocks = Blocks::default();
        self.recent(window).for_each(|span| blocks.add(span));
        blocks
    }

    /// The steps of the last `window`, newest first; the newest is always among them.
    fn recent(&self, window: Duration) -> impl Iterator<Item = Span> {
        let from = self.now() - window - STEP_SLACK;
        let mut recent = self.ticks.iter().rev();
        let newest = recent.next();
        newest.into_iter().chain(recent.take_while(move |tick| tick.start >= from)).map(Tick::span)
    }

    pub(crate) fn ticks(&self) -> impl DoubleEndedIterator<Item = &Tick> {
        self.ticks.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contention::fixtures::{key, suspect},
        frame::ThreadUse,
    };

    /// A step in which the model waited for as long as it ran.
    fn step(ordinal: u64) -> Step {
        let mut model = suspect(1, 50_000_000);
        model.threads =
            Some(ThreadUse { run_nsec: 50_000_000, wait_nsec: 50_000_000, ..ThreadUse::default() });
        let mut step = Step::for_test(100_000_000, None, vec![model, suspect(2, 50_000_000)]);
        (step.ordinal, step.at) = (ordinal, AxisNsec((ordinal + 1) * 100_000_000));
        step
    }

    #[test]
    fn late_news_does_not_bring_back_an_alarm_that_had_its_episode() {
        let (mut history, mut steps) = (History::new(None), VecDeque::new());
        let mut push = |history: &mut History, ordinal| {
            steps.push_back(step(ordinal));
            history.push(steps.back().expect("it was just put there"), key(1));
            steps.clone()
        };
        (0..4).for_each(|ordinal| drop(push(&mut history, ordinal)));
        assert!(history.cusum().alarm().is_some());
        history.forget_alarm();
        let steps = push(&mut history, 4);
        let before = history.cusum();
        assert!(before.alarm().is_none());
        history.mark(2);
        history.redo(&steps, key(1));
        assert_eq!(history.cusum(), before);
    }
}
