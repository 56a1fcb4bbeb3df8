//! `make cluster` and `make cluster-down`: a real Kubernetes to play with.

use std::process::ExitCode;

use anyhow::{Context, Error};
use berth_kit::cluster::{Cluster, Id, Images, Tools};
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
    let id = Id::new(args.number).context("choose a smaller number of a cluster")?;
    let tools = Tools::find().map_err(Error::msg)?;
    match args.verb {
        Verb::Down => Cluster::remove(id, &tools),
        Verb::Up => {
            let images = Images::find().map_err(Error::msg)?;
            let kubeconfig = Cluster::leave_up(id, &tools, &images)?;
            eprintln!(
                "Kubernetes is up, with nodes node-a and node-b and Berth's images on both. To use it, and to end \
                 it:\n\n    export KUBECONFIG={}\n    export PATH=\"{}:$PATH\"\n    kubectl get nodes\n    \
                 kubectl apply -k deploy/\n    make cluster-down\n",
                kubeconfig.display(),
                tools.programs().display(),
            );
            Ok(())
        }
    }
}
