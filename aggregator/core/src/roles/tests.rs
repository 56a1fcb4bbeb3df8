use super::*;

fn container(cgroup: &str) -> ContainerSubject {
    ContainerSubject {
        cgroup: cgroup.into(),
        inode: 1,
        pod_uid: None,
        container_id: None,
        qos: None,
        system: false,
        cpu_list: None,
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn workload(cgroup: &str, pod: &str) -> Workload {
    Workload {
        cgroup: cgroup.into(),
        namespace: String::new(),
        pod: pod.into(),
        container: String::new(),
        owner: None,
        labels: BTreeMap::new(),
    }
}

fn selector(role: Role, namespace: Option<&str>, pairs: &[(&str, &str)]) -> Selector {
    Selector { role, namespace: namespace.map(Into::into), labels: labels(pairs), image: None }
}

fn roster(workloads: Vec<Workload>, roles: Vec<Selector>) -> Result<Roster, RosterError> {
    Roster::new(RosterConfig { workloads, roles, presets: Some(Vec::new()) })
}

#[test]
fn the_label_decides_before_the_selectors_and_the_first_of_those_before_the_others() {
    let roles = vec![
        selector(Role::Scanner, Some("batch"), &[]),
        selector(Role::Model, None, &[("serving.kserve.io/inferenceservice", "*")]),
        selector(Role::LoadGenerator, None, &[("app", "loadgen"), ("tier", "test")]),
    ];
    let roster = roster(Vec::new(), roles).unwrap();
    let by_label = "label berth.dev/role";
    let nothing = "no label and no selector matches";
    for (namespace, pairs, role, reason) in [
        ("batch", vec![("berth.dev/role", "model")], Role::Model, by_label),
        ("shop", vec![("berth.dev/role", "load-generator")], Role::LoadGenerator, by_label),
        ("batch", vec![("berth.dev/role", "other")], Role::Other, by_label),
        (
            "batch",
            vec![("berth.dev/role", "Model")],
            Role::Other,
            "label berth.dev/role is \"Model\": write model, scanner, load-generator or other",
        ),
        (
            "batch",
            vec![("serving.kserve.io/inferenceservice", "x")],
            Role::Scanner,
            "selector 1 of the configuration",
        ),
        (
            "shop",
            vec![("serving.kserve.io/inferenceservice", "x")],
            Role::Model,
            "selector 2 of the configuration",
        ),
        (
            "shop",
            vec![("app", "loadgen"), ("tier", "test")],
            Role::LoadGenerator,
            "selector 3 of the configuration",
        ),
        ("shop", vec![("app", "loadgen")], Role::Other, nothing),
        ("shop", vec![], Role::Other, nothing),
    ] {
        let labels = labels(&pairs);
        let given = labelled(&labels).or_else(|| roster.selected(namespace, &labels, &[]));
        let expected = Given { role, reason: reason.into() };
        assert_eq!(given.unwrap_or_else(nobody_said), expected, "{namespace} {labels:?}");
    }
}

#[test]
fn one_entry_names_many_cgroups_by_what_its_stars_stand_for() {
    let entry = Workload {
        namespace: "demo".into(),
        container: "main-${2}".into(),
        owner: Some(OwnerEntry { kind: "Deployment".into(), name: "${1}".into() }),
        labels: labels(&[(ROLE_LABEL, "model")]),
        ..workload("/berth/model-*/replica*", "${1}-${2}")
    };
    let roster = roster(vec![entry], Vec::new()).unwrap();
    let found = roster.identify(&container("/berth/model-fraud/replica3"));
    let who = &found.who;
    assert_eq!(
        (who.namespace.as_str(), who.pod.as_str(), who.container.as_str()),
        ("demo", "fraud-3", "main-3")
    );
    assert_eq!(who.owner, Some(Owner { kind: "Deployment".into(), name: "fraud".into() }));
    assert_eq!((who.role, &*found.reason), (Role::Model, "label berth.dev/role"));
    assert_eq!(who.display_name(), "demo/fraud");
}

#[test]
fn the_first_workload_that_matches_counts() {
    let roster = roster(vec![workload("/a/b", "exact"), workload("/a/*", "any")], Vec::new()).unwrap();
    assert_eq!(roster.identify(&container("/a/b")).who.pod, "exact");
    assert_eq!(roster.identify(&container("/a/c")).who.pod, "any");
    assert_eq!(roster.identify(&container("/a/c")).who.container, "any");
}

#[test]
fn an_unknown_container_keeps_what_its_path_tells() {
    let roster = Roster::default();
    let pod = ContainerSubject { pod_uid: Some("uid-1".into()), ..container("/kubepods/poduid-1/abc") };
    let found = roster.identify(&pod);
    assert_eq!((found.who.pod_uid.as_str(), found.who.cgroup.as_str()), ("uid-1", "/kubepods/poduid-1/abc"));
    assert_eq!((found.who.role, &*found.reason), (Role::Other, "no label and no selector matches"));
    let slice = ContainerSubject { system: true, ..container("/system.slice/sshd.service") };
    let found = roster.identify(&slice);
    assert_eq!((found.who.pod.as_str(), found.who.container.as_str()), ("", "sshd.service"));
}

#[test]
fn an_error_names_the_entry_and_the_mend() {
    let ok = || workload("/a/*", "${1}");
    let owner = |name: &str| Some(OwnerEntry { kind: "Job".into(), name: name.into() });
    for (bad, expected) in [
        (
            workload("a/*", "x"),
            "workloads[1].cgroup: \"a/*\" is no path below the cgroup root: begin it with a slash",
        ),
        (workload(&"/*".repeat(9), "x"), "use at most 8 stars"),
        (
            workload("/b/*", "${2}"),
            "workloads[1].pod: \"${2}\" refers to none of the pattern's 1 stars: write ${1} for the first",
        ),
        (workload("/b/*", "${x}"), "workloads[1].pod: \"${x}\""),
        (workload("/b/*", "x${1"), "workloads[1].pod: \"x${1\""),
        (workload("/b", "${0}"), "refers to none of the pattern's 0 stars"),
        (workload("/b", ""), "workloads[1].pod is empty: name it, or take a part of the path with ${1}"),
        (
            workload("/a/*", "again"),
            "workloads[1].cgroup: \"/a/*\" is that of workloads[0] too: remove one of them",
        ),
        (
            Workload { labels: labels(&[("berth.dev/role", "modle")]), ..workload("/b", "x") },
            "workloads[1].labels.berth.dev/role: \"modle\" is no role: write model, scanner, load-generator or other",
        ),
        (Workload { owner: owner(""), ..workload("/b", "x") }, "workloads[1].owner.name is empty"),
        (Workload { owner: owner("${1}"), ..workload("/b", "x") }, "workloads[1].owner.name: \"${1}\""),
        (Workload { container: "${7}".into(), ..workload("/b", "x") }, "workloads[1].container"),
        (Workload { namespace: "${7}".into(), ..workload("/b", "x") }, "workloads[1].namespace"),
    ] {
        let error = roster(vec![ok(), bad], Vec::new()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
    let error = roster(Vec::new(), vec![selector(Role::Model, None, &[])]).unwrap_err().to_string();
    assert_eq!(error, "roles[0] selects everything: give it a label, an image or a namespace");
    let error = roster(vec![ok(); 5_000], Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("workloads: 5000 entries are over the limit of 4096"), "{error}");
}

#[test]
fn a_key_that_nobody_knows_is_refused() {
    let parse =
        |json: &str| serde_json::from_str::<RosterConfig>(json).map(drop).map_err(|error| error.to_string());
    assert_eq!(parse("{}"), Ok(()));
    assert_eq!(
        parse(r#"{"workloads": [{"cgroup": "/a", "pod": "a"}], "roles": [{"role": "model"}]}"#),
        Ok(())
    );
    for (json, expected) in [
        (r#"{"workload": []}"#, "unknown field `workload`"),
        (r#"{"workloads": [{"cgroup": "/a", "pod": "a", "label": {}}]}"#, "unknown field `label`"),
        (r#"{"workloads": [{"cgroup": "/a"}]}"#, "missing field `pod`"),
        (
            r#"{"roles": [{"role": "modle"}]}"#,
            "role \"modle\": write model, scanner, load-generator or other",
        ),
    ] {
        let error = parse(json).unwrap_err();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
