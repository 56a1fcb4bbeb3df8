//! What all trials of a run share: the machine, its programs, and the folder of results.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use berth_cli::{
    exit::{Exit, Failure},
    stage::{Binaries, Cpus, Hierarchies},
};

use crate::{costs::Costs, machine::Machine, oracle::Perf, result::DEFAULT_SAMPLE_HZ, tools::Tools};

/// What all trials of a run share.
#[derive(Debug)]
pub struct Bench {
    /// Built with this program.
    pub binaries: Binaries,
    /// Fetched by `tools.sh`.
    pub tools: Tools,
    /// Records who ran while a victim waited; `None` where nothing does.
    pub perf: Option<Perf>,
    /// Samples a second that the agent takes.
    pub sample_hz: u32,
    /// Where cgroups are made.
    pub hierarchies: Hierarchies,
    /// The victim's CPU.
    pub node: Cpus,
    /// Berth's and the load engine's.
    pub rest: Cpus,
    /// Both.
    pub all: Cpus,
    /// What machine this is.
    pub machine: Machine,
    /// Where results go.
    pub dir: PathBuf,
    /// What requests cost.
    pub costs: Costs,
    /// No other run writes there while this is held.
    _alone: File,
}

impl Bench {
    /// Looks at the machine. Errors: it has one CPU, no cgroups, or no programs, or another run goes on in
    /// the folder.
    pub fn new(dir: PathBuf, tools: Option<PathBuf>, all: Cpus) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let folder = alone(&dir)?;
        let binaries = Binaries::beside_this_one()?;
        let hierarchies = Hierarchies::find()?.with_cpusets();
        let (node, rest) = all.first_and_rest().context("a trial needs two CPUs: one is the victim's")?;
        let machine = Machine::this(&hierarchies, &all);
        let (costs, tools) = (Costs::kept_in(&dir)?, Tools::in_folder(tools));
        let sample_hz = DEFAULT_SAMPLE_HZ;
        Ok(Self {
            binaries,
            tools,
            perf: None,
            sample_hz,
            hierarchies,
            node,
            rest,
            all,
            machine,
            dir,
            costs,
            _alone: folder,
        })
    }

    /// These, with an agent that samples so often.
    #[must_use]
    pub fn with_sample_hz(self, sample_hz: u32) -> Self {
        Self { sample_hz, ..self }
    }

    /// These, with a perf, if it works here; if not, says why.
    #[must_use]
    pub async fn with_perf(mut self, program: PathBuf) -> Self {
        let tried = Perf::try_out(program).await;
        let gone_without = |error: &anyhow::Error| {
            eprintln!("no trial records who ran while its model waited: {error:#}; run make accuracy-tools");
        };
        self.perf = tried.inspect_err(gone_without).ok();
        self
    }
}

/// Two runs would mix their results, and each is the other's neighbour.
fn alone(dir: &Path) -> anyhow::Result<File> {
    let folder = File::open(dir).with_context(|| format!("open {}", dir.display()))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another run goes on in {}: wait for it to end", dir.display());
            Err(Failure::new(Exit::Usage, message).into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", dir.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = alone(dir.path()).unwrap();
        let refused = alone(dir.path()).unwrap_err().to_string();
        assert!(
            refused.contains("another run goes on") && refused.contains("wait for it to end"),
            "{refused}"
        );
        drop(first);
        drop(alone(dir.path()).unwrap());
    }
}
