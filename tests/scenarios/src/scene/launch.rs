//! Commands, and the little that they find on the machine when they start.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{BufWriter, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use berth_cli::stage::Group;
use berth_loadgen::Random;
use rustix::fs::{Advice, fadvise};

use crate::load::ENGINE_NICE;

/// A command that is not running yet.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Which program.
    pub program: PathBuf,
    /// Its command line.
    pub args: Vec<OsString>,
    /// Where it finds its libraries, if not where the machine has them.
    pub library_path: Option<PathBuf>,
}

impl Launch {
    /// A program without arguments.
    pub fn of(program: PathBuf) -> Self {
        Self { program, args: Vec::new(), library_path: None }
    }

    /// With these arguments after those that it has.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Ready to be started, in a group or in this process's own.
    pub fn command(&self, group: Option<&Group>) -> tokio::process::Command {
        // This process goes before others, and none of its children shall.
        let nice = Path::new("nice");
        let mut command =
            group.map_or_else(|| tokio::process::Command::new(nice), |group| group.entering(nice));
        command.args(["-n", &(-ENGINE_NICE).to_string()]).arg(&self.program).args(&self.args);
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// The arguments, as a result shows them: a path is its last part.
    pub fn flags(&self) -> Vec<String> {
        let last = |arg: &OsString| {
            let path = Path::new(arg);
            let shown = if path.is_absolute() { path.file_name().unwrap_or(arg) } else { arg };
            shown.to_string_lossy().into_owned()
        };
        self.args.iter().map(last).collect()
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("read the port that was found")?.port())
}

/// Writes a file of digits in lines, which compresses about as rows of numbers do, and drops it from the
/// page cache, so that whoever reads it first is charged for it.
pub fn write_noise(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut random = Random::new(bytes);
        let mut written = 0;
        while written < bytes {
            let line = format!("{:018}\n", random.below(1_000_000_000_000_000_000));
            file.write_all(line.as_bytes())?;
            written += u64::try_from(line.len()).unwrap_or(u64::MAX);
        }
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}
