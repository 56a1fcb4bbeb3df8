//! A terminal without a person: the master side of a pseudo-terminal.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a program shows on it.
pub(crate) struct Terminal {
    master: File,
    pub(crate) seen: String,
}

impl Terminal {
    /// A terminal, and the stdout of a program that shows itself there.
    pub(crate) fn open() -> (Self, Stdio) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let stdout = File::options().read(true).write(true).open(name).unwrap();
        (Self { master: master.into(), seen: String::new() }, stdout.into())
    }

    /// Reads until the text was shown; fails when the program ends before.
    pub(crate) fn until(&mut self, text: &str) {
        let mut buffer = [0; 4_096];
        while !self.seen.contains(text) {
            let count = self.master.read(&mut buffer).expect("the program ended before it showed the text");
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
}
