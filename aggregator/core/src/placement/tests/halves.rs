//! Fences of which a part is missing, and models that are bound to one node.

use serde_json::json;

use super::{
    world::{World, guides_affinity},
    *,
};

/// Advice where nobody is hurt.
fn lints(world: &World) -> Vec<Advice> {
    advise(&world.landscape(false), NOW).advice
}

fn codes(world: &World) -> Vec<&'static str> {
    lints(world).iter().map(|advice| advice.code).collect()
}

fn the_only(world: &World, code: &str) -> Advice {
    assert_eq!(codes(world), [code]);
    lints(world).remove(0)
}

fn commands(advice: &Advice) -> Vec<String> {
    let words = |action: &crate::advice::Action| {
        let words: Vec<&str> = action.command.split_whitespace().take(5).collect();
        words.join(" ")
    };
    advice.actions.iter().map(words).collect()
}

/// The fence of the second guide, whole: a model on its own node, and a web server elsewhere.
fn pytorch() -> World {
    World::new(&["node-1", "node-2"])
        .label("node-1", "role", "pytorch")
        .taint("node-1", "role", "pytorch", "NoSchedule")
        .with("ref", "node-1", held())
        .with("web", "node-2", json!({}))
}

fn held() -> serde_json::Value {
    json!({"nodeSelector": {"role": "pytorch"}, "tolerations": [
        {"key": "role", "operator": "Equal", "value": "pytorch", "effect": "NoSchedule"}
    ]})
}

/// Carried out it is done, and taken back it was never there.
fn completes(world: &World, advice: &Advice) {
    let mut after = world.clone();
    after.carry_out(advice);
    assert_eq!(lints(&after), []);
    after.take_back(advice);
    assert_eq!((after.templates(), &after.nodes), (world.templates(), &world.nodes));
}

#[test]
fn a_whole_fence_of_any_name_gets_no_advice() {
    assert_eq!(lints(&pytorch()), []);
}

#[test]
fn a_web_server_without_the_toleration_is_not_placed_on_the_models_node() {
    let landscape = pytorch().landscape(false);
    let (models, web) = (&landscape.nodes[0], &landscape.nodes[1].containers[0]);
    let machine = models.machine.as_ref().unwrap();
    assert!(!web.rules.as_ref().unwrap().admit("node-1", machine));
    assert!(models.containers[0].rules.as_ref().unwrap().admit("node-1", machine));
}

#[test]
fn a_taint_without_the_label_that_the_models_ask_for_is_ba102() {
    let mut world = pytorch().taint("node-2", "role", "pytorch", "NoSchedule");
    let advice = the_only(&world, "BA102");
    assert_eq!(
        (commands(&advice), advice.restarts()),
        (vec!["kubectl label node node-2 role=pytorch".to_owned()], 0)
    );
    assert_eq!(advice.actions[0].inverse_command, "kubectl label node node-2 role-");
    assert!(advice.why.contains("asks for the label role=pytorch"), "{}", advice.why);
    completes(&world, &advice);
    world = world.label("node-2", "role", "load");
    assert_eq!(lints(&world), [], "another label of the key is not overwritten");
}

#[test]
fn a_label_without_a_taint_is_ba103_and_the_toleration_comes_first() {
    let labelled = || World::new(&["node-1", "node-2"]).label("node-1", "role", "pytorch");
    let asks = json!({"nodeSelector": {"role": "pytorch"}});
    let world = labelled().with("ref", "node-1", asks.clone()).with("web", "node-2", json!({}));
    let advice = the_only(&world, "BA103");
    assert_eq!(
        commands(&advice),
        ["kubectl patch deployment ref -n", "kubectl taint node node-1 role=pytorch:NoSchedule"]
    );
    assert_eq!((advice.proof, advice.restarts()), (Proof::Unproven, 1));
    assert!(advice.why.contains("deployment/web may be placed there too"), "{}", advice.why);
    completes(&world, &advice);
    let tolerating = labelled().with("ref", "node-1", held()).with("web", "node-2", json!({}));
    assert_eq!(commands(&the_only(&tolerating, "BA103")).len(), 1, "the template says it already");
    for (why, world) in [
        ("only models could come", labelled().with("ref", "node-1", asks.clone())),
        (
            "it asks for the same",
            labelled().with("ref", "node-1", asks.clone()).with("web", "node-1", asks.clone()),
        ),
        (
            "it has no other node",
            labelled().label("node-1", "disk", "ssd").with("ref", "node-1", asks.clone()).with(
                "web",
                "node-1",
                json!({"nodeSelector": {"disk": "ssd"}}),
            ),
        ),
        (
            "it cannot come",
            labelled().label("node-2", "disk", "ssd").with("ref", "node-1", asks.clone()).with(
                "web",
                "node-2",
                json!({"nodeSelector": {"disk": "ssd"}}),
            ),
        ),
        (
            "the label is somebody else's",
            World::new(&["node-1", "node-2"])
                .label("node-1", "example.com/pool", "gpu")
                .with("ref", "node-1", json!({"nodeSelector": {"example.com/pool": "gpu"}}))
                .with("web", "node-2", json!({})),
        ),
    ] {
        assert_eq!(lints(&world), [], "{why}");
    }
}

#[test]
fn a_toleration_without_affinity_is_ba104() {
    let tolerations = json!([{"key": "node_for", "operator": "Exists"}]);
    let world = || {
        World::new(&["node-1", "node-2"]).taint("node-1", "node_for", "models", "NoSchedule").with(
            "ref",
            "node-1",
            json!({"tolerations": tolerations.clone()}),
        )
    };
    let advice = the_only(&world(), "BA104");
    assert_eq!(
        commands(&advice),
        ["kubectl label node node-1 node_for=models", "kubectl patch deployment ref -n"]
    );
    assert!(advice.why.contains("may be placed on node-2"), "{}", advice.why);
    completes(&world(), &advice);
    let tried = world().with("bare", "node-1", json!({"tolerations": tolerations.clone()}));
    assert_eq!(codes(&tried), ["BA104"], "a pod by hand that tolerates it too decides nothing");
    let labelled = world().label("node-1", "node_for", "models");
    assert_eq!(commands(&the_only(&labelled, "BA104")), ["kubectl patch deployment ref -n"]);
    for (why, world) in [
        ("it tolerates everything", world().with("ref", "node-1", json!({"tolerations": [{"operator": "Exists"}]}))),
        ("others may come too, as to spot nodes", world().with("scan", "node-1", json!({"tolerations": tolerations.clone()}))),
        ("there is no other node", world().taint("node-2", "node_for", "models", "NoSchedule")),
        (
            "the taint is Kubernetes' own",
            World::new(&["node-1", "node-2"])
                .taint("node-1", "node-role.kubernetes.io/control-plane", "", "NoSchedule")
                .with("ref", "node-2", json!({"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]})),
        ),
    ] {
        assert_eq!(lints(&world), [], "{why}");
    }
}

#[test]
fn a_model_that_asks_for_one_node_by_its_name_is_ba107() {
    let hosts = |template| {
        let world = World::new(&["node-1", "node-2"]).with("ref", "node-1", template);
        ["node-1", "node-2"]
            .into_iter()
            .fold(world, |world, node| world.label(node, "kubernetes.io/hostname", node))
    };
    let required = |terms| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    let host = |node: &str| json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
    let field = json!({"key": "metadata.name", "operator": "In", "values": ["node-1"]});
    let zone = json!({"key": "zone", "operator": "DoesNotExist"});
    for template in [
        json!({"nodeSelector": {"kubernetes.io/hostname": "node-1"}}),
        json!({"nodeSelector": {"kubernetes.io/hostname": "node-1"}, "affinity": guides_affinity()}),
        required(json!([{"matchExpressions": [host("node-1")]}])),
        required(json!([{"matchExpressions": [host("node-1"), zone]}])),
        required(json!([{"matchFields": [field]}, {"matchExpressions": [host("node-1")]}])),
    ] {
        let world = hosts(template.clone());
        let world = if template["affinity"] == guides_affinity() {
            world.label("node-1", "node_for", "models")
        } else {
            world
        };
        let advice = the_only(&world, "BA107");
        assert_eq!(advice.target.to_string(), "deployment/ref");
        assert!(advice.assumptions[0].contains("volumes are not read"), "{:?}", advice.assumptions);
        completes(&world, &advice);
        let mut freed = world;
        freed.carry_out(&advice);
        let other = freed.label("node-2", "node_for", "models").landscape(false);
        let (rules, machine) = (&other.nodes[0].containers[0].rules, other.nodes[1].machine.as_ref());
        assert!(rules.as_ref().unwrap().admit("node-2", machine.unwrap()), "{template}");
    }
    for template in [
        required(json!([{"matchExpressions": [host("node-1")]}, {"matchExpressions": [host("node-2")]}])),
        required(json!([{"matchExpressions": [host("node-1")]}, {"matchExpressions": [zone]}])),
        json!({}),
    ] {
        assert_eq!(lints(&hosts(template)), []);
    }
}

#[test]
fn a_node_is_not_tainted_while_a_model_that_needs_it_is_rolled_out() {
    let asks = |extra: &str| json!({"nodeSelector": {"role": "pytorch"}, "tolerations": [{"key": extra, "operator": "Exists"}]});
    let world = World::new(&["node-1", "node-2"])
        .label("node-1", "role", "pytorch")
        .with("ref", "node-1", asks("a"))
        .with("ref-b", "node-1", asks("b"))
        .with("web", "node-2", json!({}));
    assert_eq!(codes(&world), ["BA103"]);
    let mut landscape = world.landscape(false);
    let mut next = landscape.nodes[0].containers[1].clone();
    next.who = who("refmodels", "ref-b-y", Some(("Deployment", "ref-b")), Role::Model);
    next.rules = landscape.nodes[0].containers[0].rules.clone();
    landscape.nodes[0].containers.push(next);
    assert_eq!(advise(&landscape, NOW).advice, []);
}

#[test]
fn all_that_is_advised_at_once_can_be_done_at_once() {
    let both = json!({"nodeSelector": {"disk": "ssd", "zone": "a"}});
    let labelled =
        || World::new(&["node-1", "node-2"]).label("node-1", "disk", "ssd").label("node-1", "zone", "a");
    let two = World::new(&["node-1", "node-2"]).label("node-1", "disk", "ssd").label("node-2", "zone", "a");
    for (why, world, given) in [
        (
            "two fences of one model",
            labelled().with("ref", "node-1", both.clone()).with("web", "node-1", json!({})),
            vec!["BA103"],
        ),
        (
            "each of two taints leaves a node to the web server",
            two.with("ref", "node-1", json!({"nodeSelector": {"disk": "ssd"}}))
                .with("ref-b", "node-2", json!({"nodeSelector": {"zone": "a"}}))
                .with("web", "node-1", json!({})),
            vec!["BA103"],
        ),
        (
            "a fence, and a pin on another node",
            labelled()
                .label("node-2", "kubernetes.io/hostname", "node-2")
                .with("ref", "node-1", json!({"nodeSelector": {"disk": "ssd"}}))
                .with("ref-b", "node-2", json!({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}))
                .with("web", "node-2", json!({})),
            vec!["BA103", "BA107"],
        ),
    ] {
        let mut world = world;
        for round in 0.. {
            let advice = lints(&world);
            if advice.is_empty() {
                break;
            }
            if round == 0 {
                assert_eq!(codes(&world), given, "{why}");
            }
            world.carry_out_blindly(&advice);
            assert_eq!(world.homeless(), [] as [&str; 0], "{why}, round {round}");
            assert!(round < 4, "{why}: no end of it");
        }
    }
}

#[test]
fn the_fence_that_stands_or_is_most_complete_comes_first() {
    let both = || json!({"nodeSelector": {"disk": "ssd", "zone": "a"}});
    let labelled = |template| {
        World::new(&["node-1", "node-2", "node-3"])
            .label("node-1", "disk", "ssd")
            .label("node-1", "zone", "a")
            .with("ref", "node-1", template)
            .with("web", "node-1", json!({}))
    };
    let first = |world: &World| the_only(world, "BA103").actions.last().unwrap().command.clone();
    assert!(first(&labelled(both())).contains(" disk=ssd:"));
    let mut tolerates = both();
    tolerates["tolerations"] = json!([{"key": "zone", "operator": "Exists"}]);
    let world = labelled(tolerates.clone());
    assert!(first(&world).contains(" zone=a:"));
    let waits = advise(&world.landscape(false), NOW).notes;
    assert!(waits[1].starts_with("BA103 for deployment/ref must wait"), "{waits:?}");
    let stands =
        labelled(tolerates).label("node-2", "disk", "ssd").taint("node-2", "disk", "ssd", "NoSchedule").with(
            "ref-b",
            "node-2",
            json!({"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "disk", "operator": "Exists"}]}),
        );
    assert!(first(&stands).contains(" disk=ssd:"));
}

#[test]
fn what_kubernetes_keeps_for_itself_is_no_fence_of_the_models() {
    let tolerates = |key: &str| json!({"tolerations": [{"key": key, "operator": "Exists"}]});
    let pool = |key: &str, value: &str| {
        World::new(&["node-1", "node-2"]).taint("node-1", key, value, "NoSchedule").with(
            "ref",
            "node-2",
            tolerates(key),
        )
    };
    assert_eq!(lints(&pool("CriticalAddonsOnly", "true")), []);
    assert_eq!(codes(&pool("dedicated", "system")), ["BA104"]);
    let system = pool("dedicated", "system").with("coredns", "node-1", tolerates("dedicated"));
    assert_eq!(lints(&system), [], "the system's own pods are there");
}

#[test]
fn a_pin_is_not_exchanged_for_a_label_that_fences_others() {
    let world = World::new(&["node-1", "node-2"])
        .label("node-1", "kubernetes.io/hostname", "node-1")
        .label("node-2", "node_for", "models")
        .taint("node-2", "node_for", "models", "NoSchedule")
        .with("ref", "node-1", json!({"nodeSelector": {"kubernetes.io/hostname": "node-1"}}))
        .with("ref-b", "node-2", json!({"affinity": guides_affinity(), "tolerations": [{"key": "node_for", "operator": "Exists"}]}))
        .with("web", "node-1", json!({}));
    assert_eq!(lints(&world), []);
    let mut own = held();
    own["nodeSelector"]["kubernetes.io/hostname"] = json!("node-1");
    let own = pytorch().label("node-1", "kubernetes.io/hostname", "node-1").with("ref", "node-1", own);
    let advice = the_only(&own, "BA107");
    assert_eq!(commands(&advice), ["kubectl patch deployment ref -n"], "it keeps to its own fence");
    completes(&own, &advice);
}

#[test]
fn ba107_is_exact_only_where_nobody_else_goes_by_the_label() {
    let pin = |node: &str| json!({"nodeSelector": {"kubernetes.io/hostname": node}});
    let asks = || json!({"affinity": guides_affinity()});
    let world = || {
        World::new(&["node-1", "node-2"])
            .label("node-1", "kubernetes.io/hostname", "node-1")
            .label("node-2", "kubernetes.io/hostname", "node-2")
            .with("ref", "node-1", pin("node-1"))
    };
    for (world, told) in [
        (world(), None),
        (world().with("web", "node-1", json!({})), None),
        (world().label("node-2", "node_for", "models"), Some("node-2 may take its pods as well")),
        (world().with("web", "node-2", asks()), Some("deployment/web may share nodes with it")),
        (world().with("ref-b", "node-2", asks()), Some("deployment/ref-b may share nodes with it")),
        (
            world().with("ref-b", "node-2", pin("node-2")),
            Some("it need not be kept apart from deployment/ref-b"),
        ),
    ] {
        let advice = lints(&world).into_iter().find(|advice| advice.target.name == "ref").unwrap();
        let proof = if told.is_some() { Proof::Unproven } else { Proof::Exact };
        assert_eq!((advice.code, advice.proof), ("BA107", proof), "{told:?}");
        let says = |start: &str| advice.assumptions.iter().any(|one| one.starts_with(start));
        assert!(told.is_none_or(says), "{told:?} {:?}", advice.assumptions);
        assert!(says("starting the pods of deployment/ref again"), "{:?}", advice.assumptions);
        assert_eq!(advice.restarts(), 1);
    }
}

#[test]
fn lints_wait_until_what_is_felt_is_ended() {
    let world = World::new(&["node-1", "node-2"])
        .label("node-1", "kubernetes.io/hostname", "node-1")
        .with("ref", "node-1", json!({"nodeSelector": {"kubernetes.io/hostname": "node-1"}}))
        .with("scan", "node-1", json!({}));
    let felt = world.advise();
    let of_nodes = felt.advice.iter().map(|advice| advice.code).filter(|code| code.starts_with("BA1"));
    assert_eq!(of_nodes.collect::<Vec<_>>(), ["BA101"]);
    let by_name = "deployment/ref asks for one node by its name";
    assert!(felt.advice[0].assumptions.iter().any(|one| one.starts_with(by_name)), "{:?}", felt.advice[0]);
    let mut done = world;
    done.carry_out(&felt.advice[0]);
    assert_eq!(codes(&done), ["BA107"]);
}

#[test]
fn off_kubernetes_nothing_is_known_of_fences() {
    let mut landscape = pytorch().taint("node-2", "role", "pytorch", "NoSchedule").landscape(false);
    for node in &mut landscape.nodes {
        node.machine = None;
        node.containers.iter_mut().for_each(|tenant| tenant.rules = None);
    }
    assert_eq!(advise(&landscape, NOW).advice, []);
}
