//! The short form of `make accuracy`: one trial of each main class, on this machine, now.

use std::{process::Command, time::Duration};

use berth_kit::program;
use berth_scenarios::{
    matrix,
    score::{Method, Truth, read_all},
};

/// What `accuracy` starts, which lies beside it.
const BESIDE: [(&str, &str); 5] = [
    ("berth-cli", "berth"),
    ("berth-agent", "berth-agent"),
    ("berth-aggregator", "berth-aggregator"),
    ("berth-examples", "refmodel"),
    ("berth-examples", "scanner"),
];

/// Seven trials of some 40 s, and their scenes.
const AT_MOST: Duration = Duration::from_secs(420);

#[test]
fn what_is_hurt_is_found_and_blamed_on_the_right_side() {
    let dir = tempfile::tempdir().unwrap();
    let accuracy = program("berth-scenarios", "accuracy");
    for (package, name) in BESIDE {
        program(package, name);
    }
    let mut command = Command::new("timeout");
    command
        .arg(AT_MOST.as_secs().to_string())
        .arg(accuracy)
        .args(["run", "--short", "--dir"])
        .arg(dir.path());
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    if said.contains("a trial needs two CPUs") || said.contains("run it as root") {
        eprintln!("not run: {said}");
        return;
    }
    assert!(ran.status.success(), "{said}");
    let measured = read_all(dir.path(), None).unwrap();
    assert_eq!(measured.trials.len(), matrix::short().len(), "{said}");
    let sound: Vec<_> = measured.trials.iter().filter(|trial| !trial.outcome.disturbed).collect();
    assert!(!sound.is_empty(), "other work of this machine disturbed every trial: {said}");
    let hurt = sound.iter().filter(|trial| trial.truth() == Truth::Positive).count();
    assert!(hurt > 0, "nothing was hurt in any trial: {said}");
    for trial in sound {
        let judged = Method::Berth.of_trial(trial);
        let id = &trial.outcome.id;
        assert_ne!(judged.recalled, Some(false), "{id}: hurt, and nothing was found: {said}");
        assert_ne!(judged.right_side, Some(false), "{id}: blamed on the wrong side: {said}");
        assert_eq!(judged.false_findings, 0, "{id}: found what was not there: {said}");
    }
}
