//! The overlays: what they add is true of what the aggregator writes, and Prometheus takes it.
//!
//! Deliberately absent: their rendering, which is the cluster's.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{at, list, root, string, text};

/// Every overlay, as a component, so that several go together.
const OVERLAYS: [&str; 2] = ["monitoring", "tls"];

fn documents(file: &str) -> Vec<Value> {
    let text = text(&format!("deploy/overlays/{file}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
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
fn every_overlay_is_a_component_whose_files_are_there() {
    for overlay in OVERLAYS {
        let kustomization = documents(&format!("{overlay}/kustomization.yaml")).remove(0);
        assert_eq!(at(&kustomization, "/kind"), json!("Component"), "{overlay}");
        for file in list(&kustomization, "/resources") {
            documents(&format!("{overlay}/{}", string(&file, "")));
        }
    }
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
    let rules = documents("monitoring/rules.yaml").remove(0);
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
    let objects = documents("tls/certificates.yaml");
    let serving = objects.iter().find(|object| string(object, "/spec/secretName") == "berth-tls");
    let names = list(serving.expect("the serving certificate"), "/spec/dnsNames");
    assert!(names.contains(&json!("berth-aggregator.berth-system.svc")), "{names:?}");
}
