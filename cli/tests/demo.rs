//! `berth demo` as a person runs it: real programs, real cgroups, real CPUs.
//!
//! A story takes about a minute and wants the machine for itself and optimised programs, so `make soak`
//! tells them (it sets `BERTH_STORIES`); `make test` holds what needs no figures.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use berth_kit::{DEADLINE, program, wait_for};
use serde_json::Value;

/// One demonstration at a time.
static TURN: Mutex<()> = Mutex::new(());

/// `berth demo`, with the programs that it starts beside it.
fn demo() -> Command {
    for (package, name) in [
        ("berth-agent", "berth-agent"),
        ("berth-aggregator", "berth-aggregator"),
        ("berth-loadgen", "berth-loadgen"),
        ("berth-examples", "refmodel"),
        ("berth-examples", "scanner"),
    ] {
        program(package, name);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "-o", "json"]);
    command
}

/// Cgroups of demonstrations, under any hierarchy.
fn left_behind() -> BTreeSet<String> {
    let mounts =
        ["", "cpu", "cpuacct", "memory", "unified"].map(|name| Path::new("/sys/fs/cgroup").join(name));
    let names = mounts.iter().flat_map(|mount| fs::read_dir(mount).into_iter().flatten().flatten());
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("berth-demo-")).collect()
}

/// Runs it to its end; `None`, with a line that says so, where this machine cannot.
fn run(flags: &[&str]) -> Option<Value> {
    if std::env::var_os("BERTH_STORIES").is_none() {
        eprintln!("not told: make soak tells the stories");
        return None;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = demo().args(flags).output().unwrap();
    if cannot_run(&output) {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(left_behind(), BTreeSet::new());
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    Some(serde_json::from_str(&lines).unwrap())
}

fn cannot_run(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    let cannot = output.status.code() == Some(3) && said.contains("cgroup");
    if cannot {
        eprintln!("not run: {said}");
    }
    cannot
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {value}"))
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} in {value}"))
}

fn shares(value: &Value) -> Vec<(String, f64)> {
    let shares = value.pointer("/contention/0/shares").and_then(Value::as_array).unwrap();
    shares.iter().map(|share| (text(share, "/who").to_owned(), number(share, "/share"))).collect()
}

fn one_model(value: &Value) {
    assert_eq!(value.pointer("/contention").and_then(Value::as_array).unwrap().len(), 1, "{value}");
}

#[test]
fn the_scanner_is_found_and_moving_it_helps() {
    let Some(found) = run(&[]) else { return };
    one_model(&found);
    assert_eq!(text(&found, "/contention/0/verdict"), "neighbour", "{found}");
    assert_eq!(text(&found, "/contention/0/resource"), "cpu");
    assert_eq!(text(&found, "/contention/0/victim"), "demo/refmodel-0");
    let (culprit, share) = &shares(&found)[0];
    assert!(culprit.contains("scanner") && *share >= 0.8, "{found}");
    assert_eq!(text(&found, "/contention/0/shares/0/role"), "scanner");
    let (estimate, measured) = (
        number(&found, "/contention/0/slowdown/estimate"),
        number(&found, "/contention/0/measured_slowdown"),
    );
    assert!((estimate / measured - 1.0).abs() <= 0.25, "estimate {estimate}, measured {measured}");
    let (lo, hi) = (number(&found, "/contention/0/slowdown/lo"), number(&found, "/contention/0/slowdown/hi"));
    assert!(lo <= estimate && estimate <= hi);

    let advice = found.pointer("/advice").and_then(Value::as_array).unwrap();
    let separate = advice.iter().find(|advice| text(advice, "/code") == "BA101").unwrap();
    let commands = separate.to_string();
    for part in
        ["kubectl label node node-a node_for=models", "kubectl taint node node-a node_for=models:NoSchedule"]
    {
        assert!(commands.contains(part), "{part} in {commands}");
    }

    assert_eq!(text(&found, "/verification/verdict"), "improved", "{found}");
    assert_eq!(text(&found, "/verification/generator"), "ok");
    assert!(number(&found, "/verification/p99_ratio/hi") < 1.0);
    assert!(number(&found, "/verification/throughput_ratio/lo") > 1.0);
    let back =
        number(&found, "/verification/service_mean_usec") / number(&found, "/baseline/service_mean_usec");
    assert!((0.8..=1.2).contains(&back), "mean service time is {back} times the baseline's");
}

#[test]
fn nobody_is_blamed_when_nobody_is_there() {
    let Some(found) = run(&["--without", "scanner"]) else { return };
    one_model(&found);
    assert_eq!(text(&found, "/contention/0/verdict"), "nobody", "{found}");
    let advice = found.pointer("/advice").and_then(Value::as_array).unwrap();
    assert!(advice.iter().all(|advice| text(advice, "/code") != "BA101"), "{found}");
    assert_eq!(text(&found, "/verification/verdict"), "nothing_to_move");
}

#[test]
fn a_model_at_its_own_limit_blames_no_neighbour() {
    let Some(found) = run(&["--without", "scanner", "--model-cpu-limit", "0.3"]) else { return };
    one_model(&found);
    assert_eq!(text(&found, "/contention/0/verdict"), "self_throttled", "{found}");
    assert!(shares(&found).iter().all(|(who, _)| !who.contains('/')), "{found}");
}

#[test]
fn work_outside_every_cgroup_is_unowned() {
    let Some(found) = run(&["--without", "scanner", "--stray"]) else { return };
    one_model(&found);
    assert_eq!(text(&found, "/contention/0/verdict"), "unowned", "{found}");
    assert_eq!(shares(&found)[0].0, "unowned", "{found}");
}

#[test]
fn two_scanners_are_named_in_the_right_order() {
    let Some(found) = run(&["--scanners", "2"]) else { return };
    one_model(&found);
    let named: Vec<_> = shares(&found).into_iter().filter(|(who, _)| who.contains("scanner")).collect();
    assert_eq!(named.len(), 2, "{found}");
    assert!(named[0].0.contains("scanner-1") && named[0].1 > named[1].1, "{found}");
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("log");
    let mut child = demo().stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    let ended = wait_for("the model to serve", DEADLINE, || {
        let ended = child.try_wait().unwrap();
        (ended.is_some() || said().contains("A model serves")).then_some(ended)
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(3), "{}", said());
        eprintln!("not run: {}", said());
        return;
    }
    let name = format!("berth-demo-{}-", child.id());
    let groups = || left_behind().into_iter().filter(|group| group.starts_with(&name)).count();
    assert_eq!(groups(), 3);
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(6), "{}", said());
    assert_eq!(groups(), 0);
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left_behind() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    demo();
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    let output =
        command.args(["demo", "--listen", &address.to_string(), "--http", "127.0.0.1:0"]).output().unwrap();
    if cannot_run(&output) {
        return;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
    assert_eq!(left_behind(), BTreeSet::new());
}

#[test]
fn a_flag_that_makes_no_sense_is_a_usage_error() {
    for (flags, said) in [
        ("--model-cpu-limit 0", "from 0.05 to 64 CPUs"),
        ("--seconds 1", "10..=600"),
        ("--scanners -1", "1..=8"),
        ("--without model", "scanner"),
        ("--without scanner --scanners 2", "cannot be used with"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        let output = command.arg("demo").args(flags.split(' ')).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(said), "{flags}: {stderr}");
    }
}
