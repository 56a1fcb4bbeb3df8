//! What one request of each kind of victim costs in CPU time, measured once and kept with the results.
//!
//! Invariant: all trials of one results folder use the same cost, so the same class means the same load.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

/// The costs that are known.
#[derive(Debug)]
pub struct Costs {
    file: PathBuf,
    usec: RefCell<BTreeMap<String, f64>>,
}

impl Costs {
    /// Those that were measured before for this folder.
    pub fn kept_in(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join("costs.kept");
        let usec = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("parse {}", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        Ok(Self { file, usec: RefCell::new(usec) })
    }

    /// The cost of `key`, by `measure` if it is not known yet.
    pub async fn of(
        &self,
        key: &str,
        measure: impl Future<Output = anyhow::Result<Duration>>,
    ) -> anyhow::Result<Duration> {
        let known = self.usec.borrow().get(key).copied();
        if let Some(usec) = known {
            return Ok(Duration::from_secs_f64(usec / 1e6));
        }
        let cost = measure.await?;
        self.usec.borrow_mut().insert(key.to_owned(), cost.as_secs_f64() * 1e6);
        let text = serde_json::to_string_pretty(&*self.usec.borrow()).context("write costs as JSON")?;
        fs::write(&self.file, text + "\n").with_context(|| format!("write {}", self.file.display()))?;
        Ok(cost)
    }
}
