//! Who is in the stories: a model that serves, batch work that scans, and requests for the model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use berth_kit::{Running, program, wait_for};
use serde_json::{Value, json};

use crate::{
    shell::{apart, list, text},
    stage::{SOON, Stage},
};

/// Where the workloads live, as in the guide for model scaling.
pub(crate) const NAMESPACE: &str = "refmodels";

/// The model's Deployment, and its Service.
pub(crate) const MODEL: &str = "certifai-ref-models";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Above what the model's own noise shows, and far below what it can do on a CPU of its own: about one
/// seventh of it.
const REQUESTS_PER_SEC: u32 = 30;

/// A Deployment of one container, whose pods' spec is joined with `spec`.
pub(crate) fn deployment(name: &str, role: &str, container: &Value, spec: &Value) -> Value {
    let mut pod = json!({"containers": [container], "terminationGracePeriodSeconds": 1});
    for (key, value) in spec.as_object().unwrap() {
        pod[key] = value.clone();
    }
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"berth.dev/role": role}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    })
}

/// The model: port 5111, and requests as small as the ring's nodes.
pub(crate) fn model(spec: &Value) -> Value {
    let container = json!({
        "name": "model",
        "image": format!("berth-refmodel:{VERSION}"),
        "imagePullPolicy": "IfNotPresent",
        "args": ["--bind=0.0.0.0:5111"],
        "ports": [{"containerPort": 5111}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 5111}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "250m", "memory": "32Mi"}},
    });
    deployment(MODEL, "model", &container, spec)
}

/// Batch work, which takes all CPU time that is left, up to `cpu_limit`.
pub(crate) fn scanner(name: &str, cpu_limit: &str) -> Value {
    let container = json!({
        "name": "scanner",
        "image": format!("berth-scanner:{VERSION}"),
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": cpu_limit}},
    });
    deployment(name, "scanner", &container, &json!({}))
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
        let payload = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/payload.csv");
        let mut command = apart(program("berth-cli", "berth"));
        command.args(["load", &format!("http://{}:5111/breast_cancer/predict", pod.address)]);
        command.arg("--payload").arg(payload).args(["--label-column", "label"]);
        command.args(["--rate", &REQUESTS_PER_SEC.to_string(), "-z", "10m"]);
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
