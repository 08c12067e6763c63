//! The order of the classes at a link: strict, up to a ceiling.
//!
//! Knows classes and counts of parts. Refuses to know messages, binds and limits. The most urgent class that waits goes
//! first, but while a less urgent one waits it takes at most `ceiling` per cent of the parts; what it leaves goes to the less
//! urgent classes in the same way. So a flood of one class delays the others, and does not stop them.
//!
//! Each class but the last has a *credit*, in hundredths of a part: what the less urgent classes together have coming. A part
//! of the class adds 100 − ceiling while one of them waits, a part of theirs takes the ceiling off; when it has reached the
//! ceiling they are next. At 80 % that is every fifth part. Nothing is added while no other class waits, so none saves up a share
//! that it had no use for.
//!
//! The bound of an OTP's wait follows. From when a link has it until it is written, whatever the bulk load, it waits for:
//! - one window turn: until the carrier has answered a submit, if the window is full. Bulk messages leave slots and tokens for
//!   urgent ones that are on their way ([`Ceilings::beside_urgent`]), so at a window that is not full there is no such wait;
//! - one scheduling quantum: the parts that may go before it. With `n` urgent parts before it, these are `n`, and of bulk the
//!   `n` × (100 − ceiling) / ceiling that a ceiling gives, [`BEHIND_MAX`] more at most ([`quantum`]). At usual loads `n` is 0.
//!
//! The simulator asserts this at the write of each OTP (`sim/crowd.rs`).
//!
//! Invariants:
//! 1. No credit is above [`BEHIND_MAX`] parts or below [`AHEAD_MAX`] parts, so that over any 200 parts a class takes at most
//!    [`slack`] parts more than its ceiling while another waits.

use crate::model::{Class, Sound, holds};

/// How many parts the less urgent classes can have coming, besides the one that makes them next: they could not be sent when
/// it was their turn.
pub const BEHIND_MAX: u32 = 4;

/// How many parts the less urgent classes can be ahead of their share, because the more urgent messages were still on their way.
pub const AHEAD_MAX: u32 = 4;

/// The ceiling that is used if none is configured, per cent.
pub const CEILING: u32 = 80;

/// The lowest ceiling: below it, a class would get less than those that are less urgent.
pub const CEILING_MIN: u32 = 50;

/// How many classes have less urgent ones beside them.
const LEVELS: usize = Class::COUNT - 1;

/// The ceiling, and what it has given so far; see the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    percent: i64,
    credit: [i64; LEVELS],
}

impl Default for Ceilings {
    fn default() -> Self {
        Self::new(CEILING)
    }
}

impl Ceilings {
    /// Ceilings of so many per cent, 50 to 100; at 100 the order is strict.
    pub fn new(percent: u32) -> Self {
        Self { percent: i64::from(percent.clamp(CEILING_MIN, 100)), credit: [0; LEVELS] }
    }

    /// Changes the ceiling.
    pub fn set(&mut self, percent: u32) {
        let new = Self::new(percent);
        if self.percent != new.percent {
            *self = new;
        }
    }

    /// The classes in the order in which their messages are to be looked for.
    pub fn order(&self) -> [Class; Class::COUNT] {
        let mut order = Class::ALL;
        for level in (0..LEVELS).rev() {
            if self.credit[level] >= self.percent && self.percent < 100 {
                order[level..].rotate_left(1);
            }
        }
        order
    }

    /// A part of `class` is written. `waits`: the classes that have something to send, by index.
    pub fn handle_sent(&mut self, class: Class, waits: [bool; Class::COUNT]) {
        let (at, percent) = (class.index(), self.percent);
        for (level, credit) in self.credit.iter_mut().enumerate().take(at) {
            let least = if waits[level] { -i64::from(AHEAD_MAX) * percent } else { 0 };
            *credit = (*credit - percent).max(least.min(*credit));
        }
        let others_wait = waits.iter().skip(at + 1).any(|waits| *waits);
        if let Some(credit) = self.credit.get_mut(at).filter(|_| others_wait) {
            *credit = (*credit + 100 - percent).min(percent + i64::from(BEHIND_MAX) * percent);
        }
    }

    /// How many of the next `parts` parts each class may take, if that is what each has to send.
    pub fn shares(&self, parts: u32, wanted: [u64; Class::COUNT]) -> [u32; Class::COUNT] {
        let (mut left, mut shares) = (parts, [0; Class::COUNT]);
        for (at, share) in shares.iter_mut().enumerate() {
            let others: u64 = wanted[at + 1..].iter().sum();
            let others = others.min(self.coming(at, left).into()) as u32;
            *share = wanted[at].min(u64::from(left - others)) as u32;
            left -= *share;
        }
        shares
    }

    /// How many of the next `parts` parts bulk classes may take at once, although urgent messages are on their way.
    pub fn beside_urgent(&self, parts: u32, wanted: [u64; Class::COUNT]) -> u32 {
        let shares = self.shares(parts, wanted);
        let levels = Class::ALL.into_iter().filter(|class| class.is_urgent() && wanted[class.index()] > 0);
        let ahead = |class: Class| self.credit[class.index()] / self.percent + i64::from(AHEAD_MAX);
        let most = levels.map(ahead).min().map_or(u32::MAX, |most| u32::try_from(most.max(0)).unwrap_or(u32::MAX));
        sum(shares, is_bulk).min(most)
    }

    /// Whether a bulk class is next, of those that have something to send.
    pub fn is_bulk_due(&self, wanted: [u64; Class::COUNT]) -> bool {
        let next = self.order().into_iter().find(|class| wanted[class.index()] > 0);
        next.is_some_and(|class| !class.is_urgent())
    }

    /// How many of the next `parts` parts of a class and the less urgent ones are for the latter.
    fn coming(&self, level: usize, parts: u32) -> u32 {
        let Some(credit) = self.credit.get(level) else { return 0 };
        let coming = (credit + i64::from(parts) * (100 - self.percent)).max(0) / 100;
        u32::try_from(coming).unwrap_or(u32::MAX).min(parts)
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// The breach of it.
    pub fn check(&self) -> Sound {
        let most = self.percent * i64::from(1 + BEHIND_MAX);
        let least = -self.percent * i64::from(AHEAD_MAX);
        let is_within = self.credit.iter().all(|credit| (least..=most).contains(credit));
        holds!(1, is_within, "the credits are {:?} at a ceiling of {}", self.credit, self.percent);
        Ok(())
    }
}

/// How many parts more than its ceiling a class may take of any number of successive parts while another waits.
pub const fn slack(ceiling: u32) -> u32 {
    (1 + BEHIND_MAX + AHEAD_MAX) * ceiling / 100 + 1
}

/// How many parts may be written before an urgent one with `urgent` urgent parts before it, at this ceiling.
pub const fn quantum(urgent: u32, ceiling: u32) -> u32 {
    urgent + (urgent * (100 - ceiling)).div_ceil(ceiling) + 1 + BEHIND_MAX
}

/// Whether a class is prepared ahead of free slots.
pub(super) const fn is_bulk(class: Class) -> bool {
    !class.is_urgent()
}

/// The sum over the classes that `of` chooses.
pub(super) fn sum<T: Copy + std::iter::Sum>(counts: [T; Class::COUNT], of: fn(Class) -> bool) -> T {
    Class::ALL.into_iter().filter(|class| of(*class)).map(|class| counts[class.index()]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prng;

    const ALL: [bool; Class::COUNT] = [true; Class::COUNT];

    /// Sends `parts` parts, each of the first class in the order that waits; gives the classes.
    fn run(ceilings: &mut Ceilings, waits: [bool; Class::COUNT], parts: usize) -> Vec<Class> {
        let next = |_| {
            let class = ceilings.order().into_iter().find(|class| waits[class.index()]).expect("one waits");
            ceilings.handle_sent(class, waits);
            assert_eq!(ceilings.check(), Ok(()));
            class
        };
        (0..parts).map(next).collect()
    }

    fn counts(classes: &[Class]) -> [usize; Class::COUNT] {
        Class::ALL.map(|class| classes.iter().filter(|sent| **sent == class).count())
    }

    #[test]
    fn each_class_gets_its_ceiling_of_what_is_left() {
        let got = run(&mut Ceilings::new(80), ALL, 1_000);
        assert_eq!(counts(&got), [800, 160, 32, 8]);
        let got = run(&mut Ceilings::new(80), [false, true, false, true], 1_000);
        assert_eq!(counts(&got), [0, 800, 0, 200]);
        let first: Vec<_> = got[..6].iter().map(|class| class.is_urgent()).collect();
        assert_eq!(first, [true, true, true, true, false, true], "and smoothly");
        assert_eq!(counts(&run(&mut Ceilings::new(50), [false, false, true, true], 100)), [0, 0, 50, 50]);
        assert_eq!(counts(&run(&mut Ceilings::new(100), ALL, 1_000)), [1_000, 0, 0, 0], "strict");
        assert_eq!(counts(&run(&mut Ceilings::new(80), [false, true, false, false], 100)), [0, 100, 0, 0], "alone");
    }

    #[test]
    fn over_any_200_parts_a_class_stays_below_its_ceiling() {
        for percent in [50, 80, 95] {
            let (mut ceilings, mut prng) = (Ceilings::new(percent), Prng::new(u64::from(percent)));
            let mut sent = Vec::new();
            for _ in 0..20_000 {
                // The urgent class is here, or on its way; the other has always something. Now and then it cannot be sent.
                let order = ceilings.order();
                let first = order.into_iter().find(|class| *class != Class::Emergency && *class != Class::Marketing);
                let is_on_its_way = prng.chance(100_000) && ceilings.beside_urgent(8, [0, 9, 9, 0]) > 0;
                let class = if is_on_its_way { Class::Transactional } else { first.expect("one of the two") };
                ceilings.handle_sent(class, [false, true, true, false]);
                assert_eq!(ceilings.check(), Ok(()));
                sent.push(class);
            }
            for window in sent.windows(200) {
                let urgent = window.iter().filter(|class| **class == Class::Otp).count() as u32;
                assert!(urgent <= 2 * percent + slack(percent), "{urgent} of 200 at {percent} %");
            }
        }
    }

    #[test]
    fn places_are_shared_in_the_same_way() {
        let mut ceilings = Ceilings::new(80);
        assert_eq!(ceilings.shares(100, [0, 1_000, 0, 1_000]), [0, 80, 0, 20]);
        assert_eq!(ceilings.shares(100, [1_000; 4]), [80, 16, 4, 0], "rounded to the more urgent");
        assert_eq!(ceilings.shares(100, [0, 1_000, 0, 3]), [0, 97, 0, 3], "nothing is kept that no class wants");
        assert_eq!(ceilings.shares(100, [0, 10, 0, 1_000]), [0, 10, 0, 90]);
        // Places for one message at a time: each fifth one.
        let mut got = Vec::new();
        for _ in 0..10 {
            let shares = ceilings.shares(1, [0, 0, 9, 9]);
            let class = Class::ALL.into_iter().find(|class| shares[class.index()] > 0).expect("one place");
            ceilings.handle_sent(class, [false, false, true, true]);
            got.push(class);
        }
        assert_eq!(counts(&got), [0, 0, 8, 2]);
    }

    #[test]
    fn bulk_goes_ahead_of_urgent_messages_on_their_way_for_a_few_parts_only() {
        let mut ceilings = Ceilings::new(80);
        let wanted = [0, 1_000, 0, 1_000];
        assert_eq!([1, 4, 5, 100].map(|parts| ceilings.beside_urgent(parts, wanted)), [0, 0, 1, 4]);
        for _ in 0..4 {
            ceilings.handle_sent(Class::Marketing, [false, true, false, true]);
        }
        assert_eq!(ceilings.beside_urgent(100, wanted), 0, "it is four parts ahead");
        assert_eq!(ceilings.shares(100, wanted), [0, 84, 0, 16]);
        assert_eq!(ceilings.beside_urgent(100, [0, 0, 0, 1_000]), 100, "nothing urgent");
    }

    #[test]
    fn breaking_invariant_1_lets_a_class_take_more() {
        for credit in [401, -321] {
            let mut ceilings = Ceilings::new(80);
            ceilings.credit[1] = credit;
            assert_eq!(ceilings.check().expect_err("a breach").number, 1, "{credit}");
        }
    }
}
