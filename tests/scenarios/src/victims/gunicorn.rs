//! A scikit-learn forest behind gunicorn, one process with some threads: how most Python models are
//! served.

use std::path::Path;

use anyhow::Context as _;
use berth_cli::stage::example_payload;
use berth_loadgen::Check;

use super::Server;
use crate::tools::{Tool, Tools};

/// The application, in the Predict API.
const APPLICATION: &str = include_str!("forest.py");

pub(super) fn server(threads: u32, port: u16, tools: &Tools, scratch: &Path) -> anyhow::Result<Server> {
    let file = scratch.join("forest.py");
    std::fs::write(&file, APPLICATION).with_context(|| format!("write {}", file.display()))?;
    let launch = tools
        .launch(Tool::Python)
        .args(["-m", "gunicorn", "--worker-class", "gthread", "--workers", "1"])
        .args(["--threads", &threads.to_string(), "--bind", &format!("127.0.0.1:{port}")])
        .args(["--keep-alive", "60", "--chdir"])
        .args([scratch])
        .args(["forest:application"]);
    let payload = example_payload(1)?;
    Ok(Server { launch, route: "/predict", payload, check: Check::PredictApi })
}
