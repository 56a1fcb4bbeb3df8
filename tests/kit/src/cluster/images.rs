//! Berth's own images: those of `tests/cluster/images.sh`, which builds the Dockerfile's targets from
//! this tree.
//!
//! Invariant: what is found here was built from exactly the sources that are here now.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::tools::{self, cache};

/// From this package's folder to the script.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/images.sh");

/// The archives that were built.
#[derive(Debug, Clone)]
pub struct Images {
    folder: PathBuf,
}

impl Images {
    /// Finds them, or says in one line why there are none.
    pub fn find() -> Result<Self, String> {
        Ok(Self { folder: tools::have(SCRIPT, &cache()?)? })
    }

    /// One archive an image, by name: `agent.tar` holds `berth-agent`.
    pub fn archives(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder).context("list Berth's images")?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        let mut archives: Vec<_> =
            paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "tar")).collect();
        archives.sort();
        Ok(archives)
    }
}

/// What an image archive says and holds.
#[derive(Debug)]
pub struct Contents {
    /// Its name, with registry and tag.
    pub reference: String,
    /// How its container starts.
    pub config: Value,
    /// Every file and link of its layers, and its mode; of a symbolic link 0.
    pub files: Vec<(PathBuf, u32)>,
}

/// Reads an archive of one image.
pub fn read(archive: &Path) -> anyhow::Result<Contents> {
    let manifest: Value = serde_json::from_slice(&member(archive, "manifest.json")?)?;
    let images = manifest.as_array().context("read the manifest")?;
    ensure!(images.len() == 1, "{} holds {} images", archive.display(), images.len());
    let image = &images[0];
    let text = |value: &Value| value.as_str().map(str::to_owned).context("read the manifest");
    let config: Value = serde_json::from_slice(&member(archive, &text(&image["Config"])?)?)?;
    let mut files = Vec::new();
    for layer in image["Layers"].as_array().context("read the manifest")? {
        let layer = member(archive, &text(layer)?)?;
        for entry in tar::Archive::new(layer.as_slice()).entries()? {
            let entry = entry?;
            if !entry.header().entry_type().is_dir() {
                let is_link = entry.header().entry_type().is_symlink();
                let mode = if is_link { 0 } else { entry.header().mode()? };
                files.push((entry.path()?.into_owned(), mode));
            }
        }
    }
    Ok(Contents { reference: text(&image["RepoTags"][0])?, config: config["config"].clone(), files })
}

fn member(archive: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let file = File::open(archive).with_context(|| format!("open {}", archive.display()))?;
    for entry in tar::Archive::new(file).entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(name) {
            // A layer's second name is a link to its first.
            if let Some(target) = entry.link_name()? {
                let above = Path::new(name).parent().unwrap_or(Path::new("")).join(target);
                return member(archive, &above.to_string_lossy());
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    anyhow::bail!("{} has no {name}", archive.display())
}
