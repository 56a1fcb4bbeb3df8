//! The commands that a person types.
//!
//! Each command is a folder or file of its own: its flags, the calls it makes, a model of what to
//! show, and the rendering of that model as text. Data goes to stdout, talk to stderr, and the exit
//! code says how it went. Deliberately absent: judgements; verdicts and advice come from the
//! aggregator, and a command only shows them.

#![deny(missing_docs)]

use std::process::ExitCode;

use tokio::runtime;

pub mod args;
pub mod demo;
pub mod exit;
pub mod output;
pub mod stop;

use args::{Cli, Command};
use exit::Exit;
use output::Output;

/// Under which name the program was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// `berth`.
    Berth,
    /// `kubectl berth`.
    KubectlPlugin,
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
    execute(cli, &output).unwrap_or_else(|error| report(&error, &output)).into()
}

fn execute(cli: Cli, output: &Output) -> anyhow::Result<Exit> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(stop::or_killed(dispatch(cli.command, output)));
    // A name that is being resolved holds a blocking thread; nobody waits for it.
    runtime.shutdown_background();
    exit
}

async fn dispatch(command: Command, output: &Output) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => demo::run(args, output).await,
    }
}

fn report(error: &anyhow::Error, output: &Output) -> Exit {
    output.note(&format!("error: {error:#}"));
    exit::of_error(error)
}
