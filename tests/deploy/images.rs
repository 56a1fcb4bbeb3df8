//! The Dockerfile: one target an image, each of one binary of the workspace.

use std::collections::BTreeSet;

use cargo_metadata::MetadataCommand;
use serde_json::{Value, json};

use crate::{PODS, UID, container, kustomization, list, pods, root, string, text};

/// Each target of the Dockerfile, and its binary.
const IMAGES: [(&str, &str); 6] = [
    ("agent", "berth-agent"),
    ("aggregator", "berth-aggregator"),
    ("loadgen", "berth-loadgen"),
    ("refmodel", "refmodel"),
    ("scanner", "scanner"),
    ("cli", "berth"),
];

#[test]
fn every_image_has_a_tag_of_this_version_and_a_target() {
    let kustomization = kustomization();
    let version = env!("CARGO_PKG_VERSION");
    let images: Vec<Value> =
        PODS.iter().map(|(_, name, _)| json!({"name": name, "newTag": version})).collect();
    assert_eq!(list(&kustomization, "/images"), images);
    for (name, pod) in pods() {
        // Rendered, it bears the tag.
        assert_eq!(string(&container(&pod), "/image").split(':').next(), Some(name));
        assert!(IMAGES.iter().any(|(target, _)| format!("berth-{target}") == name), "{name} has no target");
    }
}

/// The Dockerfile's instructions, as words.
fn instructions() -> Vec<Vec<String>> {
    let text = text("Dockerfile");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn every_target_of_the_dockerfile_runs_one_binary_of_the_workspace_as_nobody() {
    let metadata = MetadataCommand::new().no_deps().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let binaries: BTreeSet<&str> =
        targets.filter(|target| target.is_bin()).map(|target| target.name.as_str()).collect();
    let instructions = instructions();
    for (target, binary) in IMAGES {
        assert!(binaries.contains(binary), "{binary} is no binary of the workspace");
        let path = format!("/usr/local/bin/{binary}");
        let stage = [
            format!("FROM run AS {target}"),
            format!("COPY --from=build /programs/{binary} {path}"),
            format!("ENTRYPOINT [\"{path}\"]"),
        ];
        let words = stage.map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(instructions.windows(3).any(|window| window == words), "target {target}");
    }
    let mut programs = IMAGES.map(|(_, binary)| binary);
    programs.sort_unstable();
    let programs = format!("ARG PROGRAMS=\"{}\"", programs.join(" "));
    assert!(instructions.iter().any(|words| words.join(" ") == programs), "{programs}");
    let users: Vec<_> = instructions.iter().filter(|words| words[0] == "USER").collect();
    assert_eq!(users, [&["USER".to_owned(), format!("{UID}:{UID}")]]);
}

#[test]
fn the_build_stage_copies_what_the_workspace_needs_and_nothing_that_is_missing() {
    let copies = instructions().into_iter().filter(|words| words[0] == "COPY" && !words[1].starts_with("--"));
    let sources: Vec<String> = copies.flat_map(|words| words[1..words.len() - 1].to_vec()).collect();
    for source in &sources {
        assert!(
            root().join(source).try_exists().unwrap(),
            "the Dockerfile copies {source}, which is not there"
        );
    }
    let metadata = MetadataCommand::new().no_deps().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    for package in metadata.packages.iter().filter(|package| package.name != "berth") {
        let manifest = package.manifest_path.strip_prefix(root()).unwrap();
        let copied = sources.iter().any(|source| manifest.starts_with(source));
        assert!(copied, "the Dockerfile does not copy {manifest}");
    }
}
