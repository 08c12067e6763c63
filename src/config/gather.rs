//! Collects problems while raw values are resolved, so that one run reports all of them.
//!
//! A refused value is replaced by its default (or an empty value) and the work goes on. The replacement is never used:
//! with a problem in the list, no [`Config`](super::Config) is returned. Refuses to know any key.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::raw::Optional;
use super::secret::{Secret, SecretRef};
use super::source::{Span, WHOLE};
use super::units::{Bytes, Millis, OneOrMany};
use stentor_core::admission::numbering::{NumberRange, Numbering};
use stentor_core::admission::{Objection, sender};
use stentor_core::model::{Country, Quoted};
use stentor_smpp::field::BIND_TEXT_BYTES_MAX;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;
pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// Characters in a name, which also appears in metrics, in environment variables and on disk.
const NAME_MAX: usize = 32;

/// Whether secrets are read from files and credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    /// All of them; one that cannot be read is a problem.
    Fetch,
    /// Only those written in the configuration itself; all others are left empty.
    Leave,
}

#[derive(Debug)]
pub(super) struct Gather<'c> {
    pub(super) credentials: Option<&'c Path>,
    pub(super) fetch: Secrets,
    /// A wrong key was removed while reading: a key that is missing now may have been written, so none is reported as missing.
    pub(super) incomplete: bool,
    pub(super) problems: Vec<(Span, String)>,
    /// How numbers are parsed; made when the first sender that is a number needs it.
    pub(super) numbers: Numbers<'c>,
    /// Place and source of each secret.
    pub(super) secrets: Vec<(Span, SecretRef)>,
}

/// How numbers in the file are parsed.
#[derive(Debug, Default)]
pub(super) struct Numbers<'c> {
    /// `defaults.country`.
    country: Option<&'c str>,
    ranges: Vec<NumberRange>,
    numbering: OnceCell<Option<Numbering>>,
}

impl<'c> Numbers<'c> {
    pub(super) fn of(country: Option<&'c str>, ranges: Vec<NumberRange>) -> Self {
        Self { country, ranges, numbering: OnceCell::new() }
    }

    /// Without a home country if `country` has no numbering plan, which is reported elsewhere.
    fn numbering(&self) -> Option<&Numbering> {
        let plan = || Numbering::new(self.country).or_else(|_| Numbering::new(None)).ok();
        let made = || plan().map(|made| made.with_ranges(self.ranges.clone()));
        self.numbering.get_or_init(made).as_ref()
    }

    /// Whether there is a numbering plan for that country.
    pub(super) fn has_plan(&self, country: Country) -> bool {
        self.numbering().is_none_or(|numbering| numbering.has_plan(country))
    }
}

impl Gather<'_> {
    pub(super) fn refuse(&mut self, at: &Span, what: impl Into<String>) {
        self.problems.push((at.clone(), what.into()));
    }

    /// A duration in ms within `range`.
    pub(super) fn millis(&mut self, typed: &Optional<Millis>, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = typed else { return default };
        let (least, most) = (Millis(*range.start()), Millis(*range.end()));
        if range.contains(&value.get_ref().0) {
            return value.get_ref().0;
        }
        let what = format!("is out of range: write a value from {least} to {most}");
        self.refuse(&value.span(), format!("{} {what}", value.get_ref()));
        default
    }

    /// As [`Self::millis`], if anything is written.
    pub(super) fn millis_if_any(&mut self, typed: &Optional<Millis>, range: RangeInclusive<u64>) -> Option<u64> {
        typed.is_some().then(|| self.millis(typed, *range.start(), range))
    }

    /// A size in bytes within `range`.
    pub(super) fn bytes(&mut self, typed: &Optional<Bytes>, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = typed else { return default };
        let (least, most) = (Bytes(*range.start()), Bytes(*range.end()));
        if range.contains(&value.get_ref().0) {
            return value.get_ref().0;
        }
        let what = format!("is out of range: write a value from {least} to {most}");
        self.refuse(&value.span(), format!("{} {what}", value.get_ref()));
        default
    }

    /// Refuses two durations if the first is longer than the second. Each is given as typed, in ms, and with its key.
    pub(super) fn in_order(&mut self, low: (&Optional<Millis>, u64, &str), high: (&Optional<Millis>, u64, &str)) {
        if low.1 > high.1 {
            let at = low.0.as_ref().or(high.0.as_ref()).map_or(WHOLE, Spanned::span);
            let (least, most) = (low.2, high.2);
            let what = format!("`{least}` ({}) is longer than `{most}` ({})", Millis(low.1), Millis(high.1));
            self.refuse(&at, format!("{what}: lower `{least}` or raise `{most}`"));
        }
    }

    /// A mandatory key; if it is missing, the problem is reported at `table`.
    pub(super) fn required<'t, T>(
        &mut self,
        typed: &'t Optional<T>,
        table: &Span,
        key: &str,
    ) -> Option<&'t Spanned<T>> {
        if typed.is_none() && !self.incomplete {
            self.refuse(table, format!("`{key}` is missing"));
        }
        typed.as_ref()
    }

    /// The name of an element of `[[…]]`.
    pub(super) fn name(&mut self, typed: &Optional<String>, table: &Span) -> String {
        let Some(name) = self.required(typed, table, "name") else { return String::new() };
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(plain) || text.contains("__") {
            let what = "characters from a-z, 0-9, - and _, without two _ in a row";
            self.refuse(&name.span(), format!("{} is not a valid name: use 1 to {NAME_MAX} {what}", Quoted(text)));
        }
        text.clone()
    }

    /// A text for an SMPP field of at most `bytes_max` bytes; empty if absent.
    pub(super) fn smpp_text(&mut self, typed: &Optional<String>, bytes_max: usize) -> String {
        let Some(value) = typed else { return String::new() };
        let text = value.get_ref();
        if text.len() > bytes_max {
            let what = format!("is {} bytes long; SMPP 3.4 allows at most {bytes_max}", text.len());
            self.refuse(&value.span(), what);
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            self.refuse(&value.span(), "contains a character that this field cannot carry: use printable ASCII only");
        }
        text.clone()
    }

    /// A text field of the bind, whose value the carrier assigns; empty if absent. It may exceed the limits of SMPP 3.4.
    pub(super) fn bind_text(&mut self, typed: &Optional<String>) -> String {
        let Some(value) = typed else { return String::new() };
        let text = value.get_ref();
        if text.len() > BIND_TEXT_BYTES_MAX {
            let what = format!("is {} bytes long; at most {BIND_TEXT_BYTES_MAX} can be sent", text.len());
            self.refuse(&value.span(), what);
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            self.refuse(&value.span(), "contains a character that this field cannot carry: use printable ASCII only");
        }
        text.clone()
    }

    /// A path that is not empty.
    pub(super) fn path(&mut self, typed: &Optional<String>) -> Option<PathBuf> {
        let value = typed.as_ref()?;
        if value.get_ref().is_empty() {
            self.refuse(&value.span(), "the path is empty: write the path of a file or directory");
        }
        Some(PathBuf::from(value.get_ref()))
    }

    /// An IP address.
    pub(super) fn ip(&mut self, typed: &Optional<String>) -> Option<IpAddr> {
        let value = typed.as_ref()?;
        let parsed = value.get_ref().parse().ok();
        if parsed.is_none() {
            let what = "is not an IP address such as \"192.0.2.1\" or \"2001:db8::1\"";
            self.refuse(&value.span(), format!("{} {what}", Quoted(value.get_ref())));
        }
        parsed
    }

    /// A sender in the form in which it is sent to carriers, parsed like the sender of a message.
    pub(super) fn sender(&mut self, typed: &Optional<String>) -> Option<String> {
        let value = typed.as_ref()?;
        let read = |text: &str, numbering: &Numbering| sender::read(text, numbering).map(|found| found.to_string());
        Some(self.read_sender(value.get_ref(), &value.span(), read))
    }

    /// The entries of a condition. An absent list always holds; an empty one is refused, because it could never hold.
    pub(super) fn list<T: Clone>(&mut self, typed: &Optional<OneOrMany<T>>, key: &str) -> Vec<T> {
        let Some(list) = typed else { return Vec::new() };
        if list.get_ref().0.is_empty() {
            self.refuse(&list.span(), format!("an empty list matches nothing; leave `{key}` out to match everything"));
        }
        list.get_ref().0.clone()
    }

    /// The patterns of a condition on the sender.
    pub(super) fn sender_patterns(&mut self, typed: &Optional<OneOrMany<String>>, key: &str) -> Vec<String> {
        let span = typed.as_ref().map(Spanned::span).unwrap_or_default();
        self.list(typed, key).iter().map(|pattern| self.sender_pattern(pattern, &span)).collect()
    }

    /// A pattern for senders in the form used for comparison: a whole sender, or a beginning followed by `*`.
    pub(super) fn sender_pattern(&mut self, text: &str, at: &Span) -> String {
        self.read_sender(text, at, sender::pattern)
    }

    fn read_sender(
        &mut self,
        text: &str,
        at: &Span,
        read: impl Fn(&str, &Numbering) -> Result<String, Objection>,
    ) -> String {
        let Some(numbering) = self.numbers.numbering() else { return text.to_owned() };
        let why = match read(text, numbering) {
            Ok(found) => return found,
            Err(Objection::SenderNumber(why)) => format!(": {why}"),
            Err(_) => {
                let what = "up to 11 ASCII characters other than @`[]{}\\^|~ with a letter or digit among them";
                format!(": use up to 15 digits, or {what}")
            }
        };
        self.refuse(at, format!("{} is not a valid sender{why}", Quoted(text)));
        text.to_owned()
    }

    /// Refuses what is not two capital letters; whether the country has a numbering plan is checked elsewhere.
    pub(super) fn check_country(&mut self, text: &str, at: &Span) {
        if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let what = "is not a country code: write two capital letters (ISO 3166) such as \"DE\"";
            self.refuse(at, format!("{} {what}", Quoted(text)));
        }
    }

    /// A secret's value; empty if it cannot be read or is not to be fetched.
    pub(super) fn secret(&mut self, reference: &Spanned<SecretRef>) -> Secret {
        self.secrets.push((reference.span(), reference.get_ref().clone()));
        match (self.fetch, reference.get_ref()) {
            (Secrets::Leave, SecretRef::File(_) | SecretRef::Credential(_)) => return Secret::default(),
            (Secrets::Fetch, _) | (Secrets::Leave, SecretRef::Value(_)) => {}
        }
        reference.get_ref().resolve(self.credentials).unwrap_or_else(|what| {
            self.refuse(&reference.span(), what);
            Secret::default()
        })
    }
}

/// The value as written in the file, or its default.
pub(super) fn or<T: Clone>(typed: &Optional<T>, default: T) -> T {
    typed.as_ref().map_or(default, |value| value.get_ref().clone())
}
