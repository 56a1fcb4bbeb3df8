//! The programs of a stage, each in its cgroup and on its CPUs.
//!
//! Invariant: a program that was started is killed when its [`Program`] is dropped, at the latest.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use super::cpus::Cpus;
use crate::exit::{Exit, Failure};

/// A program that says nothing for so long will say nothing at all: they listen within 100 ms.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a log is looked at for the line that says that its program listens.
const READY_POLL: Duration = Duration::from_millis(20);

/// How long a program may take to end by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds the programs that were built with this one.
#[derive(Debug)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Every program lies beside this one. Errors: one is missing.
    pub fn beside_this_one() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let dir = own.parent().context("find this program's folder")?.to_owned();
        for name in ["berth-agent", "berth-aggregator", "berth-loadgen", "refmodel", "scanner"] {
            if !dir.join(name).try_exists().unwrap_or(false) {
                let dir = dir.display();
                let message =
                    format!("{name} is not in {dir}; build all of it: cargo build --release --workspace");
                return Err(Failure::new(Exit::Environment, message).into());
            }
        }
        Ok(Self { dir })
    }

    /// Where `name` lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A running program and its log.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command` on `cpus`, its stderr going to a log in `logs`.
    pub fn start(name: &str, mut command: Command, cpus: &Cpus, logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let stderr = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
        // Ctrl-C on the terminal is for this program, which then ends its programs in order.
        command.process_group(0);
        let child = cpus.inherited_by(|| command.spawn()).with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until the log says `<what>listening on ADDRESS`, and returns the address.
    pub async fn listening(&mut self, what: &str) -> anyhow::Result<String> {
        let marker = format!("{what}listening on ");
        let address = async {
            loop {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                // Only a whole line: the rest of one may not be written yet.
                let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
                let found =
                    lines.filter_map(|line| line.split_once(&marker)).map(|(_, rest)| rest.trim()).next();
                if let Some(address) = found {
                    return Ok(address.split_whitespace().next().unwrap_or_default().to_owned());
                }
                self.check()?;
                tokio::time::sleep(READY_POLL).await;
            }
        };
        tokio::time::timeout(READY_TIMEOUT, address)
            .await
            .with_context(|| format!("wait for {} to listen; its log: {}", self.name, self.log.display()))?
    }

    /// Errors: it has ended, although nobody stopped it.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait().with_context(|| format!("look after {}", self.name))? else {
            return Ok(());
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().next_back().unwrap_or("it said nothing");
        let message = format!("{} ended ({status}): {last}", self.name);
        Err(Failure::new(Exit::Environment, message).into())
    }

    /// Its process id; `None` when it has ended.
    pub fn pid(&self) -> Option<rustix::process::Pid> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok())?;
        rustix::process::Pid::from_raw(pid)
    }

    /// Asks it to end, and kills it when it does not.
    pub async fn stop(mut self) {
        if let Some(pid) = self.pid() {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            drop(self.child.kill().await);
        }
    }
}
