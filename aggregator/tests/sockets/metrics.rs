//! /metrics as Prometheus reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
};

use crate::{
    agent::Agent,
    scene::{ROSTER, Scene},
    server::{Server, until},
};

const BATCHES: u64 = 150;

/// Families and samples; fails on anything that is not text format 0.0.4.
fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut types, mut samples, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} has a type before its help");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(types.contains_key(name), "{name} has no type");
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
    }
    (types, samples)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_was_delivered_and_found_in_the_format_of_prometheus() {
    let server = Server::start(ROSTER).await;
    let open = Scene::new("node-1", BATCHES, 100..1_000);
    let _agent = Agent::play(&server.channel, &open, BATCHES).await;
    let last_tick = f64::from(u32::try_from(BATCHES * 2 - 1).unwrap());
    let text = until("the last tick", || async {
        let (_, text) = server.page("/metrics").await;
        let ticks = parse(&text).1.get("berth_agent_ticks_total{node=\"node-1\"}").copied();
        (ticks == Some(last_tick)).then_some(text)
    })
    .await;
    let (types, samples) = parse(&text);
    assert!(text.contains("berth_episodes_open{"), "{text}");
    for (name, kind) in &types {
        assert!(name.starts_with("berth_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
    let container = |name: &str, more: &str| {
        let labels = "node=\"node-1\",namespace=\"prod\",pod=\"model-0\",container=\"main\"";
        *samples.get(&format!("{name}{{{labels}{more}}}")).unwrap_or_else(|| panic!("{name}{more}\n{text}"))
    };
    assert!(container("berth_container_cpu_seconds_total", ",role=\"model\"") > 1.0);
    assert!(
        (container("berth_container_memory_bytes", ",role=\"model\"") - f64::from(100 << 20)).abs() < 1.0
    );
    assert!(container("berth_model_slowdown_ratio", "") > 1.5);
    assert!(container("berth_model_wait_share_ratio", ",cause=\"culprit\",culprit=\"batch/scan\"") > 0.5);
    assert!(container("berth_model_wait_seconds_total", ",kind=\"contended\"") > 0.5);
    let stored = samples["berth_node_values_total{node=\"node-1\",outcome=\"stored\"}"];
    assert!(stored > 0.0 && samples["berth_nodes{connected=\"true\"}"] > 0.0);
    assert_eq!(server.page("/readyz").await.1, "ready: 1 of 1 known nodes report\n");
    let (status, _) = server.page("/elsewhere").await;
    assert!(status.contains("404"), "{status}");
    promtool(&text);
}

/// Prometheus' own opinion, where it is installed.
fn promtool(text: &str) {
    let checked = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    let Ok(mut checked) = checked else {
        eprintln!("not run: promtool is not on PATH");
        return;
    };
    checked.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(checked.wait().unwrap().success());
}
