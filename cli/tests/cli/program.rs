//! The real binaries, as a shell would run them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a busy machine; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// `berth`, without the environment of whoever runs the tests.
pub(crate) fn berth(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(args).env_remove("BERTH_SERVER").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// The same through a link of this name, as kubectl starts it.
pub(crate) fn kubectl_berth(args: &[&str]) -> Command {
    let mut command = berth(args);
    command.arg0("/usr/local/bin/kubectl-berth");
    command
}

/// The command at its end.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Ended {
    command.output().unwrap().into()
}

/// A command that goes on until it is told to stop.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    lines: Option<Receiver<String>>,
}

impl Running {
    /// With its stdout at hand, line by line.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut running = Self::start_on_terminal(command);
        let stdout = BufReader::new(running.child.stdout.take().unwrap());
        let (send, lines) = sync_channel(1_000);
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        running.lines = Some(lines);
        running
    }

    /// With its stdout where the command has it. The command is dropped, so that only the program
    /// still holds the terminal, and its end is seen there.
    pub(crate) fn start_on_terminal(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self { stderr: BufReader::new(child.stderr.take().unwrap()), child, lines: None }
    }

    /// The next line of stdout.
    pub(crate) fn line(&self) -> String {
        self.lines.as_ref().unwrap().recv_timeout(DEADLINE).unwrap()
    }

    /// The next line of stderr, however long it takes.
    pub(crate) fn stderr_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// The other end of its stdout is closed, once one more line has come.
    pub(crate) fn stop_reading(&mut self) {
        self.lines = None;
    }

    /// Ctrl-C, as the terminal sends it.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// The terminal is closed, as the shell and the kernel both say.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, the rest of stdout, and stderr.
    pub(crate) fn end(mut self) -> Ended {
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        let lines = self.lines.iter().flatten();
        let stdout = lines.fold(String::new(), |text, line| text + &line + "\n");
        Ended { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no process behind; one that ended has none.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
