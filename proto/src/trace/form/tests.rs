use super::*;

fn refusal(entry: wire::trace_entry::Entry) -> String {
    Entry::try_from(wire::TraceEntry { entry: Some(entry) }).unwrap_err().to_string()
}

fn header() -> wire::TraceHeader {
    let facts = wire::NodeFacts { cpus: 2, cgroup_version: 3, ..wire::NodeFacts::default() };
    wire::TraceHeader { format: FORMAT, node: "node-1".to_owned(), facts: Some(facts), ..Default::default() }
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_fields_name() {
    use wire::trace_entry::Entry as Wire;
    let who = |who| Wire::Who(wire::TraceWho { index: 0, who });
    let long = wire::Who { role: 1, cgroup: "x".repeat(limits::PATH_BYTES + 1), ..wire::Who::default() };
    let container = |key, cpu_list: &str| {
        Wire::Container(wire::TraceContainer { key, who: 0, cpu_list: cpu_list.to_owned() })
    };
    let frame = |keys: &[u32]| {
        let containers = keys.iter().map(|&key| wire::TraceContainerUse { key, ..Default::default() });
        Wire::Frame(wire::TraceFrame { containers: containers.collect(), ..Default::default() })
    };
    let gpus = |keys: &[u32]| {
        let gpus = keys.iter().map(|&key| wire::TraceGpuUse { key, ..Default::default() });
        Wire::Frame(wire::TraceFrame { gpus: gpus.collect(), ..Default::default() })
    };
    for (field, entry) in [
        ("header.format", Wire::Header(wire::TraceHeader { format: 2, ..header() })),
        ("node", Wire::Header(wire::TraceHeader { node: String::new(), ..header() })),
        ("header.facts", Wire::Header(wire::TraceHeader { facts: None, ..header() })),
        ("who.who", who(None)),
        ("who.role", who(Some(wire::Who::default()))),
        ("who.cgroup", who(Some(long))),
        ("container.key", container(0, "")),
        ("container.cpu_list", container(1, "3-1")),
        ("frame.containers.key", frame(&[0])),
        ("frame.containers.key", frame(&[1, 2, 2])),
        ("frame.gpus.key", gpus(&[0])),
        ("frame.gpus.key", gpus(&[2, 1])),
        ("late.add", Wire::Late(wire::TraceLate { tick: 1, key: 1, add: None })),
        (
            "late.key",
            Wire::Late(wire::TraceLate { add: Some(wire::TraceThreadUse::default()), ..Default::default() }),
        ),
        ("raw_threads.key", Wire::RawThreads(wire::TraceRawThreads::default())),
        (
            "raw_threads.threads",
            Wire::RawThreads(wire::TraceRawThreads {
                key: 1,
                threads: Some(wire::ThreadReadings { tid: vec![1], ..Default::default() }),
                ..Default::default()
            }),
        ),
    ] {
        let said = refusal(entry);
        assert!(said.starts_with(field), "{field}: {said}");
    }
    let nothing = Entry::try_from(wire::TraceEntry { entry: None }).unwrap_err();
    assert_eq!(nothing.to_string(), "entry is missing");
}

#[test]
fn a_length_is_told_once_it_is_whole_and_never_above_the_limit() {
    assert_eq!(Entry::length(&[]), Ok(None));
    assert_eq!(Entry::length(&[0x7f]), Ok(Some(127)));
    assert_eq!(Entry::length(&[0x80]), Ok(None));
    assert_eq!(Entry::length(&[0x80, 0x80, 0x20]), Ok(Some(limits::TRACE_ENTRY_BYTES)));
    assert!(Entry::length(&[0x81, 0x80, 0x20]).unwrap_err().to_string().starts_with("length: "));
    assert!(Entry::length(&[0xff; 3]).unwrap_err().to_string().starts_with("length: "));
}

#[test]
fn an_entry_comes_back_from_a_file_and_rubbish_does_not() {
    let entry = Entry::try_from(wire::TraceEntry { entry: Some(wire::trace_entry::Entry::Header(header())) });
    let entry = entry.unwrap();
    let file = entry.clone().to_file();
    let length = Entry::length(&file).unwrap().unwrap();
    assert_eq!(Entry::from_file(&file[file.len() - length..]), Ok(entry));
    assert!(Entry::from_file(b"\xff\xff\xff").unwrap_err().to_string().starts_with("entry: "));
}

#[test]
fn a_hostile_entry_takes_no_more_memory_than_its_limit_says() {
    let empty_bytes = 2;
    let most = limits::TRACE_ENTRY_BYTES / empty_bytes * size_of::<wire::TraceContainerUse>();
    assert!(most <= 95 << 20, "{} bytes each, {most} together", size_of::<wire::TraceContainerUse>());
}

#[test]
fn what_is_zero_costs_next_to_nothing() {
    let quiet = wire::TraceContainerUse {
        key: 7,
        usage_nsec: 1_000_000,
        throttling: Some(wire::TraceThrottling::default()),
        pressure: Some(wire::TracePressure::default()),
        ..wire::TraceContainerUse::default()
    };
    assert_eq!(quiet.encoded_len(), 10);
}
