//! A pandas scan, as an analyst leaves it running.

use std::path::Path;

use anyhow::Context as _;

use crate::{
    scene::Launch,
    tools::{Tool, Tools},
};

/// What it does.
const SCRIPT: &str = include_str!("scan.py");

pub(super) fn launch(tools: &Tools, scratch: &Path) -> anyhow::Result<Launch> {
    let file = scratch.join("scan.py");
    std::fs::write(&file, SCRIPT).with_context(|| format!("write {}", file.display()))?;
    Ok(tools.launch(Tool::Python).args([file]))
}
