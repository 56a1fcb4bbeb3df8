//! `scanner`, with and without a model to call.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::refmodel::Refmodel;
use crate::running::Running;

const EXE: &str = env!("CARGO_BIN_EXE_scanner");

/// What the scanner says at its end.
#[derive(Debug, PartialEq)]
struct Summary {
    rows: u64,
    calls: u64,
    errors: u64,
}

impl Summary {
    fn parse(line: &str) -> Self {
        let number = |after: &str| {
            let rest = line.split_once(after).expect(after).1;
            rest.split([',', ' ']).next().unwrap().parse().unwrap()
        };
        Self { rows: number("rows scored "), calls: number("calls made "), errors: number("call errors ") }
    }
}

/// Runs it to its own end: what it said before its summary, and the summary.
fn scan(args: &[&str]) -> (Vec<String>, Summary) {
    let mut scanner = Running::start(EXE, args);
    let (code, mut said) = scanner.end();
    assert_eq!(code, Some(0), "{said:?}");
    let summary = Summary::parse(&said.pop().unwrap());
    (said, summary)
}

/// A model that answers at once and counts its calls.
fn counting_model() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/any/predict", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicU64::new(0));
    let counter = calls.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
            // A scanner that has ended does not read its last answer.
            drop(answer_one(stream.unwrap()));
        }
    });
    (url, calls)
}

fn answer_one(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        let lower = line.to_lowercase();
        length = lower.strip_prefix("content-length: ").map_or(length, |text| text.trim().parse().unwrap());
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let answer = r#"{"payload":{"predictions":[1]}}"#;
    write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
}

#[test]
fn calls_keep_their_rate_and_never_exceed_it_while_every_cpu_is_busy() {
    let (url, calls) = counting_model();
    let args = ["--calls-per-sec", "10", "--seconds", "1.5", "--concurrency", "4", "--model-url", &url];
    let (_, summary) = scan(&args);
    assert!(summary.calls <= 15, "{summary:?}");
    assert!(summary.calls >= 8, "half the rate is lost: {summary:?}");
    assert_eq!(summary.errors, 0);
    assert!(summary.rows > 0);
    // The last call may have been cut off before it reached the model.
    let received = calls.load(Ordering::Relaxed);
    assert!(received <= summary.calls && received + 1 >= summary.calls, "{received} of {summary:?}");
}

#[test]
fn the_real_model_answers_every_call() {
    let model = Refmodel::start(&[]);
    let url = format!("http://{}/breast_cancer/predict", model.address);
    let (said, summary) = scan(&["--calls-per-sec", "5", "--seconds", "1.1", "--model-url", &url]);
    assert!(summary.calls >= 2 && summary.errors == 0, "{summary:?}");
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn an_unreachable_model_is_warned_of_once_and_the_scoring_goes_on() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/any/predict");
    let (said, summary) = scan(&["--calls-per-sec", "50", "--seconds", "0.5", "--model-url", &url]);
    assert!(summary.errors > 1 && summary.rows > 0, "{summary:?}");
    assert_eq!(
        said.iter().filter(|line| line.contains("warning") && line.contains(&url)).count(),
        1,
        "{said:?}"
    );
}

#[test]
fn an_answer_without_a_prediction_is_an_error() {
    let model = Refmodel::start(&[]);
    let url = format!("http://{}/no_such_model/predict", model.address);
    let (said, summary) = scan(&["--calls-per-sec", "20", "--seconds", "0.5", "--model-url", &url]);
    assert!(summary.errors > 0, "{summary:?}");
    assert!(said.iter().any(|line| line.contains("404")), "{said:?}");
}

#[test]
fn sigterm_ends_it_with_one_line_of_summary() {
    let mut scanner = Running::start(EXE, &["--concurrency", "2"]);
    assert!(scanner.line().contains("concurrency 2"));
    scanner.terminate();
    let (code, said) = scanner.end();
    assert_eq!((code, said.len()), (Some(0), 1), "{said:?}");
    assert_eq!(Summary::parse(&said[0]), Summary { calls: 0, errors: 0, ..Summary::parse(&said[0]) });
}

#[test]
fn a_file_that_cannot_be_read_and_a_url_that_cannot_be_called_are_named() {
    for (args, code, says) in [
        (["--rows", "/no/such/file.csv"], 3, "read /no/such/file.csv"),
        (["--model-url", "https://model/predict"], 2, "http://127.0.0.1:5111"),
        (["--calls-per-sec", "0"], 2, "above 0.001"),
    ] {
        let (ended, said) = Running::start(EXE, &args).end();
        assert_eq!(ended, Some(code), "{said:?}");
        assert!(said.join("\n").contains(says), "{said:?}");
    }
}
