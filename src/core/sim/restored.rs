//! What must be true after a restore, judged from outside. The world goes back to what had been seen when the backup
//! was begun; carriers and clients do not. Messages acknowledged since then are forgotten, as the documentation says;
//! what carriers took since then stays known, because they must not be sent anything twice unnoticed.

use std::collections::BTreeMap;

use crate::delivery::DoubtPolicy;
use crate::model::{Address, Class, ShardId};
use crate::queue::Tick;

use super::carrier::{Fate, IssuedId};
use super::entries::EntriesSeen;
use super::handsets::HandsetsSeen;
use super::happening::ConnId;
use super::oracle::{Oracle, Truth};

/// What had been seen when a backup was begun.
#[derive(Clone, Debug)]
pub struct Mark {
    truths: Vec<Truth>,
    key_ids: BTreeMap<u128, u32>,
    claims: BTreeMap<u128, u64>,
    handed: BTreeMap<(ShardId, Address), u32>,
    answered: BTreeMap<(usize, IssuedId), Fate>,
    first: BTreeMap<u32, u64>,
    entries: EntriesSeen,
    handsets: HandsetsSeen,
}

impl Mark {
    /// The version of control at that time.
    pub const fn version(&self) -> u64 {
        self.entries.version()
    }
}

impl Oracle {
    /// Records what has been seen when a backup is begun.
    pub fn mark(&self) -> Mark {
        Mark {
            truths: self.truths.clone(),
            key_ids: self.key_ids.clone(),
            claims: self.claims.clone(),
            handed: self.handed.clone(),
            answered: self.answered.clone(),
            first: self.wire.first().clone(),
            entries: self.entries.clone(),
            handsets: self.handsets.clone(),
        }
    }

    /// That backup replaces all data.
    /// `newest`: the newest connection ever opened; what is still on its way over old connections belongs to the time before.
    pub fn restored(&mut self, mark: &Mark, newest: ConnId, unsent: DoubtPolicy) {
        self.conns_before = newest;
        for number in 0..self.truths.len() {
            let then = mark.truths.get(number).cloned();
            let truth = &mut self.truths[number];
            let then = then.unwrap_or_else(|| Truth::new(truth.intent.clone(), truth.born));
            let since = truth.taken.split_off(then.taken.len().min(truth.taken.len()));
            if !since.is_empty() {
                // A receipt for a forgotten message may be taken for one about another message to the same number.
                self.misled.insert(truth.recipient());
            }
            let mut elsewhere = std::mem::take(&mut truth.elsewhere);
            elsewhere.extend(since);
            // What a carrier has taken was recorded before.
            let was_kept = then.id.is_some() || !then.taken.is_empty();
            let was_due = Tick::at_or_after(truth.intent.head.send_at).wall() <= self.wall;
            *truth = Truth {
                is_forgotten: truth.is_forgotten || truth.id.is_some() && then.id.is_none(),
                is_restored: was_kept,
                is_held: was_kept && was_due && !then.is_refused,
                may_repeat: truth.may_repeat || was_kept && unsent == DoubtPolicy::Resend,
                taken_before: then.taken.len(),
                elsewhere,
                ..then
            };
        }
        self.key_ids.clone_from(&mark.key_ids);
        self.claims.clone_from(&mark.claims);
        self.handed.clone_from(&mark.handed);
        self.answered.clone_from(&mark.answered);
        self.wire.go_back_to(&mark.first);
        self.entries.restored(&mark.entries);
        self.handsets.restored(&mark.handsets);
        self.released.clear();
        if unsent == DoubtPolicy::Resend {
            let shards = self.truths.iter().map(|truth| truth.intent.shard);
            self.released = shards.flat_map(|shard| Class::ALL.map(|class| (shard, class))).collect();
        }
    }

    /// A shard is told what to do with held messages of a class. If they are to be sent, they may be sent from then on,
    /// and a later decision does not take that back; any other decision changes nothing.
    pub fn decided(&mut self, shard: ShardId, class: Class, policy: DoubtPolicy) {
        if policy != DoubtPolicy::Resend {
            return;
        }
        self.released.insert((shard, class));
        let is_meant =
            |truth: &&mut Truth| truth.is_restored && truth.intent.shard == shard && truth.intent.head.class == class;
        self.truths.iter_mut().filter(is_meant).for_each(|truth| truth.may_repeat = true);
    }
}
