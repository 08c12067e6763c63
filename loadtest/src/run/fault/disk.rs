//! A file system of its own in a file: made, mounted, cut off as by a power cut, filled up, made to fail, mounted
//! again. Unmounted and removed with its owner, whatever happened. Knows mounts; knows nothing of the processes that
//! write there.
//!
//! The cut is `xfs_io -x -c shutdown` (the ioctl GOINGDOWN without flushing the log, which ext4 supports too): from
//! then on no byte reaches the file, and unsynced data is lost with the page cache when the file system is unmounted.
//! The failing disk uses nbdkit's error and delay filters, seen through nbdfuse as a file under the loop device: this
//! kernel has no dm.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::super::means::{Need, run};
use super::super::process::Process;

/// How long a server may take until its file appears, or until it ends.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(20);

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FileSystem {
    Ext4,
    Xfs,
}

/// What the loop device is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Under {
    /// The file itself.
    File,
    /// nbdkit over the file: writes can be made to fail, and take `delay` longer.
    Nbd { delay: Duration },
}

/// The file system, mounted.
#[derive(Debug)]
pub(super) struct Disk {
    /// The image, or nbdfuse's view of it.
    device: PathBuf,
    mount: PathBuf,
    is_mounted: bool,
    server: Option<Server>,
}

#[derive(Debug)]
struct Server {
    process: Process,
    mount: PathBuf,
    /// While this file exists, writes fail.
    inject: PathBuf,
}

impl FileSystem {
    /// What the machine must have for this file system.
    pub(super) fn need(self) -> Need {
        match self {
            Self::Ext4 => Need::Tool("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => Need::Tool("mkfs.xfs", "xfsprogs"),
        }
    }

    fn make(self, image: &str) -> Result<(), String> {
        match self {
            Self::Ext4 => run("mkfs.ext4", &["-q", "-F", image]),
            Self::Xfs => run("mkfs.xfs", &["-q", "-f", image]),
        }
    }
}

impl Disk {
    /// Makes a file system of `mib` MiB in a file in `directory`, and mounts it at `mount`.
    pub(super) fn make(
        directory: &Path,
        mount: &Path,
        system: FileSystem,
        mib: u64,
        under: Under,
    ) -> Result<Self, String> {
        let image = directory.join("disk.img");
        let made =
            File::create(&image).and_then(|file| file.set_len(mib << 20)).and_then(|()| fs::create_dir_all(mount));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        system.make(text(&image)?)?;
        let mut disk = Self { device: image.clone(), mount: mount.to_owned(), is_mounted: false, server: None };
        if let Under::Nbd { delay } = under {
            let server = Server::start(directory, &image, delay)?;
            disk.device = server.mount.join("disk");
            disk.server = Some(server);
        }
        disk.mount()?;
        Ok(disk)
    }

    /// From now on no write reaches the disk, and unsynced data is lost.
    pub(super) fn cut(&self) -> Result<(), String> {
        run("xfs_io", &["-x", "-c", "shutdown", text(&self.mount)?])
    }

    /// Unmounts and mounts again, so that only the contents of the disk are there. No process may have files open.
    pub(super) fn remount(&mut self) -> Result<(), String> {
        run("umount", &[text(&self.mount)?])?;
        self.is_mounted = false;
        self.mount()
    }

    /// Makes every write fail, or succeed again.
    pub(super) fn fail_writes(&self, is_failing: bool) -> Result<(), String> {
        let server = self.server.as_ref().ok_or("only a disk over nbdkit can be made to fail")?;
        let done = if is_failing { File::create(&server.inject).map(drop) } else { fs::remove_file(&server.inject) };
        done.map_err(|error| format!("{}: {error}", server.inject.display()))
    }

    /// Free bytes.
    pub(super) fn free(&self) -> Result<u64, String> {
        let found = rustix::fs::statvfs(&self.mount).map_err(|error| format!("{}: {error}", self.mount.display()))?;
        Ok(found.f_bavail * found.f_frsize)
    }

    /// Fills the disk with a foreign file until about `left` bytes are free.
    pub(super) fn fill_up(&self, left: u64) -> Result<(), String> {
        let path = self.filler();
        let file = File::options().append(true).create(true).open(&path);
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        let has = file.metadata().map_err(|error| error.to_string())?.len();
        let more = self.free()?.saturating_sub(left);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), has, more.max(1))
            .map_err(|error| format!("{}: {more} bytes: {error}", path.display()))
    }

    /// Removes that file.
    pub(super) fn free_up(&self) -> Result<(), String> {
        let path = self.filler();
        fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn filler(&self) -> PathBuf {
        self.mount.join("filler")
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.device)?, text(&self.mount)?])?;
        self.is_mounted = true;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = text(&self.mount).and_then(|mount| {
                // The processes that used it have ended; if one has not, the mount goes with the last of them.
                run("umount", &[mount]).or_else(|_| run("umount", &["-l", mount]))
            })
        {
            eprintln!("loadtest: {error}");
        }
    }
}

impl Server {
    fn start(directory: &Path, image: &Path, delay: Duration) -> Result<Self, String> {
        let mount = directory.join("nbd");
        let inject = directory.join("writes-fail");
        fs::create_dir_all(&mount).map_err(|error| format!("{}: {error}", mount.display()))?;
        let mut command = Command::new("nbdfuse");
        command.arg(mount.join("disk")).args(["--command", "nbdkit", "-s", "--exit-with-parent"]);
        command.args(["--filter=error", "--filter=delay", "file"]).arg(image);
        command.args(["error-pwrite=EIO", "error-pwrite-rate=100%"]);
        command.arg(format!("error-pwrite-file={}", inject.display()));
        command.arg(format!("wdelay={}ms", delay.as_millis()));
        let process = Process::start("nbdfuse", directory, &mut command)?;
        let mut server = Self { process, mount, inject };
        let begun = Instant::now();
        while !server.mount.join("disk").is_file() {
            server.process.check_alive()?;
            if begun.elapsed() > PATIENCE {
                return Err(server.process.failure("does not show its file"));
            }
            thread::sleep(TICK);
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server ends by itself once its mount is gone, and nbdkit with it.
        let ended = text(&self.mount)
            .and_then(|mount| run("umount", &[mount]).or_else(|_| run("umount", &["-l", mount])))
            .and_then(|()| self.process.wait(PATIENCE).map(drop));
        if let Err(error) = ended {
            eprintln!("loadtest: {error}");
        }
    }
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))
}
