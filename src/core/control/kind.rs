//! The kinds of entries, and how much of each there may be.
//!
//! To add a kind: a number that was never used, its bound, a record for its value in `store/control.rs`, and the row in
//! `docs/STORAGE.md`.

use std::fmt;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A route's name and its number.
    Route = 1,
    /// A carrier's name and its number.
    Carrier = 2,
    /// The name of a group of carriers and its number.
    Group = 3,
    /// A tenant's name and its number.
    Tenant = 4,
    /// The configuration that is applied.
    Configuration = 5,
    /// How far each of a tenant's readers of records has come.
    Readers = 6,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Route, Self::Carrier, Self::Group, Self::Tenant, Self::Configuration, Self::Readers];

    /// Its number on disk.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind of that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// Whether its entries are names with numbers, which stay for ever.
    pub const fn is_numbered(self) -> bool {
        match self {
            Self::Route | Self::Carrier | Self::Group | Self::Tenant => true,
            Self::Configuration | Self::Readers => false,
        }
    }

    /// What several of it are called.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Carrier => "carriers",
            Self::Group => "groups",
            Self::Tenant => "tenants",
            Self::Configuration => "configurations",
            Self::Readers => "readers of tenants",
        }
    }
}

/// So many entries, and so many bytes of their keys and values together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Entries.
    pub entries: u32,
    /// Bytes.
    pub octets: u64,
}

impl Bound {
    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { entries: self.entries.max(other.entries), octets: self.octets.max(other.octets) }
    }
}

/// Bytes of a key, at most.
pub const KEY_OCTETS_MAX: usize = 255;
/// Bytes of a value, at most.
pub const VALUE_OCTETS_MAX: usize = 64 << 10;

/// How much there may be. What a start finds beyond stays; nothing is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of each kind, by its place.
    pub kinds: [Bound; Kind::COUNT],
    /// Of all kinds together. It is less than their sum: few installations need much of everything.
    pub all: Bound,
}

impl Default for Bounds {
    fn default() -> Self {
        let names = Bound { entries: NUMBERS_MAX, octets: 4 << 20 };
        let kinds = Kind::ALL.map(|kind| match kind {
            Kind::Route | Kind::Carrier | Kind::Group | Kind::Tenant => names,
            Kind::Configuration => Bound { entries: 16, octets: 64 << 10 },
            Kind::Readers => Bound { entries: 4_096, octets: 4 << 20 },
        });
        Self { kinds, all: Bound { entries: 150_000, octets: 12 << 20 } }
    }
}

/// Numbers of a kind, at most: records hold them in 16 bits, and 0 is nobody.
pub(super) const NUMBERS_MAX: u32 = u16::MAX as u32;

/// Why nothing of a request was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A key is empty or longer than [`KEY_OCTETS_MAX`].
    Key(Kind, usize),
    /// A value is longer than [`VALUE_OCTETS_MAX`].
    Value(Kind, usize),
    /// There would be more entries of the kind than there may be.
    KindEntries(Kind, u32),
    /// There would be more bytes of the kind than there may be.
    KindOctets(Kind, u64),
    /// There would be more entries than there may be.
    AllEntries(u32),
    /// There would be more bytes than there may be.
    AllOctets(u64),
    /// A name's number stays: the kind is neither put nor removed.
    Numbered(Kind),
    /// Entries of the kind have no numbers.
    NotNumbered(Kind),
    /// The entry is not any more what was seen of it.
    Changed(Kind),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(kind, octets) => {
                write!(out, "{}: a key has 1 to {KEY_OCTETS_MAX} octets, not {octets}", kind.plural())
            }
            Self::Value(kind, octets) => {
                write!(out, "{}: a value has at most {VALUE_OCTETS_MAX} octets, not {octets}", kind.plural())
            }
            Self::KindEntries(kind, most) if kind.is_numbered() => write!(
                out,
                "{}: there are no more than {most} numbers, and a name that was ever used keeps its number",
                kind.plural()
            ),
            Self::KindEntries(kind, most) => write!(out, "{}: there may be at most {most}", kind.plural()),
            Self::KindOctets(kind, most) => {
                write!(out, "{}: all together may have at most {most} octets", kind.plural())
            }
            Self::AllEntries(most) => write!(out, "control holds at most {most} entries"),
            Self::AllOctets(most) => write!(out, "control holds at most {most} octets"),
            Self::Numbered(kind) => write!(out, "{}: a number that was given stays", kind.plural()),
            Self::NotNumbered(kind) => write!(out, "{}: they have no numbers", kind.plural()),
            Self::Changed(kind) => write!(out, "{}: somebody else has changed it meanwhile", kind.plural()),
        }
    }
}

impl std::error::Error for Refused {}
