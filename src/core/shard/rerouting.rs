//! Tells the operator how many messages were rerouted because their routes are gone.
//!
//! Knows what was told and when; `leaving.rs` decides about each message.

use crate::model::Mono;

use super::event::Effect;
use super::turn::Turn;

/// Pause between two notes: scheduled messages may be rerouted one by one.
const PAUSE_NS: u64 = 10_000_000_000;

/// What the operator was told.
#[derive(Debug, Default)]
pub(super) struct Rerouting {
    /// Messages rerouted, and messages ended for want of a route, that were told.
    told: (u64, u64),
    told_at: Option<Mono>,
}

impl Rerouting {
    /// No message needed a new route this time: tells what was done since the last note.
    pub(super) fn tell(&mut self, turn: &mut Turn) {
        let (rerouted, unroutable) = (turn.counters.rerouted, turn.counters.unroutable);
        let was_just_told = self.told_at.is_some_and(|at| turn.now.mono.since(at) < PAUSE_NS);
        if (rerouted, unroutable) == self.told || was_just_told {
            return;
        }
        let (more, ended) = (rerouted - self.told.0, unroutable - self.told.1);
        (self.told, self.told_at) = ((rerouted, unroutable), Some(turn.now.mono));
        let shard = turn.options.shard.0;
        let ended = if ended > 0 { format!("; {ended} ended, since no route takes them") } else { String::new() };
        let what = format!("shard {shard}: {more} messages were rerouted because their route is gone{ended}");
        turn.prompt.push_back(Effect::Note(what));
    }
}
