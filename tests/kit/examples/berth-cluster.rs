//! `make cluster` and `make cluster-down`: a real Kubernetes to play with.

use std::process::ExitCode;

use anyhow::{Context, Error, ensure};
use berth_kit::cluster::{CLUSTERS, Cluster, Id, Images, Tools};
use clap::{Parser, ValueEnum};

/// The environment, or what is needed of it, is missing.
const ENVIRONMENT: u8 = 3;

#[derive(Debug, Parser)]
struct Args {
    /// Start a cluster, or end it
    verb: Verb,
    /// Which one: names and addresses follow from it
    #[arg(long, env = "BERTH_CLUSTER", default_value_t = 0)]
    number: u8,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verb {
    Up,
    Down,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-cluster: {error:#}");
            ExitCode::from(ENVIRONMENT)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let id = Id::new(args.number)
        .with_context(|| format!("there is no cluster {}: choose a number below {CLUSTERS}", args.number))?;
    let tools = Tools::find().map_err(Error::msg)?;
    let down = match args.number {
        0 => "make cluster-down".to_owned(),
        number => format!("BERTH_CLUSTER={number} make cluster-down"),
    };
    match args.verb {
        Verb::Down => Cluster::remove(id, &tools),
        Verb::Up => {
            // Another one of this number would end it, and what it holds.
            ensure!(!Cluster::is_there(id), "cluster {number} is up: {down} ends it", number = args.number);
            let images = Images::find().map_err(Error::msg)?;
            let kubeconfig = Cluster::leave_up(id, &tools, &images)?;
            eprintln!(
                "Kubernetes is up, with nodes node-a and node-b and Berth's images on both. To use it, and to end \
                 it:\n\n    export KUBECONFIG={}\n    export PATH=\"{}:$PATH\"\n    kubectl get nodes\n    \
                 kubectl apply -k deploy/\n    {down}\n",
                kubeconfig.display(),
                tools.programs().display(),
            );
            Ok(())
        }
    }
}
