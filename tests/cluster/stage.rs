//! What the ring's tests begin with: a cluster, one at a time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_kit::{
    cluster::{Cluster, Id, Tools, image},
    program,
};

/// A pod's start, its name's way to the name server, a Service's way to kube-proxy: seconds, on two
/// cores.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The number of the tests' clusters; 0 is a person's own.
pub(crate) const ID: u8 = 1;

/// Berth's programs that run in pods, which bear their packages' names. Load workers wait to be
/// asked for.
const PROGRAMS: [&str; 2] = ["berth-agent", "berth-aggregator"];

/// The nodes of two clusters would share CPUs, so only one test has one. A test that failed leaves
/// nothing behind that the next one would trip over.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Stage {
    /// Before the turn, so that it is gone when the next test has it.
    pub(crate) cluster: Cluster,
    pub(crate) turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// A cluster, where one can run; elsewhere says in one line that the test did not.
    pub(crate) fn set() -> Option<Self> {
        tools().map(|tools| Self::start(&tools))
    }

    /// A cluster with Berth, installed as a person does it: `deploy/base`, with this tree's programs
    /// as its images.
    pub(crate) fn with_berth() -> Option<Self> {
        tools().map(|tools| Self::install(&tools))
    }

    fn install(tools: &Tools) -> Self {
        // Built first: a node shares its CPU with the compiler.
        let programs = PROGRAMS.map(|name| (name, program(name, name)));
        let stage = Self::start(tools);
        let scratch = tempfile::tempdir().unwrap();
        for (name, program) in programs {
            let archive = scratch.path().join(name);
            let reference = format!("docker.io/library/{name}:{}", env!("CARGO_PKG_VERSION"));
            image::write(&archive, &reference, &program).unwrap();
            stage.cluster.load(&archive).unwrap();
        }
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base");
        stage.cluster.ask(&["apply", "-k", base.to_str().unwrap()]).unwrap();
        stage
    }

    fn start(tools: &Tools) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Cluster::start(Id::new(ID).unwrap(), tools).unwrap();
        Self { cluster, turn }
    }
}

fn tools() -> Option<Tools> {
    Tools::find().map_err(|reason| eprintln!("not run: {reason}")).ok()
}
