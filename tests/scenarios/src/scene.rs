//! Everything that runs in one trial: Berth, the model, what may hurt it, and the switches between them.
//!
//! The model and whatever shares its node stand below one cgroup, which the agent is told of. Berth's own
//! group stands beside it and is the instrument. Invariant: dropping a scene leaves no process and no
//! cgroup, because each group kills what is in it. Deliberately absent: the schedule.

mod berth;
mod crowd;
mod launch;
mod model;

use std::{path::Path, process, time::Duration};

use anyhow::Context as _;
use berth_cli::stage::{Group, Hierarchies, Program, ThreadList};
use berth_loadgen::Model as LoadModel;
use tokio::task::JoinSet;

pub use crowd::{Crowd, names};
pub use launch::{Launch, free_port, write_noise};
pub use model::Model;

use crate::{
    bench::Bench,
    load::{self, Shape},
    meter::Meters,
    plan::{Own, Trial},
    suspects,
};

/// v2's largest weight: Berth measures, and must not be part of what it measures.
const OWN_WEIGHT: u64 = 10_000;

/// A bystander's part of a CPU; every other one is quite idle.
const BYSTANDER_DUTY: f64 = 0.02;

/// A suspect, in its group.
#[derive(Debug)]
struct Suspect {
    program: Program,
    group: Group,
    elsewhere: bool,
    flags: Vec<String>,
}

/// Everything that runs in one trial.
#[derive(Debug)]
pub struct Scene {
    /// Where the aggregator answers, as a URL.
    pub server: String,
    /// The model.
    pub model: Model,
    suspects: Vec<Suspect>,
    bystanders: Vec<Suspect>,
    stray: Option<Suspect>,
    /// What the model does to itself, while it is on.
    own_load: JoinSet<()>,
    berth: Vec<Program>,
    /// Removed after those that stand below it.
    groups: Groups,
    // Last, so that the logs are there as long as the programs that write them.
    scratch: tempfile::TempDir,
}

/// The two groups that a scene stands on.
#[derive(Debug)]
struct Groups {
    node: Group,
    own: Group,
}

impl Groups {
    fn make(hierarchies: &Hierarchies, prefix: &str) -> anyhow::Result<Self> {
        let own = hierarchies.make(&format!("{prefix}-own"))?;
        own.set_weight(OWN_WEIGHT)?;
        Ok(Self { node: hierarchies.make_parent(prefix)?, own })
    }
}

/// This process's cgroups begin with it.
pub fn prefix() -> String {
    format!("berth-acc-{}", process::id())
}

fn folder_for_logs() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("berth-acc-").tempdir().context("make a folder for logs")
}

impl Scene {
    /// Starts everything; what can be switched is off.
    pub async fn set(bench: &Bench, trial: &Trial) -> anyhow::Result<Self> {
        let prefix = prefix();
        let scratch = folder_for_logs()?;
        let groups = Groups::make(&bench.hierarchies, &prefix)?;
        let has_decoy = trial.suspects.iter().any(|suspect| suspect.elsewhere);
        let cpus = if has_decoy { &bench.all } else { &bench.node };
        let (server, berth) = berth::start(bench, cpus, &groups, scratch.path()).await?;
        let model = Model::start(bench, trial.victim, "victim", scratch.path()).await?;
        let (suspects, bystanders) = (Vec::new(), Vec::new());
        let (stray, own_load) = (None, JoinSet::new());
        let mut scene = Self { server, model, suspects, bystanders, stray, own_load, berth, groups, scratch };
        scene.start_suspects(bench, trial).await?;
        Ok(scene)
    }

    async fn start_suspects(&mut self, bench: &Bench, trial: &Trial) -> anyhow::Result<()> {
        let below = prefix();
        let scratch = self.scratch.path();
        for (number, suspect) in (1..).zip(&trial.suspects) {
            let path = format!("{below}/suspect-{number}");
            let one = start(bench, &path, suspect.kind, suspect.weight, suspect.elsewhere, scratch)?;
            self.suspects.push(one);
        }
        for number in 1..=trial.bystanders {
            let duty = if number % 2 == 0 { 0.0 } else { BYSTANDER_DUTY };
            let kind = suspects::Kind::Busy { threads: 1, duty };
            let path = format!("{below}/bystander-{number}");
            self.bystanders.push(start(
                bench,
                &path,
                kind,
                berth_cli::stage::DEFAULT_WEIGHT,
                false,
                scratch,
            )?);
        }
        if trial.stray {
            let kind = suspects::Kind::Busy { threads: 1, duty: 1.0 };
            let path = format!("{below}-stray");
            self.stray = Some(start(bench, &path, kind, berth_cli::stage::DEFAULT_WEIGHT, false, scratch)?);
        }
        let kinds = trial.suspects.iter().map(|suspect| suspect.kind.settles_in());
        tokio::time::sleep(kinds.max().unwrap_or_default()).await;
        for suspect in self.suspects.iter().chain(&self.stray) {
            suspect.group.freeze(true)?;
        }
        Ok(())
    }

    /// Switches a part of `trial`, in the order of [`Trial::parts`]; what is switched on will be off again
    /// after `length`.
    pub async fn switch(
        &mut self,
        bench: &Bench,
        trial: &Trial,
        part: usize,
        on: bool,
        length: Duration,
    ) -> anyhow::Result<()> {
        if let Some(suspect) = self.suspects.get(part) {
            return suspect.group.freeze(!on);
        }
        let own = trial.own.filter(|_| part == self.suspects.len());
        match (own, &self.stray) {
            (Some(own), _) => self.switch_own(bench, own, on, length).await,
            (None, Some(stray)) => stray.group.freeze(!on),
            (None, None) => anyhow::bail!("part {part} is not on the scene"),
        }
    }

    async fn switch_own(
        &mut self,
        bench: &Bench,
        own: Own,
        on: bool,
        length: Duration,
    ) -> anyhow::Result<()> {
        let shape = |model, at_once, connections| Shape { model, at_once, connections, duration: length };
        match own {
            Own::CpuLimit(cpus) => self.model.group.set_cpu_limit(on.then_some(cpus)),
            Own::MemoryLimit(bytes) => self.model.group.set_memory_limit(on.then_some(bytes)),
            Own::Restart if on => self.model.restart(bench).await,
            Own::Surge { cpus } if on => {
                let rate_per_sec = cpus / self.model.cost.as_secs_f64();
                self.add_load(shape(LoadModel::steady(rate_per_sec)?, 1, self.model.threads));
                Ok(())
            }
            Own::Flood { in_flight } if on => {
                self.add_load(shape(LoadModel::Closed { in_flight }, 1, in_flight));
                Ok(())
            }
            Own::Restart | Own::Surge { .. } | Own::Flood { .. } => Ok(()),
        }
    }

    fn add_load(&mut self, shape: Shape) {
        let door = self.model.door.clone();
        self.own_load.spawn(async move {
            // Its figures are nobody's; a victim that refuses it shows in its own.
            drop(load::run(&door, shape, None).await);
        });
    }

    /// Who uses `cpu`, the victim's.
    pub fn meters(&self, cpu: usize) -> Meters {
        let all = self.suspects.iter().chain(&self.bystanders).chain(&self.stray);
        let beside = all.filter(|suspect| !suspect.elsewhere).map(|suspect| suspect.group.cpu_meter());
        let victim = self.model.group.cpu_meter();
        Meters { cpu, ours: beside.chain([victim.clone()]).collect(), victim }
    }

    /// What lists the threads of each suspect, in their order.
    pub fn thread_lists(&self) -> impl Iterator<Item = ThreadList> {
        self.suspects.iter().map(|suspect| suspect.group.thread_list())
    }

    /// The command lines of the suspects, in their order.
    pub fn flags(&self) -> impl Iterator<Item = &[String]> {
        self.suspects.iter().map(|suspect| &suspect.flags[..])
    }

    /// The folder of this trial alone.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Errors: a program has ended that should run.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let others = self.suspects.iter_mut().chain(&mut self.bystanders).chain(&mut self.stray);
        let mut all = self.berth.iter_mut().chain(others.map(|suspect| &mut suspect.program));
        all.try_for_each(Program::check)?;
        self.model.check()
    }

    /// Ends everything in order, so that nobody complains of a peer that went first.
    pub async fn strike(mut self) {
        self.own_load.shutdown().await;
        for program in self.berth.drain(..).rev() {
            program.stop().await;
        }
        drop((self.suspects, self.bystanders, self.stray, self.model, self.groups));
    }
}

fn start(
    bench: &Bench,
    path: &str,
    kind: suspects::Kind,
    weight: u64,
    elsewhere: bool,
    scratch: &Path,
) -> anyhow::Result<Suspect> {
    let group = bench.hierarchies.make(path)?;
    group.set_weight(weight)?;
    let cpus = if elsewhere { &bench.rest } else { &bench.node };
    group.set_cpus(cpus)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = scratch.join(name);
    std::fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
    let launch = kind.launch(&bench.binaries, &bench.tools, &folder)?;
    let program = Program::start(name, launch.command(Some(&group)), cpus, scratch)?;
    Ok(Suspect { program, group, elsewhere, flags: launch.flags() })
}
