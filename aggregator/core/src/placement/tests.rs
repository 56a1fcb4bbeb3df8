mod halves;
mod kubernetes;
mod world;

use std::sync::Arc;

use super::*;
use crate::{
    advice::Proof,
    contention::{Cause, Confidence, EpisodeId, Estimate, Share, Tier, Verdict},
    who::{Owner, Who},
};

const NOW: AxisNsec = AxisNsec(1_700_000_000_000_000_000);
const MI: u64 = 1 << 20;
const TAINT: &str = "kubectl taint node";
const LABEL: &str = "kubectl label node";

fn who(namespace: &str, pod: &str, owner: Option<(&str, &str)>, role: Role) -> WhoRef {
    Arc::new(Who {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        pod_uid: format!("{pod}-uid"),
        container: "main".to_owned(),
        owner: owner.map(|(kind, name)| Owner { kind: kind.to_owned(), name: name.to_owned() }),
        role,
        cgroup: format!("/kubepods/{pod}"),
    })
}

fn model(pod: &str) -> WhoRef {
    who("refmodels", pod, Some(("Deployment", "ref-models")), Role::Model)
}

fn scanner(name: &str) -> WhoRef {
    who("certifai", &format!("{name}-x"), Some(("Job", name)), Role::Scanner)
}

fn tenant(who: WhoRef, cpu_milli: u64) -> Tenant {
    let peak = Peak { cpu: Some(CpuMilli(cpu_milli)), memory: Some(MemoryBytes(200 * MI)) };
    Tenant { who, peak, requests: InForce::Unknown, seen_since: AxisNsec(0), rules: None }
}

fn node(name: &str, cpus: u32, containers: Vec<Tenant>) -> NodeSpace {
    NodeSpace { name: name.to_owned(), cpus, memory_bytes: 64_000 * MI, machine: None, containers }
}

fn episode(node: &str, victim: WhoRef, culprits: &[(WhoRef, f64)], verdict: Verdict) -> Episode {
    let culprits =
        culprits.iter().map(|(who, share)| Share { cause: Cause::Culprit(who.clone()), share: *share });
    Episode {
        id: EpisodeId(7),
        node: node.to_owned(),
        victim,
        resource: Resource::Cpu,
        verdict,
        severity: Severity::Contended,
        onset: NOW,
        alarm: NOW,
        verdict_at: NOW,
        cleared: None,
        slowdown: Estimate { estimate: 2.1, lo: 1.9, hi: 2.2 },
        saturated: false,
        added_wait_msec_per_cpu_sec: 1100.0,
        shares: culprits.collect(),
        confidence: Confidence::Likely,
        tier: Tier::Threads,
        coverage: 1.0,
        evidence: Vec::new(),
    }
}

fn hurt(node: &str, victim: WhoRef, culprit: WhoRef) -> Episode {
    episode(node, victim, &[(culprit, 1.0)], Verdict::Neighbour)
}

/// The guide's figure: nodes 1, 2 and 4 of four hold both kinds, unevenly.
fn guides_cluster() -> Landscape {
    let layout = [("node-1", 3, 2), ("node-2", 3, 1), ("node-3", 3, 0), ("node-4", 1, 3)];
    let nodes = layout.map(|(name, models, scanners)| {
        let models = (0..models).map(|at| tenant(model(&format!("ref-models-{name}-{at}")), 1750));
        let scanners = (0..scanners).map(|at| tenant(scanner(&format!("scan-{name}-{at}")), 3500));
        node(name, 32, models.chain(scanners).collect())
    });
    let episode = hurt("node-1", model("ref-models-node-1-0"), scanner("scan-node-1-0"));
    Landscape { nodes: nodes.into(), episodes: vec![episode] }
}

/// A model and a scanner on one node, and another node that is empty.
fn two_nodes() -> Landscape {
    let containers = vec![tenant(model("ref-0"), 300), tenant(scanner("scan"), 900)];
    let episodes = vec![hurt("node-1", model("ref-0"), scanner("scan"))];
    Landscape { nodes: vec![node("node-1", 2, containers), node("node-2", 2, Vec::new())], episodes }
}

fn run(landscape: &Landscape) -> Advised {
    let advised = advise(landscape, NOW);
    for advice in &advised.advice {
        assert_eq!(advice.id, Advice::id_of(advice.code, &advice.target, &advice.actions));
        for action in &advice.actions {
            assert!(!action.command.is_empty() && !action.inverse_command.is_empty(), "{action:?}");
            assert_eq!(action.json_patch.is_empty(), action.inverse_json_patch.is_empty());
        }
        let of = |start: &str| -> Vec<&str> {
            let starts = advice.actions.iter().filter(|action| action.command.starts_with(start));
            starts.map(|action| action.object.name.as_str()).collect()
        };
        assert_eq!(of(LABEL), of(TAINT), "a label without its taint, or the reverse");
        assert_eq!(of(LABEL).is_empty(), of("kubectl patch").is_empty(), "a node that no model is bound to");
    }
    advised
}

fn only<'a>(advised: &'a Advised, code: &str) -> &'a Advice {
    let mut of_code = advised.advice.iter().filter(|advice| advice.code == code);
    let advice = of_code.next().expect("it is advised");
    assert!(of_code.next().is_none());
    advice
}

#[test]
fn the_guides_cluster_gets_the_fewest_nodes_and_moves_the_fewest_pods() {
    let advised = run(&guides_cluster());
    let advice = only(&advised, "BA101");
    assert_eq!(advice.proof, Proof::Feasible);
    assert_eq!(advice.title, "give the models nodes of their own: node-3");
    assert_eq!(advice.target.to_string(), "deployment/ref-models");
    assert_eq!(advice.restarts(), 10, "the models' rollout; node-3 holds no scanner");
    assert!(
        advice.why.contains("2.10x [1.90, 2.20]") && advice.why.contains("holds 100 %"),
        "{}",
        advice.why
    );
    assert_eq!(advice.episodes, [EpisodeId(7)]);
}

#[test]
fn a_node_that_takes_no_pods_is_no_place_for_the_models() {
    let mut landscape = guides_cluster();
    landscape.nodes[2].machine = Some(Machine { cordoned: true, ..Machine::default() });
    let advised = run(&landscape);
    assert_eq!(only(&advised, "BA101").title, "give the models nodes of their own: node-2");
}

#[test]
fn a_sandbox_is_neither_sized_nor_taken_for_its_pod() {
    let mut landscape = two_nodes();
    let who = |who: WhoRef| Arc::new(Who { container: String::new(), role: Role::Other, ..Who::clone(&who) });
    landscape.nodes[0].containers.insert(0, tenant(who(model("ref-0")), 0));
    let advised = run(&landscape);
    assert_eq!(only(&advised, "BA101").title, "give the models nodes of their own: node-1");
    let sized =
        advised.advice.iter().flat_map(|advice| &advice.actions).filter(|one| one.command.contains(" -c "));
    assert!(sized.into_iter().all(|one| one.command.contains(" -c main ")));
}

#[test]
fn two_nodes_are_taken_where_one_does_not_hold_the_models() {
    let mut landscape = guides_cluster();
    for node in &mut landscape.nodes {
        node.cpus = 16;
    }
    let advised = run(&landscape);
    assert_eq!(only(&advised, "BA101").title, "give the models nodes of their own: node-2, node-3");
    assert_eq!(only(&advised, "BA101").proof, Proof::Feasible);
}

#[test]
fn the_steps_are_the_guides_and_leave_nobody_stranded() {
    let advised = run(&two_nodes());
    let advice = only(&advised, "BA101");
    let commands: Vec<&str> = advice.actions.iter().map(|action| action.command.as_str()).collect();
    assert_eq!(commands[0], "kubectl label node node-1 node_for=models");
    assert!(commands[1].starts_with("kubectl patch deployment ref-models -n refmodels --type=json -p '["));
    assert_eq!(commands[2], "kubectl taint node node-1 node_for=models:NoSchedule");
    assert_eq!(commands[3..], ["kubectl delete pod scan-x -n certifai"]);
    let inverse: Vec<&str> = advice.actions.iter().map(|action| action.inverse_command.as_str()).collect();
    assert_eq!(inverse[0], "kubectl label node node-1 node_for-");
    assert_eq!(inverse[2], "kubectl taint node node-1 node_for=models:NoSchedule-");
    assert_eq!(inverse[3], "# nothing to undo: job/scan starts its pod again");
    assert_eq!((advice.proof, advice.restarts()), (Proof::Feasible, 2));
}

#[test]
fn the_patch_says_what_the_guides_template_says_and_its_inverse_takes_it_back() {
    let advised = run(&two_nodes());
    let action = &only(&advised, "BA101").actions[1];
    let patch: serde_json::Value = serde_json::from_str(&action.json_patch).unwrap();
    let toleration = serde_json::json!([
        {"key": "node_for", "operator": "Equal", "value": "models", "effect": "NoSchedule"}
    ]);
    let affinity = serde_json::json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "node_for", "operator": "In", "values": ["models"]}]}]
    }}});
    let expected = serde_json::json!([
        {"op": "test", "path": "/spec/template/spec/tolerations", "value": null},
        {"op": "add", "path": "/spec/template/spec/tolerations", "value": toleration},
        {"op": "test", "path": "/spec/template/spec/affinity", "value": null},
        {"op": "add", "path": "/spec/template/spec/affinity", "value": affinity},
    ]);
    assert_eq!(patch, expected);
    let inverse: serde_json::Value = serde_json::from_str(&action.inverse_json_patch).unwrap();
    assert_eq!(inverse[0]["value"], toleration);
    assert_eq!(inverse[1], serde_json::json!({"op": "remove", "path": "/spec/template/spec/tolerations"}));
    assert_eq!(inverse[3], serde_json::json!({"op": "remove", "path": "/spec/template/spec/affinity"}));
}

#[test]
fn with_one_node_the_advice_says_that_another_is_needed() {
    let mut landscape = two_nodes();
    landscape.nodes.truncate(1);
    let advised = run(&landscape);
    let advice = only(&advised, "BA101");
    assert_eq!(advice.proof, Proof::Unproven);
    assert!(advice.assumptions[0].starts_with("another node is needed: the scanners need 900m CPU"));
}

#[test]
fn batch_work_that_took_more_cpu_than_is_left_is_slower_there_and_the_advice_says_so() {
    let mut landscape = two_nodes();
    landscape.nodes[0].containers.push(tenant(scanner("scan-b"), 1_500));
    let advised = run(&landscape);
    let advice = only(&advised, "BA101");
    assert_eq!(
        (advice.proof, advice.title.as_str()),
        (Proof::Feasible, "give the models nodes of their own: node-1")
    );
    assert!(advice.assumptions[0].contains("are slower by it"), "{:?}", advice.assumptions);
}

#[test]
fn a_peak_that_seems_above_the_nodes_cpus_still_fits_the_node() {
    let mut landscape = two_nodes();
    landscape.nodes[0].containers[0].peak.cpu = Some(CpuMilli(2_004));
    let advised = run(&landscape);
    assert_eq!(only(&advised, "BA101").proof, Proof::Feasible);
    assert!(
        only(&advised, "BA203").actions[0].command.contains("cpu=2,"),
        "{:?}",
        only(&advised, "BA203").actions
    );
}

#[test]
fn models_that_fit_nowhere_get_no_steps() {
    let mut landscape = two_nodes();
    landscape.nodes[0].containers[0].peak.cpu = Some(CpuMilli(5000));
    let advised = run(&landscape);
    let advice = only(&advised, "BA101");
    assert!(advice.actions.is_empty() && advice.proof == Proof::Unproven);
    assert!(advice.assumptions[0].contains("add nodes"));
}

#[test]
fn a_wait_for_the_gpu_is_no_reason_to_move_anything_for_cpus() {
    let mut landscape = two_nodes();
    landscape.episodes[0].resource = Resource::GpuTime;
    landscape.episodes[0].severity = Severity::Transient;
    let advised = run(&landscape);
    let without = run(&Landscape { episodes: Vec::new(), ..two_nodes() });
    assert_eq!(advised.advice, without.advice);
    let [gpu, cpu] = &advised.notes[..] else { panic!("two notes: {:?}", advised.notes) };
    assert!(gpu.contains("may wait for its GPU") && gpu.contains("berth explain 0000000000000007"), "{gpu}");
    assert!(cpu.contains("on its CPUs"), "{cpu}");
}

#[test]
fn sharing_a_node_without_harm_is_no_reason_to_move() {
    let advised = run(&Landscape { episodes: Vec::new(), ..two_nodes() });
    assert!(advised.advice.is_empty());
    assert_eq!(
        advised.notes,
        ["models and scanners share node-1, but no model was slowed down on its CPUs there: nothing to move"]
    );
    let apart =
        Landscape { nodes: vec![node("node-1", 2, vec![tenant(model("ref-0"), 300)])], episodes: Vec::new() };
    assert_eq!(run(&apart).notes, ["no model is slowed down on its CPUs: nothing to move"]);
    assert!(run(&Landscape::default()).notes[0].starts_with("no pod is known as a model"));
}

#[test]
fn a_moment_or_another_cause_is_no_reason_to_move() {
    let transient = Episode { severity: Severity::Transient, ..two_nodes().episodes.remove(0) };
    assert!(run(&Landscape { episodes: vec![transient], ..two_nodes() }).advice.is_empty());
    let system = who("", "", None, Role::Other);
    let daemon = who("monitoring", "exporter-x", Some(("DaemonSet", "exporter")), Role::Other);
    for (culprit, verdict, says) in [
        (scanner("scan"), Verdict::SelfThrottled, "its own CPU limit"),
        (scanner("scan"), Verdict::SliceThrottled, "a CPU limit above its pod"),
        (scanner("scan"), Verdict::Unowned, "in no container"),
        (system, Verdict::Neighbour, "cannot be moved"),
        (daemon, Verdict::Neighbour, "cannot be moved"),
        (model("ref-1"), Verdict::Neighbour, "cannot be moved"),
    ] {
        let episodes = vec![episode("node-1", model("ref-0"), &[(culprit, 1.0)], verdict)];
        let advised = run(&Landscape { episodes, ..two_nodes() });
        assert!(advised.advice.iter().all(|advice| advice.code != "BA101"));
        assert!(advised.notes[0].contains(says), "{:?}", advised.notes);
    }
}

#[test]
fn any_pod_that_could_run_elsewhere_can_be_in_the_way() {
    let web = who("web", "web-0", Some(("Deployment", "web")), Role::Other);
    let containers = vec![tenant(model("ref-0"), 300), tenant(web.clone(), 900)];
    let landscape = Landscape {
        nodes: vec![node("node-1", 2, containers), node("node-2", 2, Vec::new())],
        episodes: vec![hurt("node-1", model("ref-0"), web)],
    };
    let advised = run(&landscape);
    assert_eq!(only(&advised, "BA101").actions[3].command, "kubectl delete pod web-0 -n web");
}

#[test]
fn off_kubernetes_the_pod_stands_for_its_owner() {
    let bare = |pod: &str, role| who("", pod, None, role);
    let (ref_model, scan) = (bare("refmodel", Role::Model), bare("scanner", Role::Scanner));
    let landscape = Landscape {
        nodes: vec![node("here", 2, vec![tenant(ref_model.clone(), 300), tenant(scan.clone(), 900)])],
        episodes: vec![hurt("here", ref_model, scan)],
    };
    let advised = run(&landscape);
    let advice = only(&advised, "BA101");
    assert_eq!(advice.target.to_string(), "pod/refmodel");
    assert!(advice.actions.is_empty() && advice.proof == Proof::Unproven);
    let says = |start: &str| advice.assumptions.iter().any(|text| text.starts_with(start));
    assert!(says("pod/refmodel is bound to its node"), "{:?}", advice.assumptions);
    assert!(says("nothing would start pod/scanner again"), "{:?}", advice.assumptions);
    assert_eq!(advised.advice.len(), 1, "no pod's requests can be changed while it runs");
    assert_eq!(
        advised.notes,
        [
            "let main of pod/refmodel ask for cpu=300m,memory=240Mi, in whatever starts it: a pod's \
             requests cannot be changed while it runs",
            "let main of pod/scanner ask for cpu=900m,memory=240Mi, in whatever starts it: a pod's \
             requests cannot be changed while it runs"
        ]
    );
}

#[test]
fn a_patch_that_would_move_no_running_pod_is_not_given() {
    for kind in ["ReplicaSet", "ReplicationController"] {
        let alone = who("ml", "alone-0", Some((kind, "alone")), Role::Model);
        let mut landscape = two_nodes();
        landscape.nodes[0].containers.push(tenant(alone, 100));
        let advised = run(&landscape);
        let advice = only(&advised, "BA101");
        assert!(advice.actions.is_empty() && advice.proof == Proof::Unproven);
        assert!(advice.assumptions[0].contains("alone moves no pod that it has"), "{:?}", advice.assumptions);
    }
}

#[test]
fn a_workload_of_unknown_shape_gets_no_half_plan() {
    let odd = who("ml", "odd-0", Some(("RayCluster", "odd")), Role::Model);
    let mut landscape = two_nodes();
    landscape.nodes[0].containers.push(tenant(odd, 100));
    let advised = run(&landscape);
    let advice = only(&advised, "BA101");
    assert!(advice.actions.is_empty() && advice.proof == Proof::Unproven);
    assert!(advice.assumptions[0].contains("raycluster/odd"));
}

#[test]
fn requests_that_nobody_told_us_are_advised_where_a_model_was_hurt() {
    let advised = run(&guides_cluster());
    let advice = only(&advised, "BA203");
    assert_eq!(
        advice.actions[0].command,
        "kubectl set resources deployment ref-models -n refmodels -c main \
         --requests=cpu=1750m,memory=240Mi --limits=memory=240Mi"
    );
    assert_eq!(advice.actions[0].inverse_command, "kubectl rollout undo deployment ref-models -n refmodels");
    assert_eq!((advice.proof, advice.restarts()), (Proof::Exact, 10));
    assert!(advice.assumptions[0].contains("not known here"));
}

#[test]
fn requests_in_force_decide_the_code() {
    let code = |cpu: Option<u64>, memory: Option<u64>| {
        let requests =
            InForce::Known { cpu: cpu.map(CpuMilli), memory: memory.map(|mi| MemoryBytes(mi * MI)) };
        let mut landscape = Landscape { episodes: Vec::new(), ..guides_cluster() };
        for tenant in landscape.nodes.iter_mut().flat_map(|node| &mut node.containers) {
            tenant.requests = requests;
        }
        run(&landscape).advice.first().map(|advice| advice.code)
    };
    assert_eq!(code(Some(1750), Some(240)), None);
    assert_eq!(code(Some(1000), Some(240)), Some("BA201"));
    assert_eq!(code(Some(3000), Some(3072)), Some("BA202"), "the guide's own template");
    assert_eq!(code(None, Some(240)), Some("BA203"));
    assert_eq!(code(Some(1900), Some(256)), None, "too little to change anything");
}

#[test]
fn no_request_is_cut_while_the_model_is_hurt_or_hardly_known() {
    let minute = 60_000_000_000;
    let advised = |hurt: bool, minutes: u64| {
        let mut landscape = guides_cluster();
        landscape.episodes.retain(|_| hurt);
        for tenant in landscape.nodes.iter_mut().flat_map(|node| &mut node.containers) {
            let (cpu, memory) = (Some(CpuMilli(3000)), Some(MemoryBytes(3072 * MI)));
            tenant.requests = InForce::Known { cpu, memory };
            tenant.seen_since = AxisNsec(NOW.0 - minutes * minute);
        }
        run(&landscape).advice.iter().any(|advice| advice.code == "BA202")
    };
    assert_eq!([advised(false, 15), advised(false, 14), advised(true, 60)], [true, false, false]);
}

#[test]
fn the_same_advice_has_the_same_id_whenever_it_is_given() {
    let first = advise(&two_nodes(), NOW);
    let mut later = two_nodes();
    later.episodes[0].slowdown.estimate = 3.0;
    later.nodes.reverse();
    let later = advise(&later, AxisNsec(NOW.0 + 1));
    let ids = |advised: &Advised| advised.advice.iter().map(|advice| advice.id).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&later));
    assert_ne!(first, later);
}

#[test]
fn many_nodes_are_planned_too() {
    let mut nodes: Vec<NodeSpace> = (10..50)
        .map(|at| {
            let here =
                vec![tenant(model(&format!("ref-{at}")), 1000), tenant(scanner(&format!("scan-{at}")), 1000)];
            node(&format!("node-{at}"), 8, here)
        })
        .collect();
    nodes.push(node("node-99", 8, vec![tenant(model("ref-99"), 1000)]));
    let episodes = vec![hurt("node-10", model("ref-10"), scanner("scan-10"))];
    let advised = run(&Landscape { nodes, episodes });
    let advice = only(&advised, "BA101");
    assert_eq!(advice.proof, Proof::Feasible);
    assert_eq!(
        advice.actions.iter().filter(|action| action.command.starts_with(TAINT)).count(),
        6,
        "41 / 8, up"
    );
}

#[test]
fn every_code_has_its_line_in_the_documentation() {
    let page = include_str!("../../../../docs/advice.md");
    let lines = |code: &str| page.lines().filter(|line| line.starts_with(&format!("| {code} |"))).count();
    assert_eq!(CODES.map(lines), [1; CODES.len()]);
}
