//! The programs that a cluster is made of: those of `tests/cluster/tools.sh`, which builds and
//! unpacks them into the cache.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

/// From this package's folder to the script.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/tools.sh");

/// What a node of the ring sees its own of, so that what this machine has there is out of its sight.
const HIDDEN: [&str; 3] = ["/mnt", "/run", "/var"];

/// Where the programs are, and where clusters may live.
#[derive(Debug, Clone)]
pub struct Tools {
    cache: PathBuf,
    folder: PathBuf,
}

impl Tools {
    /// Finds them, or says in one line why no cluster runs here.
    pub fn find() -> Result<Self, String> {
        let cache = cache()?;
        if HIDDEN.iter().any(|hidden| cache.starts_with(hidden)) {
            return Err(format!("put BERTH_CACHE elsewhere: a node of the ring has its own {HIDDEN:?}"));
        }
        Ok(Self { folder: have(SCRIPT, &cache)?, cache })
    }

    /// The folder in which clusters live.
    pub(super) fn clusters(&self) -> PathBuf {
        self.cache.join("cluster/run")
    }

    /// Where the programs that were built lie, `kubectl` among them.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of the programs that were built.
    pub fn program(&self, name: &str) -> PathBuf {
        // Users of Kubernetes' own test tools expect that theirs win.
        let theirs = env::var_os("KUBEBUILDER_ASSETS").map(|assets| Path::new(&assets).join(name));
        theirs.filter(|path| path.is_file()).unwrap_or_else(|| self.programs().join(name))
    }

    /// Sets a command's environment so that it finds the programs and their libraries.
    pub(super) fn lend(&self, command: &mut Command) {
        let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let unpacked = ["bin", "debian/usr/bin", "debian/usr/sbin"].map(|part| self.folder.join(part));
        let system = env::var_os("PATH").unwrap_or_default();
        let path = assets.into_iter().chain(unpacked).chain(env::split_paths(&system));
        command.env("PATH", env::join_paths(path).unwrap_or(system.clone()));
        command.env("LD_LIBRARY_PATH", self.libraries());
        command.env("TOOLS", &self.folder);
    }

    /// Debian puts libraries into a folder named after the architecture.
    fn libraries(&self) -> OsString {
        let roots = ["debian/usr/lib", "debian/lib"].map(|part| self.folder.join(part));
        let folders = roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten();
        let named =
            folders.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
        env::join_paths(named).unwrap_or_default()
    }

    /// The CNI plugins: those that were unpacked, else those of the system.
    pub(super) fn network_plugins(&self) -> PathBuf {
        let unpacked = self.folder.join("debian/usr/lib/cni");
        if unpacked.is_dir() { unpacked } else { "/usr/lib/cni".into() }
    }
}

/// The folder of the cache in which a script's work lies, or its one line on why there is none.
pub(super) fn have(script: &str, cache: &Path) -> Result<PathBuf, String> {
    let output = Command::new(script).arg("--have").arg(cache).output();
    let output = output.map_err(|error| format!("cannot run {script}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// The cache folder, found as the Makefile finds it.
pub(super) fn cache() -> Result<PathBuf, String> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("BERTH_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("berth")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/berth")))
        .ok_or_else(|| "set BERTH_CACHE or HOME: what the cluster is made of lies below".to_owned())
}

/// Writes a file of the cluster's.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
