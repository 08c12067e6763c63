//! National languages of GSM 7-bit text: their identifiers, which tables each has, and sets of them.
//!
//! Knows: the national language identifiers of 3GPP TS 23.038 §6.2.1.2.4. Refuses to know: the tables' contents
//! (`national_tables`) and when using one saves parts (`analyse`).

use super::gsm7_tables::Sheet;
use super::national_tables as tables;

/// A national language identifier, as used in the information elements 0x24 and 0x25.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Language {
    Turkish = 1,
    Spanish = 2,
    Portuguese = 3,
    /// Bengali and Assamese.
    Bengali = 4,
    Gujarati = 5,
    Hindi = 6,
    Kannada = 7,
    Malayalam = 8,
    Oriya = 9,
    Punjabi = 10,
    Tamil = 11,
    Telugu = 12,
    Urdu = 13,
}

static TURKISH: [Sheet; 2] = [Sheet::new(tables::TURKISH_SINGLE), Sheet::new(tables::TURKISH_LOCKING)];
static SPANISH: [Sheet; 1] = [Sheet::new(tables::SPANISH_SINGLE)];
static PORTUGUESE: [Sheet; 2] = [Sheet::new(tables::PORTUGUESE_SINGLE), Sheet::new(tables::PORTUGUESE_LOCKING)];
static BENGALI: [Sheet; 2] = [Sheet::new(tables::BENGALI_SINGLE), Sheet::new(tables::BENGALI_LOCKING)];
static GUJARATI: [Sheet; 2] = [Sheet::new(tables::GUJARATI_SINGLE), Sheet::new(tables::GUJARATI_LOCKING)];
static HINDI: [Sheet; 2] = [Sheet::new(tables::HINDI_SINGLE), Sheet::new(tables::HINDI_LOCKING)];
static KANNADA: [Sheet; 2] = [Sheet::new(tables::KANNADA_SINGLE), Sheet::new(tables::KANNADA_LOCKING)];
static MALAYALAM: [Sheet; 2] = [Sheet::new(tables::MALAYALAM_SINGLE), Sheet::new(tables::MALAYALAM_LOCKING)];
static ORIYA: [Sheet; 2] = [Sheet::new(tables::ORIYA_SINGLE), Sheet::new(tables::ORIYA_LOCKING)];
static PUNJABI: [Sheet; 2] = [Sheet::new(tables::PUNJABI_SINGLE), Sheet::new(tables::PUNJABI_LOCKING)];
static TAMIL: [Sheet; 2] = [Sheet::new(tables::TAMIL_SINGLE), Sheet::new(tables::TAMIL_LOCKING)];
static TELUGU: [Sheet; 2] = [Sheet::new(tables::TELUGU_SINGLE), Sheet::new(tables::TELUGU_LOCKING)];
static URDU: [Sheet; 2] = [Sheet::new(tables::URDU_SINGLE), Sheet::new(tables::URDU_LOCKING)];

impl Language {
    /// Every language, by identifier.
    pub const ALL: [Self; 13] = [
        Self::Turkish,
        Self::Spanish,
        Self::Portuguese,
        Self::Bengali,
        Self::Gujarati,
        Self::Hindi,
        Self::Kannada,
        Self::Malayalam,
        Self::Oriya,
        Self::Punjabi,
        Self::Tamil,
        Self::Telugu,
        Self::Urdu,
    ];

    /// The language of an identifier; `None` for 0 (default) and reserved values.
    pub fn from_identifier(identifier: u8) -> Option<Self> {
        Self::ALL.get(usize::from(identifier).checked_sub(1)?).copied()
    }

    /// The byte in the information element.
    pub const fn identifier(self) -> u8 {
        self as u8
    }

    /// The English name in lower case, for use in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turkish => "turkish",
            Self::Spanish => "spanish",
            Self::Portuguese => "portuguese",
            Self::Bengali => "bengali",
            Self::Gujarati => "gujarati",
            Self::Hindi => "hindi",
            Self::Kannada => "kannada",
            Self::Malayalam => "malayalam",
            Self::Oriya => "oriya",
            Self::Punjabi => "punjabi",
            Self::Tamil => "tamil",
            Self::Telugu => "telugu",
            Self::Urdu => "urdu",
        }
    }

    /// The language with this [`Language::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    /// Whether a locking shift table exists; Spanish has none.
    pub fn has_locking(self) -> bool {
        self.locking_sheet().is_some()
    }

    pub(super) fn single_sheet(self) -> Option<&'static Sheet> {
        self.sheets().first()
    }

    pub(super) fn locking_sheet(self) -> Option<&'static Sheet> {
        self.sheets().get(1)
    }

    fn sheets(self) -> &'static [Sheet] {
        match self {
            Self::Turkish => &TURKISH,
            Self::Spanish => &SPANISH,
            Self::Portuguese => &PORTUGUESE,
            Self::Bengali => &BENGALI,
            Self::Gujarati => &GUJARATI,
            Self::Hindi => &HINDI,
            Self::Kannada => &KANNADA,
            Self::Malayalam => &MALAYALAM,
            Self::Oriya => &ORIYA,
            Self::Punjabi => &PUNJABI,
            Self::Tamil => &TAMIL,
            Self::Telugu => &TELUGU,
            Self::Urdu => &URDU,
        }
    }
}

/// A set of languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LanguageSet(u16);

impl LanguageSet {
    /// No language.
    pub const EMPTY: Self = Self(0);

    /// The set with this language added.
    #[must_use]
    pub const fn with(self, language: Language) -> Self {
        Self(self.0 | 1 << language as u8)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the language is in the set.
    pub const fn contains(self, language: Language) -> bool {
        self.0 & (1 << language as u8) != 0
    }

    /// The languages in the set, by identifier.
    pub fn iter(self) -> impl Iterator<Item = Language> {
        Language::ALL.into_iter().filter(move |&language| self.contains(language))
    }
}

impl FromIterator<Language> for LanguageSet {
    fn from_iter<I: IntoIterator<Item = Language>>(languages: I) -> Self {
        languages.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// The national tables that a carrier and its handsets support. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct National {
    /// Languages whose single shift table may replace the extension table.
    pub single: LanguageSet,
    /// Languages whose locking shift table may replace the default alphabet.
    pub locking: LanguageSet,
}

impl National {
    /// No national table: only the default ones are used.
    pub const NONE: Self = Self { single: LanguageSet::EMPTY, locking: LanguageSet::EMPTY };

    /// Whether only the default tables may be used.
    pub const fn is_none(self) -> bool {
        self.single.is_empty() && self.locking.is_empty()
    }
}
