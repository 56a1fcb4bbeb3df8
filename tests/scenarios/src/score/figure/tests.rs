use berth_core::contention::{Estimate, Resource, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::score::finding::Said;

const SECOND: u64 = 1_000_000_000;

fn at(sec: f64) -> AxisNsec {
    AxisNsec::default() + Duration::from_secs_f64(sec)
}

/// Ten seconds without the suspects, eight with all of them, and ten without.
fn trial(slowdown: f64, change: &Value) -> Labelled {
    let suspects = ["suspect-1", "suspect-2"];
    let block = |from: u64, until: u64, on: &[&str], phase: &str| json!({"start_unix_nsec": from * SECOND, "end_unix_nsec": until * SECOND, "on": on, "phase": phase});
    let suspect = |name: &str| json!({"name": name, "kind": "busy", "flags": [], "rhythm": "steady", "cpus": "0", "weight": 100});
    let mut outcome = json!({
        "id": "t", "class": "t", "seed": 1, "half": "report",
        "victim": {"name": "victim", "kind": "refmodel", "threads": 1, "load": 0.2, "at_once": 1,
            "arrivals_per_sec": 20.0, "weight": 100},
        "suspects": suspects.map(suspect),
        "bystanders": 0,
        "expected": {"verdict": "neighbour", "resource": "cpu", "culprits": suspects},
        "onset_unix_nsec": 10 * SECOND,
        "blocks": [block(0, 10, &[], "label"), block(10, 18, &suspects, "detect"), block(18, 28, &[], "label")],
        "seconds": [],
        "slowdown": {"estimate": slowdown, "lo": slowdown * 0.98, "hi": slowdown * 1.02},
        "response_slowdown": null,
        "shapley": [{"name": "suspect-1", "share": 0.7}, {"name": "suspect-2", "share": 0.3}],
        "live": [], "disturbed": false, "unowned_cpus": 0.0, "unowned_peak_cpus": 0.0, "steal_cpus": 0.0,
        "victim_off_cpus": 0.2, "failed_requests": 0,
        "machine": {"kernel": "", "cpu_model": "", "cpus": 2, "memory_bytes": 1, "cgroups": "v2"},
    });
    for (key, value) in change.as_object().unwrap() {
        outcome[key] = value.clone();
    }
    Labelled { outcome: serde_json::from_value(outcome).unwrap(), inputs: Vec::new() }
}

/// An episode of a model beside both suspects, the first of whom has `share` of the blame.
fn finding(verdict: Verdict, onset: f64, cleared: f64, share: f64) -> Finding {
    let (alarm, told) = (at(onset + 0.3), at(onset + 0.5));
    let slowdown = Some(Estimate { estimate: 2.0, lo: 1.8, hi: 2.2 });
    let culprits = vec![("suspect-1".to_owned(), share), ("suspect-2".to_owned(), 1.0 - share)];
    let said = vec![Said { at: told, verdict, resource: Resource::Cpu, slowdown, culprits }];
    Finding { onset: at(onset), alarm, told, held: true, cleared: Some(at(cleared)), said }
}

fn judged(trial: &Labelled, findings: Vec<Finding>) -> Judged<'_> {
    Judged { trial, findings }
}

#[test]
fn a_finding_is_right_where_the_victim_was_hurt_by_that_side_while_it_lasted() {
    let (hurt, unhurt) = (trial(2.0, &json!({})), trial(1.0, &json!({})));
    let precise = |trial: &Labelled, verdict, onset, cleared| {
        judged(trial, vec![finding(verdict, onset, cleared, 0.7)]).precise()
    };
    assert_eq!(precise(&hurt, Verdict::Neighbour, 10.1, 18.3), [true]);
    assert_eq!(precise(&hurt, Verdict::SelfThrottled, 10.1, 18.3), [false], "the wrong side");
    assert_eq!(precise(&hurt, Verdict::Neighbour, 2.0, 9.9), [false], "nothing was on yet");
    assert_eq!(precise(&hurt, Verdict::Neighbour, 19.5, 25.0), [false], "nothing was on any more");
    assert_eq!(precise(&unhurt, Verdict::Neighbour, 10.1, 18.3), [false]);
    let grey = trial(1.07, &json!({}));
    assert_eq!(precise(&grey, Verdict::Neighbour, 10.1, 18.3), [false; 0], "the label cannot tell");
}

#[test]
fn of_the_time_of_bystanders_alone_no_label_speaks() {
    let crowd = trial(2.0, &json!({"bystanders": 10}));
    let before = finding(Verdict::Neighbour, 2.0, 9.9, 0.7);
    let during = finding(Verdict::Neighbour, 10.1, 18.3, 0.7);
    let judged = judged(&crowd, vec![before, during]);
    assert_eq!(judged.precise(), [true]);
    assert_eq!(
        judged.findings.iter().map(|one| judged.is_unlabelled(one)).collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn an_alarm_counts_from_the_switch_and_only_if_its_episode_began_with_it() {
    let hurt = trial(2.0, &json!({}));
    let alarm = |onsets: &[f64]| {
        let found = onsets.iter().map(|onset| finding(Verdict::Neighbour, *onset, 18.3, 0.7)).collect();
        judged(&hurt, found).alarm_sec()
    };
    assert!((alarm(&[10.1]).unwrap() - 0.4).abs() < 1e-6);
    assert_eq!(alarm(&[8.9]), Some(f64::INFINITY), "it was there before");
    assert_eq!(alarm(&[9.5]), Some(f64::INFINITY), "its alarm was there before");
    assert!((alarm(&[8.9, 11.0]).unwrap() - 1.3).abs() < 1e-6);
    assert_eq!(alarm(&[]), Some(f64::INFINITY));
    assert_eq!(
        judged(&trial(1.0, &json!({})), Vec::new()).alarm_sec(),
        None,
        "there was nothing to alarm of"
    );
}

#[test]
fn a_miss_is_a_miss_and_who_is_named_first_must_have_the_largest_share() {
    let hurt = trial(2.0, &json!({}));
    let missed = judged(&hurt, Vec::new());
    assert_eq!((missed.recalled(), missed.side(), missed.top(false)), (Some(false), None, Some(false)));
    let named = |share: f64| {
        let mut one = finding(Verdict::Neighbour, 10.1, 18.3, share);
        one.said[0].culprits.sort_by(|a, b| b.1.total_cmp(&a.1));
        judged(&hurt, vec![one]).top(false)
    };
    assert_eq!((named(0.9), named(0.4)), (Some(true), Some(false)));
    let found = judged(&hurt, vec![finding(Verdict::Unowned, 10.1, 18.3, 0.7)]);
    assert_eq!((found.recalled(), found.side()), (Some(true), Some(false)));
}

#[test]
fn a_trial_is_one_share_error_however_many_suspects_it_has() {
    let hurt = trial(2.0, &json!({}));
    let found = judged(&hurt, vec![finding(Verdict::Neighbour, 10.1, 18.3, 0.6)]);
    assert!((found.share_error(&hurt.outcome.shapley).unwrap() - 0.1).abs() < 1e-9);
    let all = [found];
    let figures = figures(&all, Soaks::default());
    let error = figures.iter().find(|figure| figure.name.contains("Shapley")).unwrap();
    assert_eq!((error.n, error.verdict()), (1.0, "too few"));
}
