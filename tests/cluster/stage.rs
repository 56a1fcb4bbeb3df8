//! What the ring's tests begin with: a cluster, one at a time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_kit::{
    cluster::{Cluster, Id, Images, Tools},
    program,
};
use tempfile::TempDir;

use crate::shell::Shell;

/// A pod's start, its name's way to the name server, a Service's way to kube-proxy: seconds, on two
/// cores.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The number of the tests' clusters; 0 is a person's own.
pub(crate) const ID: u8 = 1;

/// The nodes of two clusters would share CPUs, so only one test has one. A test that failed leaves
/// nothing behind that the next one would trip over.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Stage {
    /// Before the turn, so that it is gone when the next test has it.
    pub(crate) cluster: Cluster,
    pub(crate) shell: Shell,
    /// For what a test writes.
    pub(crate) scratch: TempDir,
    pub(crate) turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// A cluster, where one can run; elsewhere says in one line that the test did not.
    pub(crate) fn set() -> Option<Self> {
        tools().map(|tools| Self::start(&tools))
    }

    /// A cluster whose nodes have the images of this tree.
    pub(crate) fn with_images() -> Option<Self> {
        let tools = tools()?;
        let images = images()?;
        let stage = Self::start(&tools);
        for archive in images.archives().unwrap() {
            stage.cluster.load(&archive).unwrap();
        }
        Some(stage)
    }

    /// A cluster with Berth.
    pub(crate) fn with_berth() -> Option<Self> {
        let stage = Self::with_images()?;
        stage.install();
        Some(stage)
    }

    /// A cluster with Berth, whose aggregator is not on `node`: it answers every report of a test, and is a
    /// neighbour like any other.
    pub(crate) fn with_berth_away_from(node: &str) -> Option<Self> {
        let stage = Self::with_images()?;
        stage.shell.must(&format!("kubectl cordon {node}"));
        stage.install();
        stage.shell.must(&format!("kubectl uncordon {node}"));
        Some(stage)
    }

    /// Installs Berth, as a person does it.
    pub(crate) fn install(&self) {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        self.shell.must(&format!("kubectl apply -k {}", deploy.display()));
        self.aggregator_ready();
    }

    /// Waits for the aggregator. The agents' rollout takes ten seconds more by design; who needs their
    /// samples waits for those.
    pub(crate) fn aggregator_ready(&self) {
        self.shell.must("kubectl -n berth-system rollout status --timeout=60s deployment/berth-aggregator");
    }

    fn start(tools: &Tools) -> Self {
        // Built first: a node shares its CPU with the compiler.
        program("berth-cli", "berth");
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Cluster::start(Id::new(ID).unwrap(), tools).unwrap();
        let shell = Shell::new(&cluster, tools);
        Self { cluster, shell, scratch: tempfile::tempdir().unwrap(), turn }
    }
}

fn tools() -> Option<Tools> {
    Tools::find().map_err(|reason| eprintln!("not run: {reason}")).ok()
}

/// Berth's images, built from this tree; elsewhere says in one line why there are none.
pub(crate) fn images() -> Option<Images> {
    Images::find().map_err(|reason| eprintln!("not run: {reason}")).ok()
}
