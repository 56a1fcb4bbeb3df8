//! A host of plain files: cgroup v2 with quotas, and a /proc.

use std::{fs, path::Path};

use berth_agent::host::HostRoot;

/// One CPU, some containers below /demo, some threads.
pub(crate) struct FakeHost {
    dir: tempfile::TempDir,
    containers: usize,
    threads: usize,
}

impl FakeHost {
    pub(crate) fn new(containers: usize, threads: usize) -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap(), containers, threads };
        let mount = host.dir.path().join("cgroup");
        let mountinfo = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", mount.display());
        host.write("proc/self/mountinfo", &mountinfo);
        host.write("proc/self/cgroup", "0::/\n");
        host.write("proc/meminfo", "MemTotal: 9 kB\nMemFree: 7 kB\nMemAvailable: 8 kB\n");
        for container in 0..containers {
            for (file, text) in
                [("cpu.max", "20000 100000\n"), ("cpu.weight", "100\n"), ("memory.max", "max\n")]
            {
                host.write(&format!("cgroup/demo/c{container}/{file}"), text);
            }
        }
        host.advance(0);
        host
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write_pressure(&self, file: &str, total: u64) {
        self.write(file, &format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n"));
    }

    /// Sets every counter to `step`.
    pub(crate) fn advance(&self, step: u64) {
        let stat = format!("cpu  1 0 0 0 0 0 0 0 0 0\ncpu0 {step} 0 0 {step} 0 0 0 0 0 0\nintr 1\n");
        self.write("proc/stat", &stat);
        for resource in ["cpu", "memory", "io"] {
            self.write_pressure(&format!("proc/pressure/{resource}"), step);
            for container in 0..self.containers {
                self.write_pressure(&format!("cgroup/demo/c{container}/{resource}.pressure"), step);
            }
        }
        for container in 0..self.containers {
            let counters = [
                ("usage_usec", step),
                ("nr_periods", step),
                ("nr_throttled", step),
                ("throttled_usec", step * 1_000),
            ];
            let stat: String = counters.map(|(key, value)| format!("{key} {value}\n")).concat();
            self.write(&format!("cgroup/demo/c{container}/cpu.stat"), &stat);
            self.write(&format!("cgroup/demo/c{container}/memory.current"), &format!("{step}\n"));
        }
        for thread in 0..self.threads {
            let schedstat = format!("{step}000000 {step}900000 {step}\n");
            self.write(&format!("proc/{}/schedstat", 100 + thread), &schedstat);
        }
    }

    pub(crate) fn root(&self) -> HostRoot {
        HostRoot::open(&self.dir.path().join("proc"), Path::new("/")).unwrap()
    }
}
