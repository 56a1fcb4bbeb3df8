//! The models: each is a real server under a steady, open load.
//!
//! Invariant: each listens on the port that it is given, so that it can be started again on it.
//! Deliberately absent: the load; how much a request costs is measured, and nowhere assumed.

mod gunicorn;
mod nginx;
mod refmodel;

use std::path::Path;

use anyhow::Context as _;
use berth_cli::stage::Binaries;
use berth_loadgen::{Check, Payload, Protocol};

use crate::{
    scene::Launch,
    tools::{Tool, Tools},
};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The example model.
    Refmodel {
        /// In each request.
        rows: usize,
    },
    /// nginx that compresses what it serves.
    Nginx,
    /// scikit-learn behind gunicorn.
    Sklearn,
    /// A server that makes a thread for each request.
    Churn,
    /// A server that reads a file.
    Reader,
}

/// A server that can be started, and what it is asked.
#[derive(Debug)]
pub struct Server {
    /// Its command.
    pub launch: Launch,
    /// The path of the request line.
    pub route: &'static str,
    /// The bodies.
    pub payload: Payload,
    /// What counts as a success.
    pub check: Check,
}

/// What a server that takes any body is sent.
const ANY_BODY: &[u8] = b"{}\n";

impl Kind {
    /// In results; a measured cost is kept under this name too.
    pub fn name(self) -> String {
        match self {
            Self::Refmodel { rows: 1 } => "refmodel".to_owned(),
            Self::Refmodel { rows } => format!("refmodel-{rows}-rows"),
            Self::Nginx => "nginx".to_owned(),
            Self::Sklearn => "sklearn".to_owned(),
            Self::Churn => "churn".to_owned(),
            Self::Reader => "reader".to_owned(),
        }
    }

    /// What it needs from the tools.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Self::Nginx => Some(Tool::Nginx),
            Self::Sklearn => Some(Tool::Python),
            Self::Refmodel { .. } | Self::Churn | Self::Reader => None,
        }
    }

    /// How to start it with so many serving threads on `port`; `scratch` is the trial's own folder.
    pub fn server(
        self,
        threads: u32,
        port: u16,
        binaries: &Binaries,
        tools: &Tools,
        scratch: &Path,
    ) -> anyhow::Result<Server> {
        match self {
            Self::Refmodel { rows } => refmodel::server(rows, threads, port, binaries),
            Self::Nginx => nginx::server(threads, port, tools, scratch),
            Self::Sklearn => gunicorn::server(threads, port, tools, scratch),
            Self::Churn => {
                let launch = Launch::of(binaries.path("accuracy")).args(["play", "churn", "--port"]);
                Self::plain(launch.args([port.to_string()]))
            }
            Self::Reader => {
                let file = scratch.join("rows.bin");
                crate::scene::write_noise(&file, crate::parts::FILE_BYTES)?;
                let launch = Launch::of(binaries.path("accuracy")).args(["play", "reader", "--port"]);
                Self::plain(launch.args([port.to_string()]).args(["--file"]).args([file]))
            }
        }
    }

    fn plain(launch: Launch) -> anyhow::Result<Server> {
        let payload = Payload::ndjson("any body", ANY_BODY, Protocol::Predict).context("make a request")?;
        Ok(Server { launch, route: "/", payload, check: Check::Status })
    }
}
