//! One node: a cgroup with a busy process, an agent that samples it, an aggregator that listens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use berth::wire::{
    self, episodes_client::EpisodesClient, samples_client::SamplesClient, traces_client::TracesClient,
};
use berth_kit::{DEADLINE, Running, program, wait_for};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

/// Where cgroups are made; v1's cpuacct, or the one v2 hierarchy.
fn cgroup_mounts() -> Vec<PathBuf> {
    let v1 = ["cpu", "cpuacct", "memory", "unified"].map(|name| PathBuf::from("/sys/fs/cgroup").join(name));
    if v1[0].is_dir() {
        v1.into_iter().filter(|mount| mount.is_dir()).collect()
    } else {
        vec!["/sys/fs/cgroup".into()]
    }
}

/// A cgroup with one busy process in it.
#[derive(Debug)]
pub(crate) struct Busy {
    name: String,
    process: Option<Running>,
}

impl Busy {
    fn start(scratch: &std::path::Path) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("berth-test-{}-{number}", std::process::id());
        for mount in cgroup_mounts() {
            if let Err(error) = fs::create_dir_all(mount.join(&name).join("busy")) {
                eprintln!("not run: cgroups cannot be made here: {error}");
                return None;
            }
        }
        let files = cgroup_mounts().into_iter().map(|mount| mount.join(&name).join("busy/cgroup.procs"));
        // Busy for a tenth of the time: there is something to count, and the machine stays usable.
        let script = "for f; do echo $$ > $f; done; while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; \
                      sleep 0.05; done";
        let mut command = Command::new("bash");
        command.args(["-c", script, "busy"]).args(files);
        let process = Some(Running::start(&mut command, scratch.join("busy.log")));
        Some(Self { name, process })
    }

    /// Below the hierarchy's root, as the agent's flag wants it.
    pub(crate) fn root(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.process.take().into_iter().for_each(Running::kill);
        for mount in cgroup_mounts() {
            wait_for("the cgroup to go", DEADLINE, || {
                drop(fs::remove_dir(mount.join(&self.name).join("busy")));
                drop(fs::remove_dir(mount.join(&self.name)));
                (!mount.join(&self.name).is_dir()).then_some(())
            });
        }
    }
}

/// The node, and a client of its aggregator.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) address: String,
    aggregator: Option<Running>,
    agent: Option<Running>,
    busy: Busy,
    scratch: tempfile::TempDir,
}

impl Node {
    /// Starts everything; `None`, with a line that says so, where cgroups cannot be made.
    pub(crate) fn start() -> Option<Self> {
        let scratch = tempfile::tempdir().unwrap();
        let busy = Busy::start(scratch.path())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = "127.0.0.1:0".to_owned();
        let mut node = Self { runtime, address, aggregator: None, agent: None, busy, scratch };
        node.start_aggregator();
        node.start_agent();
        Some(node)
    }

    /// Starts the aggregator at the address that it had before, so that the agent finds it.
    pub(crate) fn start_aggregator(&mut self) {
        let config = self.scratch.path().join("berth.yaml");
        let workload = "workloads:\n  - cgroup: /berth-test-*/busy\n    namespace: test\n    pod: busy\n    container: busy\n    \
                        labels: {berth.dev/role: model}\n";
        fs::write(&config, workload).unwrap();
        let mut command = Command::new(program("berth-aggregator", "berth-aggregator"));
        command.args(["--listen", &self.address, "--http", "127.0.0.1:0", "--config"]).arg(config);
        let mut aggregator = Running::start(&mut command, self.scratch.path().join("aggregator.log"));
        self.address = aggregator.listening("grpc ");
        self.aggregator = Some(aggregator);
    }

    pub(crate) fn start_agent(&mut self) {
        let mut command = Command::new(program("berth-agent", "berth-agent"));
        command.args(["--server", &format!("http://{}", self.address), "--node", "node-1"]);
        command.args(["--cgroup-root", &self.busy.root()]);
        self.agent = Some(Running::start(&mut command, self.scratch.path().join("agent.log")));
    }

    pub(crate) fn kill_aggregator(&mut self) {
        self.aggregator.take().unwrap().kill();
    }

    pub(crate) fn kill_agent(&mut self) {
        self.agent.take().unwrap().kill();
    }

    fn channel(&self) -> Channel {
        let _inside = self.runtime.enter();
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect_lazy()
    }

    pub(crate) fn samples(&self) -> SamplesClient<Channel> {
        SamplesClient::new(self.channel())
    }

    pub(crate) fn traces(&self) -> TracesClient<Channel> {
        TracesClient::new(self.channel())
    }

    /// The busy process.
    pub(crate) fn busy_pid(&self) -> u32 {
        self.busy.process.as_ref().unwrap().id()
    }

    /// Whether the agent's log holds this.
    pub(crate) fn agent_said(&self, text: &str) -> bool {
        self.agent.as_ref().unwrap().said().contains(text)
    }

    pub(crate) fn episodes(&self) -> EpisodesClient<Channel> {
        EpisodesClient::new(self.channel())
    }

    /// The account of the one node; `None` until its agent has been heard.
    pub(crate) fn status(&self) -> Option<wire::NodeStatus> {
        let mut samples = self.samples();
        let answer = self.runtime.block_on(samples.list_nodes(wire::ListNodesRequest {})).ok()?;
        answer.into_inner().nodes.pop()
    }

    /// Every raw tick of the busy container's CPU time that is kept: time and value, in order.
    pub(crate) fn cpu_ticks(&self) -> Vec<(i64, i64)> {
        let mut samples = self.samples();
        let request = wire::RangeRequest {
            filter: Some(wire::SubjectFilter { pod: "busy".to_owned(), ..Default::default() }),
            groups: vec![wire::Group::ContainerCpu.into()],
            resolution: wire::Resolution::Raw.into(),
            ..Default::default()
        };
        self.runtime.block_on(async {
            let Ok(answer) = samples.range(request).await else { return Vec::new() };
            let mut chunks = answer.into_inner();
            let mut ticks = Vec::new();
            while let Some(chunk) = chunks.message().await.unwrap() {
                for series in &chunk.series {
                    assert_eq!(series.values.len(), chunk.times_unix_nsec.len());
                    let known = (0_u32..).zip(&chunk.times_unix_nsec).zip(&series.values);
                    let known = known.filter(|((at, _), _)| !series.absent.contains(at));
                    ticks.extend(known.map(|((_, &time), &value)| (time, value)));
                }
            }
            ticks
        })
    }
}
