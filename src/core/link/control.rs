//! The commands of the operator and the daemon to a link: resume, new sessions, new options, drain, stop.

use crate::limit::SlidingLimit;
use crate::model::Now;

use super::Link;
use super::breaker::Breaker;
use super::event::BindId;
use super::options::Options;
use super::smpp::leg::{Leg, LegState};

impl Link {
    pub(super) fn resume(&mut self) {
        self.paused = false;
        self.close_breaker(Breaker::reset);
    }

    /// Starts new sessions: open ones are unbound, and connections that wait for their next attempt try at once.
    pub(super) fn rebind(&mut self, now: Now) {
        for at in 0..self.legs.len() {
            let leg = &mut self.legs[at];
            match leg.state {
                LegState::Waiting { .. } => leg.state = LegState::Waiting { until: now.mono },
                LegState::Binding | LegState::Bound => self.part_with(BindId(at as u16), now),
                LegState::Connecting { .. } | LegState::Resting | LegState::Flushing { .. } | LegState::Closing => {}
            }
        }
    }

    fn part_with(&mut self, bind: BindId, now: Now) {
        if let Some(leg) = self.leg(bind) {
            (leg.give_up, leg.parting) = (true, true);
        }
        self.run_session(bind, &[], now);
    }

    /// Stops sending, and unbinds after the answers to everything under way, or after the response time-out at the latest.
    pub(super) fn drain(&mut self, now: Now) {
        self.draining = true;
        let patience_ns = self.options.response_timeout_ms * 1_000_000;
        for at in 0..self.legs.len() {
            let bind = BindId(at as u16);
            let leg = &mut self.legs[at];
            match leg.state {
                LegState::Waiting { .. } => leg.state = LegState::Resting,
                LegState::Connecting { .. } => self.close(bind),
                LegState::Binding | LegState::Bound => {
                    leg.parting = true;
                    if let Some(session) = &mut leg.session {
                        session.unbind(patience_ns, now.mono.0);
                    }
                    self.run_session(bind, &[], now);
                }
                LegState::Resting | LegState::Flushing { .. } | LegState::Closing => {}
            }
        }
    }

    /// Ends everything now: parts that were sent and not answered get `Unanswered(Stopped)`, connections are closed.
    pub(super) fn stop(&mut self, now: Now) {
        (self.draining, self.stopped) = (true, true);
        for at in 0..self.legs.len() {
            let bind = BindId(at as u16);
            let leg = &mut self.legs[at];
            match leg.state {
                LegState::Waiting { .. } | LegState::Resting => leg.state = LegState::Resting,
                LegState::Closing => {}
                LegState::Connecting { .. } | LegState::Flushing { .. } | LegState::Binding | LegState::Bound => {
                    if let Some(session) = &mut leg.session {
                        session.close();
                    }
                    self.run_session(bind, &[], now);
                    self.close(bind);
                }
            }
        }
    }

    /// Changes the options. Connections that need new sessions get them; messages that were begun under another coding are not
    /// continued.
    pub(super) fn reconfigure(&mut self, options: Options, now: Now) {
        let old = std::mem::replace(&mut self.options, options);
        let new = &self.options;
        if (old.text, old.encoding, old.transliterate) != (new.text, new.encoding, new.transliterate) {
            self.era = self.era.wrapping_add(1);
        }
        self.queries.configure(new.query);
        self.flow.set_agreed(new.rate_parts_per_s);
        self.prepared.set_ceiling(new.class_ceiling);
        let rate = new.bind_rate_parts_per_s;
        let (connections, binds_anew) = (new.connections(), old.binds_differently(new));
        for leg in &mut self.legs {
            match (&mut leg.limit, rate) {
                (Some(limit), Some(rate)) => limit.set_rate(rate),
                (limit, rate) => *limit = rate.map(SlidingLimit::new),
            }
        }
        self.prepared.extend_binds(connections);
        while self.legs.len() < usize::from(connections) {
            self.legs.push(Leg::new(&self.options, now.mono));
        }
        for at in 0..self.legs.len() {
            let bind = BindId(at as u16);
            let wanted = at < usize::from(connections) && !self.draining;
            let leg = &mut self.legs[at];
            match leg.state {
                LegState::Resting if wanted => leg.state = LegState::Waiting { until: now.mono },
                LegState::Waiting { .. } if wanted => leg.retry_now(now.mono),
                LegState::Connecting { .. } if !wanted => self.close(bind),
                LegState::Binding | LegState::Bound if !wanted || binds_anew => self.part_with(bind, now),
                LegState::Resting
                | LegState::Waiting { .. }
                | LegState::Connecting { .. }
                | LegState::Binding
                | LegState::Bound
                | LegState::Flushing { .. }
                | LegState::Closing => {}
            }
        }
    }
}
