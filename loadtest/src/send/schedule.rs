//! Which batch is sent when, and over which connection. In an open loop a batch is due at its time whether or not
//! earlier ones were answered, and its latency counts from there. In a closed loop it is due when a connection is free.
//! Shared by all workers; knows no sockets.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The plan of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Total messages; `None`: until `duration` ends.
    pub count: Option<u64>,
    pub duration: Option<Duration>,
    /// Messages per second; `None` = closed loop.
    pub rate: Option<f64>,
    /// Messages per batch.
    pub batch: u64,
    /// Workers, one connection each.
    pub workers: u64,
    /// Whether batch `n` always goes over connection `n mod workers`, which keeps the order per recipient.
    pub is_pinned: bool,
}

/// One batch to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub batch: u64,
    /// The serials of its messages.
    pub serials: std::ops::Range<u64>,
    /// When it is due; `None` = now.
    pub at: Option<Instant>,
}

/// Hands out batches until the plan is complete or the run is stopped.
#[derive(Debug)]
pub(super) struct Schedule {
    plan: Plan,
    started: Instant,
    next: AtomicU64,
    stopped: AtomicBool,
}

impl Schedule {
    /// The first batch is due at `started`.
    pub(super) fn new(plan: Plan, started: Instant) -> Self {
        Self { plan, started, next: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }

    /// Hands out no more batches.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the run was stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How long ago the first batch was due.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The next batch for this worker, which has had `had` batches so far.
    pub(super) fn next(&self, worker: u64, had: u64) -> Option<Due> {
        let plan = &self.plan;
        let batch =
            if plan.is_pinned { had * plan.workers + worker } else { self.next.fetch_add(1, Ordering::Relaxed) };
        let first = batch * plan.batch;
        let last = plan.count.map_or(first + plan.batch, |count| count.min(first + plan.batch));
        let offset = plan.rate.map(|rate| Duration::from_secs_f64(first as f64 / rate));
        let so_far = offset.unwrap_or_else(|| self.started.elapsed());
        let is_over = plan.duration.is_some_and(|duration| so_far >= duration);
        if self.is_stopped() || is_over || first >= last {
            return None;
        }
        Some(Due { batch, serials: first..last, at: offset.map(|offset| self.started + offset) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { count: Some(25), duration: None, rate: Some(10.0), batch: 10, workers: 2, is_pinned: false }
    }

    #[test]
    fn batches_are_due_at_their_place_in_time() {
        let started = Instant::now();
        let schedule = Schedule::new(plan(), started);
        let due: Vec<_> = std::iter::from_fn(|| schedule.next(0, 0)).map(|due| (due.serials, due.at)).collect();
        let at = |s| Some(started + Duration::from_secs(s));
        assert_eq!(due, [(0..10, at(0)), (10..20, at(1)), (20..25, at(2))]);
    }

    #[test]
    fn pinned_batches_stay_on_their_worker() {
        let schedule = Schedule::new(Plan { is_pinned: true, rate: None, ..plan() }, Instant::now());
        let batches = |worker| (0..5).map_while(|had| schedule.next(worker, had)).map(|d| d.batch).collect::<Vec<_>>();
        assert_eq!((batches(0), batches(1)), (vec![0, 2], vec![1]));
    }

    #[test]
    fn duration_and_stop_end_it() {
        let schedule =
            Schedule::new(Plan { count: None, duration: Some(Duration::from_secs(3)), ..plan() }, Instant::now());
        assert_eq!(std::iter::from_fn(|| schedule.next(0, 0)).count(), 3);
        let schedule = Schedule::new(plan(), Instant::now());
        schedule.stop();
        assert_eq!(schedule.next(0, 0), None);
    }
}
