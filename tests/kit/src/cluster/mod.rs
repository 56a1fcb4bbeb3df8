//! A real Kubernetes on this machine: etcd, the API server, controllers, the scheduler, `CoreDNS`,
//! and nodes with a kubelet, containerd and kube-proxy.
//!
//! The control plane and each node are machines: they have namespaces, cgroups and an
//! address of their own, and a node has one CPU, so that what runs there sees that node only and
//! where a pod is placed really matters. Invariant: when a [`Cluster`] is dropped nothing of it is
//! left, no process, mount, cgroup, link or file; if its process dies before that, its processes die
//! too, and [`Cluster::remove`] clears away the rest. Deliberately absent: anything that pretends to
//! be a part of Kubernetes.

mod cgroup;
mod id;
pub mod image;
pub mod images;
mod keys;
mod machine;
mod node;
mod object;
mod tools;

use std::{
    fs::{self, DirBuilder, File},
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::process::kill_process;

pub use id::{CLUSTERS, Id};
pub use images::Images;
pub use rustix::process::Signal;
pub use tools::Tools;

use keys::{Keys, MASTERS};
use machine::{Life, Machine, Plan, feed, run};
use node::Node;

/// How many nodes a cluster has. More than CPUs would share them, and neighbours would be nobody's.
pub const NODES: u8 = 2;

/// From nothing to nodes that are Ready: 10 s on two idle cores, and a first start reads 300 MB.
const START: Duration = Duration::from_secs(120);

/// How long the kernel may take to end a machine's processes and mounts.
const END: Duration = Duration::from_secs(30);

/// Of each log: the cause is nearly always in the last few.
const LAST_LINES: usize = 8;

/// What the kernel keeps of a program's name (include/linux/sched.h, `TASK_COMM_LEN`, less the zero).
const COMM_BYTES: usize = 15;

/// How often a predicate is asked.
const POLL: Duration = Duration::from_millis(50);

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    id: Id,
    tools: Tools,
    folder: PathBuf,
    /// The control plane first, then the nodes.
    machines: Vec<Machine>,
    /// Held until all of it is gone: whoever starts the same number elsewhere waits.
    _turn: File,
}

impl Cluster {
    /// Starts a cluster that ends when this is dropped, or when this process ends.
    pub fn start(id: Id, tools: &Tools) -> anyhow::Result<Self> {
        Self::start_for(id, tools, Life::Bound)
    }

    /// Starts a cluster that stays until it is removed, loads Berth's images into it, and says where its
    /// kubeconfig is.
    pub fn leave_up(id: Id, tools: &Tools, images: &Images) -> anyhow::Result<PathBuf> {
        let cluster = Self::start_for(id, tools, Life::Kept)?;
        for archive in images.archives()? {
            cluster.load(&archive)?;
        }
        let kubeconfig = cluster.kubeconfig();
        std::mem::forget(cluster);
        Ok(kubeconfig)
    }

    /// Something of the cluster of this number is there.
    pub fn is_there(id: Id) -> bool {
        link(id).is_dir()
    }

    /// Ends whatever there is of the cluster of this number, whoever started it.
    pub fn remove(id: Id, tools: &Tools) -> anyhow::Result<()> {
        cgroup::remove(&format!("{}-", id.name()))?;
        if link(id).is_dir() {
            // It goes with the control plane's namespace, which the kernel may have ended meanwhile.
            drop(run(Command::new("ip").args(["link", "delete", &id.name()])));
        }
        let folder = folder(id, tools);
        patiently("the cluster's mounts to be gone", END, || {
            let removed = fs::remove_dir_all(&folder);
            let gone = removed.is_ok() || !folder.try_exists()?;
            Ok((gone && !link(id).is_dir()).then_some(()))
        })
    }

    fn start_for(id: Id, tools: &Tools, life: Life) -> anyhow::Result<Self> {
        let folder = folder(id, tools);
        let turn = turn(&folder).context("wait for this cluster's turn")?;
        Self::remove(id, tools).context("remove what an earlier cluster left")?;
        // It holds keys.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("make the cluster's folder")?;
        let mut cluster = Self { id, tools: tools.clone(), folder, machines: Vec::new(), _turn: turn };
        match cluster.bring_up(life) {
            Ok(()) => Ok(cluster),
            Err(error) => Err(error.context(cluster.last_words())),
        }
    }

    fn bring_up(&mut self, life: Life) -> anyhow::Result<()> {
        let keys = Keys::make(&self.folder, self.id.control())?;
        self.sign_for_the_control_plane(&keys)?;
        image::write(&self.folder.join("pod.tar"), &self.tools.program("pod"))?;
        self.start_control_plane(life)?;
        let cpus = thread::available_parallelism()?.get();
        let nodes: Vec<Node> = (0..NODES).map(|index| Node::new(self.id, index, cpus)).collect();
        for node in &nodes {
            self.start_node(node, &keys, life)?;
        }
        let ready = ["get", "--raw", "/readyz"];
        self.wait("the API server", |cluster| cluster.ask(&ready).is_ok())?;
        for machine in &mut self.machines {
            machine.go()?;
        }
        let list = r#"jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
        self.wait("every node to be ready", |cluster| {
            let said = cluster.ask(&["get", "nodes", "-o", list]).unwrap_or_default();
            said.lines().filter(|line| *line == "True").count() == nodes.len()
        })?;
        // A pod is refused until its namespace has one.
        let account = ["get", "serviceaccount", "default"];
        self.wait("the first service account", |cluster| cluster.ask(&account).is_ok())
    }

    fn sign_for_the_control_plane(&self, keys: &Keys) -> anyhow::Result<()> {
        let id = self.id;
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        let addresses = [id.control(), id.kubernetes()].map(|address| address.to_string());
        let hosts: Vec<String> = names.map(str::to_owned).into_iter().chain(addresses).collect();
        keys.certificate("apiserver", "kube-apiserver", None, &hosts)?;
        keys.certificate("kubelets", "kube-apiserver-kubelet-client", Some(MASTERS), &[])?;
        keys.kubeconfig("admin", "admin", Some(MASTERS))?;
        keys.kubeconfig("controllers", "system:kube-controller-manager", None)?;
        keys.kubeconfig("scheduler", "system:kube-scheduler", None)?;
        keys.kubeconfig("proxy", "system:kube-proxy", None)?;
        // Kubernetes ships no role for CoreDNS; it reads Services, slices and namespaces.
        keys.kubeconfig("names", "coredns", Some(MASTERS))
    }

    fn start_control_plane(&mut self, life: Life) -> anyhow::Result<()> {
        let (id, name) = (self.id, "control");
        let folder = self.folder.join(name);
        fs::create_dir(&folder).context("make the control plane's folder")?;
        let plan = Plan {
            name,
            cgroup: format!("{}-{name}", id.name()),
            // Away from the first node, whose CPU is then its own.
            cpus: (thread::available_parallelism()?.get() - 1).to_string(),
            script: include_str!("control.sh"),
            settings: vec![("ADDRESS", id.control().to_string()), ("SERVICES", id.services())],
            folder: &folder,
        };
        self.machines.push(Machine::start(&plan, &self.tools, life)?);
        let control = self.control()?;
        let (link, pid) = (id.name(), control.pid());
        control.ip(&format!(
            "link set lo up\n\
             link add nodes type bridge\n\
             address add {}/24 dev nodes\n\
             link set nodes up",
            id.control()
        ))?;
        // This machine is on the cluster's network too, so that a test can ask its pods directly.
        ip(&format!(
            "link add {link} type veth peer name host netns {pid}\n\
             address add {}/24 dev {link}\n\
             link set {link} up",
            id.host()
        ))?;
        control.ip("link set host up master nodes")?;
        self.control_mut()?.go()
    }

    fn start_node(&mut self, node: &Node, keys: &Keys, life: Life) -> anyhow::Result<()> {
        let (id, name, address, pods) = (self.id, &node.name, node.address, &node.pods);
        let folder = self.folder.join(name);
        node.furnish(&folder, id, keys, &self.tools)?;
        let plan = Plan {
            name,
            cgroup: format!("{}-{name}", id.name()),
            cpus: node.cpu.to_string(),
            script: node::SCRIPT,
            settings: vec![("ADDRESS", address.to_string())],
            folder: &folder,
        };
        let machine = Machine::start(&plan, &self.tools, life)?;
        let (control, pid) = (self.control()?, machine.pid());
        control.ip(&format!(
            "link add {name} type veth peer name eth0 netns {pid}\n\
             link set {name} up master nodes\n\
             route add {pods} via {address}"
        ))?;
        ip(&format!("route add {pods} via {address}"))?;
        machine.ip(&format!(
            "link set lo up\n\
             address add {address}/24 dev eth0\n\
             link set eth0 up\n\
             route add default via {}",
            id.control()
        ))?;
        for index in (0..NODES).filter(|index| id.node(*index) != address) {
            machine.ip(&format!("route add {} via {}", id.pods(index), id.node(index)))?;
        }
        self.machines.push(machine);
        Ok(())
    }

    /// Lets whoever reads it do everything in the cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// `kubectl`, for this cluster.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.tools.program("kubectl"));
        // What it would remember between calls is of another cluster the next time.
        command.env("KUBECONFIG", self.kubeconfig()).env("KUBECACHEDIR", self.folder.join("kubectl"));
        command
    }

    /// What `kubectl` says to these words.
    pub fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        run(self.kubectl().args(words))
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        let mut command = self.kubectl();
        command.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().context("start kubectl")?;
        let mut stdin = child.stdin.take().context("talk to kubectl")?;
        stdin.write_all(manifest.as_bytes()).context("talk to kubectl")?;
        drop(stdin);
        let status = child.wait()?;
        ensure!(status.success(), "kubectl apply: {status}");
        Ok(())
    }

    /// The names of the nodes that have a kubelet.
    pub fn nodes(&self) -> Vec<&str> {
        self.machines.iter().skip(1).map(|machine| machine.name.as_str()).collect()
    }

    /// Loads an image archive into every node; pods use it with `imagePullPolicy: Never`.
    pub fn load(&self, archive: &Path) -> anyhow::Result<()> {
        for node in self.machines.iter().skip(1) {
            let mut command = node.command("ctr");
            command.args(["--namespace", "k8s.io", "images", "import", "-"]);
            self.tools.lend(&mut command);
            let archive_file = File::open(archive).with_context(|| format!("open {}", archive.display()))?;
            feed(&mut command, archive_file.into())
                .with_context(|| format!("load {} into {}", archive.display(), node.name))?;
        }
        Ok(())
    }

    /// Ends a node as a power cut would; its object stays until somebody deletes it.
    pub fn cut_power(&mut self, node: &str) -> anyhow::Result<()> {
        let machine = self.machines.iter_mut().skip(1).find(|machine| machine.name == node);
        machine.with_context(|| format!("there is no node {node}"))?.kill();
        Ok(())
    }

    /// Sends a signal to every process of this program on a machine, which is a node or `control`; how
    /// many there were.
    pub fn signal(&self, machine: &str, program: &str, signal: Signal) -> anyhow::Result<usize> {
        let program = program.get(..COMM_BYTES).unwrap_or(program);
        let mut sent = 0;
        for pid in cgroup::processes(&format!("{}-{machine}", self.id.name()))? {
            let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
            if name.trim_end() == program && kill_process(pid, signal).is_ok() {
                sent += 1;
            }
        }
        Ok(sent)
    }

    /// The folder of its keys: `sa.key` and `sa.pub` sign and check the service accounts' tokens.
    pub fn keys(&self) -> &Path {
        &self.folder
    }

    /// Waits for `ready`, and says which machine ended meanwhile.
    fn wait(&mut self, what: &str, ready: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        patiently(what, START, || {
            for machine in &mut self.machines {
                if machine.ended()? {
                    bail!("{} ended", machine.name);
                }
            }
            Ok(ready(self).then_some(()))
        })
    }

    fn control(&self) -> anyhow::Result<&Machine> {
        self.machines.first().context("find the control plane")
    }

    fn control_mut(&mut self) -> anyhow::Result<&mut Machine> {
        self.machines.first_mut().context("find the control plane")
    }

    /// The ends of all logs, for whoever must find out why it did not start.
    fn last_words(&self) -> String {
        let machines = self.machines.iter().map(|machine| self.folder.join(&machine.name));
        let logs = machines.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let logs =
            logs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
        let words = logs.map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            format!("--- {}\n{}\n", path.display(), lines.join("\n"))
        });
        format!("start the cluster; its last words:\n{}", words.collect::<String>())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for machine in self.machines.iter_mut().rev() {
            machine.kill();
        }
        if let Err(error) = Self::remove(self.id, &self.tools) {
            eprintln!("{} was not removed whole: {error:#}", self.id.name());
        }
    }
}

/// Where a cluster lives.
fn folder(id: Id, tools: &Tools) -> PathBuf {
    tools.clusters().join(id.name())
}

/// Waits until no other process holds the cluster of this folder, and holds it.
fn turn(folder: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(folder.parent().context("name a cluster's folder")?)?;
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Where the kernel shows this machine's end of the cluster's network.
fn link(id: Id) -> PathBuf {
    Path::new("/sys/class/net").join(id.name())
}

/// Configures this machine's own network, one command of `ip` a line.
fn ip(lines: &str) -> anyhow::Result<()> {
    for line in lines.lines() {
        run(Command::new("ip").args(line.split_whitespace()))?;
    }
    Ok(())
}

/// Asks until there is an answer.
fn patiently<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let mut left = deadline;
    while !left.is_zero() {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        thread::sleep(POLL);
        left = left.saturating_sub(POLL);
    }
    bail!("waited {deadline:?} for {what}")
}
