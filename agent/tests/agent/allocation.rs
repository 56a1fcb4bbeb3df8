//! A steady tick allocates nothing, flushes and threads in Focus included.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32},
        mpsc::{SyncSender, sync_channel},
    },
};

use berth_agent::{
    clock::SECOND_NSEC,
    container::{Container, Key},
    cpus::CpuList,
    discovery::Discovery,
    handover::{Taken, Taker, handover},
    host::{HostRoot, KeptFile},
    limits::{LimitDirs, LimitReader},
    node::Node,
    sampler::{Orders, Sampler, Settings},
    threads::ThreadFile,
    watch::{CHANGES, Change},
};

const CONTAINERS: u64 = 8;
const THREADS: u32 = 8;
const START_NSEC: u64 = 1_000 * SECOND_NSEC;

/// A host of plain files: cgroup v2 with a quota, and a /proc.
struct FakeHost {
    dir: tempfile::TempDir,
}

impl FakeHost {
    fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        let mount = host.dir.path().join("cgroup");
        host.write(
            "proc/self/mountinfo",
            &format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", mount.display()),
        );
        host.write("proc/self/cgroup", "0::/\n");
        host.write("proc/meminfo", "MemTotal: 9 kB\nMemFree: 7 kB\nMemAvailable: 8 kB\n");
        for resource in ["cpu", "memory", "io"] {
            host.write(
                &format!("proc/pressure/{resource}"),
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
            );
        }
        host.advance(0);
        host
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Moves every counter on.
    fn advance(&self, step: u64) {
        self.write(
            "proc/stat",
            &format!("cpu  1 0 0 0 0 0 0 0 0 0\ncpu0 {step} 0 0 {step} 0 0 0 0 0 0\nintr 1\n"),
        );
        for container in 0..CONTAINERS {
            let directory = format!("cgroup/demo/c{container}");
            let stat = format!(
                "usage_usec {step}\nnr_periods {step}\nnr_throttled {step}\nthrottled_usec {step}000\n"
            );
            self.write(&format!("{directory}/cpu.stat"), &stat);
            self.write(&format!("{directory}/memory.current"), &format!("{step}\n"));
            for (file, text) in
                [("cpu.max", "20000 100000\n"), ("cpu.weight", "100\n"), ("memory.max", "max\n")]
            {
                self.write(&format!("{directory}/{file}"), text);
            }
            for resource in ["cpu", "memory", "io"] {
                let stall = format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={step}\n");
                self.write(&format!("{directory}/{resource}.pressure"), &stall);
            }
        }
        for thread in 0..THREADS {
            self.write(
                &format!("proc/{}/schedstat", 100 + thread),
                &format!("{step}000000 {step}900000 {step}\n"),
            );
        }
    }

    fn root(&self) -> HostRoot {
        HostRoot::open(&self.dir.path().join("proc"), Path::new("/")).unwrap()
    }
}

fn add_all(host: &HostRoot, changes: &SyncSender<Change>) {
    let mut discovery = Discovery::new(host, vec!["/demo".into()], vec![]).unwrap();
    let mut limits = LimitReader::new(host);
    let mut key = 0;
    for found in discovery.sweep(host) {
        key += 1;
        let own = limits.limits(&found.cgroup, &LimitDirs::open(host, &found.cgroup));
        let holders = limits.quota_holders(&found.cgroup);
        assert!(holders.first() == Some(&found.cgroup));
        let quota = (own, holders.first());
        let container = Container::open(host, &found, Key(key), quota, true, START_NSEC).unwrap();
        changes.send(Change::Add(Box::new(container))).unwrap();
    }
    assert_eq!(key, CONTAINERS);
    let quota = KeptFile::open(&host.identity_file("/demo/c0", "cpu.stat")).unwrap();
    changes.send(Change::Focus(Key(1), vec![quota])).unwrap();
    let thread = |thread: u32| ThreadFile {
        file: KeptFile::open(&host.proc(format!("{}/schedstat", 100 + thread))).unwrap(),
        started_nsec: None,
        ended: Arc::new(AtomicBool::new(false)),
    };
    changes.send(Change::Threads(Key(1), (0..THREADS).map(thread).collect())).unwrap();
}

/// Takes what the sampler gave, and counts its ticks.
fn take_all(taker: &Taker) -> usize {
    let mut ticks = 0;
    while let Taken::Flush(flush) = taker.take() {
        ticks += flush.chunk.ticks();
        taker.give_back(flush.chunk);
    }
    ticks
}

#[test]
fn a_steady_tick_allocates_nothing() {
    let fake = FakeHost::new();
    let host = fake.root();
    let (change_sender, changes) = sync_channel(CHANGES);
    let (giver, taker) = handover();
    let orders =
        Orders { tick_hz: AtomicU32::new(10), thread_hz: AtomicU32::new(50), stop: AtomicBool::new(false) };
    let node = Node::open(&host, &CpuList::parse("0").unwrap(), true, START_NSEC);
    let settings = Settings { cpu_budget: 0.0, cpus: 1 };
    let mut sampler = Sampler::new(node, settings, Arc::new(orders), changes, giver, START_NSEC);
    add_all(&host, &change_sender);
    let (mut allocations, mut ticks) = (0, 0);
    for step in 0..500_u64 {
        if step % 50 == 0 {
            fake.advance(step);
        }
        let now_nsec = START_NSEC + step * SECOND_NSEC / 50;
        let used = allocation_counter::measure(|| sampler.pass(now_nsec));
        let taken = take_all(&taker);
        // The first two seconds open, lay out and fill the pool.
        if step >= 100 {
            allocations += used.count_total;
            ticks += taken;
        }
    }
    assert_eq!(ticks, 80, "eight seconds at 10 Hz");
    assert_eq!(allocations, 0);
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 64])));
    assert_eq!(counted.count_total, 1, "the counter counts");
}
