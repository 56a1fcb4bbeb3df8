//! The model on the scene: its process, its group, and what one of its requests costs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use berth_cli::stage::{Group, Program};
use berth_loadgen::{Model as LoadModel, Totals};

use super::{free_port, prefix};
use crate::{
    bench::Bench,
    load::{self, Door, Shape},
    plan::Victim,
    victims::Server,
};

/// scikit-learn takes seconds to import on a busy CPU.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a server is asked whether it answers.
const READY_POLL: Duration = Duration::from_millis(50);

/// One request after another for so long fills every cache of a server.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long the cost of a request is measured: a hundred requests or more.
const COST_RUN: Duration = Duration::from_secs(4);

/// At which load, about: that of most trials.
const COST_LOAD_CPUS: f64 = 0.3;

/// A model that serves.
#[derive(Debug)]
pub struct Model {
    /// Where it answers.
    pub door: Door,
    /// Its group.
    pub group: Group,
    /// Its serving threads.
    pub threads: u32,
    /// CPU time of one request, measured when it was alone.
    pub cost: Duration,
    name: String,
    port: u16,
    server: Server,
    program: Option<Program>,
    logs: PathBuf,
}

impl Model {
    /// Starts it and waits until it answers; measures what a request costs unless that is known.
    pub async fn start(bench: &Bench, victim: Victim, name: &str, scratch: &Path) -> anyhow::Result<Self> {
        let group = bench.hierarchies.make(&format!("{}/{name}", prefix()))?;
        group.set_weight(victim.weight)?;
        group.set_cpus(&bench.node)?;
        let folder = scratch.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let port = free_port()?;
        let server = victim.kind.server(victim.threads, port, &bench.binaries, &bench.tools, &folder)?;
        let url = format!("http://127.0.0.1:{port}{}", server.route);
        let door = Door { url, payload: server.payload.clone(), check: server.check };
        let mut model = Self {
            door,
            group,
            threads: victim.threads,
            cost: Duration::ZERO,
            name: name.to_owned(),
            port,
            server,
            program: None,
            logs: scratch.to_owned(),
        };
        model.launch(bench)?;
        model.ready().await?;
        model.cost = bench.costs.of(&victim.cost_key(), model.measure_cost()).await?;
        Ok(model)
    }

    fn launch(&mut self, bench: &Bench) -> anyhow::Result<()> {
        let command = self.server.launch.command(Some(&self.group));
        self.program = Some(Program::start(&self.name, command, &bench.node, &self.logs)?);
        Ok(())
    }

    /// As a rollout that does not wait: the old process ends, and a new one starts.
    pub async fn restart(&mut self, bench: &Bench) -> anyhow::Result<()> {
        if let Some(program) = self.program.take() {
            program.stop().await;
        }
        self.launch(bench)
    }

    /// Errors: it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.program.as_mut().map_or(Ok(()), Program::check)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let answers = async {
            loop {
                self.check()?;
                if tokio::net::TcpStream::connect(address).await.is_ok()
                    && self.one_by_one(WARM_UP).await? > 0
                {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(READY_POLL).await;
            }
        };
        let timeout = tokio::time::timeout(READY_TIMEOUT, answers).await;
        timeout.with_context(|| {
            format!("wait until {} answers; its log is in {}", self.name, self.logs.display())
        })?
    }

    /// Requests one after another; how many succeeded.
    async fn one_by_one(&self, duration: Duration) -> anyhow::Result<u64> {
        self.complete(LoadModel::Closed { in_flight: 1 }, duration).await
    }

    async fn complete(&self, model: LoadModel, duration: Duration) -> anyhow::Result<u64> {
        let shape = Shape { model, at_once: 1, connections: 1, duration };
        let intervals = load::run(&self.door, shape, None).await?;
        Ok(Totals::of(&intervals).tally().counts.completed)
    }

    /// A server that rests between requests finds its caches colder and is woken more often, so the cost
    /// that counts is that of an open load; a closed one finds its rate.
    async fn measure_cost(&self) -> anyhow::Result<Duration> {
        let closed = self.cost_of(LoadModel::Closed { in_flight: 1 }, WARM_UP).await?;
        let rate_per_sec = COST_LOAD_CPUS / closed.as_secs_f64();
        self.cost_of(LoadModel::steady(rate_per_sec)?, COST_RUN).await
    }

    async fn cost_of(&self, model: LoadModel, duration: Duration) -> anyhow::Result<Duration> {
        let meter = self.group.cpu_meter();
        let before = meter.read()?;
        let completed = self.complete(model, duration).await?;
        let used = meter.read()?.saturating_sub(before);
        let completed = u32::try_from(completed).ok().filter(|completed| *completed > 0);
        Ok(used / completed.with_context(|| format!("measure {}: no request succeeded", self.name))?)
    }
}
