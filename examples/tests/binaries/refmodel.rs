//! `refmodel` over real HTTP.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use berth_examples::model::Model;
use berth_examples::rows::{self, Labelled};
use berth_examples::worker::{BODY_BYTES_MAX, PREDICT};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::running::{DEADLINE, Running};

/// More CPU than accepting and parsing a batch takes, and less than a twentieth of computing it.
const COMPUTING_NS: u64 = 10_000_000;

pub(crate) struct Refmodel {
    pub(crate) running: Running,
    pub(crate) address: String,
}

impl Refmodel {
    pub(crate) fn start(args: &[&str]) -> Self {
        let args = [&["--bind", "127.0.0.1:0"], args].concat();
        let running = Running::start(env!("CARGO_BIN_EXE_refmodel"), &args);
        let address = running.line().strip_prefix("listening on ").unwrap().to_owned();
        Self { running, address }
    }

    /// Sends a request and leaves its answer to be read.
    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: refmodel\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    /// Sends a batch, and returns once a worker computes it.
    fn occupy(&self) -> TcpStream {
        let idle_ns = cpu_ns(self.running.pid());
        let busy = self.send("POST", PREDICT, &batch(&rows::load(None).unwrap()[..50]));
        let start = Instant::now();
        while cpu_ns(self.running.pid()) < idle_ns + COMPUTING_NS {
            assert!(start.elapsed() < DEADLINE, "the batch never started");
            std::thread::yield_now();
        }
        busy
    }

    fn get(&self, path: &str) -> Answer {
        receive(self.send("GET", path, ""))
    }

    fn predict(&self, body: &str) -> Answer {
        receive(self.send("POST", PREDICT, body))
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The error of an answer in the API's form.
    fn error(&self) -> String {
        assert!(self.body.starts_with(r#"{"payload":{"success":false,"error":""#), "{}", self.body);
        let answer: Value = serde_json::from_str(&self.body).unwrap();
        answer["payload"]["error"].as_str().unwrap().to_owned()
    }
}

fn receive(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn batch(rows: &[Labelled]) -> String {
    let instances: Vec<_> = rows.iter().map(|labelled| labelled.row).collect();
    json!({ "payload": { "instances": instances } }).to_string()
}

/// What scikit-learn says of the first rows of the payload: class and score.
fn recorded() -> Vec<(u8, f64)> {
    let lines = include_str!("../predictions.csv").lines().skip(1);
    lines
        .map(|line| line.split_once(',').unwrap())
        .map(|(c, s)| (c.parse().unwrap(), s.parse().unwrap()))
        .collect()
}

#[test]
fn classes_and_scores_are_those_of_scikit_learn() {
    let model = Model::embedded().unwrap();
    let recorded = recorded();
    assert_eq!(recorded.len(), 200);
    for (index, (known, (class, score))) in rows::load(None).unwrap().iter().zip(recorded).enumerate() {
        let ours = model.score(&known.row);
        assert!((ours - score).abs() < 1e-6, "row {index}: {ours} is not {score}");
        assert_eq!(model.classify(&known.row), class, "row {index}");
    }
}

#[test]
fn a_batch_is_answered_in_its_order() {
    let server = Refmodel::start(&[]);
    let rows = &rows::load(None).unwrap()[..30];
    let classes: Vec<u8> = recorded().iter().take(rows.len()).map(|(class, _)| *class).collect();
    assert!(classes.contains(&0) && classes.contains(&1));
    let answer = server.predict(&batch(rows));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, json!({ "payload": { "predictions": classes } }).to_string());
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
}

#[test]
fn a_flat_array_is_one_row_and_no_cells_are_no_rows() {
    let server = Refmodel::start(&[]);
    let row = rows::load(None).unwrap()[0].row;
    for (instances, predictions) in [
        (json!(row), json!([recorded()[0].0])),
        (json!([]), json!([])),
        (json!([[]]), json!([])),
        (json!([[], []]), json!([])),
        (json!([[[]], []]), json!([])),
    ] {
        let answer = server.predict(&json!({ "payload": { "instances": instances } }).to_string());
        assert_eq!(
            (answer.status, &answer.body),
            (200, &json!({ "payload": { "predictions": predictions } }).to_string())
        );
    }
}

#[test]
fn each_malformed_request_is_told_what_is_wrong() {
    let server = Refmodel::start(&[]);
    let row = "1,2,3,4,5,6,7,8,9,10";
    for (body, status, error) in [
        ("{".into(), 400, "the body is not JSON"),
        ("{}".into(), 400, "the body has no payload"),
        ("[1]".into(), 400, "the body has no payload"),
        (r#"{"payload":[]}"#.into(), 400, "payload is not an object"),
        (r#"{"payload":{}}"#.into(), 400, "payload has no instances"),
        (r#"{"payload":{"instances":{}}}"#.into(), 400, "instances is not an array"),
        (
            r#"{"payload":{"instances":[1,2]}}"#.into(),
            500,
            "instances[0] has 2 columns and the model takes 10",
        ),
        (
            format!(r#"{{"payload":{{"instances":[[{row}],[{row},11]]}}}}"#),
            500,
            "instances[1] has 11 columns",
        ),
        (format!(r#"{{"payload":{{"instances":[[{row}],[]]}}}}"#), 500, "instances[1] has 0 columns"),
        (format!(r#"{{"payload":{{"instances":[[{row}],7]}}}}"#), 500, "instances[1] is not an array"),
        (
            r#"{"payload":{"instances":[[1,2,3,"four",5,6,7,8,9,10]]}}"#.into(),
            500,
            "instances[0][3] (worst_area) is not a number",
        ),
    ] {
        let answer = server.predict(&body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.error().contains(error), "{body}: {}", answer.error());
    }
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_next_request_is_served() {
    let server = Refmodel::start(&[]);
    let answer = server.predict(&" ".repeat(BODY_BYTES_MAX + 1));
    assert_eq!(answer.status, 413);
    assert!(answer.error().contains("send fewer rows"), "{}", answer.error());
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn health_is_plain_text_and_an_unknown_route_names_those_there_are() {
    let server = Refmodel::start(&[]);
    let health = server.get("/health");
    assert_eq!((health.status, health.body.as_str()), (200, "OK!"));
    assert!(health.head.contains("content-type: text/plain"), "{}", health.head);
    for answer in [server.get("/diabetes/predict"), server.get(PREDICT)] {
        assert_eq!(answer.status, 404);
        assert!(answer.error().contains(PREDICT) && answer.error().contains("/health"), "{}", answer.error());
    }
}

#[test]
fn a_worker_computes_one_request_at_a_time_and_two_workers_two() {
    for (workers, batch_is_answered_first) in [("1", true), ("2", false)] {
        let server = Refmodel::start(&["--workers", workers]);
        let busy = server.occupy();
        assert_eq!(server.get("/health").status, 200);
        busy.set_nonblocking(true).unwrap();
        let answered = match busy.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(answered, batch_is_answered_first, "with {workers} workers");
    }
}

/// CPU time of all threads of a process.
fn cpu_ns(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stat =
        threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap());
    stat.map(|stat| stat.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn sigterm_lets_the_request_in_progress_end() {
    let mut server = Refmodel::start(&[]);
    // Idle connections do not hold it up.
    let _idle = TcpStream::connect(&server.address).unwrap();
    let busy = server.occupy();
    server.running.terminate();
    assert_eq!(server.running.end(), (Some(0), vec![]));
    assert_eq!(receive(busy).status, 200);
}

#[test]
fn a_port_in_use_is_named_with_its_mend() {
    let first = Refmodel::start(&[]);
    let mut second = Running::start(env!("CARGO_BIN_EXE_refmodel"), &["--bind", &first.address]);
    let (code, said) = second.end();
    assert_eq!((code, said.len()), (Some(3), 1), "{said:?}");
    assert!(said[0].contains(&first.address) && said[0].contains("--bind"), "{said:?}");
}
