//! What may hurt a model, or stands beside it and does not.
//!
//! Deliberately absent: when it is on; that is the timeline's, and it is switched by freezing its cgroup.

mod scan;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use berth_cli::stage::Binaries;

use crate::{
    scene::{Launch, write_noise},
    tools::{Tool, Tools},
};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// The example scanner.
    Scanner,
    /// Nothing but CPU, a part of each 100 ms.
    Busy {
        /// Threads.
        threads: u32,
        /// The part.
        duty: f64,
    },
    /// stress-ng with these flags.
    Stress(&'static str),
    /// Compresses the same file, again and again.
    Xz,
    /// The same.
    Zstd,
    /// A pandas scan: group, sort and join a table, again and again.
    Pandas,
}

/// What xz and zstd compress: a few seconds of work.
const COMPRESSED_BYTES: u64 = 16 << 20;

impl Kind {
    /// In results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::Busy { .. } => "busy",
            Self::Stress(_) => "stress-ng",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Pandas => "pandas",
        }
    }

    /// What it needs from the tools.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Self::Scanner | Self::Busy { .. } => None,
            Self::Stress(_) => Some(Tool::StressNg),
            Self::Xz => Some(Tool::Xz),
            Self::Zstd => Some(Tool::Zstd),
            Self::Pandas => Some(Tool::Python),
        }
    }

    /// How long it takes to be at its work, on a CPU of its own.
    pub fn settles_in(self) -> Duration {
        match self {
            Self::Scanner | Self::Busy { .. } | Self::Xz | Self::Zstd => Duration::from_millis(200),
            Self::Stress(_) => Duration::from_millis(700),
            Self::Pandas => Duration::from_secs(3),
        }
    }

    /// How to start it; `scratch` is the trial's own folder.
    pub fn launch(self, binaries: &Binaries, tools: &Tools, scratch: &Path) -> anyhow::Result<Launch> {
        Ok(match self {
            Self::Scanner => Launch::of(binaries.path("scanner")),
            Self::Busy { threads, duty } => Launch::of(binaries.path("accuracy")).args([
                "play",
                "busy",
                "--threads",
                &threads.to_string(),
                "--duty",
                &duty.to_string(),
            ]),
            Self::Stress(flags) => tools
                .launch(Tool::StressNg)
                .args(flags.split_whitespace())
                .args(["--temp-path"])
                .args([scratch]),
            Self::Xz => Self::compress(tools.launch(Tool::Xz).args(["-6", "-c"]), scratch)?,
            Self::Zstd => Self::compress(tools.launch(Tool::Zstd).args(["-12", "-q", "-c"]), scratch)?,
            Self::Pandas => scan::launch(tools, scratch)?,
        })
    }

    fn compress(compressor: Launch, scratch: &Path) -> anyhow::Result<Launch> {
        let file = scratch.join("batch.bin");
        write_noise(&file, COMPRESSED_BYTES).context("write what is compressed")?;
        let mut again = Launch::of("sh".into())
            .args(["-c", r#"while "$@" >/dev/null; do :; done"#, "sh"])
            .args([compressor.program])
            .args(compressor.args)
            .args([file]);
        again.library_path = compressor.library_path;
        Ok(again)
    }
}
