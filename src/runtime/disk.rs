//! Acts before the disk is full: watches the free space of the data directory, has new messages refused before it is used up, keeps
//! ballast in case it is used up anyway, and stops sending to carriers before the last of it is gone.
//!
//! Sending messages that were acknowledged needs room: attempts, outcomes and receipts are written too, and a write that fails
//! ends the process. So only these may use space below the floor, and below that is a reserve for what cannot be put off:
//! responses that are still to come, and tables and checkpoints, which make room. Knows the file system as one number; does not
//! know what writes, nor what a shard or a link does when it is told.
//!
//! Invariants:
//! 1. Free space under the floor, or under the reserve: every core has been told so, or is told at the next look.
//! 2. Room is reported only when the ballast is back and an eighth of the floor is free above it, so that the state does not
//!    flutter and a second shortage finds ballast again.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FallocateFlags, fallocate, statfs, statvfs};

use crate::{
    disk::private,
    http::{DiskStatus, StatusBoard},
};
use stentor_core::{mesh::Sender, model::DiskRoom, node::NodeEvent};

use super::core::ToCore;

/// The ballast's name in the data directory.
const BALLAST_FILE: &str = "ballast";
/// Time between two looks. A look is one system call, and the floor must hold what is written in between: 30 MiB at 300 MiB/s.
const PERIOD: Duration = Duration::from_millis(100);
/// Time between two looks while free space is under the floor.
const PERIOD_LOW: Duration = Duration::from_millis(20);
/// How often cores are told again while room is short: each time they make a checkpoint, which drops what retention no longer
/// needs.
const AGAIN: Duration = Duration::from_secs(30);
/// Bytes that the memtables of one shard take when they are written out; kept free while nothing is sent.
const RESERVE_PER_SHARD: u64 = 64 << 20;
/// Bytes that journals, memtables being written and compaction of one shard may take for a while.
const FLOOR_PER_SHARD: u64 = 256 << 20;
/// If the configuration leaves the floor open, it is at most one part in this many of the file system.
const FLOOR_SHARE: u64 = 10;
/// The ballast is one part in this many of the floor; less free space than that is too little.
const BALLAST_SHARE: u64 = 4;
/// One part in this many of the floor must be free above it before messages are accepted again.
const RETURN_SHARE: u64 = 8;

/// Floor and ballast, and their current state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gauge {
    floor: u64,
    ballast: u64,
    /// Under it, with the ballast gone, nothing is sent to carriers.
    reserve: u64,
    is_held: bool,
    is_full: bool,
    is_out: bool,
}

/// What to do with the ballast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Release,
    Restore,
}

impl Gauge {
    /// Not full until a look says so; `is_held`: the ballast exists.
    const fn new(floor: u64, ballast: u64, reserve: u64, is_held: bool) -> Self {
        Self { floor, ballast, reserve, is_held, is_full: false, is_out: false }
    }

    const fn room(&self) -> DiskRoom {
        match (self.is_out, self.is_full) {
            (true, _) => DiskRoom::Out,
            (false, true) => DiskRoom::Low,
            (false, false) => DiskRoom::Ample,
        }
    }

    /// Decides by the current free space. After [`Step::Restore`] the caller reports success by [`Gauge::restored`].
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
        self.is_out = free < self.reserve + if self.is_out { self.reserve / 2 } else { 0 };
        if free >= self.floor + self.floor / RETURN_SHARE + self.ballast { Step::Restore } else { Step::Nothing }
    }

    /// The ballast exists again, and so there is room.
    const fn refilled(&mut self) {
        self.is_held = true;
        self.is_full = false;
        self.is_out = false;
    }
}

/// Watches the disk until it is dropped. See the head of this file.
#[derive(Debug)]
pub struct Guard {
    gauge: Gauge,
    directory: PathBuf,
    free: u64,
}

/// Dropping it stops the watching.
#[derive(Debug)]
pub struct Watching {
    _stop: mpsc::Sender<()>,
}

impl Guard {
    /// Takes the first look and does what it requires; must be called before the stores are opened, because opening writes. If
    /// `floor` is `None`, it follows from the number of shards and the size of the file system.
    ///
    /// # Errors
    /// When the free space cannot be read.
    pub fn start(directory: &Path, floor: Option<u64>, shards: u8) -> io::Result<Self> {
        let (free, size) = room(directory)?;
        let floor = floor_of(floor, shards, size);
        let ballast = floor / BALLAST_SHARE;
        let reserve = ballast.min(RESERVE_PER_SHARD * u64::from(shards));
        let gauge = Gauge::new(floor, ballast, reserve, is_ballast(&directory.join(BALLAST_FILE), ballast));
        let mut guard = Self { gauge, directory: directory.to_owned(), free };
        guard.look(free);
        Ok(guard)
    }

    /// Tells the board and the cores the result, then looks on a thread of its own. A core that is told before it runs
    /// knows it before the first request.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(mut self, board: Arc<StatusBoard>, cores: Vec<Sender<ToCore>>) -> io::Result<Watching> {
        let (stop, stopped) = mpsc::channel();
        // What each core was told last; a core whose mailbox is full is told at the next look.
        let mut told = vec![DiskRoom::Ample; cores.len()];
        let mut told_at = Instant::now();
        self.tell(&board, &cores, &mut told);
        thread::Builder::new().name("disk".to_owned()).spawn(move || {
            loop {
                let period = if self.gauge.is_full { PERIOD_LOW } else { PERIOD };
                if stopped.recv_timeout(period) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
                if self.gauge.is_full && told_at.elapsed() >= AGAIN {
                    told_at = Instant::now();
                    told.fill(DiskRoom::Ample);
                }
                match room(&self.directory) {
                    Ok((free, _)) => self.look(free),
                    Err(error) => tracing::error!(%error, "the free space of the file system cannot be read"),
                }
                self.tell(&board, &cores, &mut told);
            }
        })?;
        Ok(Watching { _stop: stop })
    }

    fn tell(&self, board: &StatusBoard, cores: &[Sender<ToCore>], told: &mut [DiskRoom]) {
        let Gauge { floor, is_full, is_held, .. } = self.gauge;
        let status = DiskStatus { free_bytes: self.free, floor_bytes: floor, is_full, ballast_gone: !is_held };
        board.put_disk(status);
        let room = self.gauge.room();
        for (core, told) in cores.iter().zip(told) {
            if *told != room && core.try_push(ToCore::Node(NodeEvent::Disk(room))).is_ok() {
                *told = room;
            }
        }
    }

    fn look(&mut self, free: u64) {
        self.free = free;
        let was = self.gauge.room();
        let ballast = self.directory.join(BALLAST_FILE);
        match self.gauge.look(free) {
            Step::Nothing => {}
            Step::Release => match fs::remove_file(&ballast) {
                Ok(()) => tracing::error!(free, "the disk is nearly full: the ballast is released"),
                Err(error) => {
                    tracing::error!(free, %error, "the disk is nearly full, and the ballast cannot be released")
                }
            },
            Step::Restore => match set_aside(&ballast, self.gauge.ballast) {
                Ok(()) => self.gauge.refilled(),
                Err(error) => {
                    tracing::warn!(%error, "no ballast");
                    // Half a ballast would take room that is counted as free.
                    let _ = fs::remove_file(&ballast);
                }
            },
        }
        let (room, floor, reserve) = (self.gauge.room(), self.gauge.floor, self.gauge.reserve);
        match room {
            _ if room == was => {}
            DiskRoom::Ample => tracing::info!(free, "the disk has room again: new messages are accepted"),
            DiskRoom::Low if was == DiskRoom::Out => {
                tracing::warn!(free, reserve, "sending goes on; the disk is still full")
            }
            DiskRoom::Low => {
                tracing::warn!(free, floor, "the disk is full: new messages are refused, sending goes on")
            }
            DiskRoom::Out => {
                tracing::error!(
                    free,
                    reserve,
                    "the disk is used up: nothing is sent, and carriers are asked to deliver later"
                );
            }
        }
    }
}

/// Free space, and the space that must be free, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Under it, new messages are refused.
    pub floor: u64,
    /// Bytes that must be free for a start to accept messages: the floor, and if there is no ballast yet, also the ballast and the
    /// distance that keeps the state from fluttering.
    pub needed: u64,
}

/// The space at this directory; changes nothing.
///
/// # Errors
/// When the free space cannot be read.
pub fn space(directory: &Path, floor: Option<u64>, shards: u8) -> io::Result<Space> {
    let (free, size) = room(directory)?;
    let floor = floor_of(floor, shards, size);
    let ballast = floor / BALLAST_SHARE;
    let is_held = is_ballast(&directory.join(BALLAST_FILE), ballast);
    let needed = if is_held { floor } else { floor + floor / RETURN_SHARE + ballast };
    Ok(Space { free, floor, needed })
}

/// A kind of file system, by its number (statfs(2)), on which acknowledged messages can be lost: its name, and what loses them.
pub const fn forgetful(kind: u64) -> Option<(&'static str, &'static str)> {
    match kind {
        0x0102_1994 => Some(("tmpfs", "a restart of the machine")),
        0x8584_58F6 => Some(("ramfs", "a restart of the machine")),
        0x794C_7630 => Some(("overlayfs", "a restart of its container, if that creates a new one")),
        _ => None,
    }
}

/// The kind of the file system that holds the directory, or will hold it: that of the nearest existing parent.
///
/// # Errors
/// When the file system cannot be read.
pub fn kind(directory: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(directory)?;
    let there = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    Ok(statfs(there)?.f_type as u64 & 0xFFFF_FFFF)
}

/// The floor as configured, else by the number of shards and the size of the file system.
fn floor_of(configured: Option<u64>, shards: u8, size: u64) -> u64 {
    configured.unwrap_or_else(|| (FLOOR_PER_SHARD * u64::from(shards)).min(size / FLOOR_SHARE))
}

/// Bytes that this process may still write, and the size of the file system.
fn room(directory: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(directory)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// Whether the ballast exists and really takes its room.
fn is_ballast(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == bytes && found.blocks() * 512 >= bytes)
}

/// Reserves room without writing it. On a file system that cannot do that there is no ballast, only the floor.
fn set_aside(path: &Path, bytes: u64) -> io::Result<()> {
    let file = private::file(path, OpenOptions::new().write(true).create(true).truncate(true))?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            tracing::warn!("this file system cannot reserve space: there is no ballast, only the floor");
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
        let mut gauge = Gauge::new(800, 200, 200, true);
        let mut looks = |free| (gauge.look(free), gauge.is_full);
        assert_eq!(looks(800), (Step::Nothing, false));
        assert_eq!(looks(799), (Step::Nothing, true));
        assert_eq!(looks(899), (Step::Nothing, true));
        assert_eq!(looks(900), (Step::Nothing, false));
        assert_eq!(looks(800), (Step::Nothing, false));
    }

    #[test]
    fn ballast_goes_near_the_end_and_comes_back_before_messages_do() {
        let mut gauge = Gauge::new(800, 200, 200, true);
        let mut looks = |free, restored| {
            let step = gauge.look(free);
            if restored {
                gauge.refilled();
            }
            (step, gauge.is_full, gauge.is_held)
        };
        assert_eq!(looks(200, false), (Step::Nothing, true, true));
        assert_eq!(looks(199, false), (Step::Release, true, false));
        assert_eq!(looks(399, false), (Step::Nothing, true, false));
        assert_eq!(looks(1_099, false), (Step::Nothing, true, false));
        // The ballast could not be restored: there is no room yet, whatever is free.
        assert_eq!(looks(1_100, false), (Step::Restore, true, false));
        assert_eq!(looks(1_100, true), (Step::Restore, false, true));
        assert_eq!(looks(900, false), (Step::Nothing, false, true));
    }

    #[test]
    fn carriers_are_held_before_what_the_ballast_gave_is_used_up() {
        let mut gauge = Gauge::new(800, 200, 160, true);
        let mut looks = |free| {
            let _ = gauge.look(free);
            gauge.room()
        };
        // The ballast is released first, and makes room.
        assert_eq!([900, 700, 150].map(&mut looks), [DiskRoom::Ample, DiskRoom::Low, DiskRoom::Low]);
        assert_eq!([350, 160, 159, 239, 240].map(&mut looks), {
            use DiskRoom::{Low, Out};
            [Low, Low, Out, Out, Low]
        });
        assert_eq!([100, 1_100].map(&mut looks), [DiskRoom::Out, DiskRoom::Low]);
        gauge.refilled();
        assert_eq!(gauge.room(), DiskRoom::Ample);
    }

    #[test]
    fn ballast_is_set_aside_at_the_start_and_found_by_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(BALLAST_FILE);
        let guard = Guard::start(directory.path(), Some(4 << 20), 1).expect("looks");
        assert_eq!(guard.gauge, Gauge::new(4 << 20, 1 << 20, 1 << 20, true));
        assert!(is_ballast(&path, 1 << 20));
        assert_eq!(Guard::start(directory.path(), Some(4 << 20), 1).expect("looks").gauge, guard.gauge);
        let space = |floor| space(directory.path(), Some(floor), 1).expect("looks");
        assert_eq!(space(4 << 20).needed, 4 << 20, "its ballast is there");
        assert_eq!(space(8 << 20).needed, (8 << 20) + (1 << 20) + (2 << 20), "ballast of another size is none");
        let mut guard = guard;
        guard.look(0);
        assert!(!path.exists() && guard.gauge.is_full);
        guard.look(8 << 20);
        assert!(is_ballast(&path, 1 << 20) && !guard.gauge.is_full);
    }

    #[test]
    fn a_core_whose_mailbox_was_full_is_told_at_the_next_look() {
        let directory = tempfile::tempdir().expect("a directory");
        let guard = Guard::start(directory.path(), Some(1 << 60), 1).expect("looks");
        let board = StatusBoard::new(1);
        let (core, mut inbox) = stentor_core::mesh::thread_mailbox(1);
        while core.try_push(ToCore::Node(NodeEvent::Drain)).is_ok() {}
        let (cores, mut told, mut got) = ([core], [DiskRoom::Ample], Vec::new());
        guard.tell(&board, &cores, &mut told);
        assert_eq!(told, [DiskRoom::Ample], "there was no room to tell it");
        inbox.drain(&mut got, usize::MAX);
        assert!(got.iter().all(|mail| matches!(mail, ToCore::Node(NodeEvent::Drain))), "{got:?}");
        got.clear();
        guard.tell(&board, &cores, &mut told);
        assert_eq!((told, inbox.drain(&mut got, usize::MAX)), ([guard.gauge.room()], 1));
        assert!(matches!(got[..], [ToCore::Node(NodeEvent::Disk(DiskRoom::Low | DiskRoom::Out))]), "{got:?}");
    }

    #[test]
    fn a_floor_above_what_the_disk_has_is_full_from_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let guard = Guard::start(directory.path(), Some(1 << 60), 1).expect("looks");
        assert!(guard.gauge.is_full && !directory.path().join(BALLAST_FILE).exists());
        let board = Arc::new(StatusBoard::new(1));
        board.set_unready(Vec::new());
        let (core, mut inbox) = stentor_core::mesh::thread_mailbox(4);
        let watching = guard.watch(Arc::clone(&board), vec![core]).expect("watches");
        let mut told = Vec::new();
        assert_eq!(inbox.drain(&mut told, 4), 1);
        assert!(matches!(told.as_slice(), [ToCore::Node(NodeEvent::Disk(DiskRoom::Low | DiskRoom::Out))]));
        assert!(board.disk().ballast_gone && board.unready().len() == 1);
        drop(watching);
    }
}
