//! Many models on one CPU and nobody beside them: the scene of a soak.

use std::path::Path;

use berth_cli::stage::{CpuMeter, Program};

use super::{Groups, Model, berth, folder_for_logs, prefix};
use crate::{bench::Bench, meter::Meters, plan::Victim};

/// Models, and Berth.
#[derive(Debug)]
pub struct Crowd {
    /// Where the aggregator answers, as a URL.
    pub server: String,
    /// The models.
    pub models: Vec<Model>,
    berth: Vec<Program>,
    groups: Groups,
    // Last, so that the logs are there as long as the programs that write them.
    scratch: tempfile::TempDir,
}

impl Crowd {
    /// Starts Berth and so many models, one after another.
    pub async fn set(bench: &Bench, victim: Victim, count: u32) -> anyhow::Result<Self> {
        let scratch = folder_for_logs()?;
        let groups = Groups::make(&bench.hierarchies, &prefix())?;
        let (server, berth) = berth::start(bench, &bench.node, &groups, scratch.path()).await?;
        let mut crowd = Self { server, models: Vec::new(), berth, groups, scratch };
        for name in names(count) {
            crowd.models.push(Model::start(bench, victim, &name, crowd.scratch.path()).await?);
        }
        Ok(crowd)
    }

    /// Who uses `cpu`, the models'.
    pub fn meters(&self, cpu: usize) -> Meters {
        let ours: Vec<CpuMeter> = self.models.iter().map(|model| model.group.cpu_meter()).collect();
        Meters { cpu, victim: self.groups.node.cpu_meter(), ours }
    }

    /// The folder of this soak alone.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Errors: a program has ended that should run.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.berth.iter_mut().try_for_each(Program::check)?;
        self.models.iter_mut().try_for_each(Model::check)
    }

    /// Ends everything in order.
    pub async fn strike(mut self) {
        for program in self.berth.drain(..).rev() {
            program.stop().await;
        }
        drop((self.models, self.groups));
    }
}

/// Of so many models.
pub fn names(count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(|number| format!("victim-{number}"))
}
