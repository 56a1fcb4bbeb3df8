//! Berth's images, as they were built: what deploy/README.md says of them.

use std::path::Path;

use berth_kit::cluster::images::read;
use serde_json::{Value, json};

use crate::stage::images;

/// Each image, and the one program in it.
const IMAGES: [(&str, &str); 5] = [
    ("agent", "berth-agent"),
    ("aggregator", "berth-aggregator"),
    ("loadgen", "berth-loadgen"),
    ("refmodel", "refmodel"),
    ("scanner", "scanner"),
];

/// Anybody may run it.
const EXECUTES: u32 = 0o111;

/// Set-uid and set-gid.
const LENDS_RIGHTS: u32 = 0o6000;

#[test]
fn an_image_runs_one_program_as_nobody_and_holds_no_other_one() {
    let Some(images) = images() else { return };
    let archives = images.archives().unwrap();
    assert_eq!(archives.len(), IMAGES.len());
    for (archive, (target, program)) in archives.iter().zip(IMAGES) {
        let image = read(archive).unwrap();
        // As a kubelet reads the names in deploy/.
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(image.reference, format!("docker.io/library/berth-{target}:{version}"));
        assert_eq!(image.config["User"], json!("65532:65532"));
        assert_eq!(image.config["Entrypoint"], json!([format!("/usr/local/bin/{program}")]));
        assert_eq!(image.config["Cmd"], Value::Null);
        let runs = |path: &Path, mode: &u32| {
            let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
            let is_library = path.to_string_lossy().contains(".so");
            folder == "bin" || folder == "sbin" || mode & EXECUTES != 0 && !is_library
        };
        let files = image.files.iter().filter(|(path, mode)| runs(path, mode));
        let programs: Vec<_> = files.map(|(path, _)| path.as_path()).collect();
        assert_eq!(programs, [Path::new("usr/local/bin").join(program)], "a shell, say");
        let lent: Vec<_> = image.files.iter().filter(|(_, mode)| mode & LENDS_RIGHTS != 0).collect();
        assert!(lent.is_empty(), "{lent:?}");
    }
}
