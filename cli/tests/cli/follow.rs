//! Commands that go on: `report -w` and `top`.

use std::process::Command;

use crate::aggregator::{Aggregator, Script, port};
use crate::program::{Running, berth};
use crate::sample;
use crate::terminal::Terminal;
use berth::wire;
use berth::wire::episode_event::Event;

fn reset(incarnation: &str, revision: u64) -> Event {
    Event::Reset(wire::WatchReset { incarnation: incarnation.to_owned(), revision })
}

fn revision(revision: u64) -> Event {
    Event::Episode(wire::Episode { revision, ..sample::episode() })
}

fn of(events: Vec<Event>) -> Script {
    Script { events, ..Script::default() }
}

#[test]
fn a_watch_goes_on_where_it_was_after_the_aggregator_restarts() {
    let port = port();
    let first = Aggregator::on(&port, of(vec![reset("a", 11), revision(12)]), None);
    let url = first.url().to_owned();
    let watch = Running::start(berth(&["report", "-w", "-o", "json", "--server", &url]));
    let line = || serde_json::from_str::<serde_json::Value>(&watch.line()).unwrap();
    assert_eq!(line(), serde_json::json!({"event": "reset", "incarnation": "a", "revision": 11}));
    let episode = line();
    assert_eq!((&episode["event"], &episode["revision"]), (&"episode".into(), &12.into()));

    drop(first);
    let second = Aggregator::on(&port, of(vec![reset("b", 0), revision(1)]), None);
    assert_eq!(line()["incarnation"], "b");
    assert_eq!(line()["revision"], 1);
    let asked = &second.watched()[0];
    assert_eq!((asked.incarnation.as_str(), asked.after_revision), ("a", 12));

    watch.interrupt();
    let ended = watch.end();
    assert_eq!(ended.code, Some(6));
    assert!(ended.stderr.contains("lost the aggregator"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the aggregator was restarted"), "{}", ended.stderr);
}

#[test]
fn a_watch_prints_a_line_a_revision_for_people() {
    let aggregator = Aggregator::start(of(vec![reset("a", 11), revision(12)]));
    let watch = Running::start(berth(&["report", "-w", "--server", aggregator.url()]));
    assert!(watch.line().contains("neighbour contended 1.8x [1.6, 2.1]"));
    watch.interrupt();
    let ended = watch.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), ""), "the first reset is no news");
}

fn sampled() -> Script {
    let subject = wire::Subject {
        id: "1".to_owned(),
        node: "node-1".to_owned(),
        who: Some(sample::who("scanner-a", wire::Role::Scanner)),
        live: true,
        ..wire::Subject::default()
    };
    let series = wire::SampleSeries {
        subject_id: "1".to_owned(),
        group: wire::Group::ContainerMemory.into(),
        values: vec![1_048_576],
        ..wire::SampleSeries::default()
    };
    let samples = wire::SampleChunk {
        node: "node-1".to_owned(),
        times_unix_nsec: vec![1_760_000_000_000_000_000],
        series: vec![series],
    };
    Script { subjects: vec![subject], samples: vec![samples], ..Script::default() }
}

#[test]
fn top_writes_plain_lines_where_stdout_is_no_terminal() {
    let aggregator = Aggregator::start(sampled());
    let top = Running::start(berth(&["top", "--server", aggregator.url()]));
    assert!(top.line().starts_with("TIME "));
    for _ in 0..2 {
        assert!(top.line().starts_with("2025-10-09T08:53:20Z   node-1   scans/scanner-a"));
    }
    top.interrupt();
    assert_eq!(top.end().code, Some(6));
}

#[test]
fn ctrl_c_gives_the_terminal_back_as_it_was() {
    let aggregator = Aggregator::start(sampled());
    let (mut terminal, stdout) = Terminal::open();
    let mut command = berth(&["top", "--server", aggregator.url()]);
    command.stdout(stdout);
    let top = Running::start_on_terminal(command);
    terminal.until("scans/scanner-a");
    assert!(terminal.seen.contains("\u{1b}[?1049h\u{1b}[?25l"), "{:?}", terminal.seen);
    top.interrupt();
    terminal.until("\u{1b}[?25h\u{1b}[?1049l");
    assert_eq!(top.end().code, Some(6));
}

#[test]
fn a_closed_terminal_ends_a_command_as_ctrl_c_does() {
    let aggregator = Aggregator::start(sampled());
    // Whoever runs the tests may ignore it, as `nohup` does, and so would the program then.
    let mut heedful = Command::new("env");
    heedful.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_berth"), "top", "--server", aggregator.url()]);
    let top = Running::start(heedful);
    top.line();
    top.hang_up();
    assert_eq!(top.end().code, Some(6));
}

#[test]
fn a_reader_that_had_enough_is_no_failure() {
    let aggregator = Aggregator::start(sampled());
    let mut top = Running::start(berth(&["top", "--server", aggregator.url()]));
    top.line();
    top.stop_reading();
    let ended = top.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
