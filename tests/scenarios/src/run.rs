//! A whole run: every trial of the matrix that has no result yet, one after another.
//!
//! Invariant: what was measured is kept, whatever comes after it. Deliberately absent: trials side by
//! side; they would be each other's neighbours.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use berth_cli::{exit::Exit, stop};
use berth_loadgen::MonoNanos;

use crate::{bench::Bench, plan::Trial, result, trace, trial};

/// More than a few trials that fail one after another are a fault of the machine or of the harness.
const FAILURES_IN_A_ROW: u32 = 3;

/// Runs what is left of `trials`.
pub async fn run(bench: &Bench, trials: Vec<Trial>) -> anyhow::Result<Exit> {
    let mut requests = stop::Requests::listen()?;
    tokio::select! {
        exit = all(bench, trials) => exit,
        () = requests.next() => {
            eprintln!("stopped; results are kept in {}, and the same command goes on", bench.dir.display());
            Ok(Exit::Stopped)
        }
    }
}

async fn all(bench: &Bench, trials: Vec<Trial>) -> anyhow::Result<Exit> {
    let (able, unable): (Vec<_>, Vec<_>) =
        trials.into_iter().partition(|trial| trial.tools().all(|tool| bench.tools.has(tool)));
    if !unable.is_empty() {
        eprintln!(
            "{} trials are left out, because their programs are missing: run make accuracy-tools",
            unable.len()
        );
    }
    let left: Vec<&Trial> = able.iter().filter(|trial| !is_done(&bench.dir, &trial.id)).collect();
    let (mut done, mut failed, mut in_a_row) = (0, 0, 0);
    let mut pace = Pace::new(left.iter().map(|trial| length(trial)).sum());
    for (number, one) in (1..).zip(left.iter().copied()) {
        eprintln!("[{number}/{}] {} ({})", left.len(), one.id, pace.left());
        match trial::run(bench, one).await.and_then(|outcome| keep(bench, &outcome)) {
            Ok(()) => (done, in_a_row) = (done + 1, 0),
            Err(error) => {
                eprintln!("    failed: {error:#}");
                (failed, in_a_row) = (failed + 1, in_a_row + 1);
                anyhow::ensure!(in_a_row < FAILURES_IN_A_ROW, "{in_a_row} trials failed one after another");
            }
        }
        pace.done(length(one));
    }
    eprintln!("{done} trials done, {failed} failed; results in {}", bench.dir.display());
    let disturbed: Vec<&str> =
        able.iter().map(|trial| trial.id.as_str()).filter(|id| is_disturbed(bench, id)).collect();
    if !disturbed.is_empty() {
        eprintln!(
            "{} were disturbed by other work of the machine and count for nothing; remove ID.json to measure one again: {}",
            disturbed.len(),
            disturbed.join(" ")
        );
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Invalid })
}

fn keep(bench: &Bench, outcome: &result::Outcome) -> anyhow::Result<()> {
    let ratio = outcome.slowdown.map_or_else(
        || "no slowdown".to_owned(),
        |one| format!("{:.2} [{:.2}, {:.2}]", one.estimate, one.lo, one.hi),
    );
    let disturbed = if outcome.disturbed { ", disturbed" } else { "" };
    eprintln!("    slowdown {ratio}, others {:.3} CPUs{disturbed}", outcome.unowned_cpus);
    result::write(&bench.dir, &outcome.id, outcome).context("keep the result")
}

/// What has lost its trace can be judged by nobody.
fn is_done(dir: &Path, id: &str) -> bool {
    [result::file(dir, id), trace::file(dir, id)].iter().all(|file| file.try_exists().unwrap_or(false))
}

fn is_disturbed(bench: &Bench, id: &str) -> bool {
    let outcome = result::read::<result::Outcome>(&result::file(&bench.dir, id));
    outcome.is_ok_and(|outcome| outcome.disturbed)
}

/// What a trial lasts on paper.
fn length(trial: &Trial) -> Duration {
    Duration::from_secs(crate::blocks::seconds(&trial.blocks()).into())
}

/// How long the rest will take, by how long what is done took.
struct Pace {
    begun: MonoNanos,
    planned_done: Duration,
    planned_left: Duration,
}

impl Pace {
    fn new(planned_left: Duration) -> Self {
        Self { begun: MonoNanos::now(), planned_done: Duration::ZERO, planned_left }
    }

    fn done(&mut self, planned: Duration) {
        self.planned_done += planned;
        self.planned_left = self.planned_left.saturating_sub(planned);
    }

    fn left(&self) -> String {
        let took = Duration::from_nanos(MonoNanos::now().since(self.begun)).as_secs_f64();
        let planned = self.planned_done.as_secs_f64();
        let stretch = if planned > 0.0 { took / planned } else { 1.0 };
        format!("about {:.0} min left", self.planned_left.as_secs_f64() * stretch / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_its_trace_is_run_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(result::file(dir.path(), "one"), "{}").unwrap();
        assert!(!is_done(dir.path(), "one"));
        std::fs::write(trace::file(dir.path(), "one"), "").unwrap();
        assert!(is_done(dir.path(), "one") && !is_done(dir.path(), "another"));
    }
}
