//! True shares without a model of anything: a record of every switch on the victim's CPU, by perf.
//!
//! Shapley's values say what each suspect adds to the service time; this says who really ran while the
//! victim waited, in the very block by which verdicts are judged. Whose a thread is, its cgroup's list of
//! threads says before and after that block, and for those that came and went between, who made them:
//! perf writes cgroup ids of one hierarchy only, which need not be the one that the trial's groups are in.
//! Invariant: what was not seen whole gives no shares. Deliberately absent: failing a trial; without a perf
//! that works its result has no such shares, and the run says so.

mod event;
mod waits;

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use berth_cli::stage::{Cpus, Program, ThreadList};
use berth_loadgen::{MonoNanos, NANOS_PER_SEC};

use event::Tid;
use waits::{Owner, Waits, Watch};

use crate::{
    clock::Axis,
    result::{Share, Switches},
    scene::Launch,
};

/// Before the block, so that perf is at work when it begins (it takes some 300 ms on a busy CPU), and after
/// it, so that an event is seen behind its end: a victim has tens of them a second.
const AROUND: Duration = Duration::from_secs(2);

/// Of each CPU's ring, in pages of 4 KiB: perf may be kept from reading it for a second at 20,000 events.
const RING_PAGES: u32 = 512;

/// Bounds what is written and parsed: most trials leave a hundredth of it, and one whose suspect forks all
/// the time a quarter. A suspect that does nothing but switch goes past it, and has no shares.
const MOST_BYTES: &str = "32M";

/// More than this lost, and what was seen is not the whole.
const MOST_LOST: f64 = 0.01;

/// A perf that works here.
#[derive(Debug, Clone)]
pub struct Perf {
    program: PathBuf,
}

impl Perf {
    /// Errors: it records nothing here, for a reason that it gives.
    pub async fn try_out(program: PathBuf) -> anyhow::Result<Self> {
        let perf = Self { program };
        let folder = tempfile::tempdir().context("make a folder for perf")?;
        let file = folder.path().join("tried");
        output("perf record", perf.record(0, &file).args(["--", "true"])).await?;
        perf.script(&file).await?;
        Ok(perf)
    }

    /// The command that records the switches of `cpu`. A wake-up is recorded where the waker runs, so every
    /// CPU is watched for those of this one's threads.
    fn record(&self, cpu: usize, file: &Path) -> Launch {
        let pages = RING_PAGES.to_string();
        let (here, to_here) = (format!("cpu=={cpu}"), format!("target_cpu=={cpu}"));
        self.launch()
            .args(["record", "--all-cpus", "--clockid", "CLOCK_MONOTONIC"])
            .args(["--synth", "no", "--no-buildid", "--no-buildid-cache"])
            .args(["--mmap-pages", &pages, "--max-size", MOST_BYTES])
            .args(["--event", "sched:sched_switch", "--filter", &here])
            .args(["--event", "sched:sched_wakeup", "--filter", &to_here])
            .args(["--event", "sched:sched_wakeup_new", "--filter", &to_here])
            .args(["--output"])
            .args([file])
    }

    /// What was recorded, as text in the order of time.
    async fn script(&self, file: &Path) -> anyhow::Result<String> {
        let script = self.launch().args(["script", "--ns", "--show-lost-events", "--fields", event::FIELDS]);
        output("perf script", script.args(["--input"]).args([file])).await
    }

    /// perf mounts tracefs where it is not mounted: in a namespace of its own, so that nothing stays.
    fn launch(&self) -> Launch {
        Launch::of("unshare".into()).args(["--mount"]).args([&self.program])
    }
}

/// What a command prints. Errors: it failed; its last words are the reason.
async fn output(what: &str, launch: Launch) -> anyhow::Result<String> {
    let ran = launch.command(None).output().await.with_context(|| format!("run {what}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
    anyhow::ensure!(ran.status.success(), "{what} ended ({}): {last}", ran.status);
    String::from_utf8(ran.stdout).with_context(|| format!("read what {what} printed"))
}

/// A recording that is to be made.
#[derive(Debug)]
pub struct Tracer {
    /// With this.
    pub perf: Perf,
    /// The victim's CPU.
    pub cpu: usize,
    /// Where perf itself runs.
    pub rest: Cpus,
    /// The victim's threads.
    pub victim: ThreadList,
    /// Each suspect's, and its name.
    pub suspects: Vec<(String, ThreadList)>,
    /// In seconds of the run.
    pub block: Range<u32>,
    /// For its file and its log.
    pub folder: PathBuf,
}

/// A recording that was made.
#[derive(Debug)]
pub struct Recording {
    perf: Perf,
    file: PathBuf,
    owners: BTreeMap<Tid, Owner>,
    suspects: Vec<String>,
    window: Range<MonoNanos>,
}

impl Tracer {
    /// Records around the block.
    pub async fn record(self, axis: Axis) -> anyhow::Result<Recording> {
        let [start, end] =
            [self.block.start, self.block.end].map(|second| Duration::from_secs(second.into()));
        let file = self.folder.join("switches.perf");
        axis.until(start.saturating_sub(AROUND)).await;
        let mut owners = self.owners()?;
        let command = self.perf.record(self.cpu, &file).command(None);
        let program = Program::start("perf", command, &self.rest, &self.folder)?;
        axis.until(end + AROUND).await;
        program.stop().await;
        owners.extend(self.owners()?);
        let at = |second: u32| axis.start().plus(u64::from(second) * NANOS_PER_SEC);
        let window = at(self.block.start)..at(self.block.end);
        let suspects = self.suspects.into_iter().map(|(name, _)| name).collect();
        Ok(Recording { perf: self.perf, file, owners, suspects, window })
    }

    fn owners(&self) -> anyhow::Result<BTreeMap<Tid, Owner>> {
        let mut owners = BTreeMap::new();
        let suspects =
            self.suspects.iter().enumerate().map(|(number, (_, list))| (Owner::Suspect(number), list));
        for (owner, list) in suspects.chain([(Owner::Victim, &self.victim)]) {
            owners.extend(list.read()?.into_iter().map(|tid| (tid, owner)));
        }
        Ok(owners)
    }
}

impl Recording {
    /// What it says, when the load is over. Errors: it is not whole.
    pub async fn read(self) -> anyhow::Result<Switches> {
        let text = self.perf.script(&self.file).await?;
        let mut watch = Watch::new(self.owners, self.suspects.len(), self.window.clone());
        for line in text.lines() {
            watch.on(event::parse(line)?);
        }
        switches(&watch.end(), &self.window, &self.suspects)
    }
}

fn switches(waits: &Waits, window: &Range<MonoNanos>, suspects: &[String]) -> anyhow::Result<Switches> {
    let (first, last) = waits.seen.context("nothing was recorded")?;
    let seen_whole = first <= window.start && last >= window.end;
    anyhow::ensure!(seen_whole, "what was recorded begins after the block or ends before it");
    let lost = waits.lost as f64 / (waits.lost + waits.events) as f64;
    anyhow::ensure!(lost <= MOST_LOST, "{:.1} % of the events were lost", lost * 100.0);
    let whole = waits.whole();
    anyhow::ensure!(whole > 0, "the victim never waited");
    let share = |part: u64| part as f64 / whole as f64;
    let sec = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
    let named = suspects.iter().zip(&waits.suspects);
    Ok(Switches {
        shares: named.map(|(name, part)| Share { name: name.clone(), share: share(*part) }).collect(),
        own: share(waits.own),
        others: share(waits.others),
        waited_sec: sec(whole),
        seen_sec: sec(window.end.since(window.start)),
        events: waits.events,
        lost_events: waits.lost,
    })
}
