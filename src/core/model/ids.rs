//! Small identities. Each is its own type so that one is not taken for another; all go to disk, so a number once given
//! to a name is never given to another (`control` keeps the numbers).

use std::fmt;

use super::class::Class;

/// Which installation made an id: 0..=1023, from `[node] id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeId(pub u16);

/// A tenant; 0 is the nameless one of an installation without `[[tenant]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

impl TenantId {
    /// Stands for several tenants, where there is no room to keep each apart. Control never gives this number.
    pub const SHARED: Self = Self(u32::MAX);
}

/// Whose messages a caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The messages of one tenant.
    Of(TenantId),
    /// The messages of all tenants.
    All,
}

impl Whose {
    /// Whether the caller may see a message of that tenant.
    pub fn includes(self, tenant: TenantId) -> bool {
        match self {
            Self::Of(one) => one == tenant,
            Self::All => true,
        }
    }
}

/// The number of a shard: a durable partition of the recipients. The core that it runs on may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

/// A carrier by the number that control has given to its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(pub u16);

/// Carriers that share one space of message ids and receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u16);

/// A routing rule by the number that control has given to its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// A limit by the number that control has given to its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId(pub u16);

/// A set of counters of limits, by its number in its shard: all messages of a set count on the same counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetNumber(pub u32);

impl SetNumber {
    /// The set of messages that were judged while there was no limit.
    pub const NONE: Self = Self(0);
}

/// A country by its ISO 3166 code of two letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country with that code; `None` if it is not two capital letters.
    pub fn new(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// Its code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// One owner of binds to a carrier. A carrier with a rate limit has exactly one (`home` 0 of it, on one core); a
/// carrier without one may have a link on every core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The carrier that it serves.
    pub carrier: CarrierId,
    /// Core on which the link runs.
    pub core: u8,
}

/// Class × route × tenant × set of counters: messages of one lane are taken in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Traffic class.
    pub class: Class,
    /// The routing rule that was chosen for the messages.
    pub route: RouteId,
    /// Whose messages they are; [`TenantId::SHARED`] stands for several tenants.
    pub tenant: TenantId,
    /// The counters of limits on which they count.
    pub set: SetNumber,
}

/// The place of a message in its shard: segment (40 bits) and slot (16 bits). Ordered by segment, then slot: an older
/// message has a smaller address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// Largest segment number that an id can carry.
    pub const SEGMENT_MAX: u64 = (1 << 40) - 1;

    /// The address of `slot` in `segment`; segments past [`Self::SEGMENT_MAX`] are never given to a message.
    pub const fn new(segment: u64, slot: u16) -> Self {
        Self((segment & Self::SEGMENT_MAX) << 16 | slot as u64)
    }

    /// The segment's number.
    pub const fn segment(self) -> u64 {
        self.0 >> 16
    }

    /// The index inside the segment.
    pub const fn slot(self) -> u16 {
        (self.0 & 0xFFFF) as u16
    }

    /// As one number, 56 bits.
    pub const fn packed(self) -> u64 {
        self.0
    }

    /// Back from [`Self::packed`]; bits above the 56 are ignored.
    pub const fn from_packed(packed: u64) -> Self {
        Self(packed & ((1 << 56) - 1))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.segment(), self.slot())
    }
}
