//! The figures of the headline table, each with its bar and its interval.
//!
//! Invariant: a figure says on how many trials it stands; below [`VACUOUS_BELOW`] of them it claims
//! nothing, whatever it is.

use std::time::Duration;

use berth_core::{
    contention::{Estimate, Verdict},
    time::AxisNsec,
};

use super::{
    finding::Finding,
    labelled::{Labelled, Truth, axis},
    methods::Method,
    quantile::{quantile, wilson},
    quiet::Soaks,
};
use crate::result::{Revision, Share};

/// With fewer, an interval is so wide that the point means nothing.
const VACUOUS_BELOW: f64 = 30.0;

/// What is found this soon before a switch or after it belongs to it: the switch itself takes its
/// milliseconds, and an episode's numbers lag by a step.
const SLACK: Duration = Duration::from_secs(1);

/// From here on there are many suspects.
const MANY_SUSPECTS: usize = 10;

/// Two suspects whose true shares are as near as the label can tell are both the largest.
const TIE: f64 = 0.05;

/// Where the victim's queue grows there is no slowdown to compare.
const SATURATED_LOAD: f64 = 0.95;

/// A trial and what a method found in it.
pub(super) struct Judged<'a> {
    pub(super) trial: &'a Labelled,
    pub(super) findings: Vec<Finding>,
}

/// What a method made of one trial; `None` where the trial does not bear on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    /// Hurt much, and found.
    pub recalled: Option<bool>,
    /// Found, and blamed on itself or on others as it should be.
    pub right_side: Option<bool>,
    /// Findings where nobody was hurt, or on the wrong side.
    pub false_findings: usize,
}

impl Method {
    /// What it makes of one trial.
    pub fn of_trial(self, trial: &Labelled) -> Brief {
        let judged = Judged { trial, findings: self.judge(&trial.inputs) };
        Brief {
            recalled: judged.recalled(),
            right_side: judged.side(),
            false_findings: judged.precise().into_iter().filter(|right| !right).count(),
        }
    }
}

/// Which way a figure must go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// A measured figure.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) bar: Bar,
    /// `None`: no trial bears on it.
    pub(super) point: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
    /// Trials, errors or hours that it stands on.
    pub(super) n: f64,
}

impl Figure {
    fn proportion(name: &'static str, at_least: f64, of: impl IntoIterator<Item = bool>) -> Self {
        let all: Vec<bool> = of.into_iter().collect();
        let hits = all.iter().filter(|hit| **hit).count();
        let n = all.len();
        let point = (n > 0).then(|| hits as f64 / n as f64);
        let interval = (n > 0).then(|| wilson(hits, n));
        Self { name, bar: Bar::AtLeast(at_least), point, interval, n: n as f64 }
    }

    fn value(name: &'static str, at_most: f64, n: usize, point: Option<f64>) -> Self {
        Self { name, bar: Bar::AtMost(at_most), point, interval: None, n: n as f64 }
    }

    /// It stands on so few that it claims nothing.
    pub(super) fn is_vacuous(&self) -> bool {
        self.n < VACUOUS_BELOW
    }

    /// As the table says it.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.point, self.bar) {
            (None, _) => "not measured",
            _ if self.is_vacuous() => "too few",
            (Some(point), Bar::AtLeast(bar)) if point >= bar => "reached",
            (Some(point), Bar::AtMost(bar)) if point <= bar => "reached",
            _ => "missed",
        }
    }
}

/// All of them, in the order of the page.
pub(super) fn figures(judged: &[Judged<'_>], soaked: Soaks) -> Vec<Figure> {
    let sound: Vec<&Judged<'_>> = judged.iter().filter(|judged| !judged.trial.outcome.disturbed).collect();
    let shares = |of: fn(&Labelled) -> &[Share]| {
        let errors = sound.iter().filter_map(move |judged| judged.share_error(of(judged.trial)));
        errors.collect::<Vec<f64>>()
    };
    let (by_shapley, by_switches) =
        (shares(|trial| &trial.outcome.shapley), shares(Labelled::switched_among_several));
    let slowdowns: Vec<f64> =
        sound.iter().filter_map(|judged| Some(judged.slowdown_ratio()?.ln().abs())).collect();
    let of_self = || sound.iter().filter(|judged| judged.trial.expects_self());
    let not_cpu = || sound.iter().filter(|judged| judged.trial.outcome.expected.resource != "cpu");
    let soaked = soaked.and(judged);
    let [alarm_p50, alarm_p95, watched_p50, watched_p95] = latencies(&sound);
    vec![
        Figure::proportion(
            "recall, S_true >= 1.25, CPU",
            0.97,
            sound.iter().filter_map(|one| one.recalled()),
        ),
        Figure::proportion("precision, decoys included", 0.95, sound.iter().flat_map(|one| one.precise())),
        soaked.figure(),
        soaked.figure_at_work(),
        alarm_p50,
        alarm_p95,
        watched_p50,
        watched_p95,
        Figure::proportion("self-inflicted or neighbour", 0.98, sound.iter().filter_map(|one| one.side())),
        Figure::proportion("of these the self-inflicted", 0.98, of_self().filter_map(|one| one.side())),
        Figure::proportion("top-1 culprit of 2 to 4", 0.95, sound.iter().filter_map(|one| one.top(false))),
        Figure::proportion(
            "top-1 culprit of 10 and more",
            0.90,
            sound.iter().filter_map(|one| one.top(true)),
        ),
        Figure::value("share error against Shapley, mean abs.", 0.06, by_shapley.len(), mean(&by_shapley)),
        Figure::value(
            "share error against sched_switch, mean abs.",
            0.06,
            by_switches.len(),
            mean(&by_switches),
        ),
        Figure::value("slowdown, median abs. ln error", 0.08, slowdowns.len(), quantile(&slowdowns, 0.5)),
        Figure::proportion("resource class", 0.95, sound.iter().filter_map(|one| one.resource())),
        Figure::proportion("of these what is not CPU", 0.95, not_cpu().filter_map(|one| one.resource())),
    ]
}

/// How late an alarm, and the first verdict at a watcher.
fn latencies(sound: &[&Judged<'_>]) -> [Figure; 4] {
    let alarms: Vec<f64> = sound.iter().filter_map(|judged| judged.alarm_sec()).collect();
    let watched: Vec<f64> = sound.iter().filter_map(|judged| judged.watched_sec()).collect();
    let at_most = |name, bar, of: &[f64], part| Figure::value(name, bar, of.len(), quantile(of, part));
    [
        at_most("onset to alarm, p50, s", 0.5, &alarms, 0.5),
        at_most("onset to alarm, p95, s", 1.0, &alarms, 0.95),
        at_most("onset to first verdict at a watcher, p50, s", 1.0, &watched, 0.5),
        at_most("onset to first verdict at a watcher, p95, s", 3.0, &watched, 0.95),
    ]
}

impl Judged<'_> {
    /// The finding that lasted longest of the detection block, or of the first other block that was on and
    /// had any.
    pub(super) fn finding(&self) -> Option<&Finding> {
        let detection = self.trial.detection();
        // What began before anything was on is no finding of what was switched on.
        let earliest = self.trial.onset().map_or(AxisNsec::default(), |onset| onset - SLACK);
        let mut blocks = detection.into_iter().chain(self.trial.on_blocks());
        blocks.find_map(|(from, until)| {
            let told = self.findings.iter().filter(|finding| finding.told <= until + SLACK);
            let there = told.filter(|finding| finding.overlaps(from, until) && finding.onset >= earliest);
            there.max_by_key(|finding| finding.overlap(from, until))
        })
    }

    /// Hurt by CPU contention so that it counts: was anything found?
    fn recalled(&self) -> Option<bool> {
        let trial = self.trial;
        let counts = trial.is_strong() && trial.outcome.expected.resource == "cpu";
        counts.then(|| self.said().is_some_and(|said| super::confusion::word(&said.resource) == "cpu"))
    }

    /// Each finding: was the victim hurt then, and is the blame not on the wrong side?
    fn precise(&self) -> Vec<bool> {
        let counts = self.trial.truth() != Truth::Grey;
        let labelled = self.findings.iter().filter(|finding| counts && !self.is_unlabelled(finding));
        labelled.map(|finding| self.is_right(finding)).collect()
    }

    /// It came while nothing was on but bystanders, who are there throughout: no block is without them, so
    /// no label says whether they hurt the victim.
    pub(super) fn is_unlabelled(&self, finding: &Finding) -> bool {
        self.trial.outcome.bystanders > 0 && self.on_during(finding).is_none()
    }

    /// The first block that was on while a finding lasted; what is said to be over lags behind the switch.
    fn on_during(&self, finding: &Finding) -> Option<(AxisNsec, AxisNsec)> {
        self.trial.on_blocks().find(|(from, until)| finding.overlaps(*from, *until + SLACK))
    }

    /// The victim was hurt then, and who is blamed is on the side that it should be. Whom exactly is another
    /// figure's.
    pub(super) fn is_right(&self, finding: &Finding) -> bool {
        let trial = self.trial;
        let Some((_, until)) = self.on_during(finding) else { return false };
        let said = finding.said_by(until);
        // No trial has a limit above its model's pod.
        let wrong_side = said.verdict == Verdict::SliceThrottled
            || said.blames_self().is_some_and(|itself| itself == trial.expects_others());
        trial.truth() == Truth::Positive && !wrong_side
    }

    /// The block in which the shares and times of a trial are judged: the first that is on, or where every
    /// subset of the suspects has its turn, that of all of them.
    fn first_block(&self) -> Option<(AxisNsec, AxisNsec)> {
        let subsets = self.trial.detection().filter(|_| !self.trial.outcome.shapley.is_empty());
        subsets.or_else(|| self.trial.on_blocks().next())
    }

    /// Seconds from the switch to the alarm of an episode that began with it; infinite where none came while
    /// the block lasted.
    pub(super) fn alarm_sec(&self) -> Option<f64> {
        self.first_after_switch(self.begun_with_switch()?.map(|finding| finding.alarm))
    }

    /// From when on an episode can have begun with the switch: when it began is told to within a step or so.
    fn earliest(&self) -> Option<AxisNsec> {
        Some(self.first_block()?.0 - SLACK)
    }

    fn begun_with_switch(&self) -> Option<impl Iterator<Item = &Finding>> {
        let earliest = self.earliest()?;
        Some(self.findings.iter().filter(move |finding| finding.onset >= earliest))
    }

    /// Seconds from the switch to the first news of an episode that began with it at a watcher, who hears of
    /// it as much later than it is said as in the run itself; infinite where none came while the block
    /// lasted, or no news of any episode in the run.
    pub(super) fn watched_sec(&self) -> Option<f64> {
        let transport = self.transport();
        self.first_after_switch(
            self.begun_with_switch()?.filter_map(|finding| Some(finding.told + transport?)),
        )
    }

    /// How much later than it was said a watcher heard of the episode that began with the switch in the run
    /// itself, or where the detector of that day said of none, of the first one.
    fn transport(&self) -> Option<Duration> {
        let (live, earliest) = (&self.trial.outcome.live, self.earliest()?);
        let is_first = |index: &usize| live[..*index].iter().all(|before| before.id != live[*index].id);
        let mut news: Vec<&Revision> = (0..live.len()).filter(is_first).map(|index| &live[index]).collect();
        // Stable, so that the first of either kind stays the first.
        news.sort_by_key(|news| news.onset_unix_nsec.is_none_or(|onset| axis(onset) < earliest));
        news.iter().find_map(|news| Some(axis(news.arrived_unix_nsec).since(axis(news.verdict_unix_nsec?))))
    }

    /// Of a victim that was hurt so much that it counts, and not by its own load alone.
    fn first_after_switch(&self, times: impl Iterator<Item = AxisNsec>) -> Option<f64> {
        let trial = self.trial;
        let counts = trial.is_strong() && (trial.expects_others() || trial.expects_self());
        let (switched, until) = self.first_block().filter(|_| counts)?;
        let mut inside = times.filter(|at| *at >= switched && *at <= until + SLACK);
        Some(inside.next().map_or(f64::INFINITY, |at| at.since(switched).as_secs_f64()))
    }

    /// Of a victim that was hurt and found: is the blame on the right side?
    fn side(&self) -> Option<bool> {
        let (said, trial) = (self.said()?, self.trial);
        let counts = trial.truth() == Truth::Positive && (trial.expects_self() || trial.expects_others());
        counts.then(|| match trial.outcome.expected.verdict.as_str() {
            "neighbour" => said.verdict == Verdict::Neighbour,
            "unowned" => said.verdict == Verdict::Unowned,
            _ => said.blames_self() == Some(true),
        })
    }

    /// Is the largest culprit the one that is named first?
    fn top(&self, many: bool) -> Option<bool> {
        let trial = self.trial;
        let suspects =
            trial.outcome.suspects.len() + usize::try_from(trial.outcome.bystanders).unwrap_or(usize::MAX);
        let counts = if many { suspects >= MANY_SUSPECTS } else { (2..=4).contains(&suspects) };
        if !counts || trial.truth() != Truth::Positive || trial.outcome.expected.verdict != "neighbour" {
            return None;
        }
        let (shares, expected) = (&trial.outcome.shapley, &trial.outcome.expected.culprits);
        let largest = shares.iter().map(|share| share.share).fold(0.0, f64::max);
        let is_top = |name: &str| {
            shares.iter().any(|share| share.name == name && share.share >= largest - TIE)
                || shares.is_empty() && expected.first().is_some_and(|expected| expected == name)
        };
        let named = self.said().and_then(|said| said.culprits.first());
        Some(named.is_some_and(|(name, _)| is_top(name)))
    }

    /// How far the told shares are off, in the mean of the suspects whose true share is known: what one has
    /// too much another has too little, so a trial is one error, not as many as it has suspects.
    fn share_error(&self, truths: &[Share]) -> Option<f64> {
        let trial = self.trial;
        let said = self.said().filter(|_| trial.truth() == Truth::Positive && trial.expects_others())?;
        let told =
            |name: &str| said.culprits.iter().find(|(told, _)| told == name).map_or(0.0, |(_, share)| *share);
        let errors: Vec<f64> = truths.iter().map(|truth| (told(&truth.name) - truth.share).abs()).collect();
        mean(&errors)
    }

    /// What was told of the victim's slowdown before the first switch.
    pub(super) fn before(&self) -> f64 {
        self.trial.slowdown_before()
    }

    /// The told slowdown, where the queue does not grow.
    fn slowdown(&self) -> Option<Estimate> {
        let trial = self.trial;
        let unsaturated = trial.slowdown() * trial.outcome.victim_off_cpus < SATURATED_LOAD;
        if trial.truth() != Truth::Positive || !unsaturated || trial.outcome.expected.resource != "cpu" {
            return None;
        }
        self.said()?.slowdown
    }

    /// The told slowdown for each one of the label's.
    pub(super) fn slowdown_ratio(&self) -> Option<f64> {
        Some(self.slowdown()?.estimate / self.trial.slowdown())
    }

    /// The label's slowdown lies between the ends of the told one.
    pub(super) fn is_within_told(&self) -> Option<bool> {
        let told = self.slowdown()?;
        Some((told.lo..=told.hi).contains(&self.trial.slowdown()))
    }

    fn resource(&self) -> Option<bool> {
        let counts = self.trial.truth() == Truth::Positive;
        let said = self.said().filter(|_| counts)?;
        Some(super::confusion::word(&said.resource) == self.trial.outcome.expected.resource)
    }

    /// What was said at the end of the detection block.
    pub(super) fn said(&self) -> Option<&super::finding::Said> {
        let finding = self.finding()?;
        let until = self.trial.detection().or_else(|| self.trial.on_blocks().next())?.1;
        Some(finding.said_by(until))
    }

    /// Nobody does anything to the victim, however its own load swings.
    pub(super) fn is_quiet(&self) -> bool {
        let outcome = &self.trial.outcome;
        outcome.expected.verdict == "nobody" && outcome.suspects.is_empty()
    }
}

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests;
