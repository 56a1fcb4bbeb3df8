//! The rules of this tree, as tests: who may import whom, how long a file may be, what no source
//! may say. CONTRIBUTING.md lists them for people.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Who may depend on whom within the workspace, for programs and libraries.
const EDGES: [(&str, &[&str]); 9] = [
    ("berth", &[]),
    ("berth-agent", &["berth"]),
    ("berth-core", &["berth"]),
    ("berth-aggregator", &["berth", "berth-core"]),
    ("berth-loadgen", &["berth"]),
    ("berth-cli", &["berth", "berth-core", "berth-loadgen"]),
    ("berth-examples", &[]),
    ("berth-kit", &[]),
    ("berth-scenarios", &["berth", "berth-core", "berth-cli", "berth-loadgen", "berth-kit"]),
];

/// What the contract may depend on directly: encoding, and nothing that knows a network or a clock.
const CONTRACT: &[&str] =
    &["bytes", "hdrhistogram", "prost", "prost-types", "thiserror", "tonic", "tonic-prost"];

/// What the agent may depend on directly. Each entry is a line in every node's supply chain.
const AGENT: &[&str] = &[
    "anyhow",
    "berth",
    "bytes",
    "clap",
    "nvml-wrapper",
    "procfs",
    "prost",
    "rustix",
    "thiserror",
    "tokio",
    "tokio-stream",
    "tonic",
    "tracing",
    "tracing-subscriber",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap()
}

/// Direct normal dependencies of each workspace package.
fn direct(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let normal = |package: &cargo_metadata::Package| {
        let of_kind =
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        of_kind.map(|dependency| dependency.name.clone()).collect()
    };
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.to_string(), normal(package)))
        .collect()
}

/// Everything that `package` needs to run, by name. Asked of cargo for this package alone: the
/// features of packages that are built together are joined.
fn reachable(package: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names = String::from_utf8(tree.stdout).unwrap();
    names.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Every Rust source of the tree, with its path from the root.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                walk(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&root(), &mut files);
    files.sort();
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

/// The lines of a file that are code: neither comment nor documentation.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Names every place at which `bad` holds, and fails if there is one.
fn none(what: &str, bad: impl Iterator<Item = String>) {
    let found: Vec<String> = bad.collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn packages_import_only_what_the_design_allows() {
    let metadata = metadata();
    let direct = direct(&metadata);
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    assert_eq!(direct.keys().map(String::as_str).collect::<BTreeSet<_>>(), allowed.keys().copied().collect());
    for (package, dependencies) in &direct {
        let internal = dependencies.iter().filter(|name| direct.contains_key(*name)).map(String::as_str);
        let foreign: Vec<_> = internal.filter(|name| !allowed[package.as_str()].contains(name)).collect();
        assert!(foreign.is_empty(), "{package} may not depend on {foreign:?}");
    }
}

#[test]
fn nobody_depends_on_the_agent_or_the_aggregator_not_even_to_test() {
    for package in metadata().workspace_packages() {
        // The root's own system tests start both and stand between them.
        for dependency in package.dependencies.iter().filter(|_| package.name != "berth") {
            let name = dependency.name.as_str();
            assert!(
                !matches!(name, "berth-agent" | "berth-aggregator"),
                "{} depends on {name}",
                package.name
            );
        }
    }
}

#[test]
fn the_contract_knows_no_network_and_no_clock() {
    let metadata = metadata();
    let direct = &direct(&metadata)["berth"];
    let allowed = CONTRACT.iter().map(ToString::to_string).collect();
    assert!(direct.is_subset(&allowed), "new: {:?}", direct.difference(&allowed));
    let needed = reachable("berth");
    let banned = ["h2", "hyper", "kube", "mio", "rand", "rustls", "socket2", "tower"];
    let foreign: Vec<_> = banned.into_iter().filter(|name| needed.contains(*name)).collect();
    assert!(foreign.is_empty(), "the contract reaches {foreign:?}");
    let of_contract = |path: &str| path.starts_with("proto/src");
    let words = ["std::fs", "std::net", "std::time::Instant", "SystemTime", "std::env", "tokio::"];
    let hits = sources().into_iter().filter(|(path, _)| of_contract(path)).flat_map(|(path, text)| {
        let lines = code(&text).filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        lines.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("the contract uses", hits);
}

#[test]
fn the_agents_own_dependencies_stay_short() {
    let direct = &direct(&metadata())["berth-agent"];
    let allowed = AGENT.iter().map(ToString::to_string).collect();
    assert!(direct.is_subset(&allowed), "new: {:?}", direct.difference(&allowed));
}

#[test]
fn kubernetes_is_out_of_the_agents_reach() {
    for package in ["berth", "berth-agent", "berth-core", "berth-loadgen", "berth-examples"] {
        assert!(!reachable(package).contains("kube"), "{package} reaches kube");
    }
}

#[test]
fn wire_types_stop_at_the_edges() {
    let edges = [
        "proto/src/",
        "agent/src/message", // records as they travel; the ring keeps them so
        "agent/src/session/tests",
        "agent/src/uplink",
        "aggregator/src/edge",
        "aggregator/src/ingest",
        "aggregator/src/query",
        "aggregator/src/load",
        "aggregator/src/trust/principal", // what each method of the contract needs
        "loadgen/src/link",
        "cli/src/",
        "tests/",
    ];
    let inside = |path: &str| edges.iter().any(|edge| path.starts_with(edge)) || path.contains("/tests/");
    let hits = sources().into_iter().filter(|(path, _)| !inside(path)).flat_map(|(path, text)| {
        let uses = code(&text).filter(|(_, line)| line.contains("wire::"));
        uses.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("wire types past the edge", hits);
}

#[test]
fn the_core_is_pure() {
    let words = [
        "async fn",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "::now(",
        "HashMap", // its order differs from run to run, and the core replays byte for byte
        "HashSet",
    ];
    let core = |path: &str| path.starts_with("aggregator/core/src");
    let hits = sources().into_iter().filter(|(path, _)| core(path)).flat_map(|(path, text)| {
        let lines = code(&text).filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        lines.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("the core uses", hits);
    let direct = &direct(&metadata())["berth-core"];
    let allowed = ["berth", "bytes", "serde", "thiserror"].map(str::to_owned).into();
    assert!(direct.is_subset(&allowed), "new: {:?}", direct.difference(&allowed));
}

#[test]
fn unsafe_code_stands_only_in_the_module_named_for_it() {
    let hits = sources().into_iter().filter(|(path, _)| path != "tests/tidy.rs").flat_map(|(path, text)| {
        let named = path.ends_with("/sys.rs") || path.contains("/tests/");
        let uses = code(&text).filter(|(_, line)| line.contains("unsafe ") && !named);
        uses.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("unsafe code outside sys.rs", hits);
}

#[test]
fn files_are_small_and_main_only_wires() {
    let hits = sources().into_iter().filter_map(|(path, text)| {
        let limit = if path.ends_with("src/main.rs") { 30 } else { 500 };
        let lines = text.lines().count();
        (lines > limit).then(|| format!("{path}: {lines} lines, at most {limit}"))
    });
    none("long files", hits);
}

/// As wide as `.rustfmt.toml` has the code, whose comments rustfmt leaves alone.
const COMMENT_COLUMNS: usize = 110;

#[test]
fn comments_are_as_wide_as_the_code() {
    let hits = sources().into_iter().flat_map(|(path, text)| {
        let mut in_block = false;
        let mut is_long = |line: &str| {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                in_block = false;
                return false;
            };
            let comment = comment.trim_start_matches(['/', '!']).trim();
            let is_fence = comment.starts_with("```");
            in_block ^= is_fence;
            // A command, a row of a table or an address cannot be wrapped.
            let is_whole = in_block || is_fence || comment.starts_with('|') || !comment.contains(' ');
            !is_whole && line.chars().count() > COMMENT_COLUMNS
        };
        let lines = text.lines().enumerate().filter(|(_, line)| is_long(line));
        lines.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("comments past the width of the code", hits);
}

#[test]
fn modules_are_named_for_what_they_do() {
    let banned = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];
    let hits = sources().into_iter().filter_map(|(path, _)| {
        let part = |part: &str| banned.contains(&part.trim_end_matches(".rs"));
        path.split('/').any(part).then_some(path.clone())
    });
    none("module names that say nothing", hits);
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_ignored() {
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["#[ign", "ore"].concat(),
        ["should_", "panic"].concat(),
    ];
    let hits = sources().into_iter().flat_map(|(path, text)| {
        let lines = text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        lines.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("left for later", hits);
}

#[test]
fn tests_wait_for_a_predicate_and_never_just_sleep() {
    let hits =
        sources().into_iter().filter(|(path, _)| path.contains("/tests/") || path.starts_with("tests/"));
    // The kit waits for them; a scenario is a schedule, and keeps it.
    let own = |path: &str| path.starts_with("tests/kit/") || path.starts_with("tests/scenarios/src/");
    let hits = hits.filter(|(path, _)| !own(path) && path != "tests/tidy.rs");
    let hits = hits.flat_map(|(path, text)| {
        let sleeps = code(&text).filter(|(_, line)| line.contains("sleep("));
        sleeps.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
    });
    none("a test sleeps", hits);
}

#[test]
fn every_limit_of_the_wire_has_its_reason() {
    let text = fs::read_to_string(root().join("proto/src/limits.rs")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let undocumented = lines.iter().enumerate().filter(|(number, line)| {
        line.starts_with("pub const")
            && !number.checked_sub(1).is_some_and(|above| lines[above].starts_with("///"))
    });
    none("limits without a reason", undocumented.map(|(_, line)| (*line).to_owned()));
}

#[test]
fn the_agent_opens_no_file_that_may_hold_secrets() {
    let hits =
        sources().into_iter().filter(|(path, _)| path.starts_with("agent/src")).flat_map(|(path, text)| {
            let uses =
                code(&text).filter(|(_, line)| line.contains("\"cmdline\"") || line.contains("\"environ\""));
            uses.map(|(number, line)| format!("{path}:{}: {line}", number + 1)).collect::<Vec<_>>()
        });
    none("the agent reads secrets", hits);
}
