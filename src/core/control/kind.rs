//! The kinds of entries in control, and how much of each it may hold.
//!
//! To add a kind: a number that was never used, its bound, a record for its value in `store/control.rs`, and the row in
//! `docs/STORAGE.md`.

use std::fmt;

/// The kind of an entry: what it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A route: its name and number.
    Route = 1,
    /// A carrier: its name and number.
    Carrier = 2,
    /// A group of carriers: its name and number.
    Group = 3,
    /// A tenant: its name and number.
    Tenant = 4,
    /// The configuration that is in force.
    Configuration = 5,
    /// For each tenant: how far each of its readers of records has come.
    Readers = 6,
    /// A limit: its name and number.
    Limit = 7,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 7;

    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Route, Self::Carrier, Self::Group, Self::Tenant, Self::Configuration, Self::Readers, Self::Limit];

    /// Its number on disk.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind of that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its index in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// Whether its entries are names with numbers. Such entries are never removed.
    pub const fn is_numbered(self) -> bool {
        match self {
            Self::Route | Self::Carrier | Self::Group | Self::Tenant | Self::Limit => true,
            Self::Configuration | Self::Readers => false,
        }
    }

    /// The kind's name in messages, in the plural.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Carrier => "carriers",
            Self::Group => "groups",
            Self::Tenant => "tenants",
            Self::Configuration => "configurations",
            Self::Readers => "readers of tenants",
            Self::Limit => "limits",
        }
    }
}

/// A limit: entries, and bytes of their keys and values together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Most entries.
    pub entries: u32,
    /// Most bytes of keys and values.
    pub bytes: u64,
}

impl Bound {
    /// The larger of the two limits, for entries and for bytes separately.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { entries: self.entries.max(other.entries), bytes: self.bytes.max(other.bytes) }
    }
}

/// Longest key, bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// Longest value, bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// How much control may hold. If a start finds more, it stays; but nothing is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// By kind, in the order of [`Kind::ALL`].
    pub kinds: [Bound; Kind::COUNT],
    /// All kinds together. Less than the sum of the kinds: few installations need much of every kind.
    pub all: Bound,
}

impl Default for Bounds {
    fn default() -> Self {
        let names = Bound { entries: NUMBERS_MAX, bytes: 4 << 20 };
        let kinds = Kind::ALL.map(|kind| match kind {
            Kind::Route | Kind::Carrier | Kind::Group | Kind::Tenant | Kind::Limit => names,
            Kind::Configuration => Bound { entries: 16, bytes: 64 << 10 },
            Kind::Readers => Bound { entries: 4_096, bytes: 4 << 20 },
        });
        Self { kinds, all: Bound { entries: 150_000, bytes: 12 << 20 } }
    }
}

/// Most numbers of a kind: records hold them in 16 bits, and 0 means "none".
pub(super) const NUMBERS_MAX: u32 = u16::MAX as u32;

/// Why a request was refused; nothing of it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A key is empty or longer than [`KEY_BYTES_MAX`].
    Key(Kind, usize),
    /// A value is longer than [`VALUE_BYTES_MAX`].
    Value(Kind, usize),
    /// The kind would have more entries than it may.
    KindEntries(Kind, u32),
    /// The kind would have more bytes than it may.
    KindBytes(Kind, u64),
    /// Control would have more entries than it may.
    AllEntries(u32),
    /// Control would have more bytes than it may.
    AllBytes(u64),
    /// The kind is numbered: its entries can be neither put nor removed.
    Numbered(Kind),
    /// The kind is not numbered: its entries get no numbers.
    NotNumbered(Kind),
    /// The entry is no longer the one that the caller saw.
    Changed(Kind),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(kind, bytes) => {
                write!(out, "{}: a key has 1 to {KEY_BYTES_MAX} bytes, not {bytes}", kind.plural())
            }
            Self::Value(kind, bytes) => {
                write!(out, "{}: a value has at most {VALUE_BYTES_MAX} bytes, not {bytes}", kind.plural())
            }
            Self::KindEntries(kind, most) if kind.is_numbered() => write!(
                out,
                "{}: there are no more than {most} numbers, and a name that was ever used keeps its number",
                kind.plural()
            ),
            Self::KindEntries(kind, most) => write!(out, "{}: at most {most} are allowed", kind.plural()),
            Self::KindBytes(kind, most) => {
                write!(out, "{}: all of them together may have at most {most} bytes", kind.plural())
            }
            Self::AllEntries(most) => write!(out, "control holds at most {most} entries"),
            Self::AllBytes(most) => write!(out, "control holds at most {most} bytes"),
            Self::Numbered(kind) => write!(out, "{}: a name keeps its number for ever", kind.plural()),
            Self::NotNumbered(kind) => write!(out, "{}: entries of this kind have no numbers", kind.plural()),
            Self::Changed(kind) => write!(out, "{}: another request has changed it meanwhile", kind.plural()),
        }
    }
}

impl std::error::Error for Refused {}
