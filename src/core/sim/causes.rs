//! Every end of a message has its cause: what a carrier was seen to say, or a time limit that had passed.

use crate::delivery::{EventKind, Happened};
use crate::model::{DeadLetterReason, ErrorOrigin};
use crate::shard::FoundMessage;

use super::carrier::Fate;
use super::oracle::{Oracle, Truth};
use super::plan::Plan;

/// The statuses with which the fake carriers refuse (SMPP 3.4 §5.1.3): permanently, and temporarily.
const FOR_GOOD: u32 = 0x0B;
const FOR_NOW: [u32; 2] = [0x08, 0x58];

impl Oracle {
    /// What is missing as a cause for the end of a message; `None` if its cause was seen.
    pub(super) fn unfounded(&self, plan: &Plan, truth: &Truth, found: &FoundMessage) -> Option<String> {
        let timeline = &found.view.timeline;
        let refused = |entry: &&crate::delivery::TimelineEntry| matches!(entry.what, Happened::Refused { error } if FOR_NOW.contains(&error.number));
        let refusals = timeline.iter().filter(refused).count();
        let seen = truth.refusals.iter().filter(|status| FOR_NOW.contains(status)).count();
        if refusals > seen {
            return Some(format!("it was refused {refusals} times, and a carrier refused it {seen} times"));
        }
        let end = timeline.iter().find(|entry| entry.what.is_final())?;
        let is_told = |fate| self.is_told_of_one(plan, truth, fate);
        match end.what {
            Happened::Rejected { error } if error.origin == ErrorOrigin::Answer && error.number == FOR_GOOD => {
                (!truth.refusals.contains(&FOR_GOOD)).then(|| "no carrier has refused it for good".to_owned())
            }
            Happened::Rejected { error } if error.origin == ErrorOrigin::Receipt => {
                (!is_told(Fate::Rejected)).then(|| "no receipt rejects it".to_owned())
            }
            Happened::Expired { error: Some(_) } => {
                (!is_told(Fate::Expired)).then(|| "no receipt says that it expired".to_owned())
            }
            Happened::Expired { error: None } => {
                // It is not known by which setting of the wall clock the end was recorded.
                let at = end.at.after_ms(plan.wall_jumped_ms());
                (at < truth.intent.head.expires_at).then(|| "it had not expired".to_owned())
            }
            Happened::Dead { reason: DeadLetterReason::AttemptsExhausted, .. } => {
                let count = |kind| timeline.iter().filter(|entry| entry.kind() == kind).count();
                let attempts = count(EventKind::Attempt).saturating_sub(count(EventKind::Returned));
                let least = usize::from(self.reloads.attempts_least);
                (attempts < least).then(|| format!("{attempts} attempts were made, and its class wants {least}"))
            }
            Happened::Dead { reason: DeadLetterReason::OverLimit, .. } => {
                (!self.may_never_pass(&truth.intent)).then(|| "no limit in parts keeps it from being sent".to_owned())
            }
            _ => None,
        }
    }
}
