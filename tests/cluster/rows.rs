//! The rows of the two documents that are about nodes: labels, taints, tolerations and affinity, as
//! advised, as dry runs, as applied, as the real scheduler obeys them, and undone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth_kit::{cluster::image::POD_IMAGE, wait_every};
use serde_json::{Value, json};

use crate::{
    shell::{ASK_AGAIN, list, text},
    shop::{MODEL, NAMESPACE, model},
    stage::{SOON, Stage},
};

/// Two seconds of them: a rollout's news takes less to arrive.
const QUIET_ANSWERS: u32 = 4;

/// What the guide gives to models: the value of label and taint.
const GUIDE: (&str, &str) = ("node_for", "models");

/// What the lesson gives to them.
const LESSON: (&str, &str) = ("role", "pytorch");

fn affinity((key, value): (&str, &str)) -> Value {
    let terms = json!([{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]);
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
}

fn toleration((key, value): (&str, &str)) -> Value {
    json!({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"})
}

/// An Nginx, as far as the scheduler sees it: a pod that is no model, with these tolerations.
fn other(name: &str, tolerations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "tolerations": tolerations,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "nginx", "image": POD_IMAGE, "imagePullPolicy": "Never", "args": ["serve"]}],
        },
    })
}

/// Shows the spec of the model's pods.
fn template() -> String {
    format!("kubectl get deployment -n {NAMESPACE} {MODEL} -o jsonpath={{.spec.template.spec}}")
}

/// With the model's spec, and a shop for it.
fn stage_with(spec: &Value, node: &str) -> Option<Stage> {
    let stage = Stage::with_berth()?;
    stage.open_shop();
    stage.start_on(node, &model(spec));
    Some(stage)
}

/// With the guide's label on node-a, a model that keeps to it, and a pod that may come there too.
fn stage_with_half_a_fence() -> Option<Stage> {
    let spec = json!({"affinity": affinity(GUIDE), "tolerations": [toleration(GUIDE)]});
    let stage = Stage::with_berth()?;
    stage.open_shop();
    stage.label("node-a", GUIDE);
    stage.start_on("node-a", &model(&spec));
    stage.apply(&other("nginx", &json!([])));
    Some(stage)
}

impl Stage {
    fn label(&self, node: &str, (key, value): (&str, &str)) {
        self.shell.must(&format!("kubectl label node {node} {key}={value}"));
    }

    fn taint(&self, node: &str, (key, value): (&str, &str)) {
        self.shell.must(&format!("kubectl taint node {node} {key}={value}:NoSchedule"));
    }

    /// The advice of this code, when there is some.
    fn advised(&self, code: &str) -> Value {
        self.shell.berth_until("advice", SOON, &format!("advise -A --code {code}"), |advice| {
            list(advice, "/advice").first().cloned()
        })
    }

    /// Until there is none of this code any more, several times in a row: while a rollout goes on there
    /// may be none for a moment.
    fn no_longer_advised(&self, code: &str) {
        let mut without = 0;
        self.shell.berth_until(
            "the advice to be followed",
            SOON,
            &format!("advise -A --code {code}"),
            |advice| {
                without = if list(advice, "/advice").is_empty() { without + 1 } else { 0 };
                (without == QUIET_ANSWERS).then_some(())
            },
        );
    }

    /// Runs what an advice says: first dry, then in truth.
    fn follow(&self, advice: &Value) {
        let commands: Vec<&str> = list(advice, "/actions").iter().map(|one| text(one, "/command")).collect();
        assert!(!commands.is_empty(), "{advice}");
        let before = self.nodes();
        for command in &commands {
            self.shell.must(&format!("{command} --dry-run=server"));
        }
        assert_eq!(self.nodes(), before, "a dry run has changed a node");
        for command in commands {
            self.shell.must(command);
        }
    }

    /// Runs what takes it back.
    fn take_back(&self, advice: &Value) {
        for action in list(advice, "/actions").iter().rev() {
            self.shell.must(text(action, "/inverse_command"));
        }
    }

    /// Each node's labels and taints.
    fn nodes(&self) -> Vec<Value> {
        let nodes = self.shell.get("nodes");
        let nodes = list(&nodes, "/items").iter();
        nodes.map(|node| json!([node["metadata"]["labels"], node["spec"]["taints"]])).collect()
    }

    /// Where a pod was placed.
    fn placed(&self, pod: &str) -> String {
        wait_every(ASK_AGAIN, "a pod to be placed", SOON, || {
            let pod = self.shell.get(&format!("pod -n {NAMESPACE} {pod}"));
            Some(text(&pod, "/spec/nodeName").to_owned()).filter(|node| !node.is_empty())
        })
    }

    /// Why no node takes a pod, in the scheduler's words.
    fn refused(&self, pod: &str) -> String {
        wait_every(ASK_AGAIN, "the scheduler to refuse a pod", SOON, || {
            let pod = self.shell.get(&format!("pod -n {NAMESPACE} {pod}"));
            let conditions = list(&pod, "/status/conditions").iter();
            let mut refusals = conditions.filter(|one| text(one, "/reason") == "Unschedulable");
            refusals.next().map(|one| text(one, "/message").to_owned())
        })
    }

    /// The nodes of all pods that Berth takes for models.
    fn model_nodes(&self) -> Vec<String> {
        let roles = self.shell.berth("roles -A").unwrap();
        let subjects = list(&roles, "/subjects").iter();
        let models = subjects.filter(|one| text(one, "/who/role") == "model" && one["live"] == json!(true));
        models.map(|one| text(one, "/node").to_owned()).collect()
    }
}

#[test]
fn s1_07_the_taint_for_models_is_advised_tried_dry_applied_and_undone() {
    let Some(stage) = stage_with_half_a_fence() else { return };
    let advice = stage.advised("BA103");
    let before = stage.nodes();
    stage.follow(&advice);
    let taint = "kubectl get node node-a -o jsonpath='{.spec.taints[0].key}={.spec.taints[0].value}:{.spec.taints[0].effect}'";
    assert_eq!(stage.shell.must(taint), "node_for=models:NoSchedule");
    stage.no_longer_advised("BA103");
    stage.take_back(&advice);
    assert_eq!(stage.nodes(), before);
}

#[test]
fn s1_08_one_half_of_the_fence_alone_is_completed_by_the_other() {
    let Some(stage) = stage_with_half_a_fence() else { return };
    // The label without the taint repels nobody.
    let taint = stage.advised("BA103");
    stage.follow(&taint);
    stage.no_longer_advised("BA103");
    // The taint without the label attracts nobody.
    stage.shell.must("kubectl label node node-a node_for-");
    let label = stage.advised("BA102");
    stage.follow(&label);
    assert_eq!(stage.shell.must("kubectl get nodes -l node_for=models -o name").trim(), "node/node-a");
    stage.no_longer_advised("BA102");
}

#[test]
fn s1_09_a_toleration_matches_in_the_advice_as_it_does_in_the_scheduler() {
    let Some(stage) = Stage::with_berth() else { return };
    stage.open_shop();
    stage.taint("node-a", GUIDE);
    stage.shell.must("kubectl cordon node-b");
    let exists = json!([{"key": "node_for", "operator": "Exists", "effect": "NoSchedule"}]);
    for (name, tolerations) in [("equal", json!([toleration(GUIDE)])), ("exists", exists)] {
        stage.apply(&other(name, &tolerations));
        assert_eq!(stage.placed(name), "node-a");
    }
    for (name, tolerations) in
        [("none", json!([])), ("another", json!([toleration(("node_for", "scanners"))]))]
    {
        stage.apply(&other(name, &tolerations));
        let refused = stage.refused(name);
        assert!(refused.contains("untolerated taint"), "{name}: {refused}");
    }
    // A model that tolerates the taint may still drift off.
    stage.apply(&model(&json!({"tolerations": [toleration(GUIDE)]})));
    stage.ready(MODEL, "node-a");
    stage.shell.must("kubectl uncordon node-b");
    stage.label("node-a", GUIDE);
    let advice = stage.advised("BA104");
    assert!(text(&advice, "/actions/0/command").contains("nodeAffinity"), "{advice}");
    // One whose toleration is of another value tolerates nothing of it.
    stage.apply(&model(&json!({"tolerations": [toleration(("node_for", "scanners"))]})));
    stage.ready(MODEL, "node-b");
    stage.no_longer_advised("BA104");
}

#[test]
fn s1_10_the_required_affinity_is_advised_moves_the_model_and_is_taken_back() {
    let spec = json!({"tolerations": [toleration(GUIDE)]});
    let Some(stage) = stage_with(&spec, "node-b") else { return };
    stage.taint("node-a", GUIDE);
    stage.label("node-a", GUIDE);
    let before = stage.shell.must(&template());
    let advice = stage.advised("BA104");
    stage.follow(&advice);
    stage.ready(MODEL, "node-a");
    stage.no_longer_advised("BA104");
    stage.take_back(&advice);
    assert_eq!(stage.shell.must(&template()), before);
}

#[test]
fn s2_06_node_affinity_brings_every_model_pod_to_one_node() {
    let Some(stage) = Stage::with_berth() else { return };
    stage.open_shop();
    stage.label("node-b", LESSON);
    let mut models = model(&json!({"affinity": affinity(LESSON)}));
    models["spec"]["replicas"] = json!(3);
    stage.apply(&models);
    let ready = wait_every(ASK_AGAIN, "three pods", SOON, || {
        let pods = stage.pods(MODEL);
        (pods.len() == 3 && pods.iter().all(|pod| pod.is_ready)).then_some(pods)
    });
    assert!(ready.iter().all(|pod| pod.node == "node-b"), "{ready:?}");
    wait_every(ASK_AGAIN, "the models in the report", SOON, || {
        (stage.model_nodes() == ["node-b"; 3]).then_some(())
    });
    stage.no_longer_advised("BA107");
}

#[test]
fn s2_07_a_pin_by_hostname_is_flagged_and_replaced_by_a_label() {
    let pin = json!({"nodeSelector": {"kubernetes.io/hostname": "node-b"}});
    let Some(stage) = stage_with(&pin, "node-b") else { return };
    let advice = stage.advised("BA107");
    assert!(text(&advice, "/why").contains("node-b"), "{advice}");
    let before = stage.shell.must(&template());
    stage.follow(&advice);
    stage.ready(MODEL, "node-b");
    stage.no_longer_advised("BA107");
    assert!(!stage.shell.must(&template()).contains("kubernetes.io/hostname"));
    stage.take_back(&advice);
    assert_eq!(stage.shell.must(&template()), before);
}

#[test]
fn s2_08_the_report_shows_every_model_on_one_node_and_the_other_free() {
    let spec = json!({"nodeSelector": {"kubernetes.io/hostname": "node-b"}});
    let Some(stage) = stage_with(&spec, "node-b") else { return };
    wait_every(ASK_AGAIN, "the model in the report", SOON, || {
        (stage.model_nodes() == ["node-b"]).then_some(())
    });
    // As kubectl has it.
    let pods = stage.shell.must(&format!("kubectl describe node node-a | grep -c {MODEL} || true"));
    assert_eq!(pods.trim(), "0");
    stage.shell.must(&format!("kubectl describe node node-b | grep {MODEL}"));
}

#[test]
fn s2_09_a_taint_of_any_key_is_the_models_fence_and_is_completed_under_that_key() {
    let spec = json!({"tolerations": [toleration(LESSON)]});
    let Some(stage) = stage_with(&spec, "node-b") else { return };
    stage.taint("node-b", LESSON);
    let advice = stage.advised("BA104");
    let commands: String = list(&advice, "/actions").iter().map(|one| text(one, "/command")).collect();
    assert!(commands.contains("role=pytorch") && commands.contains(r#""pytorch""#), "{commands}");
    stage.follow(&advice);
    stage.ready(MODEL, "node-b");
    stage.no_longer_advised("BA104");
    stage.apply(&other("nginx", &json!([])));
    assert_eq!(stage.placed("nginx"), "node-a");
}

#[test]
fn s2_10_a_pod_without_the_toleration_is_not_placed_on_the_tainted_node() {
    let spec = json!({"affinity": affinity(LESSON), "tolerations": [toleration(LESSON)]});
    let Some(stage) = Stage::with_berth() else { return };
    stage.open_shop();
    stage.label("node-b", LESSON);
    stage.taint("node-b", LESSON);
    stage.start_on("node-b", &model(&spec));
    wait_every(ASK_AGAIN, "the model in the report", SOON, || {
        (stage.model_nodes() == ["node-b"]).then_some(())
    });
    // Berth sees both halves, as the scheduler does.
    for half in ["BA102", "BA103", "BA104"] {
        stage.no_longer_advised(half);
    }
    stage.apply(&other("nginx", &json!([])));
    assert_eq!(stage.placed("nginx"), "node-a");
    stage.shell.must("kubectl cordon node-a");
    stage.apply(&other("second", &json!([])));
    let refused = stage.refused("second");
    assert!(refused.contains("untolerated taint"), "{refused}");
    stage.apply(&other("tolerant", &json!([toleration(LESSON)])));
    assert_eq!(stage.placed("tolerant"), "node-b");
}
