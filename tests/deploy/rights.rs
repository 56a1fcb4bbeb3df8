//! Who may do what: tokens, RBAC, and the objects of the certificate.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{NAMESPACE, args, at, container, list, object, pods, render::base, string};

#[test]
fn each_pod_carries_one_token_and_only_the_aggregators_is_the_api_servers() {
    for (name, pod) in pods() {
        assert_eq!(string(&pod, "/serviceAccountName"), name);
        let is_aggregator = name == "berth-aggregator";
        assert_eq!(at(&pod, "/automountServiceAccountToken"), json!(is_aggregator), "{name}");
        let audience = match name {
            "berth-agent" => "berth.ingest",
            "berth-loadgen" => "berth.load",
            _ => continue,
        };
        let token = json!({"audience": audience, "expirationSeconds": 3_600, "path": "token"});
        let volume = json!({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}});
        let mount = json!({"name": "token", "mountPath": "/var/run/secrets/berth", "readOnly": true});
        assert!(list(&pod, "/volumes").contains(&volume), "{name}");
        assert!(list(&container(&pod), "/volumeMounts").contains(&mount), "{name}");
        assert!(args(&pod).contains(&"--token-file=/var/run/secrets/berth/token".to_owned()), "{name}");
    }
    for ((_, name), account) in base().iter().filter(|((kind, _), _)| kind == "ServiceAccount") {
        assert_eq!(at(account, "/automountServiceAccountToken"), json!(false), "{name}");
    }
    let projected =
        |pod: &Value| list(pod, "/volumes").iter().filter(|v| v.get("projected").is_some()).count();
    let counts: Vec<usize> = pods().iter().map(|(_, pod)| projected(pod)).collect();
    assert_eq!(counts, [1, 0, 1]);
}

/// What a rule of RBAC allows, one line a verb and resource: `verb group/resource name`.
fn allowed(kind: &str, name: &str) -> BTreeSet<String> {
    let words = |rule: &Value, pointer: &str| -> Vec<String> {
        list(rule, pointer).iter().map(|word| string(word, "")).collect()
    };
    let mut lines = BTreeSet::new();
    for rule in list(&object(kind, name), "/rules") {
        let names = words(&rule, "/resourceNames").join(",");
        for (group, resource) in words(&rule, "/apiGroups").iter().flat_map(|group| {
            words(&rule, "/resources").into_iter().map(move |resource| (group.clone(), resource))
        }) {
            let line = |verb: String| format!("{verb} {group}/{resource} {names}").trim_end().to_owned();
            lines.extend(words(&rule, "/verbs").into_iter().map(line));
        }
        assert_eq!(at(&rule, "/nonResourceURLs"), Value::Null, "{name}");
    }
    lines
}

#[test]
fn the_aggregator_reads_and_writes_nothing_but_its_own() {
    let reads = [
        "/namespaces",
        "/nodes",
        "/pods",
        "apps/daemonsets",
        "apps/deployments",
        "apps/replicasets",
        "apps/statefulsets",
        "batch/cronjobs",
        "batch/jobs",
    ];
    let reads = reads.iter().flat_map(|what| ["get", "list", "watch"].map(|verb| format!("{verb} {what}")));
    let writes = [
        "create authentication.k8s.io/tokenreviews",
        "create events.k8s.io/events",
        "patch events.k8s.io/events",
    ];
    let cluster = reads.chain(writes.map(str::to_owned)).collect();
    assert_eq!(allowed("ClusterRole", "berth-aggregator"), cluster);
    let own = ["get /configmaps berth-ca", "get /secrets berth-tls"]
        .into_iter()
        .chain(["update /configmaps berth-ca", "update /secrets berth-tls"]);
    assert_eq!(allowed("Role", "berth-aggregator"), own.map(str::to_owned).collect());
}

#[test]
fn only_the_aggregator_is_granted_anything() {
    let subjects = json!([{"kind": "ServiceAccount", "name": "berth-aggregator", "namespace": NAMESPACE}]);
    for (kind, role) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
        let binding = object(kind, "berth-aggregator");
        assert_eq!(at(&binding, "/subjects"), subjects);
        let expected =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "berth-aggregator"});
        assert_eq!(at(&binding, "/roleRef"), expected);
    }
}

#[test]
fn the_roles_for_people_reach_the_aggregator_and_one_kind_of_token() {
    for (name, accounts) in
        [("berth-viewer", "berth-viewer"), ("berth-operator", "berth-viewer,berth-operator")]
    {
        let expected = [
            "create /pods/portforward".to_owned(),
            format!("create /serviceaccounts/token {accounts}"),
            "get /configmaps berth-ca".to_owned(),
            "get /pods".to_owned(),
            "get /pods/portforward".to_owned(),
            "get /services berth-aggregator".to_owned(),
            "list /pods".to_owned(),
        ];
        assert_eq!(allowed("Role", name), expected.into(), "{name}");
    }
}

#[test]
fn the_certificates_objects_ship_empty_and_no_pod_mounts_the_key() {
    for (kind, name) in [("Secret", "berth-tls"), ("ConfigMap", "berth-ca")] {
        let object = object(kind, name);
        for field in ["/data", "/stringData", "/binaryData"] {
            assert_eq!(at(&object, field), Value::Null, "{kind} {name}{field}");
        }
    }
    assert_eq!(string(&object("Secret", "berth-tls"), "/type"), "Opaque", "it can be empty");
    for (name, pod) in pods() {
        let secrets = list(&pod, "/volumes").iter().filter(|volume| volume.get("secret").is_some()).count();
        assert_eq!(secrets, 0, "{name} mounts a secret");
    }
    let aggregator = at(&object("Deployment", "berth-aggregator"), "/spec/template/spec");
    assert!(args(&aggregator).contains(&"--kubernetes".to_owned()));
    let own =
        json!([{"name": "BERTH_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]);
    assert_eq!(at(&container(&aggregator), "/env"), own);
}
