//! The name of a list of ready messages: a number that stands for what the list is for, a generation, and a kind.
//!
//! Knows: which lists were ever used, and the number of each. Refuses to know: the messages in them (`lanes`).
//!
//! Invariants:
//! 1. A number stands for one thing for ever. Numbers are given in order from 0, without a gap.
//! 2. A new number is recorded by the batch that is the first to use it ([`ListTable::take_new`]).
//! 3. There are at most [`LISTS_MAX`] lists. At most [`OWN_LISTS_MAX`] are for single tenants; a lane that finds no room
//!    there uses the list for all tenants of its class and route, and there are no more of these than combinations of
//!    classes and routes.

use std::collections::BTreeMap;

use crate::model::{Class, Lane, Sound, TenantId, WALKED_MAX, holds};

/// Most lists of one shard for single tenants.
pub const OWN_LISTS_MAX: usize = 1 << 16;
/// Most lists of one shard: these, and one for each class, each number that a route can have and, as far as there are numbers left,
/// each set of counters.
pub const LISTS_MAX: usize = 1 << 20;

const _: () = assert!(OWN_LISTS_MAX + (Class::COUNT << u16::BITS) < LISTS_MAX / 2);

/// The number of a list in its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListNumber(pub u32);

/// How many restores from a backup the shard had behind it when a list's messages were added. New messages belong to
/// the shard's present generation; a restore begins the next one, so everything in an earlier generation was unsent in
/// a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u8);

impl Generation {
    /// The last generation: a shard that has reached it cannot be restored from a backup again.
    pub const LAST: Self = Self(u8::MAX);

    /// The generation before; the first one gives itself.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// The kinds of fifo of a list and generation, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// Messages given back unsent; older messages come before newer ones in each fifo. There are several, up to
    /// [`ListKind::RETURNED_LAST`].
    Returned(u8),
    /// Messages whose time has come: scheduled, to be retried, or no longer in doubt.
    Due,
    /// Messages that are ready since admission.
    Fresh,
}

impl ListKind {
    /// The fifo for messages that are given back first; the lower numbers are for messages that are older than those in
    /// it.
    pub const RETURNED_LAST: u8 = 7;

    /// How many kinds there are.
    pub const COUNT: usize = Self::Fresh.code() as usize + 1;

    /// As kept on disk.
    pub const fn code(self) -> u8 {
        match self {
            Self::Returned(at) => at,
            Self::Due => Self::RETURNED_LAST + 1,
            Self::Fresh => Self::RETURNED_LAST + 2,
        }
    }

    /// As read back from disk.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0..=Self::RETURNED_LAST => Some(Self::Returned(code)),
            8 => Some(Self::Due),
            9 => Some(Self::Fresh),
            10.. => None,
        }
    }
}

const _: () = assert!(ListKind::COUNT == 10);

/// The name of a fifo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FifoName {
    /// The list.
    pub list: ListNumber,
    /// The generation.
    pub generation: Generation,
    /// The kind.
    pub kind: ListKind,
}

impl FifoName {
    /// The name that sorts before all others.
    pub const FIRST: Self = Self { list: ListNumber(0), generation: Generation(0), kind: ListKind::Returned(0) };

    /// The name that sorts directly after it, if generations go up to and with `present`.
    #[must_use]
    pub const fn next(self, present: Generation) -> Self {
        let Self { list, generation, kind } = self;
        match ListKind::from_code(kind.code() + 1) {
            Some(kind) => Self { list, generation, kind },
            None if generation.0 < present.0 => {
                Self { list, generation: Generation(generation.0 + 1), kind: ListKind::Returned(0) }
            }
            None => Self { list: ListNumber(list.0 + 1), ..Self::FIRST },
        }
    }
}

/// The lists that a shard has ever used, and their numbers.
#[derive(Clone, Debug, Default)]
pub struct ListTable {
    /// The lane of each list, by number.
    of: Vec<Lane>,
    numbers: BTreeMap<Lane, ListNumber>,
    /// How many of them are recorded by a batch.
    recorded: usize,
    /// How many of them are for several tenants.
    shared: usize,
}

impl ListTable {
    /// The table as it was recorded, by number.
    pub fn recorded(of: Vec<Lane>) -> Self {
        let numbers = of.iter().zip(0..).map(|(of, number)| (*of, ListNumber(number))).collect();
        let shared = of.iter().filter(|lane| lane.tenant == TenantId::SHARED).count();
        Self { recorded: of.len(), of, numbers, shared }
    }

    /// The number of the list in which messages of that lane wait; given now if it has none.
    pub fn number(&mut self, lane: Lane) -> ListNumber {
        if let Some(known) = self.known(lane) {
            return known;
        }
        if lane.tenant == TenantId::SHARED {
            self.shared += 1;
        } else if self.of.len() - self.shared >= OWN_LISTS_MAX {
            return self.number(Lane { tenant: TenantId::SHARED, ..lane });
        }
        let number = ListNumber(self.of.len() as u32);
        self.of.push(lane);
        self.numbers.insert(lane, number);
        number
    }

    /// The number of the list of exactly that lane, if it was ever used.
    pub fn known(&self, lane: Lane) -> Option<ListNumber> {
        self.numbers.get(&lane).copied()
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let (lists, recorded, shared) = (self.of.len(), self.recorded, self.shared);
        holds!(3, lists <= LISTS_MAX && lists - shared.min(lists) <= OWN_LISTS_MAX, "{lists} lists, {shared} shared");
        holds!(1, recorded <= lists && self.numbers.len() == lists, "{} numbers of {lists} lists", self.numbers.len());
        let mut own = self.of.iter().zip(0..).take(WALKED_MAX);
        let is_own = |(of, number): (&Lane, u32)| self.numbers.get(of) == Some(&ListNumber(number));
        holds!(1, own.all(is_own), "{:?} stand for {:?}", self.numbers, self.of);
        Ok(())
    }

    /// The lane of a list; `number` must be of this table.
    pub fn lane(&self, number: ListNumber) -> Lane {
        self.of[number.0 as usize]
    }

    /// How many lists there are; their numbers are lower than this.
    pub const fn count(&self) -> usize {
        self.of.len()
    }

    /// The lists that no batch has recorded yet.
    pub fn take_new(&mut self) -> Vec<(ListNumber, Lane)> {
        let first = std::mem::replace(&mut self.recorded, self.of.len());
        (first as u32..).map(ListNumber).zip(self.of[first..].iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{RouteId, SetNumber};

    use super::*;

    fn of(class: Class, route: u16) -> Lane {
        Lane { class, route: RouteId(route), tenant: TenantId(1), set: SetNumber::NONE }
    }

    #[test]
    fn breaking_invariant_1_gives_a_number_again() {
        let breach = |change: fn(&mut ListTable)| {
            let mut table = ListTable::default();
            let numbers: Vec<_> = (1..4).map(|route| table.number(of(Class::Otp, route)).0).collect();
            assert_eq!(numbers, [0, 1, 2]);
            assert_eq!(table.check(), Ok(()));
            change(&mut table);
            table.check().expect_err("a breach").number
        };
        assert_eq!(breach(|table| table.of.swap(0, 1)), 1);
        assert_eq!(breach(|table| table.of.truncate(2)), 1);
        assert_eq!(breach(|table| table.of[2] = table.of[0]), 1);
        assert_eq!(breach(|table| table.recorded = 4), 1);
    }

    #[test]
    fn breaking_invariant_3_has_more_lists_than_there_may_be() {
        let table = ListTable { of: vec![of(Class::Otp, 1); OWN_LISTS_MAX + 1], ..ListTable::default() };
        assert_eq!(table.check().expect_err("a breach").number, 3);
        let (shared, of) = (LISTS_MAX + 1, vec![of(Class::Otp, 1); LISTS_MAX + 1]);
        assert_eq!(ListTable { of, shared, ..ListTable::default() }.check().expect_err("a breach").number, 3);
    }

    #[test]
    fn a_tenant_that_finds_no_room_shares_a_list() {
        let own = |tenant| Lane { tenant: TenantId(tenant), ..of(Class::Otp, 1) };
        let mut table = ListTable::recorded((0..OWN_LISTS_MAX as u32).map(own).collect());
        let (late, later) = (table.number(own(1_000_000)), table.number(own(1_000_001)));
        assert_eq!((late, table.lane(late).tenant, table.count()), (later, TenantId::SHARED, OWN_LISTS_MAX + 1));
        assert_eq!(table.number(own(7)), ListNumber(7), "a tenant that has a list keeps it");
        assert_ne!(table.number(Lane { class: Class::Marketing, ..own(1_000_000) }), late, "of its class");
        assert_eq!(table.check(), Ok(()));
    }

    #[test]
    fn codes_read_back_and_sort_as_they_are_taken() {
        let kinds: Vec<ListKind> = (0..=9).filter_map(ListKind::from_code).collect();
        assert_eq!(kinds.iter().map(|kind| kind.code()).collect::<Vec<_>>(), (0..=9).collect::<Vec<_>>());
        assert!(kinds.is_sorted());
        assert_eq!([10, 11, 255].map(ListKind::from_code), [None; 3]);
    }

    #[test]
    fn a_number_stands_for_one_list_for_ever() {
        let mut table = ListTable::default();
        let lists = [of(Class::Otp, 7), of(Class::Marketing, 1), Lane { tenant: TenantId(4), ..of(Class::Otp, 7) }];
        let numbers = lists.map(|list| table.number(list));
        assert_eq!(numbers, [0, 1, 2].map(ListNumber));
        assert_eq!(table.take_new(), numbers.into_iter().zip(lists).collect::<Vec<_>>());
        assert_eq!(table.take_new(), []);
        let mut again = ListTable::recorded(lists.to_vec());
        assert_eq!(lists.map(|list| again.number(list)), numbers);
        assert_eq!((again.number(of(Class::Otp, 8)), again.lane(ListNumber(3)).route), (ListNumber(3), RouteId(8)));
        assert_eq!(again.take_new(), [(ListNumber(3), of(Class::Otp, 8))], "what was recorded is not new");
    }

    #[test]
    fn names_follow_each_other() {
        let present = Generation(1);
        let names: Vec<FifoName> =
            std::iter::successors(Some(FifoName::FIRST), |name| Some(name.next(present))).take(41).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert_eq!((names[19].list, names[20].list, names[40].list), (ListNumber(0), ListNumber(1), ListNumber(2)));
    }
}
