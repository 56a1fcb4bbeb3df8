//! Commands that ask once: what they print, and how they exit.

use crate::aggregator::{Aggregator, Script};
use crate::program::{Ended, Running, berth, run};
use crate::sample;
use crate::terminal::Terminal;
use berth::wire;

fn script() -> Script {
    let subject = |pod: &str, role, reason: &str| wire::Subject {
        id: pod.to_owned(),
        node: "node-1".to_owned(),
        who: Some(sample::who(pod, role)),
        role_reason: reason.to_owned(),
        live: true,
        ..wire::Subject::default()
    };
    let model = sample::who("ref-models-x1", wire::Role::Model);
    Script {
        models: vec![sample::quiet_model(), sample::model()],
        episodes: vec![sample::episode()],
        advice: vec![sample::advice()],
        subjects: vec![
            subject("scanner-a", wire::Role::Scanner, "selector scans"),
            wire::Subject {
                who: Some(model),
                ..subject("ref-models-x1", wire::Role::Model, "label berth.dev/role")
            },
            subject("nightly-x9", wire::Role::Other, "no label and no selector matches"),
        ],
        samples: vec![samples()],
        ..Script::default()
    }
}

/// Two seconds in which the model used 1.5 CPUs, the scanner 0.5 and the third nothing.
fn samples() -> wire::SampleChunk {
    let usage = |subject: &str, usec: i64| wire::SampleSeries {
        subject_id: subject.to_owned(),
        group: wire::Group::ContainerCpu.into(),
        values: vec![1_000, 1_000 + usec],
        ..wire::SampleSeries::default()
    };
    wire::SampleChunk {
        node: "node-1".to_owned(),
        times_unix_nsec: vec![1_760_000_000_000_000_000, 1_760_000_001_000_000_000],
        series: vec![usage("ref-models-x1", 1_500_000), usage("scanner-a", 500_000), usage("nightly-x9", 0)],
    }
}

fn ask(script: Script, args: &[&str]) -> Ended {
    let aggregator = Aggregator::start(script);
    run(berth(&[args, &["--server", aggregator.url()]].concat()))
}

fn json(ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.stdout.lines().count(), 1, "one object on one line: {}", ended.stdout);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_report_of_a_hurt_model_puts_it_first_and_exits_1() {
    let ended = ask(script(), &["report"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let rows: Vec<&str> = ended.stdout.lines().collect();
    assert!(
        rows[1].starts_with("refmodels/ref-models-x1   node-1   neighbour   contended   1.8x [1.6, 2.1]")
    );
    assert!(rows[1].ends_with("2025-10-09T08:53:20Z"), "since its episode's onset: {}", rows[1]);
    assert!(rows[5].starts_with("8f3a09c1 "), "{}", rows[5]);
}

#[test]
fn a_report_of_models_that_nobody_hurts_exits_0_and_says_what_the_aggregator_noted() {
    let quiet = Script {
        models: vec![sample::quiet_model()],
        notes: vec!["node-2 was last heard 40 s ago".to_owned()],
        ..Script::default()
    };
    let ended = ask(quiet, &["report", "--open"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), "node-2 was last heard 40 s ago\n"));
    assert!(ended.stdout.contains("1.02x [1.00, 1.04]"));
}

#[test]
fn a_terminal_gets_colours_unless_no_color_is_set_and_not_empty() {
    for (no_color, coloured) in [("", true), ("1", false)] {
        let aggregator = Aggregator::start(script());
        let (mut terminal, stdout) = Terminal::open();
        let mut command = berth(&["report", "--server", aggregator.url()]);
        command.env("NO_COLOR", no_color).stdout(stdout);
        let report = Running::start_on_terminal(command);
        terminal.until("8f3a09c1");
        assert_eq!(terminal.seen.contains("\u{1b}[33m"), coloured, "NO_COLOR={no_color}: {}", terminal.seen);
        assert_eq!(report.end().code, Some(1));
    }
}

#[test]
fn the_keys_of_json_never_change() {
    insta::assert_json_snapshot!("report", json(&ask(script(), &["report", "-o", "json"])));
    insta::assert_json_snapshot!("explain", json(&ask(script(), &["explain", "8f", "-o", "json"])));
    insta::assert_json_snapshot!("advise", json(&ask(script(), &["advise", "-o", "json"])));
    insta::assert_json_snapshot!("roles", json(&ask(script(), &["roles", "--suggest", "-o", "json"])));
    insta::assert_json_snapshot!("top", json(&ask(script(), &["top", "--once", "-o", "json"])));
}

#[test]
fn samples_are_a_value_a_line_with_the_name_of_what_they_are_of() {
    let ended = ask(script(), &["samples"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 1 + 6, "a header, and two seconds of three containers");
    assert_eq!(
        lines[2],
        "2025-10-09T08:53:21Z   node-1   refmodels/ref-models-x1   usage_usec   1501000   -   -"
    );
    let ended = ask(script(), &["samples", "-o", "json"]);
    let first: serde_json::Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    insta::assert_json_snapshot!("samples", first);
}

#[test]
fn yaml_has_the_keys_of_json_and_names_are_what_kubectl_calls_them() {
    let yaml = ask(script(), &["explain", "8f", "-o", "yaml"]);
    assert!(yaml.stdout.starts_with("---\nid: 8f3a09c1d2e4b567\nrevision: 12\n"), "{}", yaml.stdout);
    assert_eq!(ask(script(), &["advise", "-o", "name"]).stdout, "advice/7f3a9c1\n");
    let roles = ask(script(), &["roles", "-o", "name"]);
    assert_eq!(roles.stdout, "pod/ref-models-x1\npod/nightly-x9\npod/scanner-a\n");
    assert_eq!(ask(script(), &["top", "-o", "name"]).code, Some(2));
}

#[test]
fn an_episode_is_explained_by_the_beginning_of_its_id() {
    let ended = ask(script(), &["explain", "8F3A"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.starts_with("episode     8f3a09c1d2e4b567 (open, revision 12)"), "{}", ended.stdout);
}

#[test]
fn an_id_that_nobody_has_is_a_usage_error_in_one_line() {
    let ended = ask(script(), &["explain", "ffff"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert_eq!(ended.stderr, "error: no episode begins with ffff\n");
}

#[test]
fn advice_exits_1_and_no_advice_exits_0_with_the_reason() {
    let ended = ask(script(), &["advise"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("kubectl taint node node-1 a=b:NoSchedule"));
    let none = Script { notes: vec!["the cluster is not watched".to_owned()], ..Script::default() };
    let ended = ask(none, &["advise", "--code", "BA101"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "no advice\n"));
    assert_eq!(ended.stderr, "the cluster is not watched\n");
}

#[test]
fn advice_of_another_code_is_not_asked_for() {
    assert_eq!(ask(script(), &["advise", "--code", "BA999"]).code, Some(0));
}

#[test]
fn roles_come_with_their_reasons_and_suggestions_can_be_pasted() {
    let ended = ask(script(), &["roles"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("label berth.dev/role"));
    let ended = ask(script(), &["roles", "--suggest"]);
    assert!(ended.stdout.contains("\nkubectl label job -n scans scan berth.dev/role=scanner\n"));
}

#[test]
fn a_cluster_without_a_model_is_told_so() {
    let mut none = script();
    none.subjects.remove(1);
    let ended = ask(none, &["roles"]);
    assert!(ended.stderr.contains("no container has the role model"), "{}", ended.stderr);
}

#[test]
fn a_node_that_has_not_reported_is_a_usage_error_that_names_those_that_have() {
    let node = wire::NodeStatus { node: "node-1".to_owned(), ..wire::NodeStatus::default() };
    let ended = ask(Script { nodes: vec![node], ..script() }, &["top", "--once", "--node", "nope"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert_eq!(ended.stderr, "error: no node \"nope\" has reported; those that have: node-1\n");
}

#[test]
fn one_table_of_top_shows_each_containers_use_and_the_models_wait() {
    let ended = ask(script(), &["top", "--once"]);
    assert_eq!(ended.code, Some(0));
    let rows: Vec<String> =
        ended.stdout.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        rows[1..],
        [
            "node-1 refmodels/ref-models-x1 model 1.50 - - 840 1.8x [1.6, 2.1]",
            "node-1 scans/scanner-a scanner 0.50 - - - -",
            "node-1 scans/nightly-x9 other 0.00 - - - -",
        ]
    );
}
