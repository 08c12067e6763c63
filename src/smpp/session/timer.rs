//! All timers of a session in one table.
//!
//! Knows deadlines. Refuses to know the current time, and what happens at a deadline.

/// The timers of a session. Each has at most one deadline at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// From the connection to the bound session.
    SessionInit,
    /// From the last bytes of the peer to this side's enquire_link.
    EnquireLink,
    /// From an enquire_link to the next bytes of the peer.
    EnquireResponse,
    /// From the last PDU other than enquire_link to this side's unbind.
    Inactivity,
    /// Until the oldest request may be overdue. May end too early, never too late.
    Response,
    /// While draining: until this side's unbind. Afterwards: from this side's or the peer's unbind to the end of the session,
    /// with or without a response.
    Unbind,
}

impl Timer {
    /// All timers, in the order in which they are checked.
    pub const ALL: [Timer; 6] = [
        Timer::SessionInit,
        Timer::EnquireLink,
        Timer::EnquireResponse,
        Timer::Inactivity,
        Timer::Response,
        Timer::Unbind,
    ];
}

/// One optional deadline per [`Timer`], in nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct TimerTable {
    deadlines: [Option<u64>; Timer::ALL.len()],
}

impl TimerTable {
    pub(super) fn set(&mut self, timer: Timer, deadline_ns: u64) {
        self.deadlines[timer as usize] = Some(deadline_ns);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        self.deadlines = [None; Timer::ALL.len()];
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize].is_some()
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.deadlines.iter().flatten().min().copied()
    }

    pub(super) fn take_expired(&mut self, now_ns: u64) -> Option<Timer> {
        let expired =
            Timer::ALL.into_iter().find(|timer| self.deadlines[*timer as usize].is_some_and(|at| at <= now_ns))?;
        self.stop(expired);
        Some(expired)
    }
}
