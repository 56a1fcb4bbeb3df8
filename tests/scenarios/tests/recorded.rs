//! The recorded trials of docs/accuracy.md, replayed: each gives the verdicts that are kept beside them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use berth_kit::program;
use berth_scenarios::score::{Asides, Measured, page, read_all};

/// What `berth replay` says of every trace in a folder, by name.
fn verdicts(folder: &Path) -> String {
    let berth = program("berth-cli", "berth");
    let mut traces: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    traces.retain(|file| file.extension().is_some_and(|extension| extension == "gz"));
    traces.sort();
    assert!(!traces.is_empty(), "no trace lies in {}", folder.display());
    let mut verdicts = String::new();
    for trace in traces {
        let replayed = Command::new(&berth).arg("replay").arg(&trace).args(["-o", "json"]).output().unwrap();
        assert!(replayed.status.success() && replayed.stderr.is_empty(), "{}: {replayed:?}", trace.display());
        let name = trace.file_name().unwrap().to_str().unwrap();
        writeln!(verdicts, "# {name}").unwrap();
        verdicts.push_str(std::str::from_utf8(&replayed.stdout).unwrap());
    }
    verdicts
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Compares a folder's verdicts with those that are kept in it.
fn hold(name: &str) {
    let folder = folder(name);
    let kept = folder.join("verdicts.jsonl");
    let told = verdicts(&folder);
    if std::env::var_os("BERTH_UPDATE_GOLDEN").is_some() {
        fs::write(&kept, &told).unwrap();
    }
    let kept = fs::read_to_string(kept).unwrap();
    let other = kept.lines().zip(told.lines()).find(|(kept, told)| kept != told);
    assert_eq!(
        (other, kept.lines().count()),
        (None, told.lines().count()),
        "if the detector was meant to change, BERTH_UPDATE_GOLDEN=1 writes what it says now; run make accuracy too"
    );
}

#[test]
fn every_recorded_trial_replays_to_the_verdicts_that_are_kept() {
    hold("accuracy");
}

#[test]
fn every_recorded_trial_on_unified_cgroups_does_so_too() {
    hold("accuracy-unified");
}

#[test]
fn trials_that_saw_version_2_alone_have_a_section_of_the_page() {
    let measured = read_all(&folder("accuracy-unified"), None).unwrap();
    assert!(measured.trials.iter().all(|trial| trial.outcome.machine.cgroups == "v2"));
    let asides = Asides { unified: Some(measured), ..Asides::default() };
    let page = page(&Measured::default(), &asides, None).markdown;
    let (_, section) = page.split_once("## On unified cgroups only").unwrap();
    assert!(section.contains("Trials: 7 of 7") && section.contains("| unowned | unowned | 1 /"), "{section}");
}
