//! Where an object bears a trace of Berth's advice. Pure: objects come in as values.

use std::collections::BTreeMap;

use berth_core::placement::FENCE_KEY;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::view::plain;

/// What every label of Berth's own begins with.
const OWN_PREFIX: &str = "berth.dev/";

/// One thing that was left.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Trace {
    /// As kubectl writes it.
    pub(super) kind: &'static str,
    /// Empty for nodes and namespaces.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) what: String,
    /// A command that removes it, or opens it for a person to.
    pub(super) mend: String,
}

impl Trace {
    fn of(kind: &'static str, meta: &ObjectMeta, what: &str, mend: &str) -> Self {
        let text = |text: &Option<String>| plain(text.as_deref().unwrap_or_default());
        Self {
            kind,
            namespace: text(&meta.namespace),
            name: text(&meta.name),
            what: plain(what),
            mend: plain(mend),
        }
    }

    /// As `kind namespace/name`.
    pub(super) fn object(&self) -> String {
        let Self { kind, namespace, name, .. } = self;
        if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
    }
}

fn is_ours(key: &str) -> bool {
    key == FENCE_KEY || key.starts_with(OWN_PREFIX)
}

fn ours(labels: Option<&BTreeMap<String, String>>) -> impl Iterator<Item = (&String, &String)> {
    labels.into_iter().flatten().filter(|(key, _)| is_ours(key))
}

/// `kind -n namespace name`, as a command has it.
fn argument(kind: &str, meta: &ObjectMeta) -> String {
    let name = meta.name.as_deref().unwrap_or_default();
    match meta.namespace.as_deref() {
        Some(namespace) => format!("{kind} -n {namespace} {name}"),
        None => format!("{kind} {name}"),
    }
}

/// Labels of the object itself.
pub(super) fn of_labels(kind: &'static str, meta: &ObjectMeta) -> Vec<Trace> {
    let trace = |(key, value): (&String, &String)| {
        let mend = format!("kubectl label {} {key}-", argument(kind, meta));
        Trace::of(kind, meta, &format!("label {key}={value}"), &mend)
    };
    ours(meta.labels.as_ref()).map(trace).collect()
}

/// Labels and taints.
pub(super) fn of_node(node: &Node) -> Vec<Trace> {
    let meta = &node.metadata;
    let mut traces = of_labels("node", meta);
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    traces.extend(taints.filter(|taint| is_ours(&taint.key)).map(|taint| {
        let value = taint.value.as_deref().map(|value| format!("={value}")).unwrap_or_default();
        let written = format!("{}{value}:{}", taint.key, taint.effect);
        let mend = format!("kubectl taint {} {written}-", argument("node", meta));
        Trace::of("node", meta, &format!("taint {written}"), &mend)
    }));
    traces
}

/// Something that has, or makes, pods.
#[derive(Debug)]
pub(super) struct Workload<'a> {
    kind: &'static str,
    meta: &'a ObjectMeta,
    /// Of the pods that it makes.
    labels: Option<&'a BTreeMap<String, String>>,
    spec: Option<&'a PodSpec>,
}

impl<'a> Workload<'a> {
    fn making(kind: &'static str, meta: &'a ObjectMeta, template: Option<&'a PodTemplateSpec>) -> Self {
        let labels = template.and_then(|template| template.metadata.as_ref()?.labels.as_ref());
        Self { kind, meta, labels, spec: template.and_then(|template| template.spec.as_ref()) }
    }

    pub(super) fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// Nothing of what somebody else makes: that one bears the trace.
    pub(super) fn traces(&self) -> Vec<Trace> {
        if self.meta.owner_references.iter().flatten().next().is_some() {
            return Vec::new();
        }
        let mut traces = of_labels(self.kind, self.meta);
        let edit = format!("kubectl edit {}", argument(self.kind, self.meta));
        let mut template = |what: String| traces.push(Trace::of(self.kind, self.meta, &what, &edit));
        ours(self.labels).for_each(|(key, value)| template(format!("label {key}={value} of its pods")));
        let Some(spec) = self.spec else { return traces };
        ours(spec.node_selector.as_ref())
            .for_each(|(key, value)| template(format!("nodeSelector {key}={value}")));
        let tolerations =
            spec.tolerations.iter().flatten().filter_map(|toleration| toleration.key.as_deref());
        tolerations.filter(|key| is_ours(key)).for_each(|key| template(format!("toleration of {key}")));
        for key in affinity_keys(spec) {
            template(format!("node affinity to {key}"));
        }
        traces
    }
}

/// The keys of ours that the node affinity mentions, each once.
fn affinity_keys(spec: &PodSpec) -> Vec<&str> {
    let Some(affinity) = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()) else {
        return Vec::new();
    };
    let required = affinity.required_during_scheduling_ignored_during_execution.iter();
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    let terms = required
        .flat_map(|required| &required.node_selector_terms)
        .chain(preferred.map(|preferred| &preferred.preference));
    let keys =
        terms.flat_map(|term| term.match_expressions.iter().flatten()).map(|expression| &*expression.key);
    let mut keys: Vec<&str> = keys.filter(|key| is_ours(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl<'a> From<&'a Deployment> for Workload<'a> {
    fn from(one: &'a Deployment) -> Self {
        Self::making("deployment", &one.metadata, Some(&one.spec.template))
    }
}

impl<'a> From<&'a StatefulSet> for Workload<'a> {
    fn from(one: &'a StatefulSet) -> Self {
        Self::making("statefulset", &one.metadata, Some(&one.spec.template))
    }
}

impl<'a> From<&'a DaemonSet> for Workload<'a> {
    fn from(one: &'a DaemonSet) -> Self {
        Self::making("daemonset", &one.metadata, Some(&one.spec.template))
    }
}

impl<'a> From<&'a Job> for Workload<'a> {
    fn from(one: &'a Job) -> Self {
        Self::making("job", &one.metadata, one.spec.as_ref().map(|spec| &spec.template))
    }
}

impl<'a> From<&'a CronJob> for Workload<'a> {
    fn from(one: &'a CronJob) -> Self {
        let job = one.spec.job_template.spec.as_ref();
        Self::making("cronjob", &one.metadata, job.map(|job| &job.template))
    }
}

impl<'a> From<&'a Pod> for Workload<'a> {
    fn from(one: &'a Pod) -> Self {
        Self { kind: "pod", meta: &one.metadata, labels: None, spec: one.spec.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn lines(traces: Vec<Trace>) -> String {
        let line = |one: Trace| format!("{}: {} | {}\n", one.object(), one.what, one.mend);
        traces.into_iter().map(line).collect()
    }

    fn template() -> serde_json::Value {
        serde_json::json!({
            "metadata": {"labels": {"app": "refmodel", "berth.dev/role": "model"}},
            "spec": {
                "containers": [],
                "nodeSelector": {"node_for": "models"},
                "tolerations": [{"key": "node_for", "operator": "Exists"}, {"operator": "Exists"}],
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "node_for", "operator": "In", "values": ["models"]}]},
                    {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
                ]}}}
            }
        })
    }

    #[test]
    fn a_node_is_freed_of_its_labels_and_taints_by_the_commands_given() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "node-a", "labels": {"zone": "z", "node_for": "models", "berth.dev/pool": "a"}},
            "spec": {"taints": [
                {"key": "node_for", "value": "models", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
            ]}
        }))
        .unwrap();
        insta::assert_snapshot!(lines(of_node(&node)));
    }

    #[test]
    fn a_workload_bears_traces_in_its_labels_and_its_template() {
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "refmodel", "namespace": "demo", "labels": {"berth.dev/role": "model"}},
            "spec": {"selector": {}, "template": template()}
        }))
        .unwrap();
        insta::assert_snapshot!(lines(Workload::from(&deployment).traces()));
    }

    #[test]
    fn a_pod_that_a_workload_made_bears_none_of_its_own() {
        let mut pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "demo", "labels": {"berth.dev/role": "model"}},
            "spec": template()["spec"]
        }))
        .unwrap();
        assert_eq!(Workload::from(&pod).traces().len(), 4);
        pod.metadata.owner_references = Some(vec![OwnerReference::default()]);
        assert_eq!(Workload::from(&pod).traces(), []);
    }
}
