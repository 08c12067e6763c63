//! Trials: a message that a lost session left unanswered is sent again with no other messages beside it, alone on a bind or in a
//! small group. So if a message makes the carrier close the connection, no other messages are lost with it a second time.
//!
//! One bind at a time is kept free for trials. It starts no other message, waits until all its submits are answered, then sends
//! the messages on trial, and returns to normal use when these are answered or lost. The other binds continue meanwhile. After a
//! trial, all binds are in normal use for as long as the trial took. So a link with one bind gives other messages at least half
//! of its time.
//!
//! Invariants:
//! 1. While a message on trial is unanswered on a bind, no other message than those of its group is unanswered there.

use crate::model::invariant::WALKED_MAX;
use crate::model::{Mono, Now, Sound, holds};
use crate::traffic::Trial as For;

use super::Link;
use super::prepared::Index;

/// Maximum number of messages in a trial.
pub(super) const GROUP_MAX: usize = 16;

/// How many messages may wait for their trial without taking a place from other messages. Enough that places are normally not
/// short; bounded, so that a link to a carrier that answers nothing is not handed ever more.
pub(super) const WAITING_MAX: u32 = 1_024;

/// Minimum pause between two trials, ms.
const REST_MS: u64 = 10;

/// The current trial and the bind that is kept free for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    bind: u16,
    since: Mono,
    /// False: the bind waits for the answers to earlier submits. True: it sends the messages on trial.
    is_running: bool,
}

/// The current trial of a link, and when the next one may begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trials {
    now: Option<Trial>,
    rest_until: Mono,
}

impl Trials {
    /// Whether this bind is kept free for a trial.
    pub(super) fn is_at(&self, bind: u16) -> bool {
        self.now.is_some_and(|trial| trial.bind == bind)
    }

    /// Whether a bind is kept free for a trial.
    pub(super) const fn is_some(&self) -> bool {
        self.now.is_some()
    }

    /// Ends the trial and starts the pause before the next one. `took_max_ms`: the longest time that a trial itself can take; any
    /// longer time was an outage and does not lengthen the pause.
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

    /// Whether no submit is unanswered on this bind and no message is partly sent there.
    fn is_clear(&self, bind: u16) -> bool {
        let session = self.legs.get(usize::from(bind)).and_then(|leg| leg.session.as_ref());
        session.is_none_or(|session| session.outstanding() == 0) && !self.prepared.is_begun_at(bind)
    }

    /// Checks the invariant by the answers that the sessions wait for.
    ///
    /// # Errors
    /// The breach of the invariant.
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

    /// Whether a running trial is over. It is not over just because its bind cannot submit now: the other half of a pair may
    /// come back, and the unanswered messages are still on trial.
    fn is_through(&self, trial: Trial) -> bool {
        trial.is_running && self.is_clear(trial.bind) && !self.prepared.is_on_trial_at(trial.bind)
    }

    /// The bind for the next trial: the one to which the first waiting message must go, else the one with the fewest unanswered
    /// submits.
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

    /// The next message for a bind. `urgent_only` is ignored on the bind of a trial: urgent messages are granted no slots there,
    /// and otherwise the trial and the urgent messages would wait for each other.
    pub(super) fn next_message(&mut self, bind: u16, urgent_only: bool) -> Option<Index> {
        match self.trials.now.filter(|trial| trial.bind == bind) {
            Some(Trial { is_running: true, .. }) => self.prepared.next_on_trial(bind),
            Some(Trial { is_running: false, .. }) => self.prepared.next_begun(bind),
            None => self.prepared.next(bind, urgent_only),
        }
    }

    /// When the next trial may begin, if a message waits for one. At once if a trial has ended without a submit, because then no
    /// answer will wake the link.
    pub(super) fn next_trial_at(&self, now: Mono) -> Option<Mono> {
        if self.trials.now.is_some_and(|trial| self.is_through(trial)) {
            return Some(now);
        }
        let waits = self.trials.now.is_none() && self.prepared.on_trial() > 0 && self.obstacle().is_none();
        Some(self.trials.rest_until).filter(|at| waits && *at > now)
    }
}
