//! The rows of the two documents that Berth makes come true: each is either held by a test of its
//! name, or on the list of rows that are still open. An empty test closes no row.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// `tests/fixtures/seeds.csv`: id, what the seed says, in the order of the documents.
const ROWS: &str = include_str!("fixtures/seeds.csv");

/// One id a line: rows that no test holds yet.
const OPEN: &str = include_str!("fixtures/seeds-open.txt");

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// The rows that tests are named for, and how many assertions each row has.
fn held() -> BTreeMap<String, usize> {
    let mut files = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    let mut held = BTreeMap::new();
    for text in files.iter().map(|path| fs::read_to_string(path).unwrap()) {
        // What stands between one test attribute and the next is a test and what only it uses.
        let whole = text.replace("#[tokio::test", "#[test");
        for test in whole.split("#[test").skip(1) {
            let name = test.split_once("fn ").map_or("", |(_, rest)| rest);
            let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(id) = row_of(&name) {
                let asserts =
                    ["assert!(", "assert_eq!(", "assert_ne!("].map(|assert| test.matches(assert).count());
                *held.entry(id).or_default() += asserts.iter().sum::<usize>();
            }
        }
    }
    held
}

/// `s1_04_...` is S1-04, `e13_...` is E13.
fn row_of(function: &str) -> Option<String> {
    let mut parts = function.split('_');
    let first = parts.next()?;
    let id = match first {
        "s1" | "s2" => format!("{}-{}", first.to_uppercase(), parts.next()?),
        _ => first.to_uppercase(),
    };
    let known = ROWS.lines().filter_map(|line| line.split(',').next()).any(|known| known == id);
    (known && parts.next().is_some()).then_some(id)
}

#[test]
fn every_row_is_held_by_a_test_or_is_on_the_open_list() {
    let rows: BTreeSet<&str> = ROWS.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let open: BTreeSet<&str> =
        OPEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let held = held();
    assert_eq!(rows.len(), 41 + 12 + 16, "41 rows of the guide, 12 of the article, 16 traps");
    assert!(open.is_subset(&rows), "no such rows: {:?}", open.difference(&rows));
    for row in rows {
        let asserts = held.get(row).copied();
        assert!(
            asserts.is_some() != open.contains(row),
            "{row} is {}",
            if asserts.is_some() {
                "held by a test: take it off the open list"
            } else {
                "neither held nor open"
            }
        );
        assert_ne!(asserts, Some(0), "{row} has a test that asserts nothing");
    }
}
