//! Tells the operator how many messages were routed anew because their routes are gone. Knows what was told and when; what is
//! done with a message stands in `leaving.rs`.

use crate::model::Mono;

use super::event::Effect;
use super::turn::Turn;

/// Between two lines: what was scheduled may come one by one.
const PAUSE_NS: u64 = 10_000_000_000;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Rerouting {
    /// Routed anew, and ended for want of a route.
    told: (u64, u64),
    told_at: Option<Mono>,
}

impl Rerouting {
    /// None was found this time: what there was is told.
    pub(super) fn tell(&mut self, turn: &mut Turn) {
        let (rerouted, unroutable) = (turn.counters.rerouted, turn.counters.unroutable);
        let was_just_told = self.told_at.is_some_and(|at| turn.now.mono.since(at) < PAUSE_NS);
        if (rerouted, unroutable) == self.told || was_just_told {
            return;
        }
        let (more, ended) = (rerouted - self.told.0, unroutable - self.told.1);
        (self.told, self.told_at) = ((rerouted, unroutable), Some(turn.now.mono));
        let shard = turn.options.shard.0;
        let ended = if ended > 0 { format!("; {ended} have ended, for no route takes them") } else { String::new() };
        let what = format!("shard {shard}: {more} messages whose route is gone were routed anew{ended}");
        turn.prompt.push_back(Effect::Note(what));
    }
}
