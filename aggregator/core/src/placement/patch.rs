//! RFC 6902 patches whose every step is guarded by the value that it replaces.
//!
//! Invariant: a patch that is not refused does exactly what it says, and its inverse brings back
//! exactly what was there. The API server reads a `test` for null as "is not there" (evanphx/json-patch
//! v4, patch.go).

use crate::placement::json::{array, object, string};

/// One value of an object, before and after, as JSON; `None` where it is not there.
#[derive(Debug)]
pub(super) struct Edit {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

impl Edit {
    /// Nothing where nothing changes.
    pub(super) fn new(path: String, before: Option<String>, after: Option<String>) -> Option<Self> {
        (before != after).then_some(Self { path, before, after })
    }
}

/// The patch, and the one that takes it back.
pub(super) fn patches(edits: &[Edit]) -> (String, String) {
    let there = edits.iter().flat_map(|edit| step(&edit.path, edit.before.as_ref(), edit.after.as_ref()));
    let back = edits.iter().flat_map(|edit| step(&edit.path, edit.after.as_ref(), edit.before.as_ref()));
    (array(there), array(back))
}

fn step(path: &str, before: Option<&String>, after: Option<&String>) -> [String; 2] {
    let op = |op: &str, value: Option<&String>| {
        let named = [("op", string(op)), ("path", string(path))];
        object(named.into_iter().chain(value.map(|value| ("value", value.clone()))))
    };
    let test = op("test", Some(before.unwrap_or(&"null".to_owned())));
    let change = match (before, after) {
        (None, Some(_)) => op("add", after),
        (Some(_), Some(_)) => op("replace", after),
        (_, None) => op("remove", None),
    };
    [test, change]
}
