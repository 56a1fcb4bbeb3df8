//! The commands that a person types.
//!
//! Each command is a folder or file of its own: its flags, the calls it makes, a model of what to
//! show, and the rendering of that model as text. Data goes to stdout, talk to stderr, and the exit
//! code says how it went. Deliberately absent: judgements; verdicts and advice come from the
//! aggregator, and a command only shows them.

#![deny(missing_docs)]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime;

pub mod advise;
pub mod args;
pub mod cluster;
pub mod connect;
pub mod demo;
mod duration;
pub mod exit;
pub mod explain;
pub mod line;
pub mod load;
pub mod output;
pub mod patience;
pub mod proxy;
pub mod replay;
pub mod report;
pub mod roles;
pub mod samples;
pub mod scope;
pub mod stage;
pub mod status;
pub mod stop;
pub mod text;
pub mod top;
pub mod trace;
pub mod uninstall;
pub mod view;

use args::{Cli, Command};
use exit::Exit;
use output::Output;

/// Under which name the program was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// `berth`.
    Berth,
    /// `kubectl berth`: a link to the same program, found by kubectl under this name.
    KubectlPlugin,
}

impl From<Option<OsString>> for Invocation {
    /// From the name under which the program was started.
    fn from(name: Option<OsString>) -> Self {
        let name = name.map(PathBuf::from);
        match name.as_deref().and_then(Path::file_stem) {
            Some(stem) if stem == "kubectl-berth" => Self::KubectlPlugin,
            _ => Self::Berth,
        }
    }
}

/// Parses the arguments, runs the command and says how it went.
pub fn run(invocation: Invocation) -> ExitCode {
    let cli = match args::parse(invocation) {
        Ok(cli) => cli,
        // Help goes to stdout with 0, a usage error to stderr with 2; a closed stream changes neither.
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let output = cli.global.output();
    execute(cli, invocation, &output).unwrap_or_else(|error| failed(&error, &output)).into()
}

fn execute(cli: Cli, invocation: Invocation, output: &Output) -> anyhow::Result<Exit> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let exit = runtime.block_on(stop::or_killed(dispatch(cli, invocation, output)));
    // A name that is being resolved holds a blocking thread; nobody waits for it.
    runtime.shutdown_background();
    exit
}

/// Commands with something to tidy up at Ctrl-C see to it themselves.
async fn dispatch(cli: Cli, invocation: Invocation, output: &Output) -> anyhow::Result<Exit> {
    let place = || cli.global.place(invocation);
    match cli.command {
        Command::Report(args) => stop::or_stopped(report::run(args, &place()?, output)).await,
        Command::Explain(args) => stop::or_stopped(explain::run(args, &place()?, output)).await,
        Command::Advise(args) => stop::or_stopped(advise::run(args, &place()?, output)).await,
        Command::Top(args) => stop::or_stopped(top::run(args, &place()?, output)).await,
        Command::Roles(args) => stop::or_stopped(roles::run(args, &place()?, output)).await,
        Command::Samples(args) => stop::or_stopped(samples::run(args, &place()?, output)).await,
        Command::Status(status::Args {}) => stop::or_stopped(status::run(&place()?, output)).await,
        Command::Proxy(args) => stop::or_stopped(proxy::run(args, &cli.global.target()?, output)).await,
        Command::Uninstall(args) => {
            stop::or_stopped(uninstall::run(args, &cli.global.target()?, output)).await
        }
        Command::Replay(args) => stop::or_stopped(replay::run(args, cli.global.namespace(), output)).await,
        Command::Load(args) => {
            let (form, ca_file) = (cli.global.output_name(), cli.global.ca_file());
            load::run(*args, form, ca_file, output).await
        }
        Command::Trace(args) => {
            let file = cli.global.file();
            trace::run(args, file, &place()?, output).await
        }
        Command::Demo(args) => Box::pin(demo::run(args, output)).await,
    }
}

fn failed(error: &anyhow::Error, output: &Output) -> Exit {
    // The reader of a pipe had enough, as `head` has: that is no failure.
    if error.chain().any(is_closed_pipe) {
        return Exit::Done;
    }
    output.note(&format!("error: {}", view::plain(&format!("{error:#}"))));
    exit::of_error(error)
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
