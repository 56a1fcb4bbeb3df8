//! Traces: recorded from an aggregator, kept in a file, replayed.

#[expect(dead_code, reason = "a trace is made of one scene; the detector's own tests play them all")]
#[path = "../../../aggregator/core/tests/contention/sim.rs"]
mod sim;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use berth::trace::{Entry, Header, RawThreads};
use berth::{CgroupVersion, NodeFacts, NodeName, wire};
use berth_cli::trace::{TraceError, Writer, read};
use berth_core::contention::Input;
use berth_core::frame::{Frame, Late, Limits, Pressure, ThreadReading, ThreadUse, Throttling};
use berth_core::trace::Encoder;
use berth_core::who::Role;
use flate2::Compression;
use flate2::write::GzEncoder;
use sim::{Node, START, Thread, Work, container};
use tempfile::TempDir;
use tonic::Status;

use crate::aggregator::{Aggregator, Script};
use crate::program::{Running, berth, run};

fn header() -> Entry {
    let facts = NodeFacts {
        cpus: 1,
        cpu_list: "0".to_owned(),
        memory_bytes: 8 << 30,
        cgroup_version: CgroupVersion::V2,
        pressure: true,
        thread_waits: true,
        kernel: "simulated".to_owned(),
        gpus: 0,
        hidden_processes: 0,
    };
    let (berth_version, node) = ("0.1.0".to_owned(), NodeName::new("node-1").unwrap());
    Entry::Header(Box::new(Header {
        berth_version,
        node,
        facts,
        start_unix_nsec: START.0,
        named: true,
        threads: false,
    }))
}

/// What a real node would have told beside the simulator's figures, so that the golden trace has a
/// value of each kind.
fn told_more(mut frame: Frame) -> Frame {
    frame.node_pressure = Some(Pressure { cpu_some_usec: frame.tick % 7, ..Pressure::default() });
    frame.available_bytes = Some(4 << 30);
    for container in &mut frame.containers {
        container.pressure = Some(Pressure::default());
        container.throttling = Some(Throttling { periods: 1, ..Throttling::default() });
        container.memory_bytes = Some(100 << 20);
        container.limits = Some(Limits { cpu_weight: Some(100), ..Limits::default() });
    }
    frame
}

/// A model alone, beside a scanner from 5 s to 15 s, and alone again; and some late news.
fn inputs() -> Vec<Input> {
    let model = container("model", Role::Model, [Thread::new(Work::Serve { service: 5, every: 21 })]);
    let scan = container("scan", Role::Scanner, [Thread::new(Work::Hog).during(5_000, 15_000)]);
    let frames = Node::new(1, vec![model, scan]).play(20_000).frames;
    let late = |frame: &Frame| {
        let add = ThreadUse { wait_nsec: 1_000_000, ..ThreadUse::default() };
        Input::Late(Late { tick: frame.tick, key: frame.containers[0].key, add })
    };
    let each = frames.into_iter().flat_map(|frame| {
        let now = frame.at;
        let late = frame.tick.is_multiple_of(50).then(|| late(&frame));
        [Input::Frame(told_more(frame))].into_iter().chain(late).chain([Input::Step(now)])
    });
    each.collect()
}

fn entries() -> Vec<Entry> {
    let mut encoder = Encoder::new(START);
    let inputs = inputs();
    let entries = inputs.iter().flat_map(|input| encoder.encode(input).unwrap());
    [header()].into_iter().chain(entries).collect()
}

fn write(path: &Path) {
    let mut writer = Writer::create(path).unwrap();
    for entry in entries() {
        writer.write(entry).unwrap();
    }
    writer.finish().unwrap();
}

/// The same trace, in which single threads were recorded too.
fn entries_with_threads() -> Vec<Entry> {
    let mut with = Vec::new();
    for mut entry in entries() {
        let mut raw = None;
        if let Entry::Header(header) = &mut entry {
            header.threads = true;
        } else if let Entry::Frame(frame) = &entry {
            let threads = vec![ThreadReading { tid: 4_711, run_nsec: 5_000_000, wait_nsec: 1_000_000 }];
            let (at, key) = (frame.at, frame.containers[0].key);
            raw = Some(Entry::RawThreads(RawThreads { at, key, dt_nsec: 20_000_000, threads, lost: 1 }));
        }
        with.push(entry);
        with.extend(raw);
    }
    with
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/traces").join(name)
}

fn replay(path: &Path, flags: &[&str]) -> crate::program::Ended {
    run(berth(&[&["replay", path.to_str().unwrap()], flags].concat()))
}

#[test]
fn the_trace_that_is_kept_is_what_the_simulator_plays_and_replays_to_the_same_bytes() {
    let (trace, verdicts) = (fixture("scanner.trace"), fixture("scanner.jsonl"));
    if std::env::var_os("BERTH_UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(trace.parent().unwrap()).unwrap();
        write(&trace);
        fs::write(&verdicts, replay(&trace, &["-o", "json"]).stdout).unwrap();
    }
    let kept: Vec<Input> = read(&trace).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept, inputs(), "run the test with BERTH_UPDATE_GOLDEN=1 and read the difference");
    let replayed = replay(&trace, &["-o", "json"]);
    assert_eq!((replayed.code, replayed.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        replayed.stdout,
        fs::read_to_string(verdicts).unwrap(),
        "if the detector was meant to change, BERTH_UPDATE_GOLDEN=1 writes what it says now"
    );
}

#[test]
fn a_replay_is_a_table_an_episode_a_line_or_each_revision() {
    let trace = fixture("scanner.trace");
    let table = replay(&trace, &[]).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("EPISODE    MODEL"), "{table}");
    assert!(lines[1].contains("demo/model-0/main   node-1   neighbour   severe"), "{table}");
    let revisions = replay(&trace, &["--revisions", "-o", "json"]).stdout;
    let revisions: Vec<&str> = revisions.lines().collect();
    let episodes = replay(&trace, &["-o", "json"]).stdout;
    assert!(revisions.len() > 5 && revisions[0].contains("\"cleared\":null"), "{revisions:?}");
    assert_eq!(revisions.last(), episodes.lines().next().as_ref());
    assert_eq!(replay(&trace, &["-o", "name"]).stdout, "pod/model-0\n");
    assert_eq!(replay(&trace, &["-n", "demo", "-o", "json"]).stdout, episodes);
    assert_eq!(replay(&trace, &["-n", "other"]).stdout, "no episodes\n");
    assert_eq!(replay(&trace, &["-n", "other", "--revisions"]).stdout, "");
    let dir = TempDir::new().unwrap();
    let nameless = dir.path().join("nameless.trace");
    let mut writer = Writer::create_new(&nameless).unwrap();
    let mut header = header();
    if let Entry::Header(header) = &mut header {
        header.named = false;
    }
    writer.write(header).unwrap();
    drop(writer.finish().unwrap());
    let refused = replay(&nameless, &["-n", "demo"]);
    assert_eq!((refused.code, refused.stderr.contains("without --names")), (Some(2), true));
    assert_eq!(replay(&nameless, &[]).stdout, "no episodes\n");
}

#[test]
fn the_verdicts_of_a_trace_with_single_threads_are_the_same_to_the_byte() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("threads.trace");
    let mut writer = Writer::create(&path).unwrap();
    for entry in entries_with_threads() {
        writer.write(entry).unwrap();
    }
    writer.finish().unwrap();
    for flags in [&["-o", "json"][..], &["--revisions", "-o", "json"]] {
        let (with, without) = (replay(&path, flags), replay(&fixture("scanner.trace"), flags));
        assert_eq!((with.code, with.stderr.as_str()), (Some(0), ""));
        assert!(!with.stdout.is_empty());
        assert_eq!(with.stdout, without.stdout);
    }
}

struct Recorder {
    dir: TempDir,
    aggregator: Aggregator,
}

impl Recorder {
    fn start(trace_end: Option<Status>) -> Self {
        Self::of(entries(), trace_end)
    }

    fn of(entries: Vec<Entry>, trace_end: Option<Status>) -> Self {
        let node = wire::NodeStatus { node: "node-1".to_owned(), ..wire::NodeStatus::default() };
        let trace = entries.into_iter().map(wire::TraceEntry::from).collect();
        let script = Script { nodes: vec![node], trace, trace_end, ..Script::default() };
        Self { dir: TempDir::new().unwrap(), aggregator: Aggregator::start(script) }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("node.trace")
    }

    fn part(&self) -> PathBuf {
        self.dir.path().join("node.trace.part")
    }

    fn command(&self, flags: &[&str]) -> std::process::Command {
        let file = self.file();
        let command = ["trace", "record", "-o", file.to_str().unwrap(), "--server", self.aggregator.url()];
        berth(&[&command, flags].concat())
    }
}

fn held(path: &Path) -> Vec<Input> {
    read(path).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_recording_for_some_time_is_a_whole_file_of_all_that_came() {
    let recorder = Recorder::start(None);
    let ended = run(recorder.command(&["--for", "1s"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("node.trace: 1."), "{}", ended.stderr);
    assert_eq!(held(&recorder.file()), inputs());
    assert!(!recorder.part().try_exists().unwrap());
}

#[test]
fn single_threads_are_asked_for_by_flag_and_what_is_missing_of_them_is_said() {
    let recorder = Recorder::of(entries_with_threads(), None);
    let ended = run(recorder.command(&["--threads", "--for", "1s"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("recording node-1 with names, thread by thread"), "{}", ended.stderr);
    assert!(ended.stderr.contains("200 readings of threads are missing beside 200"), "{}", ended.stderr);
    assert_eq!(held(&recorder.file()), inputs());
    let older = Recorder::start(None);
    let ended = run(older.command(&["--threads", "--for", "1s"]));
    assert!(ended.stderr.contains("no thread was seen"), "{}", ended.stderr);
}

#[test]
fn ctrl_c_ends_a_recording_well_and_a_file_that_is_there_stays() {
    let recorder = Recorder::start(None);
    let mut running = Running::start_on_terminal(recorder.command(&[]));
    assert_eq!(running.stderr_line(), "recording node-1 with names\n");
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(read(&recorder.file()).unwrap().all(|input| input.is_ok()), "it is whole");

    let refused = run(recorder.command(&["--for", "1s"]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("is there already: --force overwrites it"), "{}", refused.stderr);
    let mut short = Running::start_on_terminal(recorder.command(&["--force", "--for", "1h"]));
    short.stderr_line();
    short.interrupt();
    assert_eq!(short.end().code, Some(6), "it was to last longer");
}

#[test]
fn what_is_no_file_is_never_replaced_and_neither_is_what_came_meanwhile() {
    let recorder = Recorder::start(None);
    std::fs::create_dir(recorder.file()).unwrap();
    let refused = run(recorder.command(&["--force", "--for", "1s"]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("is no file: give -o another name"), "{}", refused.stderr);
    std::fs::remove_dir(recorder.file()).unwrap();

    let mut running = Running::start_on_terminal(recorder.command(&[]));
    running.stderr_line();
    std::fs::write(recorder.file(), "precious").unwrap();
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("what was recorded is in"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(recorder.file()).unwrap(), "precious");
    assert!(read(&recorder.part()).unwrap().all(|input| input.is_ok()), "and it is whole");
}

#[test]
fn two_recordings_never_share_a_file_and_none_goes_to_stdout() {
    let recorder = Recorder::start(None);
    let mut first = Running::start_on_terminal(recorder.command(&[]));
    first.stderr_line();
    let second = run(recorder.command(&["--force", "--for", "1s"]));
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    assert!(second.stderr.contains("another recording writes to it"), "{}", second.stderr);
    first.interrupt();
    assert_eq!(first.end().code, Some(0));
    let held = held(&recorder.file());
    assert!(!held.is_empty() && inputs().starts_with(&held), "the second took nothing away");

    let mut first = Writer::create(&recorder.part()).unwrap();
    assert_eq!(Writer::create(&recorder.part()).err().unwrap().kind(), std::io::ErrorKind::WouldBlock);
    let there = Writer::create_new(&recorder.part()).err().unwrap().kind();
    assert_eq!(there, std::io::ErrorKind::AlreadyExists);
    first.write(header()).unwrap();
    let whole = first.finish().unwrap();
    let still = Writer::create(&recorder.part()).err().unwrap().kind();
    assert_eq!(still, std::io::ErrorKind::WouldBlock, "it is not renamed yet");
    drop(whole);

    let refused = run(berth(&["trace", "record", "-o", "-"]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("give -o FILE"), "{}", refused.stderr);
    let never = run(recorder.command(&["--for", "0s"]));
    assert_eq!(never.code, Some(2));
    assert!(never.stderr.contains("no time at all"), "{}", never.stderr);
}

#[test]
fn a_recording_that_is_cut_short_stays_beside_the_file_and_is_readable() {
    let recorder = Recorder::start(Some(Status::resource_exhausted("this recorder does not keep up")));
    let ended = run(recorder.command(&[]));
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("does not keep up") && ended.stderr.contains("node.trace.part"));
    assert!(!recorder.file().try_exists().unwrap());
    assert_eq!(held(&recorder.part()), inputs());
    let refused = run(recorder.command(&[]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("cut short; rename it"), "{}", refused.stderr);
}

#[test]
fn a_node_that_is_not_there_is_named_with_those_that_are() {
    let recorder = Recorder::start(None);
    let ended = run(recorder.command(&["--node", "node-9"]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("node-9") && ended.stderr.contains("node-1"), "{}", ended.stderr);
    let nowhere = run(berth(&["trace", "record"]));
    assert_eq!((nowhere.code, nowhere.stderr.contains("give -o FILE")), (Some(2), true));
}

#[test]
fn a_trace_that_was_cut_is_replayed_to_its_end_and_said_to_be_cut() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("cut.trace");
    let mut writer = Writer::create(&path).unwrap();
    let inputs = inputs();
    let (kept, lost) = inputs.split_at(200);
    let mut encoder = Encoder::new(START);
    writer.write(header()).unwrap();
    let mut write = |writer: &mut Writer, inputs: &[Input]| {
        for entry in inputs.iter().flat_map(|input| encoder.encode(input).unwrap()) {
            writer.write(entry).unwrap();
        }
    };
    write(&mut writer, kept);
    let readable = writer.flush().unwrap();
    write(&mut writer, lost);
    writer.finish().unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..usize::try_from(readable).unwrap()]).unwrap();

    let mut held: Vec<_> = read(&path).unwrap().collect();
    assert!(matches!(held.pop(), Some(Err(TraceError::Cut { .. }))));
    assert_eq!(held.into_iter().map(Result::unwrap).collect::<Vec<_>>(), kept);
    let replayed = replay(&path, &["-o", "json"]);
    assert_eq!(replayed.code, Some(0));
    assert!(replayed.stderr.contains("cut.trace is cut: it ends after"), "{}", replayed.stderr);
    assert!(replayed.stdout.contains("\"cleared\":null"), "{}", replayed.stdout);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn what_is_no_trace_is_refused_with_the_mend() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("bad.trace");
    let header = header().to_file();
    let newer: Vec<u8> = {
        // The header's first field is its format: 08 01.
        let at = header.windows(2).position(|pair| pair == [0x08, 0x01]).unwrap();
        header.iter().enumerate().map(|(index, byte)| if index == at + 1 { 9 } else { *byte }).collect()
    };
    let late = [header.clone(), header.clone()].concat();
    let endless = [header.as_slice(), &[0xff; 8]].concat();
    let mut spoilt = gzip(&header);
    let crc = spoilt.len() - 8;
    spoilt[crc] ^= 1;
    for (says, bytes) in [
        ("is no trace of berth: record one with", Vec::new()),
        ("is no trace of berth: record one with", b"{\"json\": true}".to_vec()),
        ("is no trace of berth: record one with", gzip(b"")),
        ("entry 1 cannot be read, so nothing after it is: entry: ", gzip(b"\x05hello")),
        ("use the version of berth that recorded it", gzip(&newer)),
        ("entry 2 cannot be read, so nothing after it is: header: a second one", gzip(&late)),
        ("header: a second one", [gzip(&header), gzip(&header)].concat()),
        ("entry 2 cannot be read, so nothing after it is: length: ", gzip(&endless)),
        ("bad.trace: corrupt", spoilt),
    ] {
        fs::write(&path, bytes).unwrap();
        let ended = replay(&path, &[]);
        assert_eq!(ended.code, Some(2), "{says}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    let nowhere = replay(&dir.path().join("nowhere"), &[]);
    assert_eq!((nowhere.code, nowhere.stderr.contains("nowhere")), (Some(2), true));
}

#[test]
fn where_no_agent_reports_nothing_is_written() {
    let recorder = Recorder { aggregator: Aggregator::start(Script::default()), ..Recorder::start(None) };
    let ended = run(recorder.command(&[]));
    assert_eq!(ended.code, Some(3), "no agent reports: {}", ended.stderr);
    assert!(!recorder.part().try_exists().unwrap() && !recorder.file().try_exists().unwrap());
}
