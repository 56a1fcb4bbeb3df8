//! What kustomize makes of deploy/, as `kubectl apply -k` would send it.
//!
//! Invariant: a machine without kubectl still holds the base, read from its files; kustomize only adds
//! the namespace, a label and the tags to them. Deliberately absent there: the overlays.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

use berth_kit::cluster::Tools;
use serde_json::{Value, json};

use crate::{at, documents, kustomization, list, root, string};

/// An object's kind and name. No two differ in their namespace alone.
pub(crate) type Id = (String, String);

static BASE: LazyLock<BTreeMap<Id, Value>> = LazyLock::new(|| render("base", &[]).unwrap_or_else(files));

/// The base, as far as this machine can render it.
pub(crate) fn base() -> &'static BTreeMap<Id, Value> {
    &BASE
}

/// A folder of deploy/ with some overlays; `None`, and one line, where nothing renders it.
pub(crate) fn render(folder: &str, overlays: &[&str]) -> Option<BTreeMap<Id, Value>> {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    // kustomize takes no absolute path.
    let here = scratch.path().canonicalize().expect("it was just made");
    let up = "../".repeat(here.components().count());
    let deploy = format!("{up}.{}/deploy", root().canonicalize().expect("this package").display());
    let components: Vec<String> =
        overlays.iter().map(|overlay| format!("{deploy}/overlays/{overlay}")).collect();
    let kustomization = json!({"resources": [format!("{deploy}/{folder}")], "components": components});
    fs::write(here.join("kustomization.yaml"), kustomization.to_string()).expect("JSON is YAML");
    let text = kustomize(&here)?;
    Some(index(serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{overlays:?}: {error}"))))
}

/// The ring's kubectl, else the system's.
fn kustomize(folder: &Path) -> Option<String> {
    let kubectl = Tools::find().map_or("kubectl".into(), |tools| OsString::from(tools.program("kubectl")));
    let output = Command::new(kubectl).arg("kustomize").arg(folder).stdin(Stdio::null()).output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("not rendered: there is no kubectl; make cluster-tools gets one");
            return None;
        }
        output => output.expect("kubectl starts"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("kubectl writes UTF-8"))
}

fn files() -> BTreeMap<Id, Value> {
    let files = list(&kustomization(), "/resources");
    index(files.iter().flat_map(|file| documents(&format!("base/{}", string(file, "")))).collect())
}

fn index(objects: Vec<Value>) -> BTreeMap<Id, Value> {
    let count = objects.len();
    let id = |object: &Value| (string(object, "/kind"), string(object, "/metadata/name"));
    let index: BTreeMap<Id, Value> = objects.into_iter().map(|object| (id(&object), object)).collect();
    assert_eq!(index.len(), count, "an object twice");
    index
}

/// Where two values differ, and what stands there in the second: null where nothing does.
pub(crate) fn changes(from: &Value, to: &Value) -> BTreeMap<String, Value> {
    let keys: Vec<String> = match (from, to) {
        (Value::Object(from), Value::Object(to)) => from.keys().chain(to.keys()).cloned().collect(),
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            (0..from.len()).map(|index| index.to_string()).collect()
        }
        _ if from == to => return BTreeMap::new(),
        _ => return [(String::new(), to.clone())].into(),
    };
    let steps = keys.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")));
    let below = steps.flat_map(|step| {
        let changes = changes(&at(from, &step), &at(to, &step));
        changes.into_iter().map(move |(pointer, value)| (format!("{step}{pointer}"), value))
    });
    below.collect()
}
