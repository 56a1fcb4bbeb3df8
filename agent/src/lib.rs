//! Samples this node at high frequency and streams it.
//!
//! Three threads. The *watcher* sweeps the tree of cgroups, opens files and lists threads. The
//! *sampler* reads what it was given, on an absolute timer, into integer columns. The *uplink* packs
//! the columns, keeps the newest, and talks to the aggregator. Deliberately absent: Kubernetes. The
//! agent knows paths, and needs no permission but to read.

#![forbid(unsafe_code)]

pub mod args;
pub mod clock;
pub mod columns;
pub mod container;
pub mod discovery;
pub mod due;
pub mod encode;
pub mod facts;
pub mod fold;
pub mod governor;
pub mod gpu;
pub mod handover;
pub mod host;
pub mod identity;
pub mod limits;
pub mod message;
pub mod node;
pub mod pack;
pub mod readings;
pub mod ring;
pub mod sampler;
pub mod series;
pub mod session;
pub mod threads;
pub mod uplink;
pub mod watch;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32},
        mpsc::sync_channel,
    },
    thread,
};

use anyhow::Context as _;
use berth::{CpuList, Hello, Incarnation, NodeFacts, Seq};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    rand::{GetRandomFlags, getrandom},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::{
    args::{Args, Config, UsageError},
    discovery::Discovery,
    host::HostRoot,
    node::Node,
    sampler::{Orders, Sampler, Settings},
    session::{Backoff, Session},
    uplink::Uplink,
    watch::Watcher,
};

/// Reads of each thread a second until the aggregator says otherwise.
const THREAD_HZ: u32 = 50;

/// Each cgroup costs up to six descriptors and each watched thread one; the usual soft limit of
/// 1,024 is too few, and the hard limit needs no privilege.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the open file limit; cgroups beyond it are not sampled");
    }
}

fn random_u64() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("draw a random number")?;
    Ok(u64::from_ne_bytes(bytes))
}

fn hello(config: &Config, host: &HostRoot, facts: NodeFacts) -> anyhow::Result<Hello> {
    Ok(Hello {
        node: config.node.clone(),
        // Zero is nobody's incarnation.
        incarnation: Incarnation::new(random_u64()?.max(1)).context("draw an incarnation")?,
        boot_id: facts::boot_id(host),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        oldest_seq: Seq::FIRST,
        next_seq: Seq::FIRST,
        tick_hz: config.tick_hz,
        facts,
    })
}

/// The CPUs to answer for. Errors: one that was named is not online.
fn chosen_cpus(config: &Config, host: &HostRoot) -> anyhow::Result<CpuList> {
    let Some(chosen) = config.cpus.clone() else { return facts::node_cpus(host) };
    let online = facts::online_cpus(host)?;
    let missing = chosen.iter().find(|&cpu| !online.contains(cpu));
    match missing {
        Some(cpu) => anyhow::bail!("--cpus {chosen}: CPU {cpu} is not online; {online} are"),
        None => Ok(chosen),
    }
}

/// Why the agent ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A flag that cannot be followed.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// This node cannot be sampled.
    #[error(transparent)]
    Environment(#[from] anyhow::Error),
}

impl Failure {
    /// As every program of Berth ends: 2 for usage, 3 for the environment.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Environment(_) => 3,
        })
    }
}

/// Does what the command line says, until SIGTERM or SIGINT.
pub fn start(args: Args) -> Result<(), Failure> {
    Ok(run(args.config()?)?)
}

fn run(config: Config) -> anyhow::Result<()> {
    raise_file_limit();
    let host = HostRoot::open(&config.proc_root, &config.cgroup_mount)?;
    let cpus = chosen_cpus(&config, &host)?;
    let discovery = Discovery::new(&host, config.cgroup_roots.clone(), config.system_cgroups.clone())?;
    let facts = facts::node_facts(&host, &cpus, gpu::count())?;
    let start_nsec = clock::now_nsec();
    let node = Node::open(&host, &cpus, facts.pressure, start_nsec);
    let orders = Arc::new(Orders {
        tick_hz: AtomicU32::new(config.tick_hz),
        thread_hz: AtomicU32::new(THREAD_HZ),
        raw_threads: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    });
    let (giver, taker) = handover::handover();
    let (change_sender, changes) = sync_channel(watch::CHANGES);
    let (focus, focus_orders) = sync_channel(watch::ORDERS);
    let settings = Settings { cpu_budget: config.cpu_budget, cpus: facts.cpus };
    let watcher = Watcher::new(host.clone(), discovery, &facts, change_sender);
    let session = Session::new(hello(&config, &host, facts)?, Backoff::new(random_u64()?));
    let sampler = Sampler::new(node, settings, Arc::clone(&orders), changes, giver, start_nsec);
    let uplink = Uplink::new(config.server, session, taker, orders, focus);
    let watcher = move || watcher.run(&focus_orders);
    thread::Builder::new().name("watcher".into()).spawn(watcher).context("start the watcher's thread")?;
    thread::Builder::new()
        .name("sampler".into())
        .spawn(|| sampler.run())
        .context("start the sampler's thread")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the uplink")?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let stop = async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        };
        uplink.run(stop).await
    })
}
