//! Descriptors: how many this process may have, and what gets them. The store and the carriers come first, because without theirs
//! nothing can be kept or sent; connections of HTTP clients, which anyone may open, get the rest.
//!
//! Knows numbers. The HTTP server handles connections for which there is no place.

use std::{fmt, io};

/// More than is ever needed; some systems allow a thousand times as many, and tools that go through all of them become slow.
const RAISED_TO_MAX: u64 = 1 << 20;
/// Standard streams, log, locks, signals, reads of `/proc`, files of a reload or a backup, sockets for the service manager.
const PROCESS: u64 = 32;
/// Rings and their wakers, and an accepted connection that is turned away.
const PER_CORE: u64 = 16;
/// Journals, manifests, tables being written and compacted, directories being synced.
const PER_STORE: u64 = 24;
/// A connection, and the one that replaces it before it is closed.
const PER_BIND: u64 = 2;
/// Tables that the stores keep open may take one in this many of all descriptors.
const TABLES_SHARE: u64 = 4;
/// Tables that all stores together keep open, if there are enough descriptors.
const TABLES_MAX: u64 = 512;
/// Tables that one store must be able to keep open.
const TABLES_PER_STORE_MIN: u64 = 8;
/// HTTP connections without which running makes no sense.
const CONNECTIONS_MIN: u64 = 16;

/// What the configuration needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of executors.
    pub cores: u64,
    /// Addresses that each of them listens on.
    pub listeners: u64,
    /// One per shard, and the control store.
    pub stores: u64,
    /// Sessions of all carriers.
    pub binds: u64,
    /// HTTP connections that should be possible.
    pub connections: u64,
}

/// How the descriptors are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Tables that each store may keep open.
    pub tables_per_store: usize,
    /// HTTP connections of all cores together.
    pub connections: u64,
}

/// The process is allowed fewer descriptors than it needs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// How many it is allowed.
    pub limit: u64,
    /// How many it needs at least.
    pub needed: u64,
}

impl fmt::Display for TooFew {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, needed } = self;
        write!(
            out,
            "only {limit} file descriptors are allowed; this configuration needs at least {needed}, and one for each \
             HTTP connection. Raise ulimit -Hn (LimitNOFILE= under systemd, --ulimit nofile= for containers)"
        )
    }
}

/// Raises the limit as far as this process may; returns the new limit.
///
/// # Errors
/// The kernel's error.
pub fn raise() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives both calls.
    #[allow(unsafe_code, reason = "libc has no safe face for resource limits")]
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        let wanted = limit.rlim_max.min(RAISED_TO_MAX);
        if limit.rlim_cur < wanted {
            limit.rlim_cur = wanted;
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(limit.rlim_cur)
}

/// Divides `limit` descriptors.
///
/// # Errors
/// When the store and the carriers would not get enough.
pub fn share_out(limit: u64, needs: &Needs) -> Result<Plan, TooFew> {
    let Needs { cores, listeners, stores, binds, connections } = *needs;
    let stores = stores.max(1);
    let fixed = PROCESS + cores * (PER_CORE + listeners) + stores * PER_STORE + binds * PER_BIND;
    let needed = fixed + stores * TABLES_PER_STORE_MIN + CONNECTIONS_MIN;
    if limit < needed {
        return Err(TooFew { limit, needed });
    }
    let tables = (limit / TABLES_SHARE).min(TABLES_MAX).min(limit - fixed - CONNECTIONS_MIN);
    let tables_per_store = (tables / stores).max(TABLES_PER_STORE_MIN);
    let left = limit - fixed - stores * tables_per_store;
    Ok(Plan { tables_per_store: tables_per_store as usize, connections: connections.min(left) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Needs = Needs { cores: 2, listeners: 1, stores: 3, binds: 2, connections: 8_192 };

    #[test]
    fn connections_get_what_store_and_carriers_leave() {
        let plenty = share_out(20_000, &USUAL).expect("plenty");
        assert_eq!(plenty, Plan { tables_per_store: 170, connections: 8_192 });
        // 32 + 2 × 17 + 3 × 24 + 2 × 2 = 142, and 3 × 85 tables.
        let usual = share_out(1_024, &USUAL).expect("enough");
        assert_eq!(usual, Plan { tables_per_store: 85, connections: 1_024 - 142 - 255 });
    }

    #[test]
    fn too_few_are_refused_and_one_more_is_enough() {
        let refused = share_out(128, &USUAL).expect_err("too few");
        assert_eq!(refused, TooFew { limit: 128, needed: 142 + 24 + 16 });
        assert!(refused.to_string().contains("LimitNOFILE="));
        assert_eq!(share_out(181, &USUAL).expect_err("too few").needed, 182);
        assert_eq!(share_out(182, &USUAL), Ok(Plan { tables_per_store: 8, connections: 16 }));
    }

    #[test]
    fn whatever_is_allowed_is_enough_for_all_of_it() {
        for limit in 0..5_000 {
            for stores in [1, 3, 17] {
                let needs = Needs { stores, ..USUAL };
                let Ok(plan) = share_out(limit, &needs) else { continue };
                let fixed = PROCESS + 2 * 17 + stores * PER_STORE + 4;
                assert!(fixed + stores * plan.tables_per_store as u64 + plan.connections <= limit);
                assert!(plan.connections >= CONNECTIONS_MIN && plan.tables_per_store as u64 >= TABLES_PER_STORE_MIN);
            }
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let raised = raise().expect("a limit");
        assert_eq!(raise().expect("a limit"), raised);
    }
}
