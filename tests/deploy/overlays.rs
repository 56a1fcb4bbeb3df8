//! The overlays: how each differs from the base, once rendered; what the monitoring one asks for is
//! written, and Prometheus takes it.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    NAMESPACE, at, documents, list, object,
    render::{Id, base, changes, render},
    root, string, text,
};

/// Each overlay and its objects.
const OVERLAYS: [(&str, &[(&str, &str)]); 3] = [
    ("gpu", &[("DaemonSet", "berth-agent-gpu")]),
    (
        "monitoring",
        &[
            ("ConfigMap", "berth-dashboard"),
            ("PrometheusRule", "berth"),
            ("ServiceMonitor", "berth-aggregator"),
        ],
    ),
    (
        "tls",
        &[
            ("Certificate", "berth-aggregator"),
            ("Certificate", "berth-authority"),
            ("Issuer", "berth-authority"),
            ("Issuer", "berth-selfsigned"),
        ],
    ),
];

/// What has no namespace.
const CLUSTER_WIDE: [&str; 3] = ["ClusterRole", "ClusterRoleBinding", "Namespace"];

fn id(kind: &str, name: &str) -> Id {
    (kind.to_owned(), name.to_owned())
}

/// Names in the exposition's style that a text holds.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_name(c)).filter(|word| word.starts_with("berth_"));
    words.map(str::to_owned).collect()
}

/// What the aggregator's own code calls its metrics.
fn written() -> BTreeSet<String> {
    let dir = root().join("aggregator/src/metrics");
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("read {}: {error}", dir.display()));
    let texts = files.flatten().map(|entry| fs::read_to_string(entry.path()).unwrap_or_default());
    texts.flat_map(|text| metrics(&text)).collect()
}

#[test]
fn an_overlay_brings_its_own_objects_and_leaves_the_rest_of_the_base_as_it_is() {
    for (overlay, brings) in OVERLAYS {
        let Some(rendered) = render("base", &[overlay]) else { return };
        let added = rendered.keys().filter(|id| !base().contains_key(*id)).cloned();
        let brings = brings.iter().map(|(kind, name)| id(kind, name));
        assert_eq!(added.collect::<BTreeSet<Id>>(), brings.collect(), "{overlay}");
        let touched = base().iter().filter(|(id, object)| rendered.get(*id) != Some(*object));
        let touched: Vec<String> = touched.map(|((kind, name), _)| format!("{kind} {name}")).collect();
        let expected: &[&str] = match overlay {
            "gpu" => &["DaemonSet berth-agent"],
            // cert-manager makes it, of its own type.
            "tls" => &["Secret berth-tls"],
            _ => &[],
        };
        assert_eq!(touched, expected, "{overlay}");
    }
}

#[test]
fn all_overlays_together_are_what_each_is_alone() {
    let Some(together) = render("base", &OVERLAYS.map(|(overlay, _)| overlay)) else { return };
    let mut expected = base().clone();
    for (overlay, _) in OVERLAYS {
        let alone = render("base", &[overlay]).expect("kubectl was there");
        expected.retain(|id, _| alone.contains_key(id) || !base().contains_key(id));
        expected.extend(alone.into_iter().filter(|(id, object)| base().get(id) != Some(object)));
    }
    assert_eq!(together, expected);
    for ((kind, name), object) in &together {
        let namespace = if CLUSTER_WIDE.contains(&kind.as_str()) { Value::Null } else { json!(NAMESPACE) };
        assert_eq!(at(object, "/metadata/namespace"), namespace, "{kind} {name}");
    }
}

#[test]
fn what_a_person_applies_is_the_base() {
    let Some(rendered) = render(".", &[]) else { return };
    assert_eq!(&rendered, base());
}

#[test]
fn a_gpu_nodes_agent_is_the_bases_but_for_what_nvml_needs() {
    let Some(rendered) = render("base", &["gpu"]) else { return };
    let agent = object("DaemonSet", "berth-agent");
    let env = json!([
        {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
        {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "utility"},
        at(&agent, "/spec/template/spec/containers/0/env/0"),
    ]);
    // Its account and its name are the base's, and with them its rights, its NetworkPolicy, and its
    // place in `berth status`.
    let differs = [
        ("/metadata/name", json!("berth-agent-gpu")),
        ("/metadata/labels/app.kubernetes.io~1component", json!("agent-gpu")),
        ("/spec/selector/matchLabels/app.kubernetes.io~1component", json!("agent-gpu")),
        ("/spec/template/metadata/labels/app.kubernetes.io~1component", json!("agent-gpu")),
        ("/spec/template/spec/hostPID", json!(true)),
        ("/spec/template/spec/nodeSelector", json!({"nvidia.com/gpu.present": "true"})),
        ("/spec/template/spec/runtimeClassName", json!("nvidia")),
        ("/spec/template/spec/containers/0/env", env),
    ];
    let differs = differs.map(|(pointer, value)| (pointer.to_owned(), value));
    assert_eq!(changes(&agent, &rendered[&id("DaemonSet", "berth-agent-gpu")]), differs.into());
    // The two never meet on a node.
    let other = json!({"key": "nvidia.com/gpu.present", "operator": "NotIn", "values": ["true"]});
    let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [other]}]});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
    let leaves = [("/spec/template/spec/affinity".to_owned(), affinity)];
    assert_eq!(changes(&agent, &rendered[&id("DaemonSet", "berth-agent")]), leaves.into());
}

#[test]
fn every_metric_that_an_alert_or_a_panel_asks_for_is_written() {
    let written = written();
    assert!(written.contains("berth_model_slowdown_ratio"), "{written:?}");
    for file in ["rules.yaml", "berth.json"] {
        let asked = metrics(&text(&format!("deploy/overlays/monitoring/{file}")));
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&written).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

#[test]
fn promtool_takes_the_rules() {
    let rules = documents("overlays/monitoring/rules.yaml").remove(0);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), at(&rules, "/spec").to_string()).expect("JSON is YAML");
    let promtool =
        Command::new("promtool").args(["check", "rules"]).arg(file.path()).stdin(Stdio::null()).output();
    let Ok(checked) = promtool else {
        eprintln!("not run: promtool is not on PATH; make tools gets it");
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn no_certificate_is_made_for_a_name_that_nobody_dials() {
    let objects = documents("overlays/tls/certificates.yaml");
    let serving = objects.iter().find(|object| string(object, "/spec/secretName") == "berth-tls");
    let names = list(serving.expect("the serving certificate"), "/spec/dnsNames");
    assert!(names.contains(&json!("berth-aggregator.berth-system.svc")), "{names:?}");
}
