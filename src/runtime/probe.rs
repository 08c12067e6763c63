//! Asks the kernel for io_uring and locked memory before glommio does, since glommio panics with a text that helps
//! nobody. Knows what the executors need and what each refusal means to the operator; starts nothing.

use std::{fmt, io};

/// Entries of each ring; the executors use the same number.
pub const RING_DEPTH: u32 = 128;
/// Bytes that each executor registers with each of its three rings.
pub const IO_MEMORY: usize = 64 << 10;

/// Glommio 0.9.0 refuses to start below this soft limit (`sys/uring.rs`, `MIN_MEMLOCK_LIMIT`).
const MEMLOCK_FLOOR: u64 = 512 << 10;
/// Three rings with their registered buffers, and on kernels before 5.12 the rings themselves (below 64 KiB each).
const MEMLOCK_PER_EXECUTOR: u64 = 3 * (IO_MEMORY as u64 + (64 << 10));

/// IORING_FEAT_FAST_POLL, of Linux 5.7: every operation that glommio asks for is older.
const FEATURE_FAST_POLL: u32 = 1 << 5;

/// Why executors cannot run here. The operator must act; the process ends with exit code 78.
#[derive(Debug)]
pub enum ProbeError {
    /// EPERM or EACCES from io_uring_setup.
    Forbidden {
        /// `kernel.io_uring_disabled`: 0 allowed, 1 only with CAP_SYS_ADMIN or a group, 2 never; None if unreadable.
        sysctl: Option<u8>,
    },
    /// ENOSYS: the kernel, or what stands in for it, has no io_uring.
    Missing,
    /// There is io_uring, but from before Linux 5.7.
    TooOld,
    /// ENOMEM: the locked-memory limit, or the memory limit of the control group, is used up.
    NoMemory,
    /// EMFILE or ENFILE: no descriptor left for a ring.
    NoDescriptor,
    /// RLIMIT_MEMLOCK is too low and may not be raised.
    Memlock {
        /// Hard limit, bytes.
        hard: u64,
        /// Bytes that the executors need.
        needed: u64,
    },
    /// Anything else that the kernel answered.
    Other(io::Error),
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
            Self::Missing => out.write_str(
                "this kernel has no io_uring. Linux 5.8 or newer with CONFIG_IO_URING is needed; sandboxes such as \
                 gVisor do not offer it",
            ),
            Self::TooOld => out.write_str("the io_uring of this kernel is too old: Linux 5.8 or newer is needed"),
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
        }
    }
}

impl std::error::Error for ProbeError {}

/// Makes sure that `executors` executors can start: raises the soft limit of locked memory if it is too low, then
/// opens and closes one ring.
///
/// # Errors
/// Why they cannot, in words for the operator.
pub fn probe(executors: usize) -> Result<(), ProbeError> {
    raise_memlock(memlock_needed(executors))?;
    let features = open_ring(RING_DEPTH).map_err(explain)?;
    if features & FEATURE_FAST_POLL == 0 { Err(ProbeError::TooOld) } else { Ok(()) }
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

fn raise_memlock(needed: u64) -> Result<(), ProbeError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives both calls.
    #[allow(unsafe_code)] // libc has no safe face for resource limits
    let raised = unsafe {
        if libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) != 0 {
            return Err(ProbeError::Other(io::Error::last_os_error()));
        }
        if limit.rlim_cur >= needed {
            return Ok(());
        }
        if limit.rlim_max < needed {
            return Err(ProbeError::Memlock { hard: limit.rlim_max, needed });
        }
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit)
    };
    if raised == 0 { Ok(()) } else { Err(ProbeError::Other(io::Error::last_os_error())) }
}

/// Opens and closes a ring; gives back the features that the kernel names.
fn open_ring(entries: u32) -> io::Result<u32> {
    // `struct io_uring_params` of linux/io_uring.h: 30 words of 32 bits; all zero asks for defaults.
    let mut params = [0_u32; 30];
    // SAFETY: the kernel reads and writes 120 bytes at `params`; the descriptor it returns is closed at once.
    #[allow(unsafe_code)] // libc has no wrapper for io_uring_setup
    unsafe {
        let ring = libc::syscall(libc::SYS_io_uring_setup, libc::c_long::from(entries), params.as_mut_ptr());
        if ring < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::close(ring as libc::c_int);
    }
    let [_, _, _, _, _, features, ..] = params;
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_run_executors() {
        assert!(probe(2).is_ok());
    }

    #[test]
    fn the_kernels_own_refusal_is_kept() {
        let refused = open_ring(0).map_err(explain);
        assert!(matches!(&refused, Err(ProbeError::Other(error)) if error.raw_os_error() == Some(libc::EINVAL)));
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let said = |code| explain(io::Error::from_raw_os_error(code)).to_string();
        assert!(said(libc::ENOSYS).contains("Linux 5.8"));
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
