//! Facts of the kernel that Berth is built on, measured on the kernel that is here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process, time::Duration};

use berth_cli::stage::{Cpus, Group, Hierarchies, Program};
use berth_kit::program;
use berth_scenarios::{
    clock::Axis,
    oracle::{Perf, Tracer},
};

/// How far the wait that is pieced together from switches may be from what the kernel counts: it was 0.002
/// where it was measured first, and a wait that goes on at either end is counted when it is over.
const APART_AT_MOST: f64 = 0.05;

/// The seconds in which switches are recorded; perf begins before them.
const RECORDED: std::ops::Range<u32> = 3..6;

/// A victim that runs 1 ms of every 10, and whoever keeps its CPU busy.
struct Pair {
    victim: Program,
    _hog: Program,
    // After the programs that are in them.
    groups: [Group; 3],
    logs: tempfile::TempDir,
}

fn pair(runtime: &tokio::runtime::Runtime) -> Option<Pair> {
    let hierarchies = Hierarchies::find().ok()?;
    let prefix = format!("berth-facts-{}", process::id());
    let parent = hierarchies.make_parent(&prefix).ok()?;
    let groups = ["victim", "hog"].map(|name| hierarchies.make(&format!("{prefix}/{name}")).unwrap());
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
    Some(Pair { victim, _hog: hog, groups: [victims, hogs, parent], logs })
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

/// The wait that the kernel counts in the seconds in which switches are recorded.
async fn waited_meanwhile(pid: i32, axis: Axis) -> Duration {
    axis.until(Duration::from_secs(RECORDED.start.into())).await;
    let before = waited(pid);
    axis.until(Duration::from_secs(RECORDED.end.into())).await;
    waited(pid).saturating_sub(before)
}

#[test]
fn what_the_kernel_counts_as_wait_is_the_time_in_which_others_ran() {
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
