//! A node: what its kubelet, containerd and network plugins are told.

use std::{fs, net::Ipv4Addr, path::Path};

use anyhow::Context;

use super::{
    Id, Tools,
    image::POD_IMAGE,
    keys::{Keys, NODES},
    tools::write,
};

/// The script of its process 1.
pub(super) const SCRIPT: &str = include_str!("node.sh");

/// A node's place in its cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) pods: String,
    /// The CPU that it has for itself, as long as there are as many as nodes.
    pub(super) cpu: usize,
}

impl Node {
    pub(super) fn new(id: Id, index: u8, cpus: usize) -> Self {
        let name = format!("node-{}", char::from(b'a' + index));
        Self { name, address: id.node(index), pods: id.pods(index), cpu: usize::from(index) % cpus }
    }

    /// Writes what the node's programs read into its folder.
    pub(super) fn furnish(&self, folder: &Path, id: Id, keys: &Keys, tools: &Tools) -> anyhow::Result<()> {
        fs::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
        let (name, user) = (&self.name, format!("system:node:{}", self.name));
        keys.kubeconfig(name, &user, Some(NODES))?;
        keys.certificate(name, &user, Some(NODES), &[name.clone(), self.address.to_string()])?;
        write(&folder.join("pods.conflist"), &self.network())?;
        write(&folder.join("containerd.toml"), &containerd(folder, tools))?;
        write(&folder.join("kubelet.yaml"), &kubelet(&folder.with_file_name(name), id))
    }

    /// Pods are routed, not bridged, so that every packet of a Service passes the node's own rules.
    fn network(&self) -> String {
        let subnet = &self.pods;
        format!(
            r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{"type": "ptp", "ipMasq": false, "ipam":
            {{"type": "host-local", "ranges": [[{{"subnet": "{subnet}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"#
        )
    }
}

/// `restrict_oom_score_adj`: without `CAP_SYS_RESOURCE` runc dies when it lowers `oom_score_adj`.
fn containerd(folder: &Path, tools: &Tools) -> String {
    let (folder, plugins) = (folder.display(), tools.network_plugins());
    let plugins = plugins.display();
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{POD_IMAGE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{folder}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#
    )
}

/// `failCgroupV1`: since 1.35 a kubelet refuses a machine without unified cgroups unless told not to.
/// The disk is this machine's, so nothing is evicted for its sake.
fn kubelet(pair: &Path, id: Id) -> String {
    let (certificate, key) = (pair.with_extension("crt"), pair.with_extension("key"));
    let (certificate, key, ca) = (certificate.display(), key.display(), pair.with_file_name("ca.crt"));
    let (ca, names) = (ca.display(), id.control());
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: "{ca}"}}}}
authorization: {{mode: Webhook}}
tlsCertFile: "{certificate}"
tlsPrivateKeyFile: "{key}"
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
evictionHard: {{memory.available: 200Mi}}
imageGCHighThresholdPercent: 100
volumePluginDir: /var/lib/kubelet/volume-plugins
resolvConf: ""
clusterDomain: cluster.local
clusterDNS: ["{names}"]
"#
    )
}
