//! Berth itself: the real aggregator and the real agent, as `berth demo` starts them.

use std::path::Path;

use anyhow::Context as _;
use berth_cli::stage::{Cpus, Program};

use super::{Groups, Launch, prefix};
use crate::bench::Bench;

/// The node's name in the aggregator's answers.
pub(super) const NODE: &str = "node-a";

/// Starts both, the agent to answer for `cpus`, and gives where the aggregator answers.
pub(super) async fn start(
    bench: &Bench,
    cpus: &Cpus,
    groups: &Groups,
    scratch: &Path,
) -> anyhow::Result<(String, Vec<Program>)> {
    let Groups { node, own } = groups;
    let config = scratch.join("berth.yaml");
    std::fs::write(&config, workloads(&prefix())).context("write the configuration")?;
    let launch = Launch::of(bench.binaries.path("berth-aggregator"))
        .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config"])
        .args([config]);
    let mut aggregator = Program::start("berth-aggregator", launch.command(Some(own)), &bench.rest, scratch)?;
    let server = format!("http://{}", aggregator.listening("grpc ").await?);
    let launch = Launch::of(bench.binaries.path("berth-agent")).args([
        "--server",
        &server,
        "--node",
        NODE,
        "--cpus",
        &cpus.list(),
        "--cgroup-root",
        &node.path(),
        "--hz",
        &bench.sample_hz.to_string(),
    ]);
    let agent = Program::start("berth-agent", launch.command(Some(own)), &bench.rest, scratch)?;
    Ok((server, vec![aggregator, agent]))
}

/// Who is who, in the words of the aggregator's configuration.
fn workloads(prefix: &str) -> String {
    let workload = |name: &str, kind: &str, role: &str| {
        format!(
            "  - cgroup: /{prefix}/{name}*
    namespace: trial
    pod: \"{name}${{1}}-0\"
    container: {name}
    owner: {{kind: {kind}, name: \"{name}${{1}}\"}}
{role}"
        )
    };
    format!(
        "workloads:\n{}{}{}",
        workload("victim", "Deployment", "    labels: {berth.dev/role: model}\n"),
        workload("suspect", "Job", "    labels: {berth.dev/role: scanner}\n"),
        workload("bystander", "Deployment", "")
    )
}
