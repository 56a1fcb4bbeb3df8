//! Why pressure files are read once a second: who reads one fast takes away what it counts.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it saw"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use berth_cli::stage::{Cpus, Hierarchies};
use berth_kit::{program, wait_every};

/// Each rate is tried for this long.
const TRIED_FOR: Duration = Duration::from_secs(4);

/// At once a second what is lost is within the noise of two reads ...
const LOST_AT_1_HZ: f64 = 0.10;

/// ... and at 100 Hz far beyond it; 31 to 35 % were measured.
const LOST_AT_100_HZ: f64 = 0.20;

/// Ended when dropped.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Where version 2 of cgroups is mounted, if it is.
fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut mounts = fields.filter(|fields| fields.get(2) == Some(&"cgroup2"));
    mounts.find_map(|fields| Some(PathBuf::from(fields.get(1)?)))
}

/// The total of `some`, in seconds.
fn stalled_sec(file: &Path) -> f64 {
    let text = fs::read_to_string(file).unwrap();
    let some = text.lines().find(|line| line.starts_with("some")).unwrap();
    some.rsplit_once("total=").unwrap().1.parse::<f64>().unwrap() / 1e6
}

/// For how long all threads of a process have waited to run, in seconds.
fn waited_sec(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let waited = |task: fs::DirEntry| -> f64 {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap();
        schedstat.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    tasks.map(|task| waited(task.unwrap())).sum::<f64>() / 1e9
}

/// The part of the wait that the file does not show when it is read so often.
fn lost_at(hz: u32, file: &Path, pid: u32) -> f64 {
    let before = (stalled_sec(file), waited_sec(pid));
    let mut reads = 0;
    wait_every(Duration::from_secs(1) / hz, "so many reads", 4 * TRIED_FOR, || {
        stalled_sec(file);
        reads += 1;
        (reads > TRIED_FOR.as_secs() * u64::from(hz)).then_some(())
    });
    let (stalled, waited) = (stalled_sec(file) - before.0, waited_sec(pid) - before.1);
    println!("{hz} Hz: {stalled:.3} s in the file, {waited:.3} s waited");
    assert!(waited > 0.1, "nothing waited, so there is nothing to lose");
    1.0 - stalled / waited
}

#[test]
fn who_reads_a_pressure_file_fast_loses_what_it_counts() {
    let mount = unified();
    let (Some(mount), Ok(hierarchies)) = (mount, Hierarchies::find()) else {
        return println!("skipped: no cgroups of version 2 here");
    };
    let group = match hierarchies.make(&format!("berth-pressure-test-{}", std::process::id())) {
        Ok(group) => group,
        Err(error) => return println!("skipped: no cgroup can be made here: {error:#}"),
    };
    let file = mount.join(group.path().trim_start_matches('/')).join("cpu.pressure");
    if fs::read_to_string(&file).is_err() {
        return println!("skipped: this kernel keeps no pressure");
    }
    let accuracy = program("berth-scenarios", "accuracy");
    let cpu = Cpus::allowed().unwrap().first().to_string();
    let play = |duty: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu]).arg(&accuracy).args([
            "play",
            "busy",
            "--period-msec",
            "10",
            "--duty",
            duty,
        ]);
        Busy(command.spawn().unwrap())
    };
    let (hog, victim) = (play("1"), play("0.1"));
    let procs = file.with_file_name("cgroup.procs");
    fs::write(procs, victim.0.id().to_string()).unwrap();
    let (slow, fast) = (lost_at(1, &file, victim.0.id()), lost_at(100, &file, victim.0.id()));
    drop((hog, victim));
    assert!(slow.abs() <= LOST_AT_1_HZ, "{slow:.2} lost at once a second");
    assert!(fast >= LOST_AT_100_HZ, "{fast:.2} lost at 100 Hz");
}
