//! Advice on a cluster whose labels, taints, tolerations and affinity are known: what is printed is
//! carried out, step by step, on a small API server of values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    advice::Action,
    scheduling::{Affinity, Requirement, Taint, Term, Toleration},
};

const TEMPLATE: &str = "/spec/template/spec";

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn requirements(value: &Value) -> Vec<Requirement> {
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let requirement = |one: &Value| Requirement {
        key: text(one, "key"),
        operator: text(one, "operator"),
        values: texts(&one["values"]),
    };
    value.as_array().into_iter().flatten().map(requirement).collect()
}

/// What the pods of a template say.
fn rules(template: &Value) -> Rules {
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let toleration = |one: &Value| Toleration {
        effect: text(one, "effect"),
        key: text(one, "key"),
        operator: text(one, "operator"),
        seconds: one["tolerationSeconds"].as_i64(),
        value: text(one, "value"),
    };
    let given = ["not-ready", "unreachable"].map(|key| {
        let key = format!("node.kubernetes.io/{key}");
        json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300})
    });
    let term = |one: &Value| Term {
        expressions: requirements(&one["matchExpressions"]),
        fields: requirements(&one["matchFields"]),
    };
    let of_nodes = &template["affinity"]["nodeAffinity"];
    let terms = &of_nodes["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let affinity = match (template.get("affinity"), of_nodes, terms.as_array()) {
        (None, ..) => Affinity::Absent,
        (_, Value::Null, _) => Affinity::OfPods,
        (_, _, None) => Affinity::Preferred,
        (_, _, Some(terms)) => Affinity::Required(terms.iter().map(term).collect()),
    };
    let selector = template["nodeSelector"].as_object().into_iter().flatten();
    Rules {
        tolerations: template["tolerations"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(&given)
            .map(toleration)
            .collect(),
        node_selector: selector
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        affinity,
    }
}

/// A patch as the API server applies it: all of it, or nothing and why.
fn patched(object: &Value, patch: &str) -> Result<Value, String> {
    let mut patched = object.clone();
    for step in serde_json::from_str::<Vec<Value>>(patch).map_err(|error| error.to_string())? {
        let path = step["path"].as_str().unwrap();
        let value = step.get("value").cloned().unwrap_or_default();
        if step["op"] == "test" {
            let there = patched.pointer(path).unwrap_or(&Value::Null);
            if *there != value {
                return Err(format!("{path} is {there}"));
            }
            continue;
        }
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/");
        let parent =
            patched.pointer_mut(parent).and_then(Value::as_object_mut).ok_or(format!("no {parent}"))?;
        match step["op"].as_str().unwrap() {
            "remove" => parent.remove(&name).map(drop).ok_or(format!("no {path}"))?,
            "replace" if !parent.contains_key(&name) => return Err(format!("no {path}")),
            _ => drop(parent.insert(name, value)),
        }
    }
    Ok(patched)
}

/// A cluster of values: its nodes, and workloads of one pod each.
#[derive(Debug, Clone, Default, PartialEq)]
struct World {
    nodes: BTreeMap<String, Machine>,
    /// Where each workload's pod is, and the workload's object.
    pods: BTreeMap<String, (String, Value)>,
}

impl World {
    fn new(nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|name| ((*name).to_owned(), Machine::default())).collect();
        Self { nodes, pods: BTreeMap::new() }
    }

    /// A model is named `ref...`, a daemon `exporter`, everything else is a scanner.
    fn with(mut self, name: &str, node: &str, template: Value) -> Self {
        let within = |value| Value::from_iter([("spec", value)]);
        let object = within(Value::from_iter([("template", within(template))]));
        self.pods.insert(name.to_owned(), (node.to_owned(), object));
        self
    }

    fn label(mut self, node: &str, key: &str, value: &str) -> Self {
        self.nodes.get_mut(node).unwrap().labels.insert(key.to_owned(), value.to_owned());
        self
    }

    fn taint(mut self, node: &str, key: &str, value: &str, effect: &str) -> Self {
        let taint = Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() };
        self.nodes.get_mut(node).unwrap().taints.push(taint);
        self
    }

    fn who(name: &str) -> WhoRef {
        match name {
            "exporter" => who("monitoring", "exporter-x", Some(("DaemonSet", "exporter")), Role::Other),
            _ if name.starts_with("ref") => {
                who("refmodels", &format!("{name}-x"), Some(("Deployment", name)), Role::Model)
            }
            _ => who("certifai", &format!("{name}-x"), Some(("Deployment", name)), Role::Scanner),
        }
    }

    fn rules(&self, name: &str) -> Rules {
        rules(self.pods[name].1.pointer(TEMPLATE).unwrap())
    }

    fn landscape(&self, felt: bool) -> Landscape {
        let tenants = |node: &str| {
            let here = self.pods.iter().filter(|(_, (at, _))| at == node);
            let tenant = |(name, _): (&String, &(String, Value))| Tenant {
                rules: Some(Arc::new(self.rules(name))),
                ..tenant(Self::who(name), 300)
            };
            here.map(tenant).collect()
        };
        let node = |(name, machine): (&String, &Machine)| NodeSpace {
            machine: Some(machine.clone()),
            ..node(name, 2, tenants(name))
        };
        let episodes = felt.then(|| hurt("node-1", Self::who("ref"), Self::who("scan")));
        Landscape { nodes: self.nodes.iter().map(node).collect(), episodes: episodes.into_iter().collect() }
    }

    fn advise(&self) -> Advised {
        advise(&self.landscape(true), NOW)
    }

    /// The scheduler: the first node that takes the pod.
    fn place(&mut self, name: &str) -> Result<(), String> {
        let rules = self.rules(name);
        let mut nodes = self.nodes.iter().filter(|(node, machine)| rules.admit(node, machine));
        let node = nodes.next().map(|(node, _)| node.clone()).ok_or(format!("{name} is pending"))?;
        self.pods.get_mut(name).unwrap().0 = node;
        Ok(())
    }

    fn run(&mut self, command: &str, patch: &str, object: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["kubectl", "label", "node", node, label] => {
                let labels = &mut self.nodes.get_mut(*node).unwrap().labels;
                let Some((key, value)) = label.split_once('=') else {
                    return labels.remove(label.trim_end_matches('-')).map(drop).ok_or("no label".to_owned());
                };
                let before = labels.insert(key.to_owned(), value.to_owned());
                before.filter(|before| before != value).map_or(Ok(()), |_| Err("overwrites".to_owned()))
            }
            ["kubectl", "taint", "node", node, taint] => {
                let taints = &mut self.nodes.get_mut(*node).unwrap().taints;
                let (pair, effect) = taint.trim_end_matches('-').split_once(':').unwrap();
                let (key, value) = pair.split_once('=').unwrap();
                let one = Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() };
                let before = taints.len();
                taints.retain(|taint| *taint != one);
                let was_there = taints.len() < before;
                let take_away = taint.ends_with('-');
                taints.extend((!take_away).then_some(one));
                if was_there == take_away { Ok(()) } else { Err(format!("{command}: nothing to do")) }
            }
            ["kubectl", "patch", ..] => {
                let (_, there) = self.pods.get_mut(object).unwrap();
                *there = patched(there, patch)?;
                self.place(object)
            }
            ["kubectl", "delete", "pod", pod, ..] => self.place(pod.trim_end_matches("-x")),
            ["#", ..] => Ok(()),
            _ => Err(format!("no such command: {command}")),
        }
    }

    /// Carries the steps out in their order.
    fn carry_out(&mut self, advice: &Advice) {
        for Action { command, json_patch, object, .. } in &advice.actions {
            self.run(command, json_patch, &object.name).unwrap();
        }
    }

    /// Carries the inverse steps out in the reverse order.
    fn take_back(&mut self, advice: &Advice) {
        for Action { inverse_command, inverse_json_patch, object, .. } in advice.actions.iter().rev() {
            self.run(inverse_command, inverse_json_patch, &object.name).unwrap();
        }
    }

    fn templates(&self) -> Vec<&Value> {
        self.pods.values().map(|(_, object)| object).collect()
    }
}

/// A model and a scanner on one node, and another node that is empty.
fn world() -> World {
    World::new(&["node-1", "node-2"]).with("ref", "node-1", json!({})).with("scan", "node-1", json!({}))
}

fn guides_affinity() -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "node_for", "operator": "In", "values": ["models"]}]}
    ]}}})
}

#[test]
fn s1_07_to_s1_10_what_is_advised_is_done_once_it_is_carried_out_and_can_be_taken_back() {
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
        assert_eq!(
            (done.advice.as_slice(), done.notes.as_slice()),
            (&[][..], &["the models have nodes of their own: node-1".to_owned()][..]),
            "{template}"
        );
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
