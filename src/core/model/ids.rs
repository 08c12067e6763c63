//! Small identities. Each is its own type so that none is taken for another; all go to disk, so numbers once
//! given to a name are never given to another (`control` keeps them).

use std::fmt;

use super::class::Class;

/// Which installation made an id: 0..=1023, from `[node] id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeId(pub u16);

/// A tenant; 0 is the nameless one of an installation without `[[tenant]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

/// Whose messages somebody may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of one tenant.
    Of(TenantId),
    /// Those of all.
    All,
}

impl Whose {
    /// Whether a message of that tenant is among them.
    pub fn includes(self, tenant: TenantId) -> bool {
        match self {
            Self::Of(one) => one == tenant,
            Self::All => true,
        }
    }
}

/// A durable partition of recipients. A core is only where it runs.
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

/// One owner of binds to a carrier. A carrier with a rate has exactly one (`home` 0 of it, on one core);
/// one without a rate may have one on every core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The carrier that it serves.
    pub carrier: CarrierId,
    /// Core on which it runs.
    pub core: u8,
}

/// Class × route: messages of one lane are taken in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Urgency.
    pub class: Class,
    /// The rule that chose the way.
    pub route: RouteId,
}

/// Where a message stands inside its shard: segment (40 bits) and slot (16 bits).
/// Ordered as written: an older message has a smaller address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// Largest segment number that an id can carry.
    pub const SEGMENT_MAX: u64 = (1 << 40) - 1;

    /// The address of `slot` in `segment`; segments past [`Self::SEGMENT_MAX`] are never handed out.
    pub const fn new(segment: u64, slot: u16) -> Self {
        Self((segment & Self::SEGMENT_MAX) << 16 | slot as u64)
    }

    /// The segment's number.
    pub const fn segment(self) -> u64 {
        self.0 >> 16
    }

    /// The place inside the segment.
    pub const fn slot(self) -> u16 {
        (self.0 & 0xFFFF) as u16
    }

    /// As one number, 56 bits.
    pub const fn packed(self) -> u64 {
        self.0
    }

    /// Back from [`Self::packed`]; higher bits are cut.
    pub const fn from_packed(packed: u64) -> Self {
        Self(packed & ((1 << 56) - 1))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.segment(), self.slot())
    }
}
