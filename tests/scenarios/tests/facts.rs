//! Facts of the kernel that Berth is built on, measured on the kernel that is here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use berth_cli::stage::{Cpus, Group, Hierarchies, Program};
use berth_kit::program;
use berth_scenarios::{
    clock::Axis,
    oracle::{Perf, Tracer},
};

/// Long enough for a few hundred waits of the victim.
const MEASURED_FOR: Duration = Duration::from_secs(5);

/// What may be lost of the truth at the period at which Berth reads: it was 0.2 % where it was measured
/// first.
const LOST_AT_MOST: f64 = 0.15;

/// How far the wait that is pieced together from switches may be from what the kernel counts: it was 0.002
/// where it was measured first, and a wait that goes on at either end is counted when it is over.
const APART_AT_MOST: f64 = 0.05;

/// The seconds in which switches are recorded; perf begins before them.
const RECORDED: std::ops::Range<u32> = 3..6;

/// Whoever measures has the CPU to itself.
static ALONE: Mutex<()> = Mutex::new(());

/// A victim that runs 1 ms of every 10, and whoever keeps its CPU busy.
struct Pair {
    victim: Program,
    _hog: Program,
    pressure: PathBuf,
    // After the programs that are in them.
    groups: [Group; 3],
    logs: tempfile::TempDir,
}

fn pair(runtime: &tokio::runtime::Runtime) -> Option<Pair> {
    let hierarchies = Hierarchies::find().ok()?;
    let prefix = format!("berth-facts-{}", process::id());
    let parent = hierarchies.make_parent(&prefix).ok()?;
    let groups = ["victim", "hog"].map(|name| hierarchies.make(&format!("{prefix}/{name}")).unwrap());
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let pressure = mounts.map(|mount| mount.join(format!("{prefix}/victim/cpu.pressure")));
    let pressure = pressure.into_iter().find(|file| file.is_file())?;
    let logs = tempfile::tempdir().unwrap();
    let accuracy = program("berth-scenarios", "accuracy");
    let (cpu, _) = Cpus::allowed().unwrap().first_and_rest()?;
    let _inside = runtime.enter();
    let start = |name: &str, group: &Group, duty: &str| {
        let mut command = group.entering(&accuracy);
        command.args(["play", "busy", "--threads", "1", "--period-msec", "10", "--duty", duty]);
        Program::start(name, command, &cpu, logs.path()).unwrap()
    };
    let victim = start("victim", &groups[0], "0.1");
    let hog = start("hog", &groups[1], "1.0");
    let [victims, hogs] = groups;
    Some(Pair { victim, _hog: hog, pressure, groups: [victims, hogs, parent], logs })
}

/// `some total` of a pressure file.
fn stalled(file: &Path) -> Duration {
    let text = fs::read_to_string(file).unwrap();
    let total = text.lines().next().unwrap().rsplit_once("total=").unwrap().1;
    Duration::from_micros(total.trim().parse().unwrap())
}

/// The run-queue wait of every thread of a process.
fn waited(pid: i32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let wait = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().nth(1).map_or(0, |wait| wait.parse().unwrap())
    };
    Duration::from_nanos(tasks.map(|task| wait(task.unwrap())).sum())
}

/// The part of the wait that the pressure file does not show when it is read so often.
fn lost(pair: &Pair, period: Duration) -> f64 {
    let pid = pair.victim.pid().unwrap().as_raw_nonzero().get();
    let (stalled_before, waited_before) = (stalled(&pair.pressure), waited(pid));
    for _ in 0..MEASURED_FOR.as_micros() / period.as_micros() {
        thread::park_timeout(period);
        stalled(&pair.pressure);
    }
    let stalled = stalled(&pair.pressure).saturating_sub(stalled_before);
    let waited = waited(pid).saturating_sub(waited_before);
    1.0 - stalled.as_secs_f64() / waited.as_secs_f64()
}

#[test]
fn pressure_read_once_a_second_is_whole_and_read_a_hundred_times_is_not_to_be_trusted() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(pair) = pair(&runtime) else {
        eprintln!("not run: cgroups with pressure cannot be made here, or there is one CPU only");
        return;
    };
    let once = lost(&pair, Duration::from_secs(1));
    // How much is lost at 100 Hz depends on the kernel's tick: 44 % at HZ=250, less at 1000.
    let often = lost(&pair, Duration::from_millis(10));
    eprintln!("lost at 1 Hz {:.1} %, at 100 Hz {:.1} %", once * 100.0, often * 100.0);
    assert!(once.abs() <= LOST_AT_MOST, "{once}");
    assert!(often > once, "{often} at 100 Hz, {once} at 1 Hz");
}

/// The wait that the kernel counts in the seconds in which switches are recorded.
async fn waited_meanwhile(pid: i32, axis: Axis) -> Duration {
    axis.until(Duration::from_secs(RECORDED.start.into())).await;
    let before = waited(pid);
    axis.until(Duration::from_secs(RECORDED.end.into())).await;
    waited(pid).saturating_sub(before)
}

#[test]
fn what_the_kernel_counts_as_wait_is_the_time_in_which_others_ran() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(pair) = pair(&runtime) else {
        eprintln!("not run: cgroups cannot be made here, or there is one CPU only");
        return;
    };
    let perf = match runtime.block_on(Perf::try_out("perf".into())) {
        Ok(perf) => perf,
        Err(error) => {
            eprintln!("not run: {error:#}");
            return;
        }
    };
    let (cpu, rest) = Cpus::allowed().unwrap().first_and_rest().unwrap();
    let [victim, hog, _] = pair.groups.each_ref().map(Group::thread_list);
    let suspects = vec![("hog".to_owned(), hog)];
    let folder = pair.logs.path().to_owned();
    let tracer = Tracer { perf, cpu: cpu.first(), rest, victim, suspects, block: RECORDED, folder };
    let pid = pair.victim.pid().unwrap().as_raw_nonzero().get();
    let (told, counted) = runtime.block_on(async {
        let axis = Axis::beginning_in(Duration::ZERO);
        let (recording, counted) = tokio::join!(tracer.record(axis), waited_meanwhile(pid, axis));
        (recording.unwrap().read().await.unwrap(), counted.as_secs_f64())
    });
    let hog = told.shares[0].share;
    assert!((told.waited_sec / counted - 1.0).abs() <= APART_AT_MOST, "{counted} s counted, {told:?}");
    assert!((hog + told.own + told.others - 1.0).abs() < 1e-9, "{told:?}");
    // Other work of the machine may be in the way as well, and a victim of one thread is not in its own.
    assert!(hog > 0.1 && told.own < 1e-9, "{told:?}");
}
