//! `berth load` against a target of its own.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::program::{Ended, Running, berth, run};
use crate::target::Target;

/// A file with one row of the Predict API, and the flags to send it.
struct Rows {
    _dir: TempDir,
    path: String,
}

impl Rows {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        fs::write(&path, "a,b,answer\n1,2,yes\n").unwrap();
        Self { path: path.to_str().unwrap().to_owned(), _dir: dir }
    }

    fn load<'a>(&'a self, url: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
        [&["load", url, "--payload", &self.path, "--label-column", "answer"], flags].concat()
    }
}

#[test]
fn a_run_counts_every_request_and_measures_it() {
    let (target, rows) = (Target::answering("200 OK"), Rows::new());
    let ended = run(berth(&rows.load(&target.url(), &["--rate", "100", "-z", "500ms", "-o", "json"])));
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["scheduled"], &report["completed"]), (&50.into(), &50.into()));
    assert_eq!((&report["ended"], &report["rate"]), (&"completed".into(), &"100".into()));
    assert_eq!((&report["statuses"]["200"], &report["received_bytes"]), (&50.into(), &(50 * 31).into()));
    assert!(report["response_usec"]["p99"].as_u64().unwrap() > 0);
    // A busy machine may hold the generator back, and then it has to say so.
    let expected = if report["verdict"] == "ok" { 0 } else { 5 };
    assert_eq!(ended.code, Some(expected), "{}", ended.stderr);
}

#[test]
fn a_closed_run_finds_a_throughput() {
    let (target, rows) = (Target::answering("200 OK"), Rows::new());
    let ended = run(berth(&rows.load(&target.url(), &["-c", "2", "-z", "300ms"])));
    assert!(ended.stdout.contains("2 requests in flight, closed, over at most 2 connections"));
    assert!(ended.stdout.contains("Requests/sec:"), "{}", ended.stdout);
}

#[test]
fn what_it_prints_is_as_its_schema_says() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/load.json");
    let schema: serde_json::Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let (target, broken, rows) = (Target::answering("200 OK"), Target::answering("500 No"), Rows::new());
    let poisson = &["--rate", "90", "--arrivals", "poisson", "-z", "200ms", "--slo", "p99<1us,errors<1%"][..];
    for (url, flags) in [(target.url(), poisson), (broken.url(), &["-n", "9"])] {
        let ended = run(berth(&[rows.load(&url, flags), vec!["-o", "json"]].concat()));
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let wrong: Vec<String> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {report}");
    }
}

#[test]
fn without_a_rate_it_is_called_and_counts_as_hey() {
    let target = Target::answering("202 Accepted");
    for (flags, requests) in [(&[][..], 200), (&["-n", "7", "-c", "60"], 7)] {
        let url = target.url();
        let ended = run(berth(&[&["load", &url, "-o", "json"], flags].concat()));
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&report["completed"], &report["rate"]), (&requests.into(), &serde_json::Value::Null));
        assert_eq!((&report["statuses"]["202"], &report["check"]), (&requests.into(), &"status".into()));
    }
}

#[test]
fn a_payload_goes_out_once_in_any_order() {
    let target = Target::answering("200 OK");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.ndjson");
    fs::write(&path, "[1]\n[2]\n[3]\n").unwrap();
    let (url, path) = (target.url(), path.to_str().unwrap());
    let ended =
        run(berth(&["load", &url, "--payload", path, "--order", "once", "--rate", "100", "-o", "json"]));
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["completed"], &report["check"]), (&3.into(), &"predict".into()));
}

#[test]
fn a_target_that_is_not_there_is_named_in_one_line_and_exits_3() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/predict");
    let ended = run(berth(&Rows::new().load(&url, &["--rate", "1"])));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(&url) && ended.stderr.contains("start the service"), "{}", ended.stderr);
}

#[test]
fn a_run_without_one_success_is_invalid_and_says_what_failed() {
    let (target, rows) = (Target::answering("500 Oh No"), Rows::new());
    let ended = run(berth(&rows.load(&target.url(), &["--rate", "20", "-z", "200ms", "--check", "status"])));
    assert_eq!(ended.code, Some(5));
    assert!(ended.stdout.contains("[4]\tstatus_5xx"), "{}", ended.stdout);
    assert!(ended.stdout.contains("[500]\t4 responses"), "{}", ended.stdout);
}

#[test]
fn an_objective_that_is_missed_is_exit_code_4_and_one_that_is_none_is_refused() {
    let (target, rows) = (Target::answering("200 OK"), Rows::new());
    let url = target.url();
    let load =
        |slo| run(berth(&rows.load(&url, &["--rate", "50", "-z", "300ms", "-o", "json", "--slo", slo])));
    let told = |ended: &Ended| -> serde_json::Value { serde_json::from_str(&ended.stdout).unwrap() };
    let (met, missed) = (load("p50<9s,errors<1%"), load("throughput>1000000"));
    for (ended, code) in [(&met, 0), (&missed, 4)] {
        // A busy machine may hold the generator back: then the objectives are not the target's.
        let expected = if told(ended)["verdict"] == "ok" { code } else { 5 };
        assert_eq!(ended.code, Some(expected), "{} {}", ended.stdout, ended.stderr);
    }
    assert_eq!(told(&met)["objectives"][1]["objective"], "errors<1%");
    assert_eq!(told(&missed)["objectives"][0]["met"], false);
    let refused = load("p99<50");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("a number and us, ms or s"), "{}", refused.stderr);
}

#[test]
fn ctrl_c_ends_a_run_with_what_it_measured_so_far() {
    let (target, rows) = (Target::answering("200 OK"), Rows::new());
    let url = target.url();
    let load = Running::start(berth(&rows.load(&url, &["--rate", "50", "-z", "1h"])));
    target.until_requested();
    load.interrupt();
    let ended = load.end();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stdout.contains("stopped before its end"), "{}", ended.stdout);
}

#[test]
fn a_second_ctrl_c_ends_a_run_that_waits_for_answers() {
    let (target, rows) = (Target::silent(), Rows::new());
    let url = target.url();
    let mut load = Running::start(berth(&rows.load(&url, &["--rate", "50", "--timeout", "5m"])));
    target.until_requested();
    load.interrupt();
    assert!(load.stderr_line().contains("waiting for the answers in flight"));
    load.interrupt();
    let ended = load.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""));
}

#[test]
fn a_command_line_that_makes_no_run_exits_2_with_the_mend() {
    let rows = Rows::new();
    let url = "http://127.0.0.1:9/predict";
    for (args, mend) in [
        (rows.load(url, &["--rate", "1", "-q", "1"]), "cannot be used with"),
        (rows.load(url, &["--rate", "-5"]), "give one from 0.000001/s"),
        (rows.load(url, &["--rate", "10..fast"]), "10..500 for one that rises"),
        (rows.load(url, &["-q", "NaN"]), "give one from 0.000001/s"),
        (rows.load(url, &["-n", "0"]), "--requests"),
        (rows.load(url, &["-d", "x"]), "cannot be used with"),
        (rows.load(url, &["-H", "no colon"]), "write 'NAME: VALUE'"),
        (rows.load(url, &["-H", "a b: c"]), "letters, digits and dashes"),
        (rows.load(url, &["-m", "GET /"]), "a method such as GET"),
        (vec!["load", url, "--order", "once"], "--payload"),
        (vec!["load", url, "--protocol", "v1"], "--payload"),
        (vec!["load", url, "-D", "none.json"], "none.json"),
        (rows.load(url, &["--rate", "1", "-z", "10"]), "such as 10s"),
        (rows.load("ftp://127.0.0.1/", &["--rate", "1"]), "http://host:port/path"),
        (rows.load(url, &["--rate", "1", "--label-column", "none"]), "cannot be used multiple times"),
        (vec!["load", url, "--rate", "1", "--payload", "none.csv"], "none.csv"),
    ] {
        let ended = run(berth(&args));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains(mend), "{args:?}: {}", ended.stderr);
    }
}
