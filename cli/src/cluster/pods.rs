//! Berth's own pods: which one to talk to, and how each fares.
//!
//! Pure: what the API server answered comes in as a value.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as KubeTime;
use serde::Serialize;

use super::AGGREGATOR;
use crate::exit::{Exit, Failure};
use crate::view::{Time, plain};

/// The label that tells Berth's programs apart.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";

/// How one pod of Berth's fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodState {
    /// The pod.
    pub pod: String,
    /// Where it runs; empty while it waits for a node.
    pub node: String,
    /// The tag of its image; empty for a digest.
    pub version: String,
    /// It answers.
    pub ready: bool,
    /// Why it does not; empty if it does.
    pub reason: String,
    /// Since when it has been ready, or not.
    pub since: Option<Time>,
    /// When its process began.
    pub started: Option<Time>,
    /// How often its process ended.
    pub restarts: i32,
}

impl PodState {
    /// What the API server says of it.
    pub fn of(pod: &Pod) -> Self {
        let nothing = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&nothing);
        let container = status.container_statuses.iter().flatten().next();
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let leaving = pod.metadata.deletion_timestamp.is_some();
        let is_ready = !leaving && ready.is_some_and(|ready| ready.status == "True");
        let running = container.and_then(|container| container.state.as_ref()?.running.as_ref());
        let spec = pod.spec.as_ref();
        let image = spec.and_then(|spec| spec.containers.first()?.image.as_deref()).unwrap_or_default();
        Self {
            pod: plain(pod.metadata.name.as_deref().unwrap_or_default()),
            node: plain(spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()),
            version: tag(image),
            ready: is_ready,
            reason: if is_ready { String::new() } else { plain(&reason(status, container, leaving)) },
            since: ready.and_then(|ready| ready.last_transition_time.as_ref()).map(time),
            started: running.and_then(|running| running.started_at.as_ref()).map(time),
            restarts: container.map_or(0, |container| container.restart_count),
        }
    }
}

/// A time of the API server's.
pub fn time(time: &KubeTime) -> Time {
    Time::from_unix_nsec(i64::try_from(time.0.as_nanosecond()).unwrap_or(i64::MAX))
}

/// `registry:5000/berth-agent:0.1.0@sha256:...` is `0.1.0`.
fn tag(image: &str) -> String {
    let named = image.split('@').next().unwrap_or_default();
    let last = named.rsplit('/').next().unwrap_or_default();
    plain(last.split_once(':').map_or("", |(_, tag)| tag))
}

/// The nearest thing to a cause.
fn reason(status: &PodStatus, container: Option<&ContainerStatus>, leaving: bool) -> String {
    if leaving {
        return "it is being deleted".to_owned();
    }
    let state = container.and_then(|container| container.state.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref());
    let unscheduled = status.conditions.iter().flatten().find(|condition| condition.status == "False");
    waiting
        .map(|waiting| [waiting.reason.as_deref(), waiting.message.as_deref()])
        .or_else(|| ended.map(|ended| [ended.reason.as_deref(), ended.message.as_deref()]))
        .or_else(|| unscheduled.map(|condition| [condition.reason.as_deref(), condition.message.as_deref()]))
        .map(|words| words.into_iter().flatten().collect::<Vec<_>>().join(": "))
        .filter(|words| !words.is_empty())
        .or_else(|| status.phase.clone())
        .unwrap_or_else(|| "it has no state yet".to_owned())
}

/// The aggregator's pod that can be talked to.
pub(super) fn aggregator(pods: &[Pod], namespace: &str) -> Result<String, Failure> {
    let states: Vec<PodState> = pods.iter().map(PodState::of).collect();
    if let Some(ready) = states.iter().find(|state| state.ready) {
        return Ok(ready.pod.clone());
    }
    let line = match states.first() {
        None => format!(
            "no pod of {AGGREGATOR} is in namespace {namespace}: `kubectl apply -k deploy/` installs Berth, and \
             --berth-namespace says where it is"
        ),
        Some(state) => format!(
            "pod {} is not ready ({}): `kubectl -n {namespace} describe pod {}` says more",
            state.pod, state.reason, state.pod
        ),
    };
    Err(Failure::new(Exit::Environment, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    fn ready(name: &str) -> Pod {
        pod(serde_json::json!({
            "metadata": {"name": name},
            "spec": {"nodeName": "node-a", "containers": [{"name": "a", "image": "reg:5000/berth-aggregator:0.1.0"}]},
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2025-10-09T08:53:20Z"}
                ],
                "containerStatuses": [{
                    "name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 2,
                    "state": {"running": {"startedAt": "2025-10-09T08:53:19Z"}}
                }]
            }
        }))
    }

    fn waiting(name: &str) -> Pod {
        pod(serde_json::json!({
            "metadata": {"name": name},
            "status": {
                "phase": "Pending",
                "containerStatuses": [{
                    "name": "a", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}}
                }]
            }
        }))
    }

    #[test]
    fn a_pod_is_known_by_its_image_its_node_and_its_start() {
        let state = PodState::of(&ready("a"));
        assert_eq!((state.node.as_str(), state.version.as_str(), state.restarts), ("node-a", "0.1.0", 2));
        assert_eq!(state.since.unwrap().to_string(), "2025-10-09T08:53:20Z");
        assert_eq!(state.started.unwrap().to_string(), "2025-10-09T08:53:19Z");
        assert!(state.ready && state.reason.is_empty());
    }

    #[test]
    fn the_tag_of_an_image_is_what_follows_its_name() {
        for (image, version) in [
            ("a:1", "1"),
            ("reg:5000/a", ""),
            ("reg:5000/a:0.1.0@sha256:ff", "0.1.0"),
            ("", ""),
            ("a@sha256:f", ""),
        ] {
            assert_eq!(tag(image), version, "{image}");
        }
    }

    #[test]
    fn one_that_is_ready_is_taken_before_one_that_comes_or_goes() {
        let mut leaving = ready("old");
        leaving.metadata.deletion_timestamp =
            ready("x").status.unwrap().conditions.unwrap()[0].last_transition_time.clone();
        assert_eq!(aggregator(&[leaving.clone(), waiting("new"), ready("now")], "n").unwrap(), "now");
        let refused = aggregator(&[leaving], "n").unwrap_err().to_string();
        assert!(refused.contains("pod old is not ready (it is being deleted)"), "{refused}");
    }

    #[test]
    fn without_one_the_line_says_why_and_what_to_do() {
        let refused = aggregator(&[waiting("new")], "berth-system").unwrap_err().to_string();
        assert_eq!(
            refused,
            "pod new is not ready (ImagePullBackOff: back-off): `kubectl -n berth-system describe pod new` says more"
        );
        let absent = aggregator(&[], "berth-system").unwrap_err().to_string();
        assert!(absent.contains("no pod of berth-aggregator is in namespace berth-system"), "{absent}");
    }
}
