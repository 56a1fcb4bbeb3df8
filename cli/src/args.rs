//! The command line. Nothing below this module sees a raw flag or the environment.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    Arg, ArgMatches, Args, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand,
    ValueEnum,
};

use crate::cluster::{Choice, Target};
use crate::connect::{Address, Place};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};
use crate::scope::Scope;
use crate::{
    Invocation, advise, demo, explain, load, proxy, replay, report, roles, samples, status, top, trace,
    uninstall,
};

/// Shown below `--help`: scripts rely on it.
const EXIT_CODES: &str = "\
Exit codes:
  0    done, and nothing is wrong
  1    something was found: an open episode, advice, a part that is degraded, a label left behind
  2    the command line is wrong, or names something that is not there
  3    the aggregator or the target is out of reach, or this machine does not let it be done
  4    a service level objective was missed
  5    the result is invalid, or the load generator was the limit
  6    stopped with Ctrl-C, or its terminal was closed
  130  stopped with a second Ctrl-C, without tidying up";

/// What `-o` takes.
const FORMATS: &str = "table|wide|json|yaml|name";

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
    /// What stdout carries; a table by default.
    // Text, because what it may be is the command's to say: `trace record` writes to a file of that name.
    #[arg(short, long, global = true, value_name = FORMATS)]
    output: Option<String>,
    /// Write no colours.
    #[arg(long, global = true, env = "NO_COLOR", num_args = 0, default_missing_value = "1")]
    no_color: Option<String>,
    /// Only pods of this namespace; by default the context's, or all where there is no cluster.
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// Pods of all namespaces.
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Ask the aggregator in the cluster of this kubeconfig context.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Ask the aggregator in the cluster of this kubeconfig.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where Berth is installed in the cluster.
    #[arg(long, global = true, value_name = "NAME", default_value = "berth-system")]
    berth_namespace: String,
    /// Where berth-aggregator listens; port 7700 of this machine by default.
    #[arg(long, global = true, value_name = "URL", env = "BERTH_SERVER")]
    server: Option<String>,
    /// The certificate (PEM) that signed an https server's, or that of the target of a load run.
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Global {
    /// The two streams as the flags want them.
    pub fn output(&self) -> Output {
        Output::new(
            self.format().unwrap_or(Format::Table),
            self.no_color.as_deref().is_some_and(|set| !set.is_empty()),
        )
    }

    /// What `-o` was given, for a command that has its own outputs.
    pub fn output_name(&self) -> Option<&str> {
        self.output.as_deref()
    }

    /// The certificate that signed an https server's.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The file that the command writes.
    pub fn file(&self) -> Option<PathBuf> {
        self.output.as_ref().map(PathBuf::from)
    }

    /// Errors: it is none, and those that there are.
    fn format(&self) -> Result<Format, String> {
        let Some(name) = &self.output else { return Ok(Format::Table) };
        Format::from_str(name, false).map_err(|_| format!("-o {name} is no output: write {FORMATS}"))
    }

    /// The namespace that was asked for.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Where the aggregator is, and which pods matter.
    pub fn place(&self, invocation: Invocation) -> Result<Place, Failure> {
        let address =
            if self.names_cluster() || self.server.is_none() && invocation == Invocation::KubectlPlugin {
                Address::Cluster(Box::new(self.target()?))
            } else {
                Address::of_server(self.server.as_deref(), self.ca_file.as_deref())?
            };
        let scope = match (&self.namespace, address.target()) {
            (Some(namespace), _) => Scope::Named(namespace.clone()),
            (None, Some(target)) if !self.all_namespaces => Scope::Context(target.namespace().to_owned()),
            (None, _) => Scope::All,
        };
        Ok(Place { address, scope })
    }

    /// The cluster, for commands that make no sense without one.
    pub fn target(&self) -> Result<Target, Failure> {
        if self.ca_file.is_some() {
            let message =
                "--ca-file is for --server: in a cluster the aggregator publishes its own certificate";
            return Err(Failure::new(Exit::Usage, message));
        }
        Target::choose(Choice {
            kubeconfig: self.kubeconfig.as_deref(),
            context: self.context.as_deref(),
            berth_namespace: &self.berth_namespace,
        })
    }

    fn names_cluster(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
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
    Load(Box<load::Args>),
    /// Show which container has which role, and why
    Roles(roles::Args),
    /// Print what the agents measured, a value a line
    Samples(samples::Args),
    /// Show in ten lines what is up, what each node lets us see, and what is degraded
    Status(status::Args),
    /// Open a port of this machine that leads to the aggregator, with the token added
    Proxy(proxy::Args),
    /// Record what a node's detector takes, for a replay
    Trace(trace::Args),
    /// Show what the detector says of a trace
    Replay(replay::Args),
    /// Name the labels and taints that Berth's advice left in the cluster
    Uninstall(uninstall::Args),
    /// Show Berth at work on this machine, without a cluster
    Demo(demo::Args),
}

/// Parses the process's arguments under the name that the person typed.
pub fn parse(invocation: Invocation) -> Result<Cli, clap::Error> {
    let mut command = command(invocation);
    let matches = command.try_get_matches_from_mut(load::hey::spelled(std::env::args_os()))?;
    if names_two_places(&matches) {
        let message = "--server names an aggregator, --context and --kubeconfig a cluster: give one of them";
        return Err(command.error(ErrorKind::ArgumentConflict, message));
    }
    let cli = Cli::from_arg_matches(&matches)?;
    if typed(&matches, "server") && matches!(cli.command, Command::Proxy(_) | Command::Uninstall(_)) {
        let message = "this command is about a cluster, which --server does not name: give --context instead";
        return Err(command.error(ErrorKind::ArgumentConflict, message));
    }
    match cli.global.format() {
        Err(message) if !matches!(cli.command, Command::Trace(_) | Command::Load(_)) => {
            Err(command.error(ErrorKind::InvalidValue, message))
        }
        Ok(_) | Err(_) => Ok(cli),
    }
}

/// `BERTH_SERVER` is no conflict: flags come before the environment.
fn names_two_places(matches: &ArgMatches) -> bool {
    typed(matches, "server") && (typed(matches, "context") || typed(matches, "kubeconfig"))
}

fn typed(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(flag) == Some(ValueSource::CommandLine)
}

fn command(invocation: Invocation) -> ClapCommand {
    let mut command = named(Cli::command(), invocation);
    // From here on every command has the global flags, and may say for itself what they mean to it.
    command.build();
    let command = command.mut_subcommand("load", |load| {
        load.mut_args(|arg| if arg.get_id() == "output" { arg.value_name(load::FORMS) } else { arg })
    });
    command.mut_subcommand("trace", |trace| {
        trace.mut_subcommand("record", |record| {
            record.mut_args(|arg| if arg.get_id() == "output" { a_file(arg) } else { arg })
        })
    })
}

fn a_file(output: Arg) -> Arg {
    output.value_name("FILE").help("The file to write").help_heading(None::<&str>)
}

/// Help speaks of `kubectl berth` to those who typed that.
fn named(command: ClapCommand, invocation: Invocation) -> ClapCommand {
    match invocation {
        Invocation::Berth => command,
        Invocation::KubectlPlugin => plugin(command.bin_name("kubectl berth")),
    }
}

/// The command and those below it.
fn plugin(command: ClapCommand) -> ClapCommand {
    command.mut_subcommands(|sub| {
        let sub = plugin(sub);
        let example = sub.get_after_help().map(|help| help.to_string().replace("berth ", "kubectl berth "));
        match example {
            Some(example) => sub.after_help(example),
            None => sub,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// With a kubeconfig whose current context prefers the namespace shop.
    fn place(args: &[&str]) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let kubeconfig =
            "{current-context: a, contexts: [{name: a, context: {cluster: c, namespace: shop}}]}";
        std::fs::write(&file, kubeconfig).unwrap();
        let cluster = ["--kubeconfig", file.to_str().unwrap()];
        let cluster = if args.contains(&"--server") { &[][..] } else { &cluster[..] };
        let cli = Cli::try_parse_from([&["berth", "report"], args, cluster].concat()).unwrap();
        cli.global.place(Invocation::Berth).unwrap()
    }

    #[test]
    fn a_cluster_is_asked_about_its_contexts_namespace_and_a_server_about_all() {
        let scope = |args: &[&str]| place(args).scope;
        assert_eq!(scope(&[]), Scope::Context("shop".to_owned()));
        assert_eq!(scope(&["-n", "other"]), Scope::Named("other".to_owned()));
        assert_eq!(scope(&["-A"]), Scope::All);
        let server = place(&["--server", "http://127.0.0.1:1"]);
        assert_eq!((server.scope, server.address.target().is_none()), (Scope::All, true));
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
