//! Foresees a full disk: looks at the free space beside the data, has new messages refused before it is used up, and keeps
//! ballast for the case that it is used up all the same.
//!
//! What was acknowledged needs room to be sent: attempts, outcomes and receipts are written too, and a write that fails
//! ends the process. So there is a floor that only these may go below. Knows the file system as one number; who writes
//! what is not its matter, nor is what a shard does when it is told.
//!
//! Invariants:
//! 1. Free space under the floor: every shard has been told so, or is told at the next look.
//! 2. Room is told of only when the ballast is back and an eighth of the floor is free above it, so that the state does not
//!    flutter and a second shortage finds ballast again.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::{
    http::{DiskStatus, StatusBoard},
    mesh::Sender,
};

use super::core::ToCore;

/// The ballast's name in the data directory.
const BALLAST_FILE: &str = "ballast";
/// Between two looks. One system call, and the floor must hold what comes in between: 30 MiB at 300 MiB a second.
const PERIOD: Duration = Duration::from_millis(100);
/// What journals, memtables being written and compaction of one shard may take for a while, bytes.
const FLOOR_PER_SHARD: u64 = 256 << 20;
/// One part in so many of the file system is the most that the floor is, where the configuration leaves it open.
const FLOOR_SHARE: u64 = 10;
/// One part in so many of the floor is ballast, and so much free is too little.
const BALLAST_SHARE: u64 = 4;
/// One part in so many of the floor must be free above it before messages are taken again.
const RETURN_SHARE: u64 = 8;

/// Floor and ballast, and how they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gauge {
    floor: u64,
    ballast: u64,
    is_held: bool,
    is_full: bool,
}

/// What is to be done about the ballast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Release,
    Restore,
}

impl Gauge {
    /// Not full until a look says so; `is_held`: the ballast is there.
    const fn new(floor: u64, ballast: u64, is_held: bool) -> Self {
        Self { floor, ballast, is_held, is_full: false }
    }

    /// Decides by what is free now. After [`Step::Restore`] the caller says by [`Gauge::restored`] what came of it.
    const fn look(&mut self, free: u64) -> Step {
        let enough = self.floor + if self.is_full { self.floor / RETURN_SHARE } else { 0 };
        if self.is_held {
            self.is_full = free < enough;
            if free < self.floor / BALLAST_SHARE {
                self.is_held = false;
                return Step::Release;
            }
            return Step::Nothing;
        }
        self.is_full = true;
        if free >= self.floor + self.floor / RETURN_SHARE + self.ballast { Step::Restore } else { Step::Nothing }
    }

    /// The ballast is there again, and so is room.
    const fn restored(&mut self) {
        self.is_held = true;
        self.is_full = false;
    }
}

/// Looks until it is dropped. See the head of this file.
#[derive(Debug)]
pub struct Guard {
    gauge: Gauge,
    directory: PathBuf,
    free: u64,
}

/// Ends the looking when it is dropped.
#[derive(Debug)]
pub struct Watching {
    _stop: mpsc::Sender<()>,
}

impl Guard {
    /// Takes the first look, and does what it asks for: to be called before the stores are opened, for that writes. Where
    /// `floor` leaves it open, it follows from the number of shards and the size of the file system.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn start(directory: &Path, floor: Option<u64>, shards: u8) -> io::Result<Self> {
        let (free, size) = room(directory)?;
        let floor = floor.unwrap_or_else(|| (FLOOR_PER_SHARD * u64::from(shards)).min(size / FLOOR_SHARE));
        let ballast = floor / BALLAST_SHARE;
        let gauge = Gauge::new(floor, ballast, is_ballast(&directory.join(BALLAST_FILE), ballast));
        let mut guard = Self { gauge, directory: directory.to_owned(), free };
        guard.look(free);
        Ok(guard)
    }

    /// Tells the board and the cores what it found, then looks on a thread of its own. Cores that are told before they
    /// run know it before they are asked anything.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(mut self, board: Arc<StatusBoard>, cores: Vec<Sender<ToCore>>) -> io::Result<Watching> {
        let (stop, stopped) = mpsc::channel();
        // What each core was told last; a mailbox that is full is told at the next look.
        let mut told = vec![false; cores.len()];
        self.tell(&board, &cores, &mut told);
        thread::Builder::new().name("disk".to_owned()).spawn(move || {
            while stopped.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
                match room(&self.directory) {
                    Ok((free, _)) => self.look(free),
                    Err(error) => tracing::error!(%error, "the file system does not say how much is free"),
                }
                self.tell(&board, &cores, &mut told);
            }
        })?;
        Ok(Watching { _stop: stop })
    }

    fn tell(&self, board: &StatusBoard, cores: &[Sender<ToCore>], told: &mut [bool]) {
        let Gauge { floor, is_full, is_held, .. } = self.gauge;
        let status = DiskStatus { free_bytes: self.free, floor_bytes: floor, is_full, ballast_gone: !is_held };
        board.put_disk(status);
        for (core, told) in cores.iter().zip(told) {
            if *told != is_full && core.try_push(ToCore::DiskFull(is_full)).is_ok() {
                *told = is_full;
            }
        }
    }

    fn look(&mut self, free: u64) {
        self.free = free;
        let was_full = self.gauge.is_full;
        let ballast = self.directory.join(BALLAST_FILE);
        match self.gauge.look(free) {
            Step::Nothing => {}
            Step::Release => match fs::remove_file(&ballast) {
                Ok(()) => tracing::error!(free, "the disk is nearly full: the ballast is let go"),
                Err(error) => tracing::error!(free, %error, "the disk is nearly full, and the ballast stays"),
            },
            Step::Restore => match set_aside(&ballast, self.gauge.ballast) {
                Ok(()) => self.gauge.restored(),
                Err(error) => {
                    tracing::warn!(%error, "no ballast");
                    // Half of it would count as free space that is none.
                    let _ = fs::remove_file(&ballast);
                }
            },
        }
        match (was_full, self.gauge.is_full) {
            (false, true) => {
                tracing::warn!(
                    free,
                    floor = self.gauge.floor,
                    "the disk is full: new messages are refused, the rest goes on"
                );
            }
            (true, false) => tracing::info!(free, "the disk has room again: messages are taken"),
            (true, true) | (false, false) => {}
        }
    }
}

/// Bytes that this process may still write there, and the size of the file system.
fn room(directory: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(directory)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// Whether the ballast is there and really takes its room.
fn is_ballast(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == bytes && found.blocks() * 512 >= bytes)
}

/// Takes room without writing it. A file system that cannot do that has no ballast, and only its floor.
fn set_aside(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            tracing::warn!("this file system sets no room aside: there is no ballast, only the floor");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_under_the_floor_and_has_room_an_eighth_above_it() {
        let mut gauge = Gauge::new(800, 200, true);
        let mut looks = |free| (gauge.look(free), gauge.is_full);
        assert_eq!(looks(800), (Step::Nothing, false));
        assert_eq!(looks(799), (Step::Nothing, true));
        assert_eq!(looks(899), (Step::Nothing, true));
        assert_eq!(looks(900), (Step::Nothing, false));
        assert_eq!(looks(800), (Step::Nothing, false));
    }

    #[test]
    fn ballast_goes_near_the_end_and_comes_back_before_messages_do() {
        let mut gauge = Gauge::new(800, 200, true);
        let mut looks = |free, restored| {
            let step = gauge.look(free);
            if restored {
                gauge.restored();
            }
            (step, gauge.is_full, gauge.is_held)
        };
        assert_eq!(looks(200, false), (Step::Nothing, true, true));
        assert_eq!(looks(199, false), (Step::Release, true, false));
        assert_eq!(looks(399, false), (Step::Nothing, true, false));
        assert_eq!(looks(1_099, false), (Step::Nothing, true, false));
        // It could not be had: no room yet, whatever is free.
        assert_eq!(looks(1_100, false), (Step::Restore, true, false));
        assert_eq!(looks(1_100, true), (Step::Restore, false, true));
        assert_eq!(looks(900, false), (Step::Nothing, false, true));
    }

    #[test]
    fn ballast_is_set_aside_at_the_start_and_found_by_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(BALLAST_FILE);
        let guard = Guard::start(directory.path(), Some(4 << 20), 1).expect("looks");
        assert_eq!(guard.gauge, Gauge::new(4 << 20, 1 << 20, true));
        assert!(is_ballast(&path, 1 << 20));
        assert_eq!(Guard::start(directory.path(), Some(4 << 20), 1).expect("looks").gauge, guard.gauge);
        let mut guard = guard;
        guard.look(0);
        assert!(!path.exists() && guard.gauge.is_full);
        guard.look(8 << 20);
        assert!(is_ballast(&path, 1 << 20) && !guard.gauge.is_full);
    }

    #[test]
    fn a_floor_above_what_the_disk_has_is_full_from_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let guard = Guard::start(directory.path(), Some(1 << 60), 1).expect("looks");
        assert!(guard.gauge.is_full && !directory.path().join(BALLAST_FILE).exists());
        let board = Arc::new(StatusBoard::new(1));
        board.set_unready(Vec::new());
        let (core, mut inbox) = crate::mesh::thread_mailbox(4);
        let watching = guard.watch(Arc::clone(&board), vec![core]).expect("watches");
        let mut told = Vec::new();
        assert_eq!(inbox.drain(&mut told, 4), 1);
        assert!(matches!(told.as_slice(), [ToCore::DiskFull(true)]));
        assert!(board.disk().ballast_gone && board.unready().len() == 1);
        drop(watching);
    }
}
