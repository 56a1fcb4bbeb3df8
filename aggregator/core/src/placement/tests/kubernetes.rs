//! BA101 where the cluster's own words are known.

use serde_json::{Value, json};

use super::{
    world::{World, guides_affinity, rules, world},
    *,
};

#[test]
fn what_is_advised_is_done_once_it_is_carried_out_and_can_be_taken_back() {
    let zone = json!({"key": "zone", "operator": "In", "values": ["a"]});
    let terms = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let spot = json!({"key": "spot", "operator": "Exists"});
    for template in [
        json!({}),
        json!({"tolerations": [spot]}),
        json!({"tolerations": [{"operator": "Exists"}]}),
        json!({"tolerations": [{"key": "node_for", "value": "models"}]}),
        json!({"affinity": {}}),
        json!({"affinity": {"podAntiAffinity": {}}}),
        json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}}),
        json!({"affinity": terms(json!([{"matchExpressions": [zone]}]))}),
        json!({"affinity": terms(json!([{"matchExpressions": [zone]}, {"matchExpressions": [spot]}, {}]))}),
        json!({"affinity": terms(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]))}),
        json!({"affinity": guides_affinity(), "tolerations": [spot]}),
        json!({"nodeSelector": {"zone": "a"}}),
        json!({"nodeSelector": {"node_for": "models"}}),
    ] {
        let before = World::new(&["node-1", "node-2"])
            .label("node-1", "zone", "a")
            .with("ref", "node-1", template.clone())
            .with("scan", "node-1", json!({}));
        let advised = before.advise();
        let advice = only(&advised, "BA101");
        assert_eq!(advice.proof, Proof::Feasible, "{template}");
        let mut world = before.clone();
        world.carry_out(advice);
        let done = world.advise();
        assert!(done.advice.iter().all(|advice| advice.code != "BA101"), "{template}");
        assert_eq!(done.notes, ["the models have nodes of their own: node-1"], "{template}");
        assert_eq!((world.pods["ref"].0.as_str(), world.pods["scan"].0.as_str()), ("node-1", "node-2"));
        world.take_back(advice);
        assert_eq!((world.templates(), &world.nodes), (before.templates(), &before.nodes), "{template}");
    }
}

#[test]
fn steps_that_are_done_are_not_printed_again() {
    let advised = world().advise();
    let all = &only(&advised, "BA101").actions;
    assert_eq!(all.len(), 4);
    for done in 1..all.len() {
        let mut world = world();
        world.carry_out(&Advice { actions: all[..done].to_vec(), ..only(&advised, "BA101").clone() });
        let rest = world.advise();
        assert_eq!(only(&rest, "BA101").actions, all[done..], "after {done}");
    }
}

#[test]
fn nodes_that_are_the_models_already_stay_theirs() {
    let two = |world: World| {
        ["node-1", "node-2"].into_iter().fold(world, |world, node| {
            world.label(node, "node_for", "models").taint(node, "node_for", "models", "NoSchedule")
        })
    };
    let held =
        json!({"affinity": guides_affinity(), "tolerations": [{"key": "node_for", "operator": "Exists"}]});
    let world = two(World::new(&["node-1", "node-2", "node-3"]))
        .with("ref", "node-2", held.clone())
        .with("ref-b", "node-1", held)
        .with("scan", "node-3", json!({}));
    let done = world.advise();
    assert_eq!(
        (done.advice.len(), done.notes),
        (0, vec!["the models have nodes of their own: node-1, node-2".to_owned()])
    );
    let third = world.with("ref-c", "node-3", json!({})).advise();
    let commands: Vec<&str> =
        only(&third, "BA101").actions.iter().map(|one| one.object.name.as_str()).collect();
    assert_eq!(commands, ["ref-c"], "one needs a patch, and no node needs anything");
}

#[test]
fn a_fence_of_another_name_is_one_too() {
    let held = json!({"nodeSelector": {"role": "pytorch"}, "tolerations": [{"key": "role", "operator": "Equal", "value": "pytorch"}]});
    let fenced = World::new(&["node-1", "node-2"])
        .label("node-1", "role", "pytorch")
        .taint("node-1", "role", "pytorch", "NoSchedule")
        .with("ref", "node-1", held)
        .with("scan", "node-2", json!({}));
    assert_eq!(fenced.advise().notes, ["the models have nodes of their own: node-1"]);
    let advised = fenced.with("scan", "node-1", json!({"tolerations": [{"operator": "Exists"}]})).advise();
    let advice = only(&advised, "BA101");
    assert_eq!(advice.actions.len(), 1);
    assert!(advice.actions[0].command.starts_with("kubectl delete pod scan-x"));
    assert!(advice.assumptions[0].contains("deployment/scan tolerate role=pytorch:NoSchedule"), "{advice:?}");
}

#[test]
fn models_with_a_fence_of_their_own_are_let_alone() {
    let team = |name: &str| json!({"nodeSelector": {"team": name}, "tolerations": [{"key": "team", "value": name, "effect": "NoSchedule"}]});
    let fenced = |world: World, node: &str, name: &str| {
        world.label(node, "team", name).taint(node, "team", name, "NoSchedule")
    };
    let world = fenced(World::new(&["node-1", "node-2", "node-3"]), "node-1", "b");
    let world = fenced(world, "node-2", "a")
        .with("ref", "node-1", team("b"))
        .with("ref-a", "node-2", team("a"))
        .with("scan", "node-3", json!({}));
    assert_eq!(world.advise().notes, ["the models have nodes of their own: node-1"]);
    let third = world.with("ref-c", "node-3", json!({})).advise();
    let advice = only(&third, "BA101");
    let objects: Vec<&str> = advice.actions.iter().map(|one| one.object.name.as_str()).collect();
    assert_eq!((advice.proof, objects), (Proof::Feasible, vec!["ref-c"]));
}

#[test]
fn a_scanner_that_may_run_nowhere_else_is_not_called_feasible_to_move() {
    let pinned = json!({"nodeSelector": {"kubernetes.io/hostname": "node-1"}});
    let hosts = ["node-1", "node-2"]
        .into_iter()
        .fold(world(), |world, node| world.label(node, "kubernetes.io/hostname", node));
    let advised = hosts.clone().with("scan", "node-1", pinned.clone()).advise();
    assert_eq!(
        only(&advised, "BA101").title,
        "give the models nodes of their own: node-2",
        "the model can move"
    );
    let both = hosts.with("scan", "node-1", pinned.clone()).with("ref", "node-1", pinned).advise();
    let advice = only(&both, "BA101");
    assert_eq!(advice.proof, Proof::Unproven);
    assert!(
        advice.assumptions[0].starts_with("deployment/scan may run on node-1 only"),
        "{:?}",
        advice.assumptions
    );
}

#[test]
fn a_node_on_which_the_models_cannot_run_is_none_for_them() {
    for (why, world) in [
        ("a taint", world().taint("node-1", "gpu", "yes", "NoSchedule")),
        ("another label of the key", world().label("node-1", "node_for", "load")),
        ("another taint of the key", world().taint("node-1", "node_for", "load", "NoSchedule")),
        (
            "a selector",
            world().label("node-2", "disk", "ssd").with(
                "ref",
                "node-1",
                json!({"nodeSelector": {"disk": "ssd"}}),
            ),
        ),
    ] {
        let advised = world.with("scan", "node-1", json!({"tolerations": [{"operator": "Exists"}]})).advise();
        assert_eq!(only(&advised, "BA101").title, "give the models nodes of their own: node-2", "{why}");
    }
    let nowhere = world().with("ref", "node-1", json!({"nodeSelector": {"disk": "ssd"}})).advise();
    let advice = only(&nowhere, "BA101");
    assert!(advice.actions.is_empty() && advice.proof == Proof::Unproven);
    assert!(advice.assumptions[0].starts_with("no node that is seen takes the pods of deployment/ref"));
}

#[test]
fn daemons_that_would_not_come_back_are_named_and_no_others() {
    let says = |template: Value| {
        let advised = world().with("exporter", "node-1", template).advise();
        let assumptions = only(&advised, "BA101").assumptions.clone();
        assumptions.into_iter().find(|one| one.contains("daemonset/exporter"))
    };
    assert_eq!(says(json!({"tolerations": [{"operator": "Exists"}]})), None);
    assert_eq!(
        says(json!({})).unwrap(),
        "daemonset/exporter do not tolerate node_for=models:NoSchedule: their pods do not come back to those nodes"
    );
}

#[test]
fn pods_that_differ_within_a_workload_give_no_patch() {
    let mut landscape = world().landscape(true);
    let mut second = landscape.nodes[0].containers[0].clone();
    second.who = who("refmodels", "ref-y", Some(("Deployment", "ref")), Role::Model);
    second.rules = Some(Arc::new(rules(&json!({"affinity": guides_affinity()}))));
    landscape.nodes[1].containers.push(second);
    let advised = advise(&landscape, NOW);
    let advice = only(&advised, "BA101");
    assert!(advice.actions.is_empty());
    assert!(
        advice.assumptions[0].starts_with("the pods of deployment/ref differ"),
        "{:?}",
        advice.assumptions
    );
}
