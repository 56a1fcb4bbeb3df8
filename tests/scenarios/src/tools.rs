//! The programs that trials use and this tree does not build: `tools.sh` fetches them into the cache.
//!
//! Invariant: none of them is installed on the machine. Deliberately absent: fetching; a trial whose
//! program is not there is left out, and the run says so.

use std::path::{Path, PathBuf};

use crate::scene::Launch;

/// Where they are.
#[derive(Debug, Clone)]
pub struct Tools {
    dir: PathBuf,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// stress-ng.
    StressNg,
    /// nginx.
    Nginx,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
    /// Python with numpy, pandas, scikit-learn and gunicorn.
    Python,
}

impl Tools {
    /// Those in the folder that `tools.sh` printed; none without one.
    pub fn in_folder(dir: Option<PathBuf>) -> Self {
        // The machine's root has neither of the folders below.
        Self { dir: dir.unwrap_or_else(|| PathBuf::from("/")) }
    }

    /// Where it is: what is installed on the machine already, `tools.sh` does not unpack.
    pub fn path(&self, tool: Tool) -> PathBuf {
        let program = match tool {
            Tool::StressNg => "usr/bin/stress-ng",
            Tool::Nginx => "usr/sbin/nginx",
            Tool::Xz => "usr/bin/xz",
            Tool::Zstd => "usr/bin/zstd",
            Tool::Python => return self.dir.join("venv/bin/python"),
        };
        let unpacked = self.dir.join("debian").join(program);
        if unpacked.is_file() { unpacked } else { Path::new("/").join(program) }
    }

    /// Whether it is there.
    pub fn has(&self, tool: Tool) -> bool {
        self.path(tool).try_exists().unwrap_or(false)
    }

    /// Starts it; Debian's find their libraries beside them.
    pub fn launch(&self, tool: Tool) -> Launch {
        let mut launch = Launch::of(self.path(tool));
        if tool != Tool::Python {
            launch.library_path = Some(self.libraries());
        }
        launch
    }

    /// Where Debian's libraries lie.
    pub fn libraries(&self) -> PathBuf {
        let folder = format!("{}-linux-gnu", std::env::consts::ARCH);
        self.dir.join(Path::new("debian/usr/lib")).join(folder)
    }
}
