//! The command line. Nothing below this module sees a raw flag or the environment.

use std::path::PathBuf;

use clap::{Args, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::connect::Address;
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::{Invocation, advise, demo, explain, load, report, roles, top};

/// Shown below `--help`: scripts rely on it.
const EXIT_CODES: &str = "\
Exit codes:
  0    done, and nothing is wrong
  1    something was found: an open episode, advice
  2    the command line is wrong, or names something that is not there
  3    the aggregator or the target is out of reach, or this machine does not let it be done
  4    reserved for a missed service level objective
  5    the result is invalid, or the load generator was the limit
  6    stopped with Ctrl-C, or its terminal was closed
  130  stopped with a second Ctrl-C, without tidying up";

/// Find out which pods hurt your models, by how much, and what to do about it.
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// What stdout carries.
    #[arg(short, long, global = true, value_enum, value_name = "table|json", hide_possible_values = true, default_value_t = Format::Table)]
    output: Format,
    /// Write no colours.
    #[arg(long, global = true, env = "NO_COLOR", num_args = 0, default_missing_value = "1")]
    no_color: Option<String>,
    /// Where berth-aggregator listens; port 7700 of this machine by default.
    #[arg(long, global = true, value_name = "URL", env = "BERTH_SERVER")]
    server: Option<String>,
    /// The certificate (PEM) that signed an https server's.
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Global {
    /// The two streams as the flags want them.
    pub fn output(&self) -> Output {
        Output::new(self.output, self.no_color.as_deref().is_some_and(|set| !set.is_empty()))
    }

    /// Where the aggregator is.
    pub fn address(&self, invocation: Invocation) -> Result<Address, Failure> {
        Address::new(self.server.as_deref(), self.ca_file.as_deref(), invocation)
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which models are hurt now, how much and by whom, and what happened lately
    Report(report::Args),
    /// Explain one episode: what, how much, from whom, how sure, and what to do next
    Explain(explain::Args),
    /// Say what to change, with the commands to run and the commands to undo them
    Advise(advise::Args),
    /// Show every container's use, and every model's wait, as it happens
    Top(top::Args),
    /// Send requests to a model and measure its answers
    Load(load::Args),
    /// Show which container has which role, and why
    Roles(roles::Args),
    /// Show Berth at work on this machine, without a cluster
    Demo(demo::Args),
}

/// Parses the process's arguments under the name that the person typed.
pub fn parse(invocation: Invocation) -> Result<Cli, clap::Error> {
    let matches = named(Cli::command(), invocation).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// Help speaks of `kubectl berth` to those who typed that.
fn named(command: ClapCommand, invocation: Invocation) -> ClapCommand {
    match invocation {
        Invocation::Berth => command,
        Invocation::KubectlPlugin => command.bin_name("kubectl berth").mut_subcommands(|sub| {
            let example =
                sub.get_after_help().map(|help| help.to_string().replace("berth ", "kubectl berth "));
            match example {
                Some(example) => sub.after_help(example),
                None => sub,
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_under_either_name() {
        for (invocation, prefix) in
            [(Invocation::Berth, "\n  berth"), (Invocation::KubectlPlugin, "\n  kubectl berth")]
        {
            let named = named(Cli::command(), invocation);
            for command in named.get_subcommands() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    help.contains(&format!("{prefix} {}", command.get_name())),
                    "{}: {help}",
                    command.get_name()
                );
            }
        }
    }
}
