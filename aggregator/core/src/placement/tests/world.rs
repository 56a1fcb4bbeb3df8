//! A cluster whose labels, taints, tolerations and affinity are known: what is printed is carried out
//! on it, step by step, as the API server and the scheduler would.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::*;
use super::{NOW, hurt, node, tenant, who};
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
pub(super) fn rules(template: &Value) -> Rules {
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
pub(super) struct World {
    pub(super) nodes: BTreeMap<String, Machine>,
    /// Where each workload's pod is, and the workload's object.
    pub(super) pods: BTreeMap<String, (String, Value)>,
}

impl World {
    pub(super) fn new(nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|name| ((*name).to_owned(), Machine::default())).collect();
        Self { nodes, pods: BTreeMap::new() }
    }

    /// A model is named `ref...`, a daemon `exporter`, a pod without owner `bare`, one of the system
    /// `coredns`; all others are scanners.
    pub(super) fn with(mut self, name: &str, node: &str, template: Value) -> Self {
        let within = |value| Value::from_iter([("spec", value)]);
        let object = within(Value::from_iter([("template", within(template))]));
        self.pods.insert(name.to_owned(), (node.to_owned(), object));
        self
    }

    pub(super) fn label(mut self, node: &str, key: &str, value: &str) -> Self {
        self.nodes.get_mut(node).unwrap().labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(super) fn taint(mut self, node: &str, key: &str, value: &str, effect: &str) -> Self {
        let taint = Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() };
        self.nodes.get_mut(node).unwrap().taints.push(taint);
        self
    }

    fn who(name: &str) -> WhoRef {
        match name {
            "exporter" => who("monitoring", "exporter-x", Some(("DaemonSet", "exporter")), Role::Other),
            "coredns" => who("kube-system", "coredns-x", Some(("Deployment", name)), Role::Other),
            "bare" => who("certifai", name, None, Role::Other),
            _ if name.starts_with("ref") => {
                who("refmodels", &format!("{name}-x"), Some(("Deployment", name)), Role::Model)
            }
            _ => who("certifai", &format!("{name}-x"), Some(("Deployment", name)), Role::Scanner),
        }
    }

    fn rules(&self, name: &str) -> Rules {
        rules(self.pods[name].1.pointer(TEMPLATE).unwrap())
    }

    pub(super) fn landscape(&self, felt: bool) -> Landscape {
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

    pub(super) fn advise(&self) -> Advised {
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
    pub(super) fn carry_out(&mut self, advice: &Advice) {
        for Action { command, json_patch, object, .. } in &advice.actions {
            self.run(command, json_patch, &object.name).unwrap();
        }
    }

    /// Types every command of all advice, whatever comes of it.
    pub(super) fn carry_out_blindly(&mut self, advice: &[Advice]) {
        for Action { command, json_patch, object, .. } in advice.iter().flat_map(|advice| &advice.actions) {
            drop(self.run(command, json_patch, &object.name));
        }
    }

    /// Those that no node would take, were they started again.
    pub(super) fn homeless(&self) -> Vec<&str> {
        let is_taken = |name: &str| {
            let rules = self.rules(name);
            self.nodes.iter().any(|(node, machine)| rules.admit(node, machine))
        };
        self.pods.keys().map(String::as_str).filter(|name| !is_taken(name)).collect()
    }

    /// Carries the inverse steps out in the reverse order.
    pub(super) fn take_back(&mut self, advice: &Advice) {
        for Action { inverse_command, inverse_json_patch, object, .. } in advice.actions.iter().rev() {
            self.run(inverse_command, inverse_json_patch, &object.name).unwrap();
        }
    }

    pub(super) fn templates(&self) -> Vec<&Value> {
        self.pods.values().map(|(_, object)| object).collect()
    }
}

/// A model and a scanner on one node, and another node that is empty.
pub(super) fn world() -> World {
    World::new(&["node-1", "node-2"]).with("ref", "node-1", json!({})).with("scan", "node-1", json!({}))
}

pub(super) fn guides_affinity() -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "node_for", "operator": "In", "values": ["models"]}]}
    ]}}})
}
