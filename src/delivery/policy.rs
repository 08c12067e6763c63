//! What follows from an attempt's end: retry with backoff, give up, or wait in doubt. Decisions as values.

use crate::model::{CarrierId, Class, DeadLetterReason, Prng, Wall};
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

/// How often and how soon a message is tried again after errors of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Attempts before it is given up, the first one counted; the attempt counter is an octet, so at most 255.
    pub attempts_max: u8,
    /// Pause after the first refusal, ms; doubles each time.
    pub backoff_min_ms: u64,
    /// Longest pause, ms.
    pub backoff_max_ms: u64,
    /// Up to so many thousandths of each pause are taken off by chance, so that what failed together does not return
    /// together.
    pub jitter_permille: u16,
}

impl Backoff {
    /// The pause after attempt number `attempt`, from 1; at least 1 ms.
    pub fn pause_ms(&self, attempt: u8, chance: &mut Prng) -> u64 {
        let doubled = self.backoff_min_ms.saturating_mul(1 << u32::from(attempt.saturating_sub(1)).min(32));
        let longest = doubled.min(self.backoff_max_ms).max(1);
        let off_max = u128::from(longest) * u128::from(self.jitter_permille.min(1_000)) / 1_000;
        let shortest = longest.saturating_sub(u64::try_from(off_max).unwrap_or(longest)).max(1);
        chance.between(shortest, longest)
    }
}

/// How refused messages are tried again, by class of error. What is permanent is not; throttling costs no attempt at
/// the link, and where it ends an attempt after all it is trouble that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Trouble that passes.
    pub transient: Backoff,
    /// The session was in the wrong state.
    pub session: Backoff,
    /// The account is refused.
    pub credential: Backoff,
    /// The carrier could not read what was written.
    pub our_bug: Backoff,
    /// A status that nobody knows.
    pub unknown: Backoff,
    /// Statuses that mean another class at a carrier than in the default table; ascending by carrier and status.
    pub overrides: Vec<(CarrierId, u32, ErrorClass)>,
}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

impl Default for RetryPolicy {
    /// What holds where the configuration says nothing.
    fn default() -> Self {
        let backoff = |attempts_max, backoff_min_ms, backoff_max_ms| Backoff {
            attempts_max,
            backoff_min_ms,
            backoff_max_ms,
            jitter_permille: 200,
        };
        Self {
            transient: backoff(5, 10 * SECOND_MS, 10 * MINUTE_MS),
            session: backoff(10, SECOND_MS, MINUTE_MS),
            credential: backoff(20, MINUTE_MS, 30 * MINUTE_MS),
            our_bug: backoff(2, MINUTE_MS, 10 * MINUTE_MS),
            unknown: backoff(3, 30 * SECOND_MS, 10 * MINUTE_MS),
            overrides: Vec::new(),
        }
    }
}

/// A refusal: who, what, and which attempt it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// By whom.
    pub carrier: CarrierId,
    /// Command status of the response.
    pub status: u32,
    /// Number of the attempt, from 1.
    pub attempt: u8,
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
    /// The same backoff for every class.
    pub const fn uniform(backoff: Backoff) -> Self {
        Self {
            transient: backoff,
            session: backoff,
            credential: backoff,
            our_bug: backoff,
            unknown: backoff,
            overrides: Vec::new(),
        }
    }

    /// What follows from a refusal at `now`.
    pub fn after_refusal(&self, refused: Refused, now: Wall, expires_at: Wall, chance: &mut Prng) -> Disposition {
        let Some(backoff) = self.backoff(self.class_of(refused.carrier, refused.status)) else {
            return Disposition::Rejected;
        };
        if refused.attempt >= backoff.attempts_max {
            return Disposition::Dead(DeadLetterReason::AttemptsExhausted);
        }
        let at = now.after_ms(backoff.pause_ms(refused.attempt, chance));
        if at >= expires_at { Disposition::Dead(DeadLetterReason::ExpiredHere) } else { Disposition::RetryAt(at) }
    }

    /// What a status means at a carrier. A code outside the table is unknown: it costs a few attempts, not a message.
    pub fn class_of(&self, carrier: CarrierId, status: u32) -> ErrorClass {
        let own = self.overrides.binary_search_by_key(&(carrier, status), |entry| (entry.0, entry.1));
        match own.ok().and_then(|at| self.overrides.get(at)) {
            Some((_, _, class)) => *class,
            None => CommandStatus(status).class().unwrap_or(ErrorClass::Unknown),
        }
    }

    /// `None`: never again.
    fn backoff(&self, class: ErrorClass) -> Option<&Backoff> {
        match class {
            ErrorClass::Throttle | ErrorClass::Transient => Some(&self.transient),
            ErrorClass::Session => Some(&self.session),
            ErrorClass::Credential => Some(&self.credential),
            ErrorClass::OurBug => Some(&self.our_bug),
            ErrorClass::Unknown => Some(&self.unknown),
            ErrorClass::PermanentMessage => None,
        }
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

    const SYSTEM_ERROR: u32 = 0x08;
    const BAD_RECIPIENT: u32 = 0x0B;
    const NOT_BOUND: u32 = 0x04;
    const BAD_PASSWORD: u32 = 0x0E;
    const BAD_LENGTH: u32 = 0x02;
    const THROTTLED: u32 = 0x58;
    const CARRIERS_OWN: u32 = 0x0400;

    fn backoff(attempts_max: u8, backoff_min_ms: u64, backoff_max_ms: u64, jitter_permille: u16) -> Backoff {
        Backoff { attempts_max, backoff_min_ms, backoff_max_ms, jitter_permille }
    }

    fn after(policy: &RetryPolicy, carrier: u16, status: u32, attempt: u8) -> Disposition {
        let refused = Refused { carrier: CarrierId(carrier), status, attempt };
        policy.after_refusal(refused, Wall(0), Wall(1_600_000), &mut Prng::new(1))
    }

    #[test]
    fn a_pause_doubles_up_to_its_longest() {
        let still = backoff(9, 1_000, 5_000, 0);
        let pauses: Vec<u64> = [1, 2, 3, 4, 255].map(|attempt| still.pause_ms(attempt, &mut Prng::new(1))).to_vec();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(backoff(9, 0, 0, 1_000).pause_ms(1, &mut Prng::new(1)), 1, "never at once");
        assert_eq!(backoff(9, u64::MAX, u64::MAX, 0).pause_ms(40, &mut Prng::new(1)), u64::MAX);
    }

    #[test]
    fn jitter_takes_off_and_never_adds() {
        let policy = backoff(9, 1_000, 1_000, 200);
        let mut chance = Prng::new(7);
        let pauses: Vec<u64> = (0..1_000).map(|_| policy.pause_ms(1, &mut chance)).collect();
        let (least, most) = (pauses.iter().min(), pauses.iter().max());
        assert!(least >= Some(&800) && least < Some(&820) && most <= Some(&1_000) && most > Some(&980));
    }

    #[test]
    fn each_class_has_its_own_backoff() {
        let one = |ms| backoff(9, ms, ms, 0);
        let policy = RetryPolicy {
            transient: one(1),
            session: one(2),
            credential: one(3),
            our_bug: one(4),
            unknown: one(5),
            overrides: Vec::new(),
        };
        let at = |status| after(&policy, 1, status, 1);
        assert_eq!(at(SYSTEM_ERROR), Disposition::RetryAt(Wall(1)));
        assert_eq!(at(THROTTLED), Disposition::RetryAt(Wall(1)));
        assert_eq!(at(NOT_BOUND), Disposition::RetryAt(Wall(2)));
        assert_eq!(at(BAD_PASSWORD), Disposition::RetryAt(Wall(3)));
        assert_eq!(at(BAD_LENGTH), Disposition::RetryAt(Wall(4)));
        assert_eq!(at(CARRIERS_OWN), Disposition::RetryAt(Wall(5)));
        assert_eq!(at(0), Disposition::RetryAt(Wall(5)), "success is no refusal; nobody knows what it means here");
        assert_eq!(at(BAD_RECIPIENT), Disposition::Rejected);
    }

    #[test]
    fn gives_up_with_the_last_attempt_or_the_deadline() {
        let policy = RetryPolicy::uniform(backoff(3, 1_000, 1_500, 0));
        assert_eq!(after(&policy, 1, SYSTEM_ERROR, 2), Disposition::RetryAt(Wall(1_500)));
        assert_eq!(after(&policy, 1, SYSTEM_ERROR, 3), Disposition::Dead(DeadLetterReason::AttemptsExhausted));
        let refused = Refused { carrier: CarrierId(1), status: SYSTEM_ERROR, attempt: 1 };
        let end = policy.after_refusal(refused, Wall(0), Wall(1_000), &mut Prng::new(1));
        assert_eq!(end, Disposition::Dead(DeadLetterReason::ExpiredHere));
    }

    #[test]
    fn a_carrier_may_mean_something_else() {
        let overrides = vec![
            (CarrierId(1), BAD_RECIPIENT, ErrorClass::Transient),
            (CarrierId(2), SYSTEM_ERROR, ErrorClass::PermanentMessage),
            (CarrierId(2), CARRIERS_OWN, ErrorClass::PermanentMessage),
        ];
        let policy = RetryPolicy { overrides, ..RetryPolicy::default() };
        assert!(matches!(after(&policy, 1, BAD_RECIPIENT, 1), Disposition::RetryAt(_)));
        assert_eq!(after(&policy, 2, BAD_RECIPIENT, 1), Disposition::Rejected, "another carrier's");
        assert_eq!(after(&policy, 2, SYSTEM_ERROR, 1), Disposition::Rejected);
        assert!(matches!(after(&policy, 1, SYSTEM_ERROR, 1), Disposition::RetryAt(_)));
        assert_eq!(after(&policy, 2, CARRIERS_OWN, 1), Disposition::Rejected);
    }
}
