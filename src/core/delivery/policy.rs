//! The decisions after the end of an attempt: retry after a back-off, give up, or wait in doubt. Decisions are values.

use serde::{Deserialize, Serialize};

use crate::model::{CarrierError, Class, DeadLetterReason, ErrorFamily, Prng, Wall};

/// What is done with a class's messages that are in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtPolicy {
    /// Send it again after `in_doubt_wait`; it may arrive twice.
    Resend,
    /// Keep it in the ledger until the operator decides.
    Hold,
    /// Give it up; it may never arrive.
    Drop,
}

impl DoubtPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Resend, Self::Hold, Self::Drop];

    /// The name in the API and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Hold => "hold",
            Self::Drop => "drop",
        }
    }

    /// The policy of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// How often and how soon a message is tried again after errors of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Maximum number of attempts, the first included. The attempt counter is a byte, so at most 255.
    pub attempts_max: u8,
    /// Pause after the first refusal, ms; doubles each time.
    pub backoff_min_ms: u64,
    /// Longest pause, ms.
    pub backoff_max_ms: u64,
    /// A random share of each pause, up to so many thousandths, is taken off, so that messages that failed together are not
    /// tried again together.
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

/// How refused messages are tried again, by family of error. After a permanent error a message is not tried again. The link
/// repeats throttled parts itself, without consuming an attempt; if throttling ends an attempt after all, it counts as
/// transient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// A temporary error of the carrier.
    pub transient: Backoff,
    /// The session was in the wrong state.
    pub session: Backoff,
    /// The carrier refused the account.
    pub credential: Backoff,
    /// The carrier could not read our PDU.
    pub our_bug: Backoff,
    /// An error code without a known meaning.
    pub unknown: Backoff,
}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

impl Default for RetryPolicy {
    /// The values for everything that is not configured.
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
        }
    }
}

/// The refusal of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error from the carrier; its family alone decides.
    pub error: CarrierError,
    /// Number of the attempt, from 1.
    pub attempt: u8,
}

/// The decision on a message whose attempt was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is ready to be sent again at this time.
    RetryAt(Wall),
    /// Final: it was refused for good.
    Rejected,
    /// Final: it is given up.
    Dead(DeadLetterReason),
}

impl RetryPolicy {
    /// The same backoff for every family.
    pub const fn uniform(backoff: Backoff) -> Self {
        Self { transient: backoff, session: backoff, credential: backoff, our_bug: backoff, unknown: backoff }
    }

    /// Decides on a message that was refused at `now`.
    pub fn after_refusal(&self, refused: Refused, now: Wall, expires_at: Wall, chance: &mut Prng) -> Disposition {
        let Some(backoff) = self.backoff(refused.error.family) else {
            return Disposition::Rejected;
        };
        if refused.attempt >= backoff.attempts_max {
            return Disposition::Dead(DeadLetterReason::AttemptsExhausted);
        }
        let at = now.after_ms(backoff.pause_ms(refused.attempt, chance));
        if at >= expires_at { Disposition::Dead(DeadLetterReason::ExpiredHere) } else { Disposition::RetryAt(at) }
    }

    /// The back-off of a family; `None`: the message is not tried again.
    const fn backoff(&self, family: ErrorFamily) -> Option<&Backoff> {
        match family {
            ErrorFamily::Throttle | ErrorFamily::Transient => Some(&self.transient),
            ErrorFamily::Session => Some(&self.session),
            ErrorFamily::Credential => Some(&self.credential),
            ErrorFamily::OurBug => Some(&self.our_bug),
            ErrorFamily::Unknown => Some(&self.unknown),
            ErrorFamily::Permanent => None,
        }
    }
}

/// After how many losses of a session with this message alone on it the message is not sent again, unless configured otherwise.
pub const DOUBTS_MAX: u8 = 3;

/// Minimum wait before a message that is in doubt for the second time or more is sent again, ms. So a carrier that is silent for
/// less than this time is not mistaken for one that the message made silent.
pub const DOUBTED_AGAIN_MS: u64 = 10 * MINUTE_MS;

/// The default policy of a class for messages in doubt. A one-time password that may have arrived is not sent twice.
pub const fn doubt_default(class: Class) -> DoubtPolicy {
    match class {
        Class::Otp => DoubtPolicy::Drop,
        Class::Emergency | Class::Transactional | Class::Marketing => DoubtPolicy::Resend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(attempts_max: u8, backoff_min_ms: u64, backoff_max_ms: u64, jitter_permille: u16) -> Backoff {
        Backoff { attempts_max, backoff_min_ms, backoff_max_ms, jitter_permille }
    }

    fn after(policy: &RetryPolicy, family: ErrorFamily, attempt: u8) -> Disposition {
        let refused = Refused { error: CarrierError::of_answer(family, 8), attempt };
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
    fn each_family_has_its_own_backoff() {
        let one = |ms| backoff(9, ms, ms, 0);
        let policy =
            RetryPolicy { transient: one(1), session: one(2), credential: one(3), our_bug: one(4), unknown: one(5) };
        let at = |family| match after(&policy, family, 1) {
            Disposition::RetryAt(Wall(ms)) => Some(ms),
            Disposition::Rejected => None,
            Disposition::Dead(reason) => panic!("{reason:?}"),
        };
        let pauses = [Some(1), Some(1), Some(2), Some(3), None, Some(4), Some(5)];
        assert_eq!(
            ErrorFamily::ALL.map(at),
            pauses,
            "throttle, transient, session, credential, permanent, our_bug, unknown"
        );
    }

    #[test]
    fn gives_up_with_the_last_attempt_or_the_deadline() {
        let policy = RetryPolicy::uniform(backoff(3, 1_000, 1_500, 0));
        assert_eq!(after(&policy, ErrorFamily::Transient, 2), Disposition::RetryAt(Wall(1_500)));
        let exhausted = Disposition::Dead(DeadLetterReason::AttemptsExhausted);
        assert_eq!(after(&policy, ErrorFamily::Transient, 3), exhausted);
        let refused = Refused { error: CarrierError::of_answer(ErrorFamily::Transient, 8), attempt: 1 };
        let end = policy.after_refusal(refused, Wall(0), Wall(1_000), &mut Prng::new(1));
        assert_eq!(end, Disposition::Dead(DeadLetterReason::ExpiredHere));
    }

    /// The code is for the operator: only the family decides.
    #[test]
    fn nothing_but_the_family_decides() {
        let policy = RetryPolicy::uniform(backoff(3, 1_000, 1_500, 0));
        let code = |number| CarrierError { number, ..CarrierError::of_answer(ErrorFamily::Permanent, 8) };
        for error in [code(0), code(8), code(0x58), code(u32::MAX)] {
            let end = policy.after_refusal(Refused { error, attempt: 1 }, Wall(0), Wall(9_000), &mut Prng::new(1));
            assert_eq!(end, Disposition::Rejected);
        }
    }
}
