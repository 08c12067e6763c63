//! Finds out, before an executor is started, whether the kernel offers what it needs: io_uring and locked memory, or epoll.
//!
//! Without this, glommio would panic with a message that does not help the operator. Knows what each kind of executor needs,
//! and what the operator can do about a refusal; starts no executor.

use std::{fmt, io, ops::RangeInclusive, thread};

use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    time::{TimerfdClockId, TimerfdFlags, timerfd_create},
};

use serde::{Deserialize, Serialize};

/// What the operator wants executors to use: `node.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeIo {
    /// `io_uring` where it works, else `epoll`.
    Auto,
    /// Needs [`KERNEL_MIN`], locked memory, and no seccomp filter that forbids it.
    IoUring,
    /// Works everywhere.
    Epoll,
}

/// The kernel interface that executors use to wait for sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// io_uring.
    Uring,
    /// epoll, which every Linux has.
    Epoll,
}

#[cfg(test)]
impl Io {
    /// The kinds that work where the tests run; in CI both must work.
    pub fn here() -> Vec<Self> {
        match probe_uring(2) {
            Ok(()) => vec![Self::Uring, Self::Epoll],
            Err(error) => {
                eprintln!("SKIPPED on io_uring: {error}");
                assert!(std::env::var_os("CI").is_none(), "{error}");
                vec![Self::Epoll]
            }
        }
    }
}

impl fmt::Display for Io {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// The chosen kind of executor, and why. `Display` writes the line for the log.
#[derive(Debug)]
pub struct Choice {
    /// The kernel interface that executors are to use.
    pub io: Io,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// `node.io` names it.
    Wanted,
    /// io_uring works, and is preferred.
    Works,
    /// io_uring does not work, for this reason.
    Instead(ProbeError),
}

impl fmt::Display for Choice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Wanted => write!(out, "executor {}: node.io wants it", self.io),
            Why::Works => write!(out, "executor {}: it works here", self.io),
            Why::Instead(error) => write!(out, "executor {}: {} ({error})", self.io, error.brief()),
        }
    }
}

/// Entries of each ring, both for the probe and for executors.
pub const RING_DEPTH: u32 = 128;
/// Bytes of buffers that each executor registers with each of its three rings.
pub const IO_MEMORY: usize = 64 << 10;

/// Glommio 0.9.0 refuses to start below this soft limit (`sys/uring.rs`, `MIN_MEMLOCK_LIMIT`).
const MEMLOCK_FLOOR: u64 = 512 << 10;
/// Three rings with their registered buffers, and on kernels before 5.12 the rings themselves (below 64 KiB each).
const MEMLOCK_PER_EXECUTOR: u64 = 3 * (IO_MEMORY as u64 + (64 << 10));

/// The first Linux whose io_uring is good enough; the only place that defines it. [`FEATURE_FAST_POLL`] came with 5.7, every
/// operation in [`OPERATIONS`] with 5.6 or earlier. glommio's own guide says 5.8, but glommio needs no more than this.
pub const KERNEL_MIN: (u32, u32) = (5, 7);

/// IORING_FEAT_FAST_POLL: the kernel needs no thread to wait for a socket that is not ready.
const FEATURE_FAST_POLL: u32 = 1 << 5;

/// The operations that glommio 0.9.0 refuses to start without (`sys/uring.rs`, `GLOMMIO_URING_OPS`), by their numbers in
/// linux/io_uring.h: NOP to POLL_REMOVE, SENDMSG to ACCEPT, LINK_TIMEOUT to CLOSE, STATX to WRITE, SEND, RECV.
const OPERATIONS: [RangeInclusive<usize>; 6] = [0..=7, 9..=13, 15..=19, 21..=23, 26..=26, 27..=27];
/// IORING_REGISTER_PROBE (Linux 5.6): asks which operations the kernel supports.
const REGISTER_PROBE: libc::c_long = 8;
/// Number of operations that are asked about, from 0.
const PROBED: usize = 32;
/// IO_URING_OP_SUPPORTED, in the third and fourth of the eight bytes of an operation.
const OPERATION_IS_THERE: u32 = 1 << 16;

/// Why executors cannot run here. The operator must act; the process should exit with code 78.
#[derive(Debug)]
pub enum ProbeError {
    /// EPERM or EACCES from io_uring_setup or io_uring_enter.
    Forbidden {
        /// `kernel.io_uring_disabled`: 0 allowed, 1 only with CAP_SYS_ADMIN or a group, 2 never; `None` if it cannot be read.
        sysctl: Option<u8>,
    },
    /// ENOSYS: the kernel, or the sandbox that emulates it, has no io_uring.
    Missing,
    /// The io_uring of the kernel is older than [`KERNEL_MIN`], or an emulation lacks operations.
    TooOld,
    /// ENOMEM: the limit of locked memory, or the memory limit of the control group, is used up.
    NoMemory,
    /// EMFILE or ENFILE: no descriptor is left for a ring.
    NoDescriptor,
    /// RLIMIT_MEMLOCK is too low, and so is its hard limit.
    Memlock {
        /// Hard limit, bytes.
        hard: u64,
        /// Bytes that the executors need.
        needed: u64,
    },
    /// Any other error of the kernel.
    Other(io::Error),
    /// epoll does not work either: the process has no descriptors left, or a sandbox allows few system calls.
    NoEpoll {
        /// The error of epoll_create, eventfd or timerfd_create.
        error: io::Error,
        /// Why io_uring does not work; `None` if it was not tried.
        uring: Option<Box<ProbeError>>,
    },
}

impl ProbeError {
    /// A short form, with the kernel's name of the error.
    fn brief(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "io_uring is forbidden here (EPERM)",
            Self::Missing => "there is no io_uring here (ENOSYS)",
            Self::TooOld => "the io_uring of this kernel is too old",
            Self::NoMemory => "there is no memory for io_uring (ENOMEM)",
            Self::NoDescriptor => "there is no descriptor for io_uring (EMFILE)",
            Self::Memlock { .. } => "too little memory may be locked for io_uring (RLIMIT_MEMLOCK)",
            Self::Other(_) => "io_uring does not work here",
            Self::NoEpoll { .. } => "epoll does not work here",
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden { sysctl: Some(level @ 1..) } => write!(
                out,
                "io_uring is switched off on this host (kernel.io_uring_disabled = {level}). \
                 Allow it: sysctl -w kernel.io_uring_disabled=0"
            ),
            Self::Forbidden { sysctl: Some(0) | None } => out.write_str(
                "the kernel refuses io_uring to this process, most likely by a seccomp filter. In a container allow \
                 io_uring_setup, io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE); \
                 under systemd add @io-event and io_uring_* to SystemCallFilter",
            ),
            Self::Missing => write!(
                out,
                "this kernel has no io_uring. Linux {}.{} or newer with CONFIG_IO_URING is needed; sandboxes such as \
                 gVisor do not offer it",
                KERNEL_MIN.0, KERNEL_MIN.1
            ),
            Self::TooOld => write!(
                out,
                "the io_uring of this kernel is too old: Linux {}.{} or newer is needed",
                KERNEL_MIN.0, KERNEL_MIN.1
            ),
            Self::NoMemory => out.write_str(
                "the kernel has no locked memory left for io_uring. Raise the limit (ulimit -l, LimitMEMLOCK= under \
                 systemd, --ulimit memlock= for containers) or the memory limit of the control group",
            ),
            Self::NoDescriptor => {
                out.write_str("no file descriptor is left for io_uring. Raise ulimit -n (LimitNOFILE= under systemd)")
            }
            Self::Memlock { hard, needed } => write!(
                out,
                "the limit of locked memory is {} KiB and may not be raised; {} KiB are needed. Set ulimit -l, \
                 LimitMEMLOCK= under systemd, or --ulimit memlock= for containers",
                hard >> 10,
                needed >> 10
            ),
            Self::Other(error) => write!(out, "io_uring does not start: {error}"),
            Self::NoEpoll { error, uring: None } => write!(out, "epoll does not start: {error}"),
            Self::NoEpoll { error, uring: Some(uring) } => {
                write!(out, "epoll does not start: {error}. Nor does io_uring: {uring}")
            }
        }
    }
}

impl std::error::Error for ProbeError {}

/// Chooses the kernel interface for `executors` executors, as `node.io` asks. For io_uring, raises the soft limit of locked
/// memory if it is too low.
///
/// # Errors
/// Why executors cannot start; the text tells the operator what to do.
pub fn choose(wanted: NodeIo, executors: usize) -> Result<Choice, ProbeError> {
    match wanted {
        NodeIo::Auto => best_of(probe_uring(executors), probe_epoll),
        NodeIo::IoUring => probe_uring(executors).map(|()| Choice { io: Io::Uring, why: Why::Wanted }),
        NodeIo::Epoll => match probe_epoll() {
            Ok(()) => Ok(Choice { io: Io::Epoll, why: Why::Wanted }),
            Err(error) => Err(ProbeError::NoEpoll { error, uring: None }),
        },
    }
}

fn best_of(uring: Result<(), ProbeError>, epoll: impl FnOnce() -> io::Result<()>) -> Result<Choice, ProbeError> {
    match uring {
        Ok(()) => Ok(Choice { io: Io::Uring, why: Why::Works }),
        Err(why) => match epoll() {
            Ok(()) => Ok(Choice { io: Io::Epoll, why: Why::Instead(why) }),
            Err(error) => Err(ProbeError::NoEpoll { error, uring: Some(Box::new(why)) }),
        },
    }
}

/// Checks whether io_uring works for this number of executors.
fn probe_uring(executors: usize) -> Result<(), ProbeError> {
    memlock(executors)?;
    rings()
}

/// Raises the soft limit of locked memory if it is too low for this number of executors, and returns the limit in bytes.
///
/// # Errors
/// When the hard limit is too low.
pub fn memlock(executors: usize) -> Result<u64, ProbeError> {
    raise_memlock(memlock_needed(executors))
}

/// Opens, enters and closes one ring.
///
/// # Errors
/// Why io_uring does not work, or is not good enough.
pub fn rings() -> Result<(), ProbeError> {
    let Ring { features, has_operations } = open_ring_aside(RING_DEPTH).map_err(explain)?;
    if features & FEATURE_FAST_POLL == 0 || !has_operations { Err(ProbeError::TooOld) } else { Ok(()) }
}

/// Opens and closes the descriptors that an executor on epoll needs.
fn probe_epoll() -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let (nothing, flags) = (epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET);
    epoll::add(&epoll, &bell, nothing, flags).map_err(io::Error::from)
}

fn memlock_needed(executors: usize) -> u64 {
    MEMLOCK_PER_EXECUTOR.saturating_mul(executors as u64).max(MEMLOCK_FLOOR)
}

fn explain(error: io::Error) -> ProbeError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ProbeError::Forbidden { sysctl: sysctl() },
        Some(libc::ENOSYS) => ProbeError::Missing,
        Some(libc::ENOMEM) => ProbeError::NoMemory,
        Some(libc::EMFILE | libc::ENFILE) => ProbeError::NoDescriptor,
        Some(_) | None => ProbeError::Other(error),
    }
}

fn sysctl() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn raise_memlock(needed: u64) -> Result<u64, ProbeError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives both calls.
    #[allow(unsafe_code, reason = "libc has no safe interface for resource limits")]
    let raised = unsafe {
        if libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) != 0 {
            return Err(ProbeError::Other(io::Error::last_os_error()));
        }
        if limit.rlim_cur >= needed {
            return Ok(limit.rlim_cur);
        }
        if limit.rlim_max < needed {
            return Err(ProbeError::Memlock { hard: limit.rlim_max, needed });
        }
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit)
    };
    if raised == 0 { Ok(limit.rlim_cur) } else { Err(ProbeError::Other(io::Error::last_os_error())) }
}

/// What the kernel says about a ring.
#[derive(Clone, Copy, Debug)]
struct Ring {
    /// Bits of IORING_FEAT_….
    features: u32,
    /// Whether all of [`OPERATIONS`] are supported.
    has_operations: bool,
}

/// As [`open_ring`], on a thread of its own: some time after a ring is closed, the kernel interrupts a system call of the
/// thread that opened it.
fn open_ring_aside(entries: u32) -> io::Result<Ring> {
    let opening = thread::Builder::new().name("probe".to_owned()).spawn(move || open_ring(entries))?;
    opening.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
}

/// Opens a ring, enters it with nothing to do, asks what it supports, and closes it. All calls are tried, because a seccomp
/// filter may allow only the first.
fn open_ring(entries: u32) -> io::Result<Ring> {
    // `struct io_uring_params` of linux/io_uring.h: 30 words of 32 bits; all zero asks for defaults.
    let mut params = [0_u32; 30];
    // `struct io_uring_probe`: 4 words, and 2 of each operation.
    let mut probe = [0_u32; 4 + 2 * PROBED];
    // SAFETY: the kernel reads and writes 120 bytes at `params`; the descriptor it returns is ours alone, is entered with no
    // signal set and nothing to submit or to wait for, and is closed. It writes 16 bytes and 8 of each operation to `probe`.
    #[allow(unsafe_code, reason = "libc has no wrapper for io_uring_setup")]
    unsafe {
        let ring = libc::syscall(libc::SYS_io_uring_setup, libc::c_long::from(entries), params.as_mut_ptr());
        if ring < 0 {
            return Err(io::Error::last_os_error());
        }
        let nothing: libc::c_long = 0;
        let entered = libc::syscall(libc::SYS_io_uring_enter, ring, nothing, nothing, nothing, nothing, nothing);
        let not_entered = io::Error::last_os_error();
        let asked = libc::syscall(
            libc::SYS_io_uring_register,
            ring,
            REGISTER_PROBE,
            probe.as_mut_ptr(),
            PROBED as libc::c_long,
        );
        let not_asked = io::Error::last_os_error();
        libc::close(ring as libc::c_int);
        if entered < 0 {
            return Err(not_entered);
        }
        // EINVAL: the kernel is too old for this question; then no operation counts as supported.
        if asked < 0 && not_asked.raw_os_error() != Some(libc::EINVAL) {
            return Err(not_asked);
        }
    }
    let [_, _, _, _, _, features, ..] = params;
    let (_, operations) = probe.split_at(4);
    let is_there = |number: usize| operations.get(2 * number).is_some_and(|word| word & OPERATION_IS_THERE != 0);
    Ok(Ring { features, has_operations: OPERATIONS.into_iter().flatten().all(is_there) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_run_executors() {
        let chosen = |wanted| choose(wanted, 2).map(|choice| choice.io).map_err(|error| error.to_string());
        assert_eq!(chosen(NodeIo::Epoll), Ok(Io::Epoll));
        assert_eq!(chosen(NodeIo::Auto).ok(), Io::here().first().copied());
        assert_eq!(chosen(NodeIo::IoUring).is_ok(), Io::here().contains(&Io::Uring));
    }

    #[test]
    fn what_works_is_taken_and_the_line_says_why() {
        let told = |uring, epoll: fn() -> io::Result<()>| match best_of(uring, epoll) {
            Ok(choice) => choice.to_string(),
            Err(error) => format!("refused: {error}"),
        };
        let forbidden = || Err(ProbeError::Forbidden { sysctl: Some(0) });
        assert_eq!(told(Ok(()), || panic!("not asked for")), "executor io_uring: it works here");
        let instead = told(forbidden(), || Ok(()));
        assert!(
            instead.starts_with("executor epoll: io_uring is forbidden here (EPERM) (the kernel refuses"),
            "{instead}"
        );
        let neither = told(forbidden(), || Err(io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(neither.starts_with("refused: epoll does not start: Too many open files"), "{neither}");
        assert!(neither.contains("Nor does io_uring: the kernel refuses"), "{neither}");
        assert!(!instead.contains('\n') && !neither.contains('\n'));
    }

    #[test]
    fn one_version_of_linux_is_told_everywhere() {
        let wanted = format!("Linux {}.{}", KERNEL_MIN.0, KERNEL_MIN.1);
        assert!(ProbeError::TooOld.to_string().contains(&wanted) && ProbeError::Missing.to_string().contains(&wanted));
        for (file, text) in [
            ("README.md", include_str!("../../README.md")),
            ("config/stentor.toml", include_str!("../../config/stentor.toml")),
        ] {
            let told: Vec<&str> =
                text.split("Linux 5.").skip(1).filter_map(|rest| rest.split([' ', ',', ')']).next()).collect();
            assert!(!told.is_empty(), "{file} names the Linux version that is needed");
            assert!(told.iter().all(|minor| *minor == KERNEL_MIN.1.to_string()), "{file}: {told:?}");
        }
    }

    #[test]
    fn the_kernels_own_refusal_is_kept() {
        if !Io::here().contains(&Io::Uring) {
            return;
        }
        let refused = open_ring_aside(0).map_err(explain);
        assert!(matches!(&refused, Err(ProbeError::Other(error)) if error.raw_os_error() == Some(libc::EINVAL)));
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let said = |code| explain(io::Error::from_raw_os_error(code)).to_string();
        assert!(said(libc::ENOSYS).contains("Linux 5.7"));
        assert!(said(libc::ENOMEM).contains("LimitMEMLOCK"));
        assert!(said(libc::EMFILE).contains("LimitNOFILE"));
        assert!(ProbeError::Forbidden { sysctl: Some(2) }.to_string().contains("sysctl -w"));
        assert!(ProbeError::Forbidden { sysctl: Some(0) }.to_string().contains("seccomp"));
        assert_eq!(
            ProbeError::Memlock { hard: 64 << 10, needed: memlock_needed(1) }.to_string(),
            "the limit of locked memory is 64 KiB and may not be raised; 512 KiB are needed. Set ulimit -l, \
             LimitMEMLOCK= under systemd, or --ulimit memlock= for containers"
        );
        assert_eq!(memlock_needed(16), 16 * (384 << 10));
    }
}
