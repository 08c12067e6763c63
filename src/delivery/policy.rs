//! What follows from an attempt's end: retry with backoff, give up, or wait in doubt. Decisions as values.

use crate::model::{Class, DeadLetterReason, Prng, Wall};
use crate::smpp::status::{CommandStatus, ErrorClass};

/// What a class does with a message that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DoubtPolicy {
    /// Send it again after `in_doubt_wait`; it may arrive twice.
    Resend,
    /// Keep it in the ledger until somebody decides.
    Hold,
    /// Give it up; it may never arrive.
    Drop,
}

/// What an error of a carrier leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorAction {
    /// Try again later.
    Retry,
    /// Never again.
    Fail,
}

/// How a refused message is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts before it is given up; the attempt counter is an octet, so at most 255.
    pub attempts_max: u8,
    /// Backoff after the first refusal, ms; doubles each time.
    pub backoff_min_ms: u64,
    /// Longest backoff, ms.
    pub backoff_max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 8, backoff_min_ms: 5_000, backoff_max_ms: 600_000 }
    }
}

/// What is to be done with a message whose attempt was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Ready again at that time.
    RetryAt(Wall),
    /// Final: refused for good.
    Rejected,
    /// Final: given up.
    Dead(DeadLetterReason),
}

impl RetryPolicy {
    /// What follows when attempt number `attempt` was refused with `status` at `now`. Half of each backoff is jitter,
    /// so that what failed together does not return together.
    pub fn after_refusal(&self, status: u32, attempt: u8, now: Wall, expires_at: Wall, chance: &mut Prng) -> Disposition {
        match action(status) {
            ErrorAction::Fail => Disposition::Rejected,
            ErrorAction::Retry if attempt >= self.attempts_max => Disposition::Dead(DeadLetterReason::AttemptsExhausted),
            ErrorAction::Retry => {
                let doubled = self.backoff_min_ms.saturating_mul(1 << u32::from(attempt.saturating_sub(1)).min(32));
                let backoff = doubled.min(self.backoff_max_ms).max(1);
                let at = now.after_ms(chance.between(backoff / 2, backoff));
                if at >= expires_at { Disposition::Dead(DeadLetterReason::ExpiredHere) } else { Disposition::RetryAt(at) }
            }
        }
    }
}

/// The default table (protocols of the field: only what names a lasting fault of the message itself is permanent).
/// An unknown status is transient: it costs a few attempts, not a message.
pub fn action(status: u32) -> ErrorAction {
    match CommandStatus(status).class() {
        Some(ErrorClass::PermanentMessage) => ErrorAction::Fail,
        Some(
            ErrorClass::Throttle
            | ErrorClass::Transient
            | ErrorClass::Session
            | ErrorClass::Credential
            | ErrorClass::OurBug
            | ErrorClass::Unknown,
        )
        | None => ErrorAction::Retry,
    }
}

/// The default policy of a class in doubt: a one-time password that may have arrived is not sent twice.
pub const fn doubt_default(class: Class) -> DoubtPolicy {
    match class {
        Class::Otp => DoubtPolicy::Drop,
        Class::Emergency | Class::Transactional | Class::Marketing => DoubtPolicy::Resend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_and_gives_up() {
        let policy = RetryPolicy { attempts_max: 3, backoff_min_ms: 1_000, backoff_max_ms: 1_500 };
        let mut chance = Prng::new(1);
        let mut after = |status, attempt| policy.after_refusal(status, attempt, Wall(0), Wall(1_600_000), &mut chance);
        assert!(matches!(after(0x08, 1), Disposition::RetryAt(Wall(500..=1_000))));
        assert!(matches!(after(0x08, 2), Disposition::RetryAt(Wall(750..=1_500))));
        assert_eq!(after(0x08, 3), Disposition::Dead(DeadLetterReason::AttemptsExhausted));
        assert_eq!(after(0x0B, 1), Disposition::Rejected);
        assert!(matches!(after(0xDEAD, 1), Disposition::RetryAt(_)), "unknown codes are transient");
    }

    #[test]
    fn does_not_wait_past_the_deadline() {
        let policy = RetryPolicy::default();
        let end = policy.after_refusal(0x08, 1, Wall(0), Wall(1_000), &mut Prng::new(1));
        assert_eq!(end, Disposition::Dead(DeadLetterReason::ExpiredHere));
    }
}
