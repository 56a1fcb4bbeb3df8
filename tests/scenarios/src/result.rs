//! The result file of a trial: what was done, what was measured, what Berth said meanwhile.
//!
//! Times are nanoseconds since the Unix epoch; names of containers are those of their owners, as in the
//! aggregator's answers. Invariant: a file that exists is whole, because it is renamed into place.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{blocks::Phase, machine::Machine, timeline::Rhythm};

/// Which half of the seeds a trial belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// Thresholds may be chosen by it.
    Tuning,
    /// Figures are reported from it.
    Report,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Unique in the matrix; the name of the file.
    pub id: String,
    /// What kind of trial it is.
    pub class: String,
    /// The order of its blocks is drawn from it.
    pub seed: u64,
    /// Which half it belongs to.
    pub half: Half,
    /// The model.
    pub victim: Victim,
    /// What may hurt it, decoys among them.
    pub suspects: Vec<Suspect>,
    /// Containers beside them that do next to nothing.
    pub bystanders: u32,
    /// What should be found.
    pub expected: Expected,
    /// When anything was first switched on; null in a trial without a switch.
    pub onset_unix_nsec: Option<i64>,
    /// From the beginning of the run to its end, without a hole.
    pub blocks: Vec<BlockDone>,
    /// What the load engine saw, second by second.
    pub seconds: Vec<Second>,
    /// Mean service time (from the real send) on to off; null where a side has no success.
    pub slowdown: Option<Interval>,
    /// The same of the response time (from the intended send), in which the victim's queue is.
    pub response_slowdown: Option<Interval>,
    /// Parts of the added service time, by Shapley; empty unless every subset was measured.
    pub shapley: Vec<Share>,
    /// Samples a second that the agent took.
    #[serde(default = "default_sample_hz")]
    pub sample_hz: u32,
    /// Who ran while the victim waited; null where that was not recorded, or not whole.
    #[serde(default)]
    pub switches: Option<Switches>,
    /// Every revision that a watcher was told, in order.
    pub live: Vec<Revision>,
    /// Others took more of the victim's CPU than a label can bear.
    pub disturbed: bool,
    /// CPUs that nobody of this trial used on the victim's CPU: the larger of the means over the measured
    /// seconds of the on blocks and of the off blocks.
    pub unowned_cpus: f64,
    /// The largest of any measured second.
    pub unowned_peak_cpus: f64,
    /// CPUs that the hypervisor took, mean over the run.
    pub steal_cpus: f64,
    /// CPUs that the victim used, mean over the off blocks.
    pub victim_off_cpus: f64,
    /// Requests that failed or were never answered.
    pub failed_requests: u64,
    /// Where it ran.
    pub machine: Machine,
}

/// What the agent does unless it is told otherwise.
pub const DEFAULT_SAMPLE_HZ: u32 = 10;

/// What a trial is called that was run at this rate.
pub fn id_at(id: &str, sample_hz: u32) -> String {
    if sample_hz == DEFAULT_SAMPLE_HZ { id.to_owned() } else { format!("{id}.{sample_hz}hz") }
}

fn default_sample_hz() -> u32 {
    DEFAULT_SAMPLE_HZ
}

/// The model and its load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Victim {
    /// Its owner's name.
    pub name: String,
    /// Which program.
    pub kind: String,
    /// Serving threads.
    pub threads: u32,
    /// CPUs that its load needs when it is alone.
    pub load: f64,
    /// Requests that arrive at one time.
    pub at_once: u32,
    /// Arrivals a second.
    pub arrivals_per_sec: f64,
    /// `cpu.weight`.
    pub weight: u64,
}

/// One suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its owner's name.
    pub name: String,
    /// Which program.
    pub kind: String,
    /// Its command line.
    pub flags: Vec<String>,
    /// How it behaves while it is on.
    pub rhythm: Rhythm,
    /// Its CPUs, as the kernel lists them.
    pub cpus: String,
    /// `cpu.weight`.
    pub weight: u64,
}

/// What should be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// In the contract's word; `nobody` for no episode.
    pub verdict: String,
    /// In the contract's word.
    pub resource: String,
    /// Who is to be named.
    pub culprits: Vec<String>,
}

/// A stretch in which the same parts were on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDone {
    /// When its last switch was made.
    pub start_unix_nsec: i64,
    /// When the next block began.
    pub end_unix_nsec: i64,
    /// Which parts.
    pub on: Vec<String>,
    /// What it is for.
    pub phase: Phase,
}

/// What the load engine saw in a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it began.
    pub start_unix_nsec: i64,
    /// Successes.
    pub completed: u64,
    /// From the real send; null without a success.
    pub service_mean_usec: Option<f64>,
    /// From the intended send; null without a success.
    pub response_mean_usec: Option<f64>,
    /// CPUs that nobody of this trial used on the victim's CPU.
    pub unowned_cpus: Option<f64>,
}

/// A ratio with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The best single value.
    pub estimate: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

/// A suspect's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The suspect.
    pub name: String,
    /// Of the whole; below 0 if the victim was faster with it.
    pub share: f64,
}

/// Who ran on the victim's CPU while threads of it waited to run, in the block whose parts were all on to be
/// detected: parts of that wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Switches {
    /// Each suspect's.
    pub shares: Vec<Share>,
    /// The victim's own threads'.
    pub own: f64,
    /// Everybody else's: bystanders, the kernel, other work of the machine.
    pub others: f64,
    /// The whole, in seconds of all threads.
    pub waited_sec: f64,
    /// How long was recorded.
    pub seen_sec: f64,
    /// Events of the scheduler.
    pub events: u64,
    /// Those that found no room.
    pub lost_events: u64,
}

/// One revision of an episode, as a watcher was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// When it arrived.
    pub arrived_unix_nsec: i64,
    /// The episode's.
    pub id: String,
    /// The owner's name of who suffers.
    pub victim: String,
    /// In the contract's word.
    pub verdict: String,
    /// In the contract's word.
    pub severity: String,
    /// In the contract's word.
    pub resource: String,
    /// In the contract's word.
    pub confidence: String,
    /// When the wait began.
    pub onset_unix_nsec: Option<i64>,
    /// When the change was noticed.
    pub alarm_unix_nsec: Option<i64>,
    /// When the effect had held.
    pub verdict_unix_nsec: Option<i64>,
    /// When it had ended; null while open.
    pub cleared_unix_nsec: Option<i64>,
    /// Berth's estimate.
    pub slowdown: Option<Interval>,
    /// Largest first.
    pub shares: Vec<Blame>,
}

/// A part of the wait, as Berth sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blame {
    /// In the contract's word.
    pub cause: String,
    /// The owner's name of a culprit; null for other causes.
    pub name: Option<String>,
    /// 0 to 1.
    pub share: f64,
}

/// Reads a result.
pub fn read<T: serde::de::DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", file.display()))
}

/// Writes a result; a file that is there is whole.
pub fn write(dir: &Path, id: &str, result: &impl Serialize) -> anyhow::Result<()> {
    let file = file(dir, id);
    let unfinished = file.with_extension("json.part");
    let text = serde_json::to_string(result).context("write a result as JSON")?;
    fs::write(&unfinished, text + "\n").with_context(|| format!("write {}", unfinished.display()))?;
    fs::rename(&unfinished, &file).with_context(|| format!("write {}", file.display()))
}

/// Where a result lies.
pub fn file(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.json"))
}
