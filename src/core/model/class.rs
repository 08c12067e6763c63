//! Traffic classes: how urgent a message is, and nothing about what the rest of the program does with that.

use serde::{Deserialize, Serialize};

/// Urgency of a message; the order of the variants is the order of sending, most urgent first. The discriminants go to
/// disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Class {
    /// Public warnings: ahead of everything.
    Emergency = 0,
    /// One-time passwords: worthless after a minute, never sent twice by default.
    Otp = 1,
    /// A message that a person or system is waiting for: the default.
    #[default]
    Transactional = 2,
    /// Campaigns: use the capacity that the other classes leave.
    Marketing = 3,
}

impl Class {
    /// Every class, most urgent first.
    pub const ALL: [Self; 4] = [Self::Emergency, Self::Otp, Self::Transactional, Self::Marketing];
    /// How many classes there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name used in the API, the configuration and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Otp => "otp",
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
        }
    }

    /// Whether the class does not wait for capacity that less urgent classes hold: it is sent as soon as a slot is
    /// free, and is not prepared ahead.
    pub const fn is_urgent(self) -> bool {
        match self {
            Self::Emergency | Self::Otp => true,
            Self::Transactional | Self::Marketing => false,
        }
    }

    /// The class of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Position in arrays indexed by class.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class with that discriminant, as read back from disk.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            0 => Some(Self::Emergency),
            1 => Some(Self::Otp),
            2 => Some(Self::Transactional),
            3 => Some(Self::Marketing),
            4.. => None,
        }
    }
}
