//! Foresees a full disk: looks at the free space beside the data, has new messages refused before it is used up, keeps
//! ballast for the case that it is used up all the same, and has carriers held before the last of it is.
//!
//! What was acknowledged needs room to be sent: attempts, outcomes and receipts are written too, and a write that fails
//! ends the process. So there is a floor that only these may go below, and a reserve below that for what nobody can put off:
//! the answers that are out, and tables and checkpoints, which make room. Knows the file system as one number; who writes
//! what is not its matter, nor is what a shard or a link does when it is told.
//!
//! Invariants:
//! 1. Free space under the floor, or under the reserve: every core has been told so, or is told at the next look.
//! 2. Room is told of only when the ballast is back and an eighth of the floor is free above it, so that the state does not
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
/// Between two looks. One system call, and the floor must hold what comes in between: 30 MiB at 300 MiB a second.
const PERIOD: Duration = Duration::from_millis(100);
/// The same under the floor.
const PERIOD_LOW: Duration = Duration::from_millis(20);
/// How often cores are told again while there is little room: each time is a checkpoint, which drops what retention lets go.
const AGAIN: Duration = Duration::from_secs(30);
/// What the memtables of one shard take when they are written out, bytes: kept free when nothing more is sent.
const RESERVE_PER_SHARD: u64 = 64 << 20;
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
    /// Under it, with the ballast gone, carriers are held.
    reserve: u64,
    is_held: bool,
    is_full: bool,
    is_out: bool,
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
        self.is_out = free < self.reserve + if self.is_out { self.reserve / 2 } else { 0 };
        if free >= self.floor + self.floor / RETURN_SHARE + self.ballast { Step::Restore } else { Step::Nothing }
    }

    /// The ballast is there again, and so is room.
    const fn restored(&mut self) {
        self.is_held = true;
        self.is_full = false;
        self.is_out = false;
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
        let floor = floor_of(floor, shards, size);
        let ballast = floor / BALLAST_SHARE;
        let reserve = ballast.min(RESERVE_PER_SHARD * u64::from(shards));
        let gauge = Gauge::new(floor, ballast, reserve, is_ballast(&directory.join(BALLAST_FILE), ballast));
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
                    Err(error) => tracing::error!(%error, "the file system does not say how much is free"),
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
        let (room, floor, reserve) = (self.gauge.room(), self.gauge.floor, self.gauge.reserve);
        match room {
            _ if room == was => {}
            DiskRoom::Ample => tracing::info!(free, "the disk has room again: messages are taken"),
            DiskRoom::Low if was == DiskRoom::Out => {
                tracing::warn!(free, reserve, "carriers go on; the disk is still full")
            }
            DiskRoom::Low => {
                tracing::warn!(free, floor, "the disk is full: new messages are refused, the rest goes on")
            }
            DiskRoom::Out => {
                tracing::error!(
                    free,
                    reserve,
                    "the disk is used up: nothing is sent, and carriers are to deliver later"
                );
            }
        }
    }
}

/// What is free, and what must be, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// This process may still write so much.
    pub free: u64,
    /// Under it messages are refused.
    pub floor: u64,
    /// So much must be free for a start to take messages: the floor, and where there is no ballast yet, that and the distance
    /// which keeps the state from fluttering.
    pub needed: u64,
}

/// How it stands there; changes nothing.
///
/// # Errors
/// When the file system cannot be asked.
pub fn space(directory: &Path, floor: Option<u64>, shards: u8) -> io::Result<Space> {
    let (free, size) = room(directory)?;
    let floor = floor_of(floor, shards, size);
    let ballast = floor / BALLAST_SHARE;
    let is_held = is_ballast(&directory.join(BALLAST_FILE), ballast);
    let needed = if is_held { floor } else { floor + floor / RETURN_SHARE + ballast };
    Ok(Space { free, floor, needed })
}

/// A kind of file system, by its number (statfs(2)), that a 202 does not survive on: its name, and what is not survived.
pub const fn forgetful(kind: u64) -> Option<(&'static str, &'static str)> {
    match kind {
        0x0102_1994 => Some(("tmpfs", "a restart of the machine")),
        0x8584_58F6 => Some(("ramfs", "a restart of the machine")),
        0x794C_7630 => Some(("overlayfs", "a restart of its container, if that is made anew")),
        _ => None,
    }
}

/// The kind of the file system that holds the directory, or will: that of the nearest one above it that is there.
///
/// # Errors
/// When the file system cannot be asked.
pub fn kind(directory: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(directory)?;
    let there = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    Ok(statfs(there)?.f_type as u64 & 0xFFFF_FFFF)
}

/// As configured, or else by the number of shards and the size of the file system.
fn floor_of(configured: Option<u64>, shards: u8, size: u64) -> u64 {
    configured.unwrap_or_else(|| (FLOOR_PER_SHARD * u64::from(shards)).min(size / FLOOR_SHARE))
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
    let file = private::file(path, OpenOptions::new().write(true).create(true).truncate(true))?;
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
    fn carriers_are_held_before_what_the_ballast_gave_is_used_up() {
        let mut gauge = Gauge::new(800, 200, 160, true);
        let mut looks = |free| {
            let _ = gauge.look(free);
            gauge.room()
        };
        // The ballast is let go first, and gives its room.
        assert_eq!([900, 700, 150].map(&mut looks), [DiskRoom::Ample, DiskRoom::Low, DiskRoom::Low]);
        assert_eq!([350, 160, 159, 239, 240].map(&mut looks), {
            use DiskRoom::{Low, Out};
            [Low, Low, Out, Out, Low]
        });
        assert_eq!([100, 1_100].map(&mut looks), [DiskRoom::Out, DiskRoom::Low]);
        gauge.restored();
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
