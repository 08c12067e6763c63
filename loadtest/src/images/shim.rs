//! Builds the shim (`disk_shim.c`) with the C compiler and preloads it into a process.
//!
//! Knows the compiler's arguments and the shim's variables. Refuses to know what is traced or which call fails.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("disk_shim.c");

/// The shim, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Shim(PathBuf);

impl Shim {
    /// Compiles it into `directory`.
    pub(crate) fn build(directory: &Path) -> Result<Self, String> {
        let (source, library) = (directory.join("disk_shim.c"), directory.join("disk_shim.so"));
        std::fs::write(&source, SOURCE).map_err(|error| format!("{}: {error}", source.display()))?;
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let output = Command::new(&compiler)
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-lpthread")
            .output()
            .map_err(|error| format!("{compiler}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{compiler}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Self(library))
    }

    /// The library to be preloaded.
    pub(crate) fn library(&self) -> &Path {
        &self.0
    }

    /// Has everything that this process does to the files under `root` recorded in the file `trace`.
    pub(crate) fn trace(&self, command: &mut Command, root: &Path, trace: &Path) {
        command.env("LD_PRELOAD", &self.0).env("DISK_ROOT", root).env("DISK_TRACE", trace);
    }
}
