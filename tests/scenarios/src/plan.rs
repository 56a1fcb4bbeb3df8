//! A trial before it is run: who is on the scene, what is switched, and what should be found.
//!
//! Invariant: a trial's id says all that tells it from the others, and is the name of its result file.
//! Deliberately absent: which trials there are; that is the matrix.

use crate::{
    blocks::{self, Block, Phase},
    result::{Expected, Half},
    suspects,
    timeline::Rhythm,
    tools::Tool,
    victims,
};

/// The model of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Victim {
    /// Which server.
    pub kind: victims::Kind,
    /// Its serving threads.
    pub threads: u32,
    /// `cpu.weight`.
    pub weight: u64,
}

impl Victim {
    /// What its requests cost is kept under this.
    pub fn cost_key(self) -> String {
        format!("{}-{}", self.kind.name(), self.threads)
    }
}

/// What may hurt it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspect {
    /// Which program.
    pub kind: suspects::Kind,
    /// How it behaves while it is on.
    pub rhythm: Rhythm,
    /// `cpu.weight`.
    pub weight: u64,
    /// On another CPU than the victim's, so that it takes no CPU time from it.
    pub elsewhere: bool,
}

/// What a victim does to itself, while it is on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Own {
    /// Has a CPU limit.
    CpuLimit(f64),
    /// Has a memory limit.
    MemoryLimit(u64),
    /// Gets more load, of so many CPUs.
    Surge {
        /// In addition.
        cpus: f64,
    },
    /// Gets so many more requests at a time, as fast as it answers.
    Flood {
        /// At a time.
        in_flight: u32,
    },
    /// Is restarted at the beginning of each block that is on.
    Restart,
}

impl Own {
    /// In a result's blocks.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuLimit(_) => "own_cpu_limit",
            Self::MemoryLimit(_) => "own_memory_limit",
            Self::Surge { .. } => "own_surge",
            Self::Flood { .. } => "own_flood",
            Self::Restart => "own_restart",
        }
    }
}

/// The name of the busy process in no sampled cgroup, in a result's blocks.
pub const STRAY: &str = "unowned";

/// One trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Unique in the matrix.
    pub id: String,
    /// What kind of trial it is.
    pub class: &'static str,
    /// The order of its blocks is drawn from it.
    pub seed: u64,
    /// Which half it belongs to.
    pub half: Half,
    /// The model.
    pub victim: Victim,
    /// CPUs that its load needs.
    pub load: f64,
    /// Requests that arrive at one time.
    pub at_once: u32,
    /// What may hurt it.
    pub suspects: Vec<Suspect>,
    /// Containers that do next to nothing.
    pub bystanders: u32,
    /// What it does to itself.
    pub own: Option<Own>,
    /// Whether a busy process in no sampled cgroup stands beside it.
    pub stray: bool,
    /// Whether each subset of the suspects is measured, or only all and none.
    pub subsets: bool,
    /// What should be found.
    pub expected: Expected,
}

impl Trial {
    /// What can be switched, by the names that its result uses.
    pub fn parts(&self) -> Vec<String> {
        let suspects = (1..=self.suspects.len()).map(|number| format!("suspect-{number}"));
        let own = self.own.map(|own| own.name().to_owned());
        let stray = self.stray.then(|| STRAY.to_owned());
        suspects.chain(own).chain(stray).collect()
    }

    /// How each part behaves while it is on.
    pub fn rhythms(&self) -> Vec<Rhythm> {
        let suspects = self.suspects.iter().map(|suspect| suspect.rhythm);
        let others = self.parts().len() - self.suspects.len();
        suspects.chain(std::iter::repeat_n(Rhythm::Steady, others)).collect()
    }

    /// Its schedule.
    pub fn blocks(&self) -> Vec<Block> {
        let parts = self.parts().len();
        if self.subsets { blocks::subsets(parts, self.seed) } else { blocks::pairs(parts, self.seed) }
    }

    /// The block by whose end verdicts are judged, if others should be blamed for what is seen on the
    /// victim's CPU.
    pub fn blamed_block(&self) -> Option<Block> {
        let blames = self.expected.verdict == "neighbour" && self.expected.resource == "cpu";
        let judged = |block: &Block| block.phase == Phase::Detect && !block.on.is_empty();
        self.blocks().into_iter().find(judged).filter(|_| blames)
    }

    /// What it needs from the tools.
    pub fn tools(&self) -> impl Iterator<Item = Tool> {
        self.suspects.iter().filter_map(|suspect| suspect.kind.tool()).chain(self.victim.kind.tool())
    }
}
