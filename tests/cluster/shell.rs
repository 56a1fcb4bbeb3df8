//! What a person types, typed: `kubectl`, and `kubectl berth` as its plugin.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use berth_kit::{
    cluster::{Cluster, Tools},
    program, wait_every,
};
use serde_json::Value;

/// A report costs this machine half a second of CPU time when nothing is optimised.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Where commands run that find the cluster as a person's terminal does.
#[derive(Debug)]
pub(crate) struct Shell {
    kubeconfig: PathBuf,
    path: std::ffi::OsString,
    /// Holds the plugin's link, and what kubectl remembers.
    folder: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The last answer, which is shown when a test fails on it.
struct Last {
    words: String,
    answer: Value,
}

impl Drop for Last {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kubectl berth {} says last: {}", self.words, self.answer);
        }
    }
}

impl Shell {
    pub(crate) fn new(cluster: &Cluster, tools: &Tools) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As `make install` does it.
        symlink(program("berth-cli", "berth"), folder.path().join("kubectl-berth")).unwrap();
        let system = env::var_os("PATH").unwrap();
        let own = [folder.path().to_owned(), tools.programs()];
        let path = env::join_paths(own.into_iter().chain(env::split_paths(&system))).unwrap();
        Self { kubeconfig: cluster.kubeconfig(), path, folder }
    }

    /// As another user of the same cluster.
    pub(crate) fn with_kubeconfig(&self, kubeconfig: &Path) -> Command {
        let mut command = apart("bash");
        command
            .env("PATH", &self.path)
            .env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", self.folder.path().join("cache"));
        command
    }

    /// Runs a line of bash.
    pub(crate) fn run(&self, line: &str) -> Said {
        said(self.with_kubeconfig(&self.kubeconfig).args(["-c", line]))
    }

    /// Runs a line that must succeed, and tells what it printed.
    pub(crate) fn must(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, Some(0), "{line}: {}{}", said.out, said.err);
        said.out
    }

    /// `kubectl berth` with these words, as JSON; `None` while it fails. That something was found is no
    /// failure.
    pub(crate) fn berth(&self, words: &str) -> Option<Value> {
        let said = self.run(&format!("kubectl berth {words} -o json"));
        matches!(said.code, Some(0 | 1)).then(|| serde_json::from_str(&said.out).ok()).flatten()
    }

    /// `kubectl get` with these words, as JSON.
    pub(crate) fn get(&self, words: &str) -> Value {
        serde_json::from_str(&self.must(&format!("kubectl get {words} -o json"))).unwrap()
    }

    /// Asks until `find` finds something in the answer of `kubectl berth`.
    pub(crate) fn berth_until<T>(
        &self,
        what: &str,
        deadline: Duration,
        words: &str,
        mut find: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let mut last = Last { words: words.to_owned(), answer: Value::Null };
        wait_every(ASK_AGAIN, what, deadline, || {
            last.answer = self.berth(words)?;
            find(&last.answer)
        })
    }
}

/// A program on the last node's CPU, so that the first one is the first node's alone.
pub(crate) fn apart(program: impl AsRef<OsStr>) -> Command {
    let last_cpu = thread::available_parallelism().unwrap().get() - 1;
    let mut command = Command::new("taskset");
    command.args(["-c", &last_cpu.to_string()]).arg(program);
    command
}

pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The texts and objects of a list.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text, empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
