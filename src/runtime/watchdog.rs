//! Notices that an executor has stopped turning, and ends the process: the log is the truth, a restart is short, and
//! a core that hangs with sessions bound is worse than both. Also the word to systemd (`READY=1` and its kin), which
//! is nothing where `NOTIFY_SOCKET` is not set.
//!
//! Knows heartbeats, not what beats. A process that was itself stopped (SIGSTOP, a suspended machine, a starved
//! hypervisor) is not sick: the watchdog that overslept gives everyone one more round.

use std::{
    io, process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam::utils::CachePadded;
use sd_notify::NotifyState;

use super::clock::Clock;
use crate::model::Mono;

/// A heartbeat older than this is a hang: far above the longest turn, far below what a carrier waits for.
const STALE_NS: u64 = 5_000_000_000;
/// How often the watchdog looks.
const ROUND: Duration = Duration::from_millis(500);
/// A round that took this long was not a round: the process itself stood still.
const OVERSLEPT_NS: u64 = 2_000_000_000;

const SILENT: u64 = 0;

/// One executor's sign of life: written by its heartbeat task, read by the watchdog.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<CachePadded<AtomicU64>>);

impl Heartbeat {
    /// Alive at `now`.
    pub fn beat(&self, now: Mono) {
        self.0.store(now.0.max(1), Ordering::Relaxed);
    }

    /// Ended on purpose: no longer watched.
    pub fn retire(&self) {
        self.0.store(SILENT, Ordering::Relaxed);
    }

    /// The last beat; None before the first and after the end.
    pub fn last(&self) -> Option<Mono> {
        match self.0.load(Ordering::Relaxed) {
            SILENT => None,
            at => Some(Mono(at)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Overslept,
    Stale { index: usize, age_ms: u64 },
}

/// Starts the watching thread over `hearts`, which it numbers in their order. It runs until the process ends.
///
/// # Errors
/// When the thread cannot be started.
pub fn watch(clock: Clock, hearts: Vec<Heartbeat>) -> io::Result<()> {
    let feed = sd_notify::watchdog_enabled().map(|interval| interval / 3);
    let round = feed.map_or(ROUND, |feed| feed.min(ROUND));
    let watching = move || {
        let (mut last, mut fed) = (clock.mono(), clock.mono());
        loop {
            thread::sleep(round);
            let now = clock.mono();
            match judge(now, last, &hearts) {
                Verdict::Healthy => {}
                Verdict::Overslept => tracing::warn!(ms = now.since(last) / 1_000_000, "the process stood still"),
                Verdict::Stale { index, age_ms } => {
                    tracing::error!(
                        executor = index,
                        age_ms,
                        "executor hangs: aborting, a restart recovers from the log"
                    );
                    process::abort();
                }
            }
            if feed.is_some_and(|feed| u128::from(now.since(fed)) >= feed.as_nanos()) {
                tell(&[NotifyState::Watchdog]);
                fed = now;
            }
            last = now;
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).spawn(watching).map(drop)
}

fn judge(now: Mono, last_round: Mono, hearts: &[Heartbeat]) -> Verdict {
    if now.since(last_round) > OVERSLEPT_NS {
        return Verdict::Overslept;
    }
    let ages = hearts.iter().enumerate().filter_map(|(index, heart)| Some((index, now.since(heart.last()?))));
    match ages.max_by_key(|(_, age)| *age) {
        Some((index, age)) if age > STALE_NS => Verdict::Stale { index, age_ms: age / 1_000_000 },
        Some(_) | None => Verdict::Healthy,
    }
}

/// Recovered and listening.
pub fn tell_ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Draining.
pub fn tell_stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn tell_status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// A reload has begun; [`tell_ready`] ends it.
pub fn tell_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "no clock for systemd"),
    }
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "systemd does not listen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn check(now_s: u64, last_s: u64, beats_s: &[u64], expected: Verdict) {
        let hearts: Vec<Heartbeat> = beats_s
            .iter()
            .map(|at| {
                let heart = Heartbeat::default();
                if *at > 0 {
                    heart.beat(Mono(at * SECOND));
                }
                heart
            })
            .collect();
        assert_eq!(judge(Mono(now_s * SECOND), Mono(last_s * SECOND), &hearts), expected);
    }

    #[test]
    fn judges_by_the_oldest_beat() {
        check(100, 99, &[100, 95], Verdict::Healthy);
        check(100, 99, &[94, 100, 93], Verdict::Stale { index: 2, age_ms: 7_000 });
        check(100, 99, &[0, 0], Verdict::Healthy);
        check(100, 90, &[90, 89], Verdict::Overslept);
    }

    #[test]
    fn a_retired_heart_is_not_missed() {
        let heart = Heartbeat::default();
        heart.beat(Mono(SECOND));
        heart.retire();
        assert_eq!(judge(Mono(100 * SECOND), Mono(99 * SECOND), &[heart]), Verdict::Healthy);
    }
}
