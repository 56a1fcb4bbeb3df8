//! The trace of a trial, which `berth trace record` writes from the aggregator's stream.
//!
//! Invariant: a trace that has its name is whole, because the recorder gives it that at its end, and it is
//! this recorder's: an older one is removed before.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use berth_cli::stage::{Binaries, Cpus, Program};
use berth_core::contention::Input;

use crate::scene::Launch;

/// A recorder has nothing to write at its end but what it holds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A trace that is being written.
#[derive(Debug)]
pub struct Recorder {
    program: Program,
    file: PathBuf,
}

impl Recorder {
    /// Records what the aggregator at `server` hears from now on, in place of an older trace.
    pub fn start(
        binaries: &Binaries,
        server: &str,
        file: PathBuf,
        cpus: &Cpus,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove the older {}", file.display()));
            }
            Ok(()) | Err(_) => {}
        }
        // The names are those of parts of a trial, and nobody's.
        let launch = Launch::of(binaries.path("berth"))
            .args(["trace", "record", "--server", server, "--names", "--force", "-o"])
            .args([&file]);
        let program = Program::start("trace", launch.command(None), cpus, logs)?;
        Ok(Self { program, file })
    }

    /// Ends it. Errors: it has left no whole trace.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.program.check()?;
        tokio::time::timeout(STOP_TIMEOUT, self.program.stop()).await.context("end the trace")?;
        fs::metadata(&self.file).with_context(|| format!("find the trace {}", self.file.display()))?;
        Ok(())
    }
}

/// Where a trial's trace lies.
pub fn file(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.trace.gz"))
}

/// All of it.
pub fn read(file: &Path) -> anyhow::Result<Vec<Input>> {
    let inputs = berth_cli::trace::read(file).and_then(Iterator::collect);
    inputs
        .with_context(|| format!("{} is damaged: remove it, and the same run makes it again", file.display()))
}
