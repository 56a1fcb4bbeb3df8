//! A machine of the cluster: the control plane or a node. It has mount, process, network, host name
//! and cgroup namespaces of its own, and a link to the cluster's network.
//!
//! Invariant: it ends with its process 1, and that one ends with the [`Machine`], or, when it was
//! started to be kept, with its cgroup.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail, ensure};

use super::{END, Tools, cgroup, patiently};

/// Joins the cgroups first, so that the cgroup namespace begins there.
const BEGIN: &str = r#"
    script=$1; shift
    for cgroup; do echo $$ >"$cgroup/cgroup.procs"; done
    exec unshare --cgroup --mount --uts --net --pid --fork --kill-child bash -euc "$script"
"#;

/// Whether a machine outlives the process that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It ends with that process, however that one ends.
    Bound,
    /// It stays until its cluster is taken down.
    Kept,
}

/// What a machine is made of.
pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    /// Unique on this machine.
    pub(super) cgroup: String,
    /// The CPUs that it may use, as a list.
    pub(super) cpus: String,
    /// What its process 1 does.
    pub(super) script: &'a str,
    /// What the script is told.
    pub(super) settings: Vec<(&'a str, String)>,
    /// Where it lives, and where its programs' logs go.
    pub(super) folder: &'a Path,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    child: Child,
}

impl Machine {
    pub(super) fn start(plan: &Plan<'_>, tools: &Tools, life: Life) -> anyhow::Result<Self> {
        let cgroups = cgroup::make(&plan.cgroup, &plan.cpus)?;
        let log = File::create(plan.folder.join("machine.log")).context("make a machine's log")?;
        let mut command = Command::new("bash");
        command.args(["-euc", BEGIN, "machine", plan.script]).args(&cgroups);
        command.env("NAME", plan.name).env("CGROUP", &plan.cgroup).env("CPUS", &plan.cpus);
        command.envs(plan.settings.iter().map(|(key, value)| (key, value)));
        tools.lend(&mut command);
        command.current_dir(plan.folder).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        if life == Life::Kept {
            // Ctrl-C in the terminal that it was started from is not meant for it.
            command.env("KEPT", "1").process_group(0);
        }
        let child = command.spawn().context("start bash")?;
        let mut machine = Self { name: plan.name.to_owned(), child };
        machine.wait_until_apart()?;
        Ok(machine)
    }

    /// Until its network namespace is another than ours.
    fn wait_until_apart(&mut self) -> anyhow::Result<()> {
        let [own, its] = ["self".to_owned(), self.pid().to_string()].map(|pid| format!("/proc/{pid}/ns/net"));
        let own = fs::read_link(own)?;
        patiently("a machine's namespaces", END, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}", self.name);
            }
            Ok((fs::read_link(&its)? != own).then_some(()))
        })
    }

    /// The process whose namespaces are the machine's; its child is process 1 there.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A command that runs in the machine's mount and network namespaces.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid().to_string(), "-m", "-n", "--", program]);
        command
    }

    /// Configures its network, one command of `ip` a line.
    pub(super) fn ip(&self, lines: &str) -> anyhow::Result<()> {
        for line in lines.lines() {
            let mut command = Command::new("nsenter");
            command.args(["-t", &self.pid().to_string(), "-n", "--", "ip"]).args(line.split_whitespace());
            run(&mut command)?;
        }
        Ok(())
    }

    /// Lets its script go on: what it waits for is there.
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().expect("it was started with a pipe");
        stdin.write_all(b"go\n").with_context(|| format!("{} has ended", self.name))
    }

    /// Whether it has ended by itself.
    pub(super) fn ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a command to its end, and fails with what it said.
pub(super) fn run(command: &mut Command) -> anyhow::Result<String> {
    feed(command, Stdio::null())
}

/// As [`run`], with something to read.
pub(super) fn feed(command: &mut Command, stdin: Stdio) -> anyhow::Result<String> {
    let output = command.stdin(stdin).output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
