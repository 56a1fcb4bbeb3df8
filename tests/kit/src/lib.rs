//! What the tests share: waiting, the tree's own programs, and a real Kubernetes.
//!
//! Invariant: a program started here is dead when its [`Running`] is dropped. Deliberately absent:
//! anything that stands in for a part of Berth; a test of two parts runs both.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod cluster;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// Longer than any wait that is expected on a busy machine of two cores.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a predicate is asked.
const POLL: Duration = Duration::from_millis(10);

/// Asks until there is an answer, and fails with `what` after `deadline`.
pub fn wait_for<T>(what: &str, deadline: Duration, ask: impl FnMut() -> Option<T>) -> T {
    wait_every(POLL, what, deadline, ask)
}

/// As [`wait_for`], where asking is work that would show in what is measured.
#[expect(clippy::disallowed_methods, reason = "the one clock of the tests: an answer may take seconds")]
pub fn wait_every<T>(
    period: Duration,
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < deadline, "waited {deadline:?} for {what}");
        thread::sleep(period);
    }
}

/// Does some work, and tells how long it took.
#[expect(clippy::disallowed_methods, reason = "a bar that a person would hold a watch to")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed())
}

/// The path of one of this tree's programs, as it is now. Cargo builds the programs of a package
/// for that package's own tests only, so a test of several packages asks for them.
pub fn program(package: &str, name: &str) -> PathBuf {
    static BUILD: Mutex<()> = Mutex::new(());
    let turn = BUILD.lock().unwrap();
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile, "--package", package, "--bin", name])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status()
        .unwrap();
    drop(turn);
    assert!(status.success(), "cargo build {name}: {status}");
    // A test program lies in target/PROFILE/deps, the others in target/PROFILE.
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join(name)
}

/// A program that runs, and what it says.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; stderr goes to `log`.
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let stderr = File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, log }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The address in the line that ends in `<what>listening on ADDRESS`.
    pub fn listening(&mut self, what: &str) -> String {
        let marker = format!("{what}listening on ");
        wait_for(&marker, DEADLINE, || {
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended: {}", self.said());
            let said = self.said();
            let line =
                said.split_inclusive('\n').find(|line| line.contains(&marker) && line.ends_with('\n'))?;
            line.split_once(&marker).and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned)
        })
    }

    /// It has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it with SIGKILL, which no program can answer, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
