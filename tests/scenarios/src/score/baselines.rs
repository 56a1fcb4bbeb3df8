//! What others do, on the same traces: pressure averages, pressure held, and correlation.
//!
//! Each follows its public description, second by second. They blame neighbours always: none of them
//! tells a victim's own limit from others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use berth_core::{
    contention::{Input, Resource, Verdict},
    frame::Frame,
    time::AxisNsec,
    who::Role,
};

use super::finding::{Finding, Said, owner};

/// The kernel folds averages every two seconds (`PSI_FREQ`).
const PRESSURE_STEP_SEC: f64 = 2.0;

/// How far back the blame of an averaged pressure looks: as far as the average.
const AVERAGE: Duration = Duration::from_secs(10);

/// Koordinator's and Coroot's habit.
const AVERAGE_ABOVE: f64 = 0.10;

/// Linnix: 100 ms of stall a second ...
const HELD_ABOVE: f64 = 0.100;

/// ... for this long.
const HELD_FOR: Duration = Duration::from_secs(15);

/// CPI²: outliers are above the mean by so many standard deviations ...
const OUTLIER_SIGMAS: f64 = 2.0;

/// ... three of them make an anomaly ...
const OUTLIERS: usize = 3;

/// ... over this long (five minutes of samples a minute apart; here samples are a second apart) ...
const CORRELATED_OVER: Duration = Duration::from_secs(10);

/// ... and a suspect is a culprit from this correlation on.
const CORRELATION: f64 = 0.35;

/// The quiet beginning of a trial, from which normal is learnt.
const LEARNT_OVER: usize = 6;

/// What a rule finds for each victim of a trace.
fn of_each_victim(inputs: &[Input], rule: impl Fn(&[Second]) -> Vec<Finding>) -> Vec<Finding> {
    let mut victims: BTreeSet<String> = BTreeSet::new();
    for input in inputs {
        if let Input::Frame(frame) = input {
            let models = frame.containers.iter().filter(|container| container.who.role == Role::Model);
            victims.extend(models.map(|container| owner(&container.who)));
        }
    }
    victims.iter().flat_map(|victim| rule(&seconds(inputs, victim))).collect()
}

/// A second of a victim's trial.
#[derive(Debug, Clone, Default)]
struct Second {
    at: AxisNsec,
    sec: f64,
    stall: f64,
    run: f64,
    wait: f64,
    /// CPU seconds of everybody else, by owner.
    used: BTreeMap<String, f64>,
}

fn seconds(inputs: &[Input], victim: &str) -> Vec<Second> {
    let mut seconds = Vec::new();
    let mut filling = Second::default();
    for input in inputs {
        let Input::Frame(frame) = input else { continue };
        add(&mut filling, frame, victim);
        if filling.sec >= 0.95 {
            seconds.push(std::mem::take(&mut filling));
        }
    }
    seconds
}

fn add(second: &mut Second, frame: &Frame, victim: &str) {
    second.at = frame.at;
    second.sec += frame.dt_nsec as f64 / 1e9;
    for container in &frame.containers {
        let name = owner(&container.who);
        if name == victim {
            second.stall += container.pressure.map_or(0.0, |pressure| pressure.cpu_some_usec as f64 / 1e6);
            second.run += container.threads.map_or(0.0, |threads| threads.run_nsec as f64 / 1e9);
            second.wait += container.threads.map_or(0.0, |threads| threads.wait_nsec as f64 / 1e9);
        } else {
            *second.used.entry(name).or_default() += container.usage_nsec as f64 / 1e9;
        }
    }
}

fn used_over(seconds: &[Second], window: Duration) -> Vec<(String, f64)> {
    let count = usize::try_from(window.as_secs()).expect("a window is some seconds");
    let mut used: BTreeMap<String, f64> = BTreeMap::new();
    for second in &seconds[seconds.len().saturating_sub(count)..] {
        for (name, sec) in &second.used {
            *used.entry(name.clone()).or_default() += sec;
        }
    }
    let whole: f64 = used.values().sum();
    let mut shares: Vec<_> = used.into_iter().map(|(name, sec)| (name, sec / whole.max(1e-9))).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// Findings of a rule that holds or not in each second, with whom it blames.
fn findings(seconds: &[Second], blames: impl Fn(usize) -> Option<Vec<(String, f64)>>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut open = false;
    for (index, second) in seconds.iter().enumerate() {
        let Some(culprits) = blames(index) else {
            if std::mem::take(&mut open)
                && let Some(finding) = found.last_mut()
            {
                finding.cleared = Some(second.at);
            }
            continue;
        };
        let said = Said {
            at: second.at,
            verdict: Verdict::Neighbour,
            resource: Resource::Cpu,
            slowdown: None,
            culprits,
        };
        match found.last_mut().filter(|_| open) {
            Some(finding) => finding.said.push(said),
            None => found.push(Finding {
                onset: second.at,
                alarm: second.at,
                told: second.at,
                held: true,
                cleared: None,
                said: vec![said],
            }),
        }
        open = true;
    }
    found
}

/// PSI `some avg10` above 10 %; the largest consumer is to blame.
pub(super) fn pressure_average(inputs: &[Input]) -> Vec<Finding> {
    of_each_victim(inputs, average_above)
}

fn average_above(seconds: &[Second]) -> Vec<Finding> {
    let keep = (-PRESSURE_STEP_SEC / AVERAGE.as_secs_f64()).exp();
    let mut average = 0.0;
    let averages: Vec<f64> = seconds
        .chunks(2)
        .flat_map(|pair| {
            let sec: f64 = pair.iter().map(|second| second.sec).sum();
            let stall: f64 = pair.iter().map(|second| second.stall).sum();
            average = average * keep + stall / sec * (1.0 - keep);
            vec![average; pair.len()]
        })
        .collect();
    findings(seconds, |index| {
        let shares = used_over(&seconds[..=index], AVERAGE);
        (averages[index] > AVERAGE_ABOVE)
            .then(|| shares.into_iter().take(1).map(|(name, _)| (name, 1.0)).collect())
    })
}

/// 100 ms of stall in each second for 15 s; blame by shares of CPU time.
pub(super) fn pressure_held(inputs: &[Input]) -> Vec<Finding> {
    of_each_victim(inputs, stall_held)
}

fn stall_held(seconds: &[Second]) -> Vec<Finding> {
    let hold = usize::try_from(HELD_FOR.as_secs()).expect("a hold is some seconds");
    findings(seconds, |index| {
        let held = &seconds[..=index];
        let holds = held.len() >= hold
            && held[held.len() - hold..].iter().all(|second| second.stall / second.sec >= HELD_ABOVE);
        holds.then(|| used_over(held, HELD_FOR))
    })
}

/// Wait per CPU second in the place of CPI; suspects by the correlation of their use with it.
pub(super) fn correlation(inputs: &[Input]) -> Vec<Finding> {
    of_each_victim(inputs, outliers_correlated)
}

fn outliers_correlated(seconds: &[Second]) -> Vec<Finding> {
    let cost = |second: &Second| (second.run + second.wait) / second.run.max(1e-4);
    let normal: Vec<f64> = seconds.iter().take(LEARNT_OVER).map(cost).collect();
    let mean = normal.iter().sum::<f64>() / normal.len().max(1) as f64;
    let variance = normal.iter().map(|cost| (cost - mean).powi(2)).sum::<f64>() / normal.len().max(1) as f64;
    let threshold = mean + OUTLIER_SIGMAS * variance.sqrt();
    let window = usize::try_from(CORRELATED_OVER.as_secs()).expect("a window is some seconds");
    findings(seconds, |index| {
        let recent = &seconds[(index + 1).saturating_sub(window)..=index];
        let is_outlier = |second: &&Second| cost(second) > threshold;
        if recent.iter().filter(is_outlier).count() < OUTLIERS || !is_outlier(&&seconds[index]) {
            return None;
        }
        let mut culprits: Vec<(String, f64)> = recent
            .iter()
            .flat_map(|second| second.used.keys())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|name| (name.clone(), correlated(recent, name, threshold, cost)))
            .filter(|(_, correlation)| *correlation >= CORRELATION)
            .collect();
        culprits.sort_by(|a, b| b.1.total_cmp(&a.1));
        let whole: f64 = culprits.iter().map(|(_, correlation)| correlation).sum();
        for (_, correlation) in &mut culprits {
            *correlation /= whole.max(1e-9);
        }
        (!culprits.is_empty()).then_some(culprits)
    })
}

/// CPI²'s sum: a suspect's part of its own use, weighted by how far the victim was from its threshold.
fn correlated(recent: &[Second], name: &str, threshold: f64, cost: impl Fn(&Second) -> f64) -> f64 {
    let used = |second: &Second| second.used.get(name).copied().unwrap_or(0.0);
    let whole: f64 = recent.iter().map(used).sum();
    if whole <= 0.0 {
        return 0.0;
    }
    let terms = recent.iter().map(|second| {
        let cost = cost(second);
        let deviation = if cost > threshold { 1.0 - threshold / cost } else { cost / threshold - 1.0 };
        used(second) / whole * deviation
    });
    terms.sum()
}
