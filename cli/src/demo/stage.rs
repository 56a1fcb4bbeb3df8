//! Everything that runs: two nodes of this machine, Berth itself, the model, the scanners.
//!
//! Three groups stand side by side: one a node, and one for Berth and its load generator, whose
//! weight keeps them out of what they measure. Side by side and not one inside the other, because
//! the kernel parts a group's weight over the CPUs by load, and Berth's would take the nodes' part.
//! Berth's own group is the instrument and belongs to neither node.
//! Invariant: whatever happens, dropping the stage leaves no process and no cgroup, because each
//! group kills what is in it.

use std::{path::Path, process, time::Duration};

use anyhow::Context as _;

use super::Args;
use crate::stage::{Binaries, Cpus, Group, Hierarchies, Program};

/// What the model asks for, in CPUs. The scanners ask for the rest of the node, as batch work does, so a node
/// of one CPU that is wanted by all is parted one to three: contention that stands clear of a shared host's
/// pauses, which reach the 99th percentile too.
pub(super) const MODEL_REQUEST_CPUS: f64 = 0.25;

/// `cpu.weight` of a request of one CPU, which is the default weight: Kubernetes weighs requests alike.
const WEIGHT_OF_ONE_CPU: f64 = 100.0;

/// The largest weight that v2 has. Berth and its load generator measure; they must not be part of what
/// they measure.
const OWN_WEIGHT: u64 = 10_000;

/// Serving threads of the model. Two, so that a request that comes while another is computed waits
/// on a run queue, where the kernel counts it, and not in a socket.
pub(super) const MODEL_WORKERS: u32 = 2;

/// The scanner takes no more.
const SCANNER_THREADS: u32 = 255;

/// How often a stage that stays up is looked after.
const WATCH_PERIOD: Duration = Duration::from_millis(500);

/// The route that the example model serves.
const MODEL_ROUTE: &str = "breast_cancer/predict";

/// One of the two nodes.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: &'static str,
    /// Its CPUs.
    pub(super) cpus: Cpus,
}

impl Node {
    /// What all scanners together ask for.
    pub(super) fn left_by_model_cpus(&self) -> f64 {
        self.cpus.count() as f64 - MODEL_REQUEST_CPUS
    }
}

/// A scanner and where it runs.
#[derive(Debug)]
struct Scanner {
    program: Program,
    group: Group,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    /// Where the aggregator answers, as a URL.
    pub(super) server: String,
    /// Where its metrics are.
    pub(super) metrics: String,
    /// Where the model answers, as a URL.
    pub(super) target: String,
    /// The model's node, and the other.
    pub(super) nodes: [Node; 2],
    hierarchies: Hierarchies,
    binaries: Binaries,
    prefix: String,
    model_group: Group,
    model_cpu_limit: Option<f64>,
    model: Program,
    scanners: Vec<Scanner>,
    stray: Option<Program>,
    berth: Vec<Program>,
    /// Held for their drop: those of the two nodes and Berth's own.
    _groups: [Group; 3],
    // Last, so that the logs are there as long as the programs that write them.
    scratch: tempfile::TempDir,
}

impl Stage {
    /// Starts Berth and the model. Errors: no right to make cgroups, a port in use, a program
    /// missing; whatever had been started is ended.
    pub(super) async fn set(args: &Args, cpus: &Cpus) -> anyhow::Result<Self> {
        let binaries = Binaries::beside_this_one()?;
        let hierarchies = Hierarchies::find()?;
        let prefix = format!("berth-demo-{}", process::id());
        let scratch =
            tempfile::Builder::new().prefix("berth-demo-").tempdir().context("make a folder for logs")?;
        let (first, second) = cpus.halves();
        let groups = Groups::make(&hierarchies, &prefix)?;
        let mut berth = Vec::new();
        let (server, metrics) =
            start_aggregator(args, &binaries, &groups, &prefix, &second, scratch.path(), &mut berth).await?;
        for (name, cpus, group) in [("node-a", &first, &groups.a), ("node-b", &second, &groups.b)] {
            let mut command = groups.own.entering(&binaries.path("berth-agent"));
            command.args(["--server", &server, "--node", name, "--cpus", &cpus.list()]);
            command.args(["--cgroup-root", &group.path()]);
            berth.push(Program::start(&format!("berth-agent-{name}"), command, &second, scratch.path())?);
        }
        // It shares a CPU with the aggregator and an agent, whose bursts would make it late.
        let mut worker = groups.own.entering(Path::new("nice"));
        worker.args(["-n", "-20"]).arg(binaries.path("berth-loadgen"));
        worker.args(["--server", &server, "--node", "node-b", "--id", "berth-loadgen-0"]);
        berth.push(Program::start("berth-loadgen", worker, &second, scratch.path())?);
        let (model, target) = start_model(&groups.model, &binaries, &first, scratch.path()).await?;
        let Groups { a, b, own, model: model_group } = groups;
        let nodes = [Node { name: "node-a", cpus: first }, Node { name: "node-b", cpus: second }];
        let (scanners, stray) = (Vec::new(), None);
        Ok(Self {
            server,
            metrics,
            target,
            nodes,
            hierarchies,
            binaries,
            prefix,
            model_group,
            model_cpu_limit: None,
            model,
            scanners,
            stray,
            berth,
            _groups: [a, b, own],
            scratch,
        })
    }

    /// Starts the model again on another node, as a rollout does.
    pub(super) async fn move_model(&mut self, on: usize) -> anyhow::Result<()> {
        let group = self.hierarchies.make(&format!("{}-{}/refmodel", self.prefix, suffix(on)))?;
        group.set_weight(weight(MODEL_REQUEST_CPUS))?;
        if let Some(cpus) = self.model_cpu_limit {
            group.set_cpu_limit(Some(cpus))?;
        }
        let node = &self.nodes[on];
        let (model, target) = start_model(&group, &self.binaries, &node.cpus, self.scratch.path()).await?;
        std::mem::replace(&mut self.model, model).stop().await;
        (self.model_group, self.target) = (group, target);
        Ok(())
    }

    /// Limits the model's CPU, as a Kubernetes limit does.
    pub(super) fn limit_model(&mut self, cpus: f64) -> anyhow::Result<()> {
        self.model_cpu_limit = Some(cpus);
        self.model_group.set_cpu_limit(Some(cpus))
    }

    /// Starts the scanners on a node, the largest first; together they make `calls_per_sec` to the model.
    pub(super) fn start_scanners(&mut self, on: usize, count: u32, calls_per_sec: f64) -> anyhow::Result<()> {
        let node = &self.nodes[on];
        // Unequal, so that there is an order to find: n, n-1 ... 1 parts of what the model leaves.
        let parts: u32 = (1..=count).sum();
        for (number, part) in (1..=count).zip((1..=count).rev()) {
            let request_cpus = node.left_by_model_cpus() * f64::from(part) / f64::from(parts);
            let concurrency = (part * u32::try_from(node.cpus.count())?).min(SCANNER_THREADS);
            let path = format!("{}-{}/scanner-{number}", self.prefix, suffix(on));
            let group = self.hierarchies.make(&path)?;
            group.set_weight(weight(request_cpus))?;
            let mut command = group.entering(&self.binaries.path("scanner"));
            let calls_per_sec = (calls_per_sec / f64::from(count)).to_string();
            command.args(["--model-url", &self.target, "--calls-per-sec", &calls_per_sec]);
            command.args(["--concurrency", &concurrency.to_string(), "--seed", &number.to_string()]);
            let name = format!("scanner-{number}-{}", node.name);
            let program = Program::start(&name, command, &node.cpus, self.scratch.path())?;
            self.scanners.push(Scanner { program, group });
        }
        Ok(())
    }

    /// Ends the scanners and removes their groups, as deleting their pods does.
    pub(super) async fn stop_scanners(&mut self) {
        for Scanner { program, group } in self.scanners.drain(..) {
            program.stop().await;
            drop(group);
        }
    }

    /// Starts a busy process on the model's node, outside every group of the demonstration.
    pub(super) fn start_stray(&mut self) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(self.binaries.path("scanner"));
        let threads = self.nodes[0].cpus.count().to_string();
        command.args(["--concurrency", &threads]);
        let stray = Program::start("stray", command, &self.nodes[0].cpus, self.scratch.path())?;
        self.stray = Some(stray);
        Ok(())
    }

    /// Errors: a program has ended that should run.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let scanners = self.scanners.iter_mut().map(|scanner| &mut scanner.program);
        let mut all = self.berth.iter_mut().chain([&mut self.model]).chain(scanners).chain(&mut self.stray);
        all.try_for_each(Program::check)
    }

    /// Returns when a program has ended that should run, with what it said last.
    pub(super) async fn watch(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            tokio::time::sleep(WATCH_PERIOD).await;
        }
    }

    /// Ends everything in order, so that nobody complains of a peer that went first.
    pub(super) async fn strike(mut self) {
        self.stop_scanners().await;
        for program in self.stray.take().into_iter().chain(self.berth.drain(..).rev()) {
            program.stop().await;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a request is above zero and a node has fewer CPUs than v2 has weights"
)]
fn weight(request_cpus: f64) -> u64 {
    ((request_cpus * WEIGHT_OF_ONE_CPU).round() as u64).clamp(1, OWN_WEIGHT)
}

fn suffix(node: usize) -> char {
    if node == 0 { 'a' } else { 'b' }
}

/// The groups that are there from the beginning; removed again when the stage cannot be set.
#[derive(Debug)]
struct Groups {
    a: Group,
    b: Group,
    own: Group,
    model: Group,
}

impl Groups {
    fn make(hierarchies: &Hierarchies, prefix: &str) -> anyhow::Result<Self> {
        let own = hierarchies.make(&format!("{prefix}-own"))?;
        own.set_weight(OWN_WEIGHT)?;
        let a = hierarchies.make_parent(&format!("{prefix}-a"))?;
        let b = hierarchies.make_parent(&format!("{prefix}-b"))?;
        let model = hierarchies.make(&format!("{prefix}-a/refmodel"))?;
        model.set_weight(weight(MODEL_REQUEST_CPUS))?;
        Ok(Self { a, b, own, model })
    }
}

/// Starts the model, and returns where it answers.
async fn start_model(
    group: &Group,
    binaries: &Binaries,
    cpus: &Cpus,
    logs: &Path,
) -> anyhow::Result<(Program, String)> {
    let mut command = group.entering(&binaries.path("refmodel"));
    command.args(["--bind", "127.0.0.1:0", "--workers", &MODEL_WORKERS.to_string()]);
    let mut model = Program::start("refmodel", command, cpus, logs)?;
    let target = format!("http://{}/{MODEL_ROUTE}", model.listening("").await?);
    Ok((model, target))
}

/// Starts the aggregator, and returns where it answers and where its metrics are.
async fn start_aggregator(
    args: &Args,
    binaries: &Binaries,
    groups: &Groups,
    prefix: &str,
    cpus: &Cpus,
    scratch: &Path,
    berth: &mut Vec<Program>,
) -> anyhow::Result<(String, String)> {
    let config = scratch.join("berth.yaml");
    std::fs::write(&config, workloads(prefix)).context("write the configuration")?;
    let mut command = groups.own.entering(&binaries.path("berth-aggregator"));
    command
        .args(["--listen", &args.listen.to_string(), "--http", &args.http.to_string()])
        .arg("--config")
        .arg(config);
    let mut aggregator = Program::start("berth-aggregator", command, cpus, scratch)?;
    let server = format!("http://{}", aggregator.listening("grpc ").await?);
    let metrics = format!("http://{}/metrics", aggregator.listening("http ").await?);
    berth.push(aggregator);
    Ok((server, metrics))
}

/// Who is who, in the words of the aggregator's configuration.
fn workloads(prefix: &str) -> String {
    format!(
        "workloads:
  - cgroup: /{prefix}-*/refmodel
    namespace: demo
    pod: refmodel-0
    container: refmodel
    owner: {{kind: Deployment, name: refmodel}}
    labels: {{berth.dev/role: model}}
  - cgroup: /{prefix}-*/scanner-*
    namespace: demo
    pod: scanner-${{2}}
    container: scanner
    owner: {{kind: Job, name: \"scanner-${{2}}\"}}
    labels: {{berth.dev/role: scanner}}
"
    )
}
