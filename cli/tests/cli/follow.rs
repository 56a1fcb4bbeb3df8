//! Commands that go on: `report -w` and `top`.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use crate::aggregator::{Aggregator, Script, port};
use crate::program::{Running, berth};
use crate::sample;
use berth::wire;
use berth::wire::episode_event::Event;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

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
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let stdout = File::options().read(true).write(true).open(name).unwrap();
    let mut command = berth(&["top", "--server", aggregator.url()]);
    command.stdout(Stdio::from(stdout));
    let top = Running::start_on_terminal(&mut command);
    // Only the program still holds the terminal's other side, so its end is seen.
    drop(command);
    let mut screen = Screen { terminal: File::from(terminal), seen: String::new() };
    screen.until("scans/scanner-a");
    assert!(screen.seen.contains("\u{1b}[?1049h\u{1b}[?25l"), "{:?}", screen.seen);
    top.interrupt();
    screen.until("\u{1b}[?25h\u{1b}[?1049l");
    assert_eq!(top.end().code, Some(6));
}

struct Screen {
    terminal: File,
    seen: String,
}

impl Screen {
    /// Reads until the text was shown; fails when the terminal is closed before.
    fn until(&mut self, text: &str) {
        let mut buffer = [0; 4_096];
        while !self.seen.contains(text) {
            let count = self.terminal.read(&mut buffer).expect("the program ended before it showed the text");
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
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
