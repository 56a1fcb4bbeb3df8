//! What the detector takes, through the entries of a trace and back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use berth::{
    CgroupVersion, CpuList, NodeFacts, NodeName, SeriesId, limits,
    trace::{Container, Entry, Header},
};
use berth_core::{
    contention::Input,
    frame::{
        ContainerUse, Frame, GpuUse, GpuUser, IoUse, Late, Limits, NodeUse, Pressure, QuotaUse, RawThreads,
        Reclaim, ThreadReading, ThreadUse, Throttling,
    },
    time::AxisNsec,
    trace::{Decoder, Encoder},
    who::{ContainerKey, Owner, Role, Who, WhoRef},
};
use proptest::{collection, option, prelude::*};

fn header(start_unix_nsec: u64) -> Entry {
    let facts = NodeFacts {
        cpus: 2,
        cpu_list: "0-1".to_owned(),
        memory_bytes: 8 << 30,
        cgroup_version: CgroupVersion::V2,
        pressure: true,
        thread_waits: true,
        kernel: "6.18".to_owned(),
        gpus: 0,
        hidden_processes: 0,
    };
    let (berth_version, node) = ("0.1.0".to_owned(), NodeName::new("node-1").unwrap());
    Entry::Header(Box::new(Header {
        berth_version,
        node,
        facts,
        start_unix_nsec,
        named: true,
        threads: false,
    }))
}

/// Through the file's form and back.
fn replayed(start: u64, inputs: &[Input]) -> Vec<Input> {
    let mut encoder = Encoder::new(AxisNsec(start));
    let entries = inputs.iter().flat_map(|input| encoder.encode(input).unwrap());
    let file: Vec<u8> = [header(start)].into_iter().chain(entries).flat_map(Entry::to_file).collect();
    let mut rest = file.as_slice();
    let mut entries = std::iter::from_fn(|| {
        let length = Entry::length(rest).unwrap()?;
        let before = rest.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let (entry, after) = rest[before..].split_at(length);
        rest = after;
        Some(Entry::from_file(entry).unwrap())
    });
    let mut decoder = Decoder::new(entries.next().unwrap()).unwrap();
    entries.filter_map(|entry| decoder.decode(entry).unwrap()).collect()
}

prop_compose! {
    fn who()(
        names in collection::vec("[a-z]{0,3}", 5),
        owner in option::of(("[A-Z][a-z]{0,2}", "[a-z]{0,2}")),
        role in prop::sample::select(vec![Role::Model, Role::Scanner, Role::LoadGenerator, Role::Other]),
    ) -> WhoRef {
        let name = |at: usize| names[at].clone();
        let owner = owner.map(|(kind, name)| Owner { kind, name });
        Arc::new(Who {
            namespace: name(0), pod: name(1), pod_uid: name(2), container: name(3), owner, role, cgroup: name(4),
        })
    }
}

fn thread_use() -> impl Strategy<Value = ThreadUse> {
    any::<[i64; 4]>().prop_map(|[run_nsec, wait_nsec, throttled_nsec, sibling_nsec_cpus]| ThreadUse {
        run_nsec,
        wait_nsec,
        throttled_nsec,
        sibling_nsec_cpus,
    })
}

fn pressure() -> impl Strategy<Value = Pressure> {
    any::<[u64; 6]>().prop_map(
        |[cpu_some_usec, cpu_full_usec, memory_some_usec, memory_full_usec, io_some_usec, io_full_usec]| {
            Pressure {
                cpu_some_usec,
                cpu_full_usec,
                memory_some_usec,
                memory_full_usec,
                io_some_usec,
                io_full_usec,
            }
        },
    )
}

fn throttling() -> impl Strategy<Value = Throttling> {
    any::<[u64; 3]>().prop_map(|[periods, throttled_periods, throttled_usec]| Throttling {
        periods,
        throttled_periods,
        throttled_usec,
    })
}

fn reclaim() -> impl Strategy<Value = Reclaim> {
    any::<[u64; 7]>().prop_map(
        |[anon_bytes, file_bytes, major_faults, refaults, direct_reclaim_pages, limit_hits, oom_kills]| {
            Reclaim {
                anon_bytes,
                file_bytes,
                major_faults,
                refaults,
                direct_reclaim_pages,
                limit_hits,
                oom_kills,
            }
        },
    )
}

fn use_limits() -> impl Strategy<Value = Limits> {
    any::<[Option<u64>; 3]>().prop_map(|[cpu_millicpu, cpu_weight, memory_bytes]| Limits {
        cpu_millicpu,
        cpu_weight,
        memory_bytes,
    })
}

fn quotas() -> impl Strategy<Value = QuotaUse> {
    any::<([u64; 3], [Option<u64>; 2])>().prop_map(
        |([own_usec, pod_usec, any_usec], [pod_cpu_millicpu, slice_cpu_millicpu])| QuotaUse {
            own_usec,
            pod_usec,
            any_usec,
            pod_cpu_millicpu,
            slice_cpu_millicpu,
        },
    )
}

prop_compose! {
    fn container(key: u32)(
        who in who(),
        cpus in option::of(prop::sample::select(vec!["0", "0-3,8", "8191"])),
        usage_nsec in any::<u64>(),
        threads in option::of(thread_use()),
        throttling in option::of(throttling()),
        pressure in option::of(pressure()),
        memory_bytes in any::<Option<u64>>(),
        reclaim in option::of(reclaim()),
        io in option::of(any::<[u64; 4]>()),
        limits in option::of(use_limits()),
        quotas in option::of(quotas()),
    ) -> ContainerUse {
        ContainerUse {
            key: ContainerKey(SeriesId::new(key).unwrap()),
            who,
            cpus: cpus.map(|list| Arc::new(CpuList::parse(list).unwrap())),
            usage_nsec, threads, throttling, pressure, memory_bytes, reclaim, limits, quotas,
            io: io.map(|[read_bytes, write_bytes, read_ops, write_ops]| {
                IoUse { read_bytes, write_bytes, read_ops, write_ops }
            }),
        }
    }
}

prop_compose! {
    fn gpu(key: u32)(
        [sm_permille, memory_used_bytes] in any::<[Option<u64>; 2]>(),
        memory_total_bytes in any::<u64>(),
        users in collection::vec((0..6_u32, any::<[Option<u64>; 2]>()), 0..3),
    ) -> GpuUse {
        let user = |(container, [sm_permille, memory_used_bytes]): (u32, [Option<u64>; 2])| {
            GpuUser { container: SeriesId::new(container), sm_permille, memory_used_bytes }
        };
        let users = users.into_iter().map(user).collect();
        GpuUse { key: SeriesId::new(key).unwrap(), sm_permille, memory_used_bytes, memory_total_bytes, users }
    }
}

prop_compose! {
    fn frame()(
        keys in collection::btree_set(prop_oneof![1..6_u32, Just(u32::MAX)], 0..4),
    )(
        containers in keys.into_iter().map(container).collect::<Vec<_>>(),
        gpus in collection::btree_set(1..4_u32, 0..3).prop_flat_map(|keys| {
            keys.into_iter().map(gpu).collect::<Vec<_>>()
        }),
        [tick, at, dt_nsec, idle_nsec, irq_nsec, steal_nsec] in any::<[u64; 6]>(),
        cpus in any::<Option<u32>>(),
        node_pressure in option::of(pressure()),
        available_bytes in any::<Option<u64>>(),
    ) -> Frame {
        let node = cpus.map(|cpus| NodeUse { cpus, idle_nsec, irq_nsec, steal_nsec });
        Frame { tick, at: AxisNsec(at), dt_nsec, node, node_pressure, available_bytes, containers, gpus }
    }
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => frame().prop_map(Input::Frame),
        1 => (any::<u64>(), 1..6_u32, thread_use()).prop_map(|(tick, key, add)| {
            Input::Late(Late { tick, key: ContainerKey(SeriesId::new(key).unwrap()), add })
        }),
        1 => any::<u64>().prop_map(|now| Input::Step(AxisNsec(now))),
        1 => any::<u64>().prop_map(|now| Input::Reset(AxisNsec(now))),
    ]
}

proptest! {
    #[test]
    fn whatever_a_detector_takes_comes_back_from_a_file(
        start in any::<u64>(),
        inputs in collection::vec(input(), 0..12),
    ) {
        prop_assert_eq!(replayed(start, &inputs), inputs);
    }

    #[test]
    fn rubbish_is_refused_and_never_panics(bytes in collection::vec(any::<u8>(), 0..64)) {
        drop(Entry::length(&bytes));
        drop(Entry::from_file(&bytes));
    }
}

fn frame_of(pod: &str) -> Input {
    let who = Arc::new(Who {
        namespace: "demo".to_owned(),
        pod: pod.to_owned(),
        pod_uid: String::new(),
        container: "main".to_owned(),
        owner: None,
        role: Role::Other,
        cgroup: format!("/{pod}"),
    });
    Input::Frame(Frame {
        tick: 1,
        at: AxisNsec(1),
        dt_nsec: 1,
        node: None,
        node_pressure: None,
        available_bytes: None,
        containers: vec![ContainerUse::new(ContainerKey(SeriesId::new(1).unwrap()), who, 5)],
        gpus: Vec::new(),
    })
}

#[test]
fn whoever_was_named_once_is_not_named_again() {
    let mut encoder = Encoder::new(AxisNsec(0));
    let mut count = |pod| encoder.encode(&frame_of(pod)).unwrap().len();
    assert_eq!(["a", "a", "b", "a"].map(&mut count), [3, 1, 3, 2], "a key that means another is told");
}

fn raw_of(pod: &str) -> RawThreads {
    let Input::Frame(frame) = frame_of(pod) else { panic!("it is a frame") };
    let ContainerUse { key, who, cpus, .. } = frame.containers.into_iter().next().unwrap();
    let threads = vec![ThreadReading { tid: 7, run_nsec: 5, wait_nsec: u64::MAX }];
    RawThreads { at: AxisNsec(3), dt_nsec: 2, key, who, cpus, threads, lost: 4 }
}

#[test]
fn single_threads_name_whose_they_are_and_a_replay_passes_over_them() {
    let mut encoder = Encoder::new(AxisNsec(1));
    let count = |entries: Result<Vec<Entry>, _>| entries.map(|entries: Vec<Entry>| entries.len());
    assert_eq!(count(encoder.encode_threads(&raw_of("a"))), Ok(3));
    assert_eq!(count(encoder.encode_threads(&raw_of("a"))), Ok(1));
    let input = frame_of("a");
    assert_eq!(count(encoder.encode(&input)), Ok(1), "the detector's own container is named by then");

    let (mut with, mut without) = (Encoder::new(AxisNsec(1)), Encoder::new(AxisNsec(1)));
    let entries = [with.encode_threads(&raw_of("a")), with.encode(&input), with.encode_threads(&raw_of("a"))];
    let entries: Vec<Entry> = entries.into_iter().flat_map(Result::unwrap).collect();
    let Some(Entry::RawThreads(raw)) = entries.last().cloned() else { panic!("{entries:?}") };
    assert_eq!((raw.at.0, raw.key.get(), raw.dt_nsec, raw.lost), (2, 1, 2, 4));
    assert_eq!(raw.threads, raw_of("a").threads);
    let inputs = |entries: Vec<Entry>| -> Vec<Input> {
        let mut decoder = Decoder::new(header(1)).unwrap();
        entries.into_iter().filter_map(|entry| decoder.decode(entry).unwrap()).collect()
    };
    assert_eq!(inputs(entries), inputs(without.encode(&input).unwrap()));
}

fn named(index: u32, cgroup: &str) -> Entry {
    let entries = Encoder::new(AxisNsec(0)).encode(&frame_of("a")).unwrap();
    let Some(Entry::Who(mut named)) = entries.into_iter().next() else { panic!("nobody is named") };
    named.index = index;
    cgroup.clone_into(&mut named.who.cgroup);
    Entry::Who(named)
}

#[test]
fn what_speaks_of_a_stranger_is_refused() {
    let container = |who| Entry::Container(Container { key: SeriesId::new(1).unwrap(), who, cpus: None });
    let frame = Encoder::new(AxisNsec(0)).encode(&frame_of("a")).unwrap().pop().unwrap();
    let raw = Encoder::new(AxisNsec(0)).encode_threads(&raw_of("a")).unwrap().pop().unwrap();
    for (field, entries) in [
        ("header", vec![header(0)]),
        ("who.index", vec![named(1, "/a")]),
        ("who.index", vec![named(0, "/a"), named(0, "/a")]),
        ("container.who", vec![named(0, "/a"), container(1)]),
        ("frame.containers.key", vec![frame]),
        ("raw_threads.key", vec![raw]),
    ] {
        let mut decoder = Decoder::new(header(0)).unwrap();
        let refused = entries.into_iter().find_map(|entry| decoder.decode(entry).err()).unwrap();
        assert!(refused.to_string().starts_with(field), "{refused}");
    }
    assert!(Decoder::new(named(0, "/a")).unwrap_err().to_string().starts_with("header"));
}

#[test]
fn a_trace_that_names_too_many_is_refused_before_it_fills_the_memory() {
    let mut decoder = Decoder::new(header(0)).unwrap();
    let path = "x".repeat(limits::PATH_BYTES);
    let refused = (0..20_000).find_map(|index| decoder.decode(named(index, &path)).err()).unwrap();
    assert!(refused.to_string().starts_with("bytes of names"), "{refused}");
}
