//! Who is in the stories: a model that serves, batch work that scans, and requests for the model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, process::Command};

use berth_kit::{Running, program, wait_for};
use serde_json::{Value, json};

use crate::{
    shell::{apart, list, text},
    stage::{SOON, Stage},
};

/// Where the workloads live, as in the guide for model scaling.
pub(crate) const NAMESPACE: &str = "refmodels";

/// The model's Deployment.
pub(crate) const MODEL: &str = "certifai-ref-models";

/// Above what the model's own noise shows, and far below what it can do on a CPU of its own: about one
/// seventh of it.
const REQUESTS_PER_SEC: &str = "30";

const MODEL_YAML: &str = include_str!("../../deploy/examples/model.yaml");
const SCANNER_YAML: &str = include_str!("../../deploy/examples/scanner.yaml");

/// The one Deployment of a manifest.
fn deployment(manifest: &str) -> Value {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    objects.into_iter().find(|object| text(object, "/kind") == "Deployment").unwrap()
}

/// The tutorial's model, whose pods' spec is joined with `spec`.
pub(crate) fn model(spec: &Value) -> Value {
    let mut model = deployment(MODEL_YAML);
    for (key, value) in spec.as_object().unwrap() {
        model["spec"]["template"]["spec"][key] = value.clone();
    }
    model
}

/// One pod of the tutorial's scanner, which takes all CPU time that is left, up to `cpu_limit`, and calls
/// nobody: the requests come from elsewhere.
pub(crate) fn scanner(name: &str, cpu_limit: &str) -> Value {
    let mut scanner = deployment(SCANNER_YAML);
    let labels = json!({"app": name});
    scanner["metadata"]["name"] = json!(name);
    scanner["spec"]["replicas"] = json!(1);
    scanner["spec"]["selector"]["matchLabels"] = labels.clone();
    scanner["spec"]["template"]["metadata"]["labels"] = labels;
    let container = &mut scanner["spec"]["template"]["spec"]["containers"][0];
    container["args"] = json!([]);
    container["resources"]["limits"] = json!({"cpu": cpu_limit});
    scanner
}

/// `berth load` of the guide's rows on the model's pod, from this machine.
pub(crate) fn load(pod: &Pod) -> Command {
    let payload = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/payload.csv");
    let mut command = apart(program("berth-cli", "berth"));
    command.args(["load", &format!("http://{}:5111/breast_cancer/predict", pod.address)]);
    command.arg("--payload").arg(payload).args(["--label-column", "label"]);
    command
}

/// Requests, as `berth load` sends them from this machine, until it is dropped.
pub(crate) struct Requests(Running);

impl Stage {
    /// Makes the namespace of the workloads.
    pub(crate) fn open_shop(&self) {
        self.shell.must(&format!("kubectl create namespace {NAMESPACE}"));
    }

    /// Applies an object.
    pub(crate) fn apply(&self, object: &Value) {
        self.cluster.apply(&object.to_string()).unwrap();
    }

    /// Applies a Deployment while only `node` takes pods, so that it starts there and nothing in it
    /// says so; tells its pod when it is ready.
    pub(crate) fn start_on(&self, node: &str, deployment: &Value) -> Pod {
        let others: Vec<_> = self.cluster.nodes().into_iter().filter(|other| *other != node).collect();
        for other in &others {
            self.shell.must(&format!("kubectl cordon {other}"));
        }
        self.apply(deployment);
        let pod = self.ready(text(deployment, "/metadata/name"), node);
        for other in &others {
            self.shell.must(&format!("kubectl uncordon {other}"));
        }
        pod
    }

    /// The one pod of a Deployment, when it is ready on `node` and no other is left.
    pub(crate) fn ready(&self, deployment: &str, node: &str) -> Pod {
        wait_for("a pod to be ready", SOON, || {
            let pods = self.pods(deployment);
            let [pod] = pods.as_slice() else { return None };
            (pod.is_ready && pod.node == node).then(|| pod.clone())
        })
    }

    /// Every pod of a Deployment.
    pub(crate) fn pods(&self, deployment: &str) -> Vec<Pod> {
        let all = self.shell.get(&format!("pods -n {NAMESPACE} -l app={deployment}"));
        list(&all, "/items").iter().map(Pod::of).collect()
    }

    /// Sends requests to the model's pod.
    pub(crate) fn requests(&self, pod: &Pod) -> Requests {
        let mut command = load(pod);
        command.args(["--rate", REQUESTS_PER_SEC, "-z", "10m"]);
        Requests(Running::start(&mut command, self.scratch.path().join("requests.log")))
    }
}

impl Requests {
    /// Fails where they have ended before their time.
    pub(crate) fn go_on(&mut self) {
        assert!(self.0.is_running(), "the requests have ended: {}", self.0.said());
    }
}

/// A pod, as far as the stories look.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) address: String,
    /// RFC 3339; empty until its container runs.
    pub(crate) started: String,
    pub(crate) is_ready: bool,
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let is_ready = list(pod, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
        Self {
            name: text(pod, "/metadata/name").to_owned(),
            node: text(pod, "/spec/nodeName").to_owned(),
            address: text(pod, "/status/podIP").to_owned(),
            started: text(pod, "/status/containerStatuses/0/state/running/startedAt").to_owned(),
            is_ready,
        }
    }
}
