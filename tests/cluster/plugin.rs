//! The commands of `kubectl berth` against a cluster, by somebody who may look and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, process::Stdio};

use berth_kit::{Running, wait_every};
use serde_json::{Value, json};

use crate::{
    shell::{ASK_AGAIN, Said, list, said, text},
    shop::{MODEL, NAMESPACE, model},
    stage::{SOON, Stage},
};

/// Usage, environment, and that something was found.
const FOUND: i32 = 1;
const USAGE: i32 = 2;
const ENVIRONMENT: i32 = 3;

impl Stage {
    /// The kubeconfig of a person who has the Role that Berth brings for those who look.
    fn onlooker(&self) -> PathBuf {
        let shell = &self.shell;
        shell.must("kubectl create serviceaccount onlooker -n default");
        shell.must(
            "kubectl create rolebinding onlooker -n berth-system --role=berth-viewer --serviceaccount=default:onlooker",
        );
        let token = shell.must("kubectl create token onlooker -n default");
        let mut config: Value =
            serde_json::from_str(&shell.must("kubectl config view --raw -o json")).unwrap();
        config["users"] = json!([{"name": "onlooker", "user": {"token": token.trim()}}]);
        config["contexts"][0]["context"]["user"] = json!("onlooker");
        config["contexts"][0]["context"]["namespace"] = json!(NAMESPACE);
        let file = self.scratch.path().join("onlooker.kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    fn as_onlooker(&self, kubeconfig: &std::path::Path, line: &str) -> Said {
        said(self.shell.with_kubeconfig(kubeconfig).args(["-c", line]))
    }
}

#[test]
fn the_commands_that_look_answer_who_may_look_and_refuse_more_with_the_mend() {
    let Some(stage) = Stage::with_berth() else { return };
    stage.open_shop();
    let pod = stage.start_on("node-a", &model(&json!({})));
    let onlooker = stage.onlooker();
    let ask = |line: &str| stage.as_onlooker(&onlooker, line);
    wait_every(ASK_AGAIN, "the model in the report", SOON, || {
        ask("kubectl berth report").out.contains(&pod.name).then_some(())
    });
    // The context's namespace is the default, and another has no model.
    assert!(!ask("kubectl berth report -n default").out.contains(&pod.name));
    for (line, expected) in [
        ("kubectl berth roles -o wide", format!("{NAMESPACE}/{}", pod.name)),
        ("kubectl berth roles -o name", format!("pod/{}", pod.name)),
        ("kubectl berth top --once", pod.name.clone()),
        ("kubectl berth samples --node node-a | head -n 20", pod.name.clone()),
        ("timeout 5 kubectl berth report -w -o json", r#""event":"reset""#.to_owned()),
        ("kubectl berth advise -o json", r#""advice":["#.to_owned()),
        ("kubectl berth roles -o yaml", format!("owner_name: {MODEL}")),
    ] {
        let said = ask(line);
        assert!(said.out.contains(&expected), "{line}: {}{}", said.out, said.err);
    }
    for (line, code, expected) in [
        ("kubectl berth explain 0123456789abcdef", USAGE, "0123456789abcdef"),
        ("kubectl berth uninstall --check", ENVIRONMENT, "you may not list"),
        ("kubectl berth proxy --operator --port 0", ENVIRONMENT, "you may not create serviceaccounts/token"),
        ("kubectl berth report --berth-namespace nowhere", ENVIRONMENT, "nowhere"),
        ("kubectl berth report --context nobody", USAGE, "nobody"),
    ] {
        let said = ask(line);
        assert_eq!(said.code, Some(code), "{line}: {}{}", said.out, said.err);
        assert!(said.err.contains(expected), "{line}: {}", said.err);
    }
    // One that no node takes is not passed over in silence.
    stage.apply(&model(&json!({"nodeSelector": {"nowhere": "true"}})));
    wait_every(ASK_AGAIN, "the model that waits", SOON, || {
        ask("kubectl berth report").err.contains("is a model and was not started yet").then_some(())
    });
    // Nodes are not theirs to list, which is said and is no failure.
    let status = ask("kubectl berth status");
    assert!(status.err.contains("nodes"), "{}{}", status.out, status.err);
    assert!(matches!(status.code, Some(0 | FOUND)));
}

#[test]
fn the_proxy_lets_in_whoever_speaks_plain_grpc_or_http() {
    let Some(stage) = Stage::with_berth() else { return };
    let log = stage.scratch.path().join("proxy.log");
    let mut command = stage.shell.with_kubeconfig(&stage.cluster.kubeconfig());
    command.args(["-c", "exec kubectl-berth proxy --port 0"]).stdin(Stdio::null());
    let mut proxy = Running::start(&mut command, log);
    let address = proxy.listening("");
    let address = address.trim_end_matches(',');
    let page = format!(
        "exec 3<>/dev/tcp/{}; printf 'GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
        address.replace(':', "/")
    );
    assert!(stage.shell.must(&page).contains("berth_nodes{"));
    let report = wait_every(ASK_AGAIN, "both nodes, by plain gRPC", SOON, || {
        let said = stage.shell.run(&format!("kubectl-berth status --server http://{address} -o json"));
        let status: Value = serde_json::from_str(&said.out).ok()?;
        (list(&status, "/nodes").len() == 2).then_some(status)
    });
    assert_eq!(text(&report, "/nodes/0/node"), "node-a");
}
