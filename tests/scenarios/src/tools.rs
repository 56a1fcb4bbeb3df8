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
    /// Those in the folder that `tools.sh` printed.
    pub fn in_folder(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it is.
    pub fn path(&self, tool: Tool) -> PathBuf {
        self.dir.join(match tool {
            Tool::StressNg => "debian/usr/bin/stress-ng",
            Tool::Nginx => "debian/usr/sbin/nginx",
            Tool::Xz => "debian/usr/bin/xz",
            Tool::Zstd => "debian/usr/bin/zstd",
            Tool::Python => "venv/bin/python",
        })
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
