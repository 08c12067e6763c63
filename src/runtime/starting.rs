//! What a start logs: a line each for the data directory, the executors and the addresses, a line about an end without a
//! clean stop, and a warning for whatever the operator should fix. `stentor serve` logs the build and the configuration
//! before.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::Config,
    disk::{
        directory::{DataDirectory, Exposure},
        fjall_start::{LastEnd, Started},
    },
};

use super::{certificates, core::Core, daemon::cpus, descriptors, warnings::warnings};
use crate::host::probe;

/// How the last run of the shards ended, over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    last_end: LastEnd,
    /// Batches that were recovered from the journals.
    batches: u64,
    took: Duration,
}

impl Past {
    /// From the stores that were opened, and the time it took.
    pub(super) fn of(opened: &[Started], took: Duration) -> Self {
        let ends = opened.iter().map(|started| started.last_end);
        let last_end = ends.max().unwrap_or(LastEnd::None);
        Self { last_end, batches: opened.iter().map(|started| started.opened.journals.batches).sum(), took }
    }

    /// Logs it, with `found`: waiting messages and attempts in doubt.
    pub(super) fn tell(&self, found: Found) {
        let Self { last_end, batches, took } = *self;
        let Found { waiting, doubts } = found;
        let took_ms = took.as_millis() as u64;
        let line = self.line(found);
        match last_end {
            LastEnd::Broken => tracing::warn!(waiting, doubts, batches, took_ms, "{line}"),
            LastEnd::None | LastEnd::Clean => tracing::info!(waiting, doubts, took_ms, "{line}"),
        }
    }

    fn line(&self, Found { waiting, doubts }: Found) -> String {
        let seconds = self.took.as_secs_f64();
        match self.last_end {
            LastEnd::None => "the data directory is new".to_owned(),
            LastEnd::Clean => {
                format!("the last run stopped in good order; messages waiting {waiting}, in doubt {doubts}")
            }
            LastEnd::Broken => format!(
                "the last run did not stop in good order; everything acknowledged was read again from the log in {seconds:.2} s: \
                 messages waiting {waiting}, in doubt {doubts}"
            ),
        }
    }
}

/// What shards hold when they are seated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Messages that wait, ready or scheduled.
    pub waiting: u64,
    /// Attempts in doubt.
    pub doubts: u64,
}

impl Found {
    /// Over the shards of a core.
    pub(super) fn of(core: &Core) -> Self {
        let mut found = Self::default();
        for status in (0..).map_while(|place| core.visit_shard(place, |_, shard| shard.status())) {
            found += Self { waiting: status.waiting.iter().sum::<u64>() + status.scheduled, doubts: status.doubts };
        }
        found
    }
}

impl std::ops::AddAssign for Found {
    fn add_assign(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.doubts += other.doubts;
    }
}

pub(super) fn tell_of_directory(directory: &DataDirectory) {
    let (data_dir, format) = (directory.path().display(), directory.format());
    let (version, shards) = (format.version, format.shards);
    tracing::info!(%data_dir, format = version, shards, "data directory {data_dir}: format {version}, shards {shards}");
    match directory.exposure() {
        Exposure::Closed => {}
        Exposure::WasOpen(mode) => {
            tracing::warn!(%data_dir, mode = format_args!("{mode:04o}"), "other users could read the data directory: closed to them now");
        }
        Exposure::Unknown(error) => {
            tracing::warn!(%data_dir, %error, "cannot close the data directory to other users: they may read messages");
        }
    }
}

/// Logs what executors run on.
pub(super) fn tell_of_executors(choice: &probe::Choice, executors: usize) {
    let pinned = if executors == cpus() { "one on each CPU" } else { "not pinned to CPUs" };
    tracing::info!(executors, io = %choice.io, "{choice}; executors {executors}, {pinned}");
}

pub(super) fn tell_of_addresses(addresses: &[SocketAddr], has_tls: bool) {
    let scheme = if has_tls { "https" } else { "http" };
    for address in addresses {
        tracing::info!(%address, "listening on {scheme}://{address}/");
    }
}

pub(super) fn warn(config: &Config) {
    for warning in warnings(config, certificates::now_s()) {
        tracing::warn!("{warning}");
    }
}

pub(super) fn warn_of_shortage(limit: u64, plan: &descriptors::Plan, config: &Config) {
    let (connections, wanted) = (plan.connections, u64::from(config.http.connections_max));
    if connections < wanted {
        tracing::warn!(
            limit,
            connections,
            wanted,
            "too few descriptors for http.connections_max: fewer connections are accepted; raise ulimit -Hn (LimitNOFILE=)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_without_a_stop_is_told_with_what_it_left() {
        let past = |last_end| Past { last_end, batches: 7, took: Duration::from_millis(210) };
        let found = Found { waiting: 40, doubts: 12 };
        let broken = past(LastEnd::Broken).line(found);
        assert!(broken.contains("did not stop in good order") && broken.contains("0.21 s"), "{broken}");
        assert!(broken.ends_with("messages waiting 40, in doubt 12"), "{broken}");
        assert!(past(LastEnd::Clean).line(found).starts_with("the last run stopped in good order"));
    }

    /// One shard that was cut off is enough.
    #[test]
    fn the_worst_end_counts() {
        assert!(LastEnd::None < LastEnd::Clean && LastEnd::Clean < LastEnd::Broken);
    }
}
