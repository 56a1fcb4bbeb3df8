//! The agent's process, and what it says on stderr.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
};

use tokio::{sync::watch, time::timeout};

use crate::server::DEADLINE;

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    said: watch::Receiver<Vec<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts one with these flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_berth-agent"))
            .args(["--node", "test-node"])
            .args(flags)
            .env_remove("BERTH_SERVER")
            .env_remove("NODE_NAME")
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (heard, said) = watch::channel(Vec::new());
        let stderr = child.stderr.take().unwrap();
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.send_modify(|lines| lines.push(line));
            }
        });
        Self { child, said, listener: Some(listener) }
    }

    /// Its lines so far that hold `text`.
    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        self.said.borrow().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Waits until it says so.
    pub(crate) async fn says(&self, text: &str) {
        let mut said = self.said.clone();
        let holds = |lines: &Vec<String>| lines.iter().any(|line| line.contains(text));
        let said = timeout(DEADLINE, said.wait_for(holds)).await;
        assert!(said.is_ok_and(|said| said.is_ok()), "it says {text:?} before the deadline");
    }

    /// SIGKILL: it can say nothing more.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end, on a thread that may wait.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        status
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
