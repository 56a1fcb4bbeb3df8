//! Image archives, as `ctr images import` and `docker load` read them, made with no registry and no
//! builder: one layer, one program and its libraries.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The image of the ring's own pods, and of every pod's sandbox: `tests/cluster/tools/pod`.
pub const POD_IMAGE: &str = "berth.test/pod:1";

/// Nobody, as the Dockerfile has it.
const USER: &str = "65532:65532";

/// Writes an archive of the image `reference`, which runs `program` at `/NAME`, as the number that
/// Berth's images run as. Beside it lie the libraries that it is linked to, and nothing else.
pub fn write(archive: &Path, reference: &str, program: &Path) -> anyhow::Result<()> {
    let name = program.file_name().context("name a program")?.to_string_lossy();
    let mut layer = Layer::default();
    layer.add(program, &name)?;
    for library in libraries(program)? {
        layer.add(&library, &library.to_string_lossy())?;
    }
    let layer = layer.tar.into_inner()?;
    let digest = hex(&layer);
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": [format!("/{name}")], "User": USER},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    })
    .to_string();
    let (config_name, layer_name) =
        (format!("{}.json", hex(config.as_bytes())), format!("{digest}/layer.tar"));
    let manifest = json!([{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}]);
    let file = File::create(archive).with_context(|| format!("make {}", archive.display()))?;
    let mut image = tar::Builder::new(file);
    entry(&mut image, &config_name, config.as_bytes())?;
    entry(&mut image, &layer_name, &layer)?;
    entry(&mut image, "manifest.json", manifest.to_string().as_bytes())?;
    image.finish().with_context(|| format!("write {}", archive.display()))
}

/// An image's one layer.
struct Layer {
    tar: tar::Builder<Vec<u8>>,
    folders: BTreeSet<PathBuf>,
}

impl Default for Layer {
    fn default() -> Self {
        Self { tar: tar::Builder::new(Vec::new()), folders: BTreeSet::new() }
    }
}

impl Layer {
    /// Adds the file `source` as `path`, and the folders above it, which anybody may pass.
    fn add(&mut self, source: &Path, path: &str) -> anyhow::Result<()> {
        let path = Path::new(path.trim_start_matches('/'));
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        above.reverse();
        for folder in above {
            if self.folders.insert(folder.to_owned()) {
                let mut header = header(0)?;
                header.set_entry_type(tar::EntryType::Directory);
                self.tar.append_data(&mut header, folder, [].as_slice())?;
            }
        }
        let content = fs::read(source).with_context(|| format!("read {}", source.display()))?;
        entry(&mut self.tar, &path.to_string_lossy(), &content)
    }
}

fn header(size: usize) -> anyhow::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(size)?);
    header.set_mode(0o755);
    Ok(header)
}

fn entry<W: Write>(tar: &mut tar::Builder<W>, name: &str, content: &[u8]) -> anyhow::Result<()> {
    tar.append_data(&mut header(content.len())?, name, content).with_context(|| format!("add {name}"))
}

/// The libraries of a program, its loader among them; none of a static one.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    // It fails for a static program, which is no error here.
    let said = String::from_utf8_lossy(&output.stdout);
    let paths = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
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
    use super::*;

    #[test]
    fn an_image_holds_its_program_its_libraries_and_the_folders_above_them() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("image.tar");
        // A test program of Rust is linked to libc at least.
        let program = std::env::current_exe().unwrap();
        write(&archive, "berth.test/some:1", &program).unwrap();
        let mut image = tar::Archive::new(File::open(&archive).unwrap());
        let layer = image.entries().unwrap().map(Result::unwrap);
        let layer = { layer }.find(|entry| entry.path().unwrap().ends_with("layer.tar")).unwrap();
        let mut layer = tar::Archive::new(layer);
        let entries = layer.entries().unwrap().map(Result::unwrap);
        let paths: Vec<_> = entries.map(|entry| entry.path().unwrap().into_owned()).collect();
        assert_eq!(paths[0], Path::new(program.file_name().unwrap()));
        let libc = paths.iter().position(|path| path.to_string_lossy().contains("libc.so")).unwrap();
        let folder = paths.iter().position(|path| path == paths[libc].parent().unwrap()).unwrap();
        assert!(folder < libc);
    }
}
