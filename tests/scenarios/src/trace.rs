//! The trace of a trial, which `berth trace record` writes from the aggregator's stream.
//!
//! Invariant: a trace that has its final name is whole. Deliberately absent: its format.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use berth_cli::stage::{Binaries, Cpus, Program};

use crate::scene::Launch;

/// A recorder has nothing to write at its end but what it holds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A trace that is being written.
#[derive(Debug)]
pub struct Recorder {
    program: Program,
    unfinished: PathBuf,
    file: PathBuf,
}

/// Whether this tree's `berth` records traces.
pub async fn is_possible(binaries: &Binaries) -> bool {
    let help = tokio::process::Command::new(binaries.path("berth")).args(["trace", "--help"]).output().await;
    help.is_ok_and(|help| help.status.success())
}

impl Recorder {
    /// Records what the aggregator at `server` hears from now on.
    pub fn start(
        binaries: &Binaries,
        server: &str,
        file: PathBuf,
        cpus: &Cpus,
        logs: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let name = file.file_name().context("name the trace's file")?.to_string_lossy().into_owned();
        let unfinished = file.with_file_name(format!("part.{name}"));
        let launch = Launch::of(binaries.path("berth"))
            .args(["trace", "record", "--server", server, "-o"])
            .args([&unfinished]);
        let program = Program::start("trace", launch.command(None), cpus, logs)?;
        Ok(Self { program, unfinished, file })
    }

    /// Ends it, and gives the file its name.
    pub async fn finish(self) -> anyhow::Result<()> {
        let Self { program, unfinished, file } = self;
        tokio::time::timeout(STOP_TIMEOUT, program.stop()).await.context("end the trace")?;
        fs::rename(&unfinished, &file).with_context(|| format!("keep the trace {}", file.display()))
    }
}
