//! One trial of each class of contention for CPU time with pods: the label is what requests measured, never
//! what was started. Deliberately absent: memory and block I/O, which the tutorial's programs hardly use; and
//! nobody, which contention.rs has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;

use berth_kit::{Running, wait_every};
use serde_json::{Value, json};

use crate::{
    shell::{ASK_AGAIN, apart, list, text},
    shop::{MODEL, NAMESPACE, Pod, load, model, scanner},
    stage::{SOON, Stage},
};

/// From here on a model is hurt, and must be found. It is the lower bound of docs/accuracy.md, but of one run
/// of requests beside another, not of an interval over blocks in random order.
const HURT: f64 = 1.10;

/// Ten seconds of requests, in which a verdict is said and holds: each when its time has come; a third of
/// what the model can do on a CPU of its own, so that work in no pod, which has half of it beside all pods,
/// is felt.
const STEADY: [&str; 4] = ["--rate", "60", "-z", "10s"];

/// More at a time than there is CPU for.
const FLOOD: [&str; 4] = ["-c", "12", "-z", "10s"];

/// Always one more than its one worker can serve, so that it takes all the CPU time that it gets, and for
/// twice the ten seconds of which a report speaks, so that half of the reports speak of nothing else.
const QUEUED: [&str; 4] = ["-c", "2", "-z", "20s"];

/// Less than the steady requests need, so that the limit stops them.
const CPU_LIMIT: &str = "100m";

const NEIGHBOUR: &str = "certifai-scan";
const ELSEWHERE: &str = "other-scan";

/// What a run of requests measured, and what reports said of the model meanwhile.
struct Seen {
    service_mean_usec: f64,
    /// The verdict of the open episode on CPU time and who leads its shares, report by report, of those that
    /// had come when the requests ended: a later one speaks of what no longer is.
    told: Vec<(String, String)>,
}

impl Seen {
    /// How much longer a request takes than in `alone`, with what was said last.
    fn beside(&self, alone: &Self) -> (f64, &str, &str) {
        let (verdict, culprit) = self.told.last().map_or(("", ""), |(verdict, culprit)| (verdict, culprit));
        (self.service_mean_usec / alone.service_mean_usec, verdict, culprit)
    }
}

/// The verdict of the open episode of this pod on CPU time, and the owner of the largest share of its wait:
/// empty where that is no owner's.
fn open_episode(report: &Value, pod: &str) -> Option<(String, String)> {
    let episode = list(report, "/episodes").iter().find(|episode| {
        episode["cleared"].is_null()
            && text(episode, "/victim/pod") == pod
            && text(episode, "/resource") == "cpu"
    })?;
    Some((text(episode, "/verdict").to_owned(), text(episode, "/shares/0/who/owner_name").to_owned()))
}

impl Stage {
    /// Sends requests to a pod, and looks at reports until they end.
    fn observe(&self, pod: &Pod, flags: &[&str]) -> Seen {
        let mut command = load(pod);
        command.args(["-o", "json"]).args(flags);
        let run = thread::spawn(move || command.output().unwrap());
        let mut told = Vec::new();
        wait_every(ASK_AGAIN, "the requests to end", SOON, || {
            let report = self.shell.berth("report -A")?;
            assert!(!report.to_string().contains(ELSEWHERE), "{ELSEWHERE} is on another node: {report}");
            let is_over = run.is_finished();
            told.extend(open_episode(&report, &pod.name).filter(|_| !is_over));
            is_over.then_some(())
        });
        let output = run.join().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mean = result.pointer("/service_usec/mean").and_then(Value::as_f64);
        assert!(mean.is_some(), "{result}: {}", String::from_utf8_lossy(&output.stderr));
        let service_mean_usec = mean.unwrap_or_default();
        Seen { service_mean_usec, told }
    }

    /// Ends a Deployment, and waits until its pods are gone.
    fn end(&self, deployment: &str) {
        self.shell.must(&format!("kubectl delete -n {NAMESPACE} deployment/{deployment}"));
        wait_every(ASK_AGAIN, "its pods to go", SOON, || self.pods(deployment).is_empty().then_some(()));
    }
}

#[test]
fn each_class_is_told_from_the_others() {
    let Some(stage) = Stage::with_berth_away_from("node-a") else { return };
    stage.open_shop();
    let victim = stage.start_on("node-a", &model(&json!({})));

    stage.start_on("node-b", &scanner(ELSEWHERE, "500m"));
    let alone = stage.observe(&victim, &STEADY);
    // What this machine does beside the ring is work in no pod; with the agent's few per cent and the model's
    // own threads it may be less than half of a wait, which is `mixed` then.
    let is_strangers = |(verdict, culprit): &(String, String)| {
        matches!(verdict.as_str(), "unowned" | "mixed") && culprit.is_empty()
    };
    assert!(
        alone.told.iter().all(is_strangers),
        "but for what this machine does, nobody hurts it: {:?}",
        alone.told
    );
    stage.end(ELSEWHERE);
    let alone_and_queued = stage.observe(&victim, &QUEUED);

    stage.start_on("node-a", &scanner(NEIGHBOUR, "1"));
    let seen = stage.observe(&victim, &STEADY);
    let (slowdown, verdict, culprit) = seen.beside(&alone);
    eprintln!("beside a scanner: {slowdown:.2} times as long, {verdict} {culprit}");
    assert!(slowdown >= HURT, "a scanner on its CPU did not hurt it: {slowdown}");
    assert_eq!((verdict, culprit), ("neighbour", NEIGHBOUR), "{:?}", seen.told);

    // Both ask for as much.
    let seen = stage.observe(&victim, &QUEUED);
    let (slowdown, verdict, culprit) = seen.beside(&alone_and_queued);
    eprintln!("with the half of a CPU that it asked for: {slowdown:.2} times as long, {verdict} {culprit}");
    assert!(slowdown >= HURT, "a scanner on its CPU did not hurt it: {slowdown}");
    assert_eq!((verdict, culprit), ("over_entitlement", NEIGHBOUR), "{:?}", seen.told);
    stage.end(NEIGHBOUR);

    let mut hog = apart("sh");
    // On the node's CPU, in none of its pods.
    hog.args(["-c", "exec taskset -c 0 sh -c 'while :; do :; done'"]);
    let hog = Running::start(&mut hog, stage.scratch.path().join("hog.log"));
    let seen = stage.observe(&victim, &STEADY);
    drop(hog);
    let (slowdown, verdict, culprit) = seen.beside(&alone);
    eprintln!("beside work in no pod: {slowdown:.2} times as long, {verdict} {culprit}");
    assert!(slowdown >= HURT, "work on its CPU did not hurt it: {slowdown}");
    assert_eq!(verdict, "unowned", "{:?}", seen.told);
    stage.end(MODEL);

    let crowd = model_with(&json!({"args": ["--bind=0.0.0.0:5111", "--workers=16"]}));
    let victim = stage.start_on("node-a", &crowd);
    let calm = stage.observe(&victim, &STEADY);
    let seen = stage.observe(&victim, &FLOOD);
    let (slowdown, verdict, _) = seen.beside(&calm);
    eprintln!("twelve requests at a time on one CPU: {slowdown:.2} times as long, {verdict}");
    assert!(slowdown >= HURT, "its own requests did not hold each other up: {slowdown}");
    assert_eq!(verdict, "self_oversubscribed", "{:?}", seen.told);
    stage.end(MODEL);

    let limited = model_with(&json!({"resources": {"limits": {"cpu": CPU_LIMIT}}}));
    let victim = stage.start_on("node-a", &limited);
    let seen = stage.observe(&victim, &STEADY);
    let (slowdown, verdict, _) = seen.beside(&alone);
    eprintln!("under a CPU limit of {CPU_LIMIT}: {slowdown:.2} times as long, {verdict}");
    assert!(slowdown >= HURT, "its limit did not stop it: {slowdown}");
    assert_eq!(verdict, "self_throttled", "{:?}", seen.told);
}

/// The tutorial's model, whose container is joined with `container`.
fn model_with(container: &Value) -> Value {
    let mut model = model(&json!({}));
    for (key, value) in container.as_object().unwrap() {
        model["spec"]["template"]["spec"]["containers"][0][key] = value.clone();
    }
    model
}
