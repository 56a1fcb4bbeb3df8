//! The example model: a small real model, one thread a worker.

use berth_cli::stage::{Binaries, example_payload};
use berth_loadgen::Check;

use super::Server;
use crate::scene::Launch;

pub(super) fn server(rows: usize, threads: u32, port: u16, binaries: &Binaries) -> anyhow::Result<Server> {
    let launch = Launch::of(binaries.path("refmodel")).args([
        "--bind",
        &format!("127.0.0.1:{port}"),
        "--workers",
        &threads.to_string(),
    ]);
    let payload = example_payload(rows)?;
    Ok(Server { launch, route: "/breast_cancer/predict", payload, check: Check::PredictApi })
}
