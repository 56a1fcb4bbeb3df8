//! Nodes that exist as objects only, for what is about scheduling and nothing else.

use anyhow::Context;
use serde_json::json;

use super::{Cluster, machine::run};

impl Cluster {
    /// Adds a node without a kubelet: the scheduler places pods on it, and they stay Pending there.
    /// Nobody renews its lease, so the controllers give it up after their grace period of 50 s.
    pub fn add_node_object(&self, name: &str, cpus: u32, memory_gib: u32) -> anyhow::Result<()> {
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        });
        self.apply(&node.to_string()).with_context(|| format!("make the node {name}"))?;
        let capacity = json!({"cpu": cpus.to_string(), "memory": format!("{memory_gib}Gi"), "pods": "110"});
        let status = json!({"status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "ObjectOnly"}],
        }});
        let words =
            ["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()];
        run(self.kubectl().args(words)).with_context(|| format!("make the node {name} ready"))?;
        Ok(())
    }
}
