//! What must be true after a restore, judged from outside. The world goes back to what had been seen when the backup was
//! begun; carriers and clients do not. What was acknowledged since is forgotten, as the documentation says; what carriers
//! took since stays known, for nothing may come to them twice unnoticed.

use std::collections::BTreeMap;

use crate::delivery::DoubtPolicy;
use crate::model::{Address, Class, MessageId, ShardId, Wall};

use super::carrier::{Fate, IssuedId};
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
}

impl Oracle {
    /// A backup is begun.
    pub fn mark(&self) -> Mark {
        Mark {
            truths: self.truths.clone(),
            key_ids: self.key_ids.clone(),
            claims: self.claims.clone(),
            handed: self.handed.clone(),
            answered: self.answered.clone(),
            first: self.wire.first().clone(),
        }
    }

    /// That backup stands in the place of everything.
    /// `newest`: of all connections that ever were; what is still on its way there is of the time before.
    pub fn restored(&mut self, mark: &Mark, newest: ConnId, unsent: DoubtPolicy) {
        self.conns_before = newest;
        for number in 0..self.truths.len() {
            let then = mark.truths.get(number).cloned();
            let truth = &mut self.truths[number];
            let then = then.unwrap_or_else(|| Truth::new(truth.intent.clone(), truth.born));
            let since = truth.taken.split_off(then.taken.len().min(truth.taken.len()));
            if !since.is_empty() {
                // A receipt for what nobody remembers may be taken for one about another message to the same number.
                self.misled.insert(truth.recipient());
            }
            let mut elsewhere = std::mem::take(&mut truth.elsewhere);
            elsewhere.extend(since);
            let was_handed = |id: MessageId| mark.handed.contains_key(&(id.shard(), id.address()));
            *truth = Truth {
                is_forgotten: truth.is_forgotten || truth.id.is_some() && then.id.is_none(),
                is_restored: then.id.is_some(),
                is_unsent: then.id.is_some_and(|id| !was_handed(id)) && truth.intent.head.send_at == Wall(0),
                may_repeat: truth.may_repeat || unsent == DoubtPolicy::Resend,
                taken_before: then.taken.len(),
                elsewhere,
                ..then
            };
        }
        self.key_ids.clone_from(&mark.key_ids);
        self.claims.clone_from(&mark.claims);
        self.handed.clone_from(&mark.handed);
        self.answered.clone_from(&mark.answered);
        self.wire.forget_since(&mark.first);
        self.unsent = Class::ALL.map(|class| (class, unsent)).into();
    }

    /// Somebody decides what becomes of what is held of a class.
    pub fn decided(&mut self, class: Class, policy: DoubtPolicy) {
        self.unsent.insert(class, policy);
        if policy == DoubtPolicy::Resend {
            let of_class = self.truths.iter_mut().filter(|truth| truth.is_restored && truth.intent.head.class == class);
            of_class.for_each(|truth| truth.may_repeat = true);
        }
    }

    /// Whether a message must not be on the wire: it was unsent in the backup, and nobody wants it sent.
    pub(super) fn is_held(&self, truth: &Truth) -> bool {
        truth.is_unsent && self.unsent.get(&truth.intent.head.class) != Some(&DoubtPolicy::Resend)
    }
}
