//! The image of the ring's own pods, as an archive that `ctr images import` reads, made with no registry
//! and no builder: one layer, one static program.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use anyhow::Context;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The image of the ring's own pods, and of every pod's sandbox: `tests/cluster/tools/pod`.
pub const POD_IMAGE: &str = "berth.test/pod:1";

/// Nobody, as the Dockerfile has it.
const USER: &str = "65532:65532";

/// Writes an archive of [`POD_IMAGE`], which holds `program` at `/pod` and nothing else.
pub(super) fn write(archive: &Path, program: &Path) -> anyhow::Result<()> {
    let content = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let mut layer = tar::Builder::new(Vec::new());
    entry(&mut layer, "pod", &content)?;
    let layer = layer.into_inner()?;
    let digest = hex(&layer);
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/pod"], "User": USER},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    })
    .to_string();
    let (config_name, layer_name) =
        (format!("{}.json", hex(config.as_bytes())), format!("{digest}/layer.tar"));
    let manifest = json!([{"Config": config_name, "RepoTags": [POD_IMAGE], "Layers": [layer_name]}]);
    let file = File::create(archive).with_context(|| format!("make {}", archive.display()))?;
    let mut image = tar::Builder::new(file);
    entry(&mut image, &config_name, config.as_bytes())?;
    entry(&mut image, &layer_name, &layer)?;
    entry(&mut image, "manifest.json", manifest.to_string().as_bytes())?;
    image.finish().with_context(|| format!("write {}", archive.display()))
}

fn entry<W: Write>(tar: &mut tar::Builder<W>, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(content.len())?);
    header.set_mode(0o755);
    tar.append_data(&mut header, name, content).with_context(|| format!("add {name}"))
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Go's name of this machine's architecture, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::images::read, *};

    #[test]
    fn the_pods_image_holds_its_program_and_runs_it_as_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("pod.tar");
        write(&archive, &std::env::current_exe().unwrap()).unwrap();
        let image = read(&archive).unwrap();
        assert_eq!(image.reference, POD_IMAGE);
        assert_eq!(image.config, json!({"Entrypoint": ["/pod"], "User": USER}));
        assert_eq!(image.files, [("pod".into(), 0o755)]);
    }
}
