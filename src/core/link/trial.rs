//! What a lost session left unanswered goes again beside no others: alone on a bind, or in a small group. So the message at which
//! a carrier hangs up takes no others with it a second time.
//!
//! One bind at a time is kept free for them: it takes nothing else until all of it is answered, then sends what is on trial, and
//! is given back when that is answered or lost. The other binds go on. After a trial all binds go on for as long as it took, so
//! a link with one bind gives others half of its time at least.
//!
//! Invariants:
//! 1. While something on trial is unanswered on a bind, nothing but its group is.

use crate::model::invariant::WALKED_MAX;
use crate::model::{Mono, Now, Sound, holds};
use crate::traffic::Trial as For;

use super::Link;
use super::prepared::Index;

/// How many are on trial together at most.
pub(super) const GROUP_MAX: usize = 16;

/// Messages that wait for their trial beside those that may be prepared: enough that no place is missing, and few enough that a
/// carrier which answers nothing is handed no more.
pub(super) const WAITING_MAX: u32 = 1_024;

/// Between two trials at least, ms.
const REST_MS: u64 = 10;

/// The bind that is kept free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    bind: u16,
    since: Mono,
    /// Everything before is answered, and what is on trial is sent.
    is_running: bool,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trials {
    now: Option<Trial>,
    rest_until: Mono,
}

impl Trials {
    /// Whether that bind takes nothing else.
    pub(super) fn is_at(&self, bind: u16) -> bool {
        self.now.is_some_and(|trial| trial.bind == bind)
    }

    /// One is under way.
    pub(super) const fn is_some(&self) -> bool {
        self.now.is_some()
    }

    /// `took_max_ms`: what a trial may take; what is more was an outage.
    fn end(&mut self, trial: Trial, now: Mono, took_max_ms: u64) {
        self.now = None;
        let took_ms = (now.since(trial.since) / 1_000_000).min(took_max_ms);
        self.rest_until = now.after_ms(took_ms.max(REST_MS));
    }
}

impl Link {
    /// Begins and ends trials.
    pub(super) fn steer_trials(&mut self, now: Now) {
        if self.trials.now.is_none() && self.prepared.on_trial() > 0 && now.mono >= self.trials.rest_until {
            self.trials.now = self.bind_for_trial().map(|bind| Trial { bind, since: now.mono, is_running: false });
        }
        let Some(trial) = self.trials.now else { return };
        let is_ready = self.legs.get(usize::from(trial.bind)).is_some_and(|leg| leg.ready);
        match trial.is_running {
            true if !self.is_through(trial) => {}
            false if is_ready && !self.is_clear(trial.bind) => {}
            false if is_ready && self.prepared.begin_trial(trial.bind) => {
                self.trials.now = Some(Trial { is_running: true, ..trial });
            }
            true | false => self.trials.end(trial, now.mono, self.options.response_timeout_ms),
        }
    }

    /// Nothing is unanswered on that bind, and nothing is half sent.
    fn is_clear(&self, bind: u16) -> bool {
        let session = self.legs.get(usize::from(bind)).and_then(|leg| leg.session.as_ref());
        session.is_none_or(|session| session.outstanding() == 0) && !self.prepared.is_begun_at(bind)
    }

    /// Whether nothing is beside what is on trial: by what the sessions wait for.
    ///
    /// # Errors
    /// That something is.
    pub(super) fn check_trials(&self) -> Sound {
        for (bind, leg) in self.legs.iter().enumerate() {
            let Some(session) = leg.session.as_ref().filter(|session| session.outstanding() as usize <= WALKED_MAX)
            else {
                continue;
            };
            let mut messages: Vec<Index> =
                session.outstanding_tokens().filter_map(|word| Some(word.part()?.index)).collect();
            messages.sort_unstable();
            messages.dedup();
            let on_trial = messages.iter().filter_map(|index| self.prepared.trial_of(*index));
            let (group, alone) = (on_trial.clone().count(), on_trial.filter(|trial| *trial == For::Alone).count());
            let beside = messages.len() - group;
            holds!(
                1,
                group == 0 || beside == 0,
                "bind {bind}: {beside} messages are unanswered beside {group} on trial"
            );
            holds!(
                1,
                alone == 0 || group == 1,
                "bind {bind}: {group} messages are unanswered where one was to go alone"
            );
            holds!(1, group <= GROUP_MAX, "bind {bind}: {group} messages are on trial together");
        }
        Ok(())
    }

    /// A running trial is over. Its other half may come back, and what is out is still alone.
    fn is_through(&self, trial: Trial) -> bool {
        trial.is_running && self.is_clear(trial.bind) && !self.prepared.is_on_trial_at(trial.bind)
    }

    /// Where the oldest of what waits for its trial must go, else the bind that is free soonest.
    fn bind_for_trial(&self) -> Option<u16> {
        let ready = |bind: &u16| self.legs.get(usize::from(*bind)).is_some_and(|leg| leg.ready);
        let bound_to = self.prepared.trial_is_bound_to().filter(ready);
        let outstanding = |bind: &u16| {
            let session = self.legs.get(usize::from(*bind)).and_then(|leg| leg.session.as_ref());
            session.map_or(0, |session| session.outstanding())
        };
        let binds = 0..u16::try_from(self.legs.len()).unwrap_or(u16::MAX);
        bound_to.or_else(|| binds.filter(ready).min_by_key(outstanding))
    }

    /// The next message for a bind. What urgent messages are kept a place for does not count where a trial is: they are granted
    /// none there, and what is on trial would wait for them as they do for it.
    pub(super) fn next_message(&mut self, bind: u16, urgent_only: bool) -> Option<Index> {
        match self.trials.now.filter(|trial| trial.bind == bind) {
            Some(Trial { is_running: true, .. }) => self.prepared.next_on_trial(bind),
            Some(Trial { is_running: false, .. }) => self.prepared.next_begun(bind),
            None => self.prepared.next(bind, urgent_only),
        }
    }

    /// When the next trial may begin, if one is waited for. At once when one has ended without a word to the carrier, for then no
    /// answer will wake anybody.
    pub(super) fn next_trial_at(&self, now: Mono) -> Option<Mono> {
        if self.trials.now.is_some_and(|trial| self.is_through(trial)) {
            return Some(now);
        }
        let waits = self.trials.now.is_none() && self.prepared.on_trial() > 0 && self.obstacle().is_none();
        Some(self.trials.rest_until).filter(|at| waits && *at > now)
    }
}
