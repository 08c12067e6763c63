//! Gathers what is wrong while typed values get their meaning, so that one run tells everything.
//!
//! A refused value is replaced by its default (or something empty) and the work goes on; since there is a problem then,
//! nobody ever sees the replacement. Refuses to know any key.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::raw::Typed;
use super::secret::{Secret, SecretRef};
use super::source::{Span, WHOLE};
use super::units::{Bytes, Millis};
use stentor_core::admission::numbering::{NumberRange, Numbering};
use stentor_core::admission::{Objection, sender};
use stentor_core::model::Quoted;
use stentor_smpp::field::BIND_TEXT_OCTETS_MAX;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;
pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// Letters and digits in a name that also stands in metrics, in the environment and on disk.
const NAME_MAX: usize = 32;

/// Whether secrets are fetched from where they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    /// Each, or it is told why it cannot be had.
    Fetch,
    /// Those of the text alone; all others are empty.
    Leave,
}

#[derive(Debug)]
pub(super) struct Gather<'c> {
    pub(super) credentials: Option<&'c Path>,
    pub(super) fetch: Secrets,
    /// Something typed was struck out before: what is missing may have been there.
    pub(super) incomplete: bool,
    pub(super) problems: Vec<(Span, String)>,
    /// By what numbers are read, made when the first sender is one.
    pub(super) numbers: Numbers<'c>,
    /// Where each secret came from.
    pub(super) secrets: Vec<(Span, SecretRef)>,
}

/// How the file wants numbers to be read.
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

    /// Without a country if that has no plan, which is told elsewhere.
    fn numbering(&self) -> Option<&Numbering> {
        let plan = || Numbering::new(self.country).or_else(|_| Numbering::new(None)).ok();
        let made = || plan().map(|made| made.with_ranges(self.ranges.clone()));
        self.numbering.get_or_init(made).as_ref()
    }
}

impl Gather<'_> {
    pub(super) fn refuse(&mut self, at: &Span, what: impl Into<String>) {
        self.problems.push((at.clone(), what.into()));
    }

    /// A duration in ms within `range`.
    pub(super) fn millis(&mut self, typed: &Typed<Millis>, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = typed else { return default };
        let (least, most) = (Millis(*range.start()), Millis(*range.end()));
        if range.contains(&value.get_ref().0) {
            return value.get_ref().0;
        }
        self.refuse(&value.span(), format!("{} is out of bounds: from {least} to {most}", value.get_ref()));
        default
    }

    /// A size in bytes within `range`.
    pub(super) fn bytes(&mut self, typed: &Typed<Bytes>, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = typed else { return default };
        let (least, most) = (Bytes(*range.start()), Bytes(*range.end()));
        if range.contains(&value.get_ref().0) {
            return value.get_ref().0;
        }
        self.refuse(&value.span(), format!("{} is out of bounds: from {least} to {most}", value.get_ref()));
        default
    }

    /// Two durations of which the first may not exceed the second; `from` and `to` are their keys.
    pub(super) fn in_order(&mut self, low: (&Typed<Millis>, u64, &str), high: (&Typed<Millis>, u64, &str)) {
        if low.1 > high.1 {
            let at = low.0.as_ref().or(high.0.as_ref()).map_or(WHOLE, Spanned::span);
            let what = format!("`{}` ({}) is longer than `{}` ({})", low.2, Millis(low.1), high.2, Millis(high.1));
            self.refuse(&at, what);
        }
    }

    /// A key that must be there; `table` is where it is missed.
    pub(super) fn required<'t, T>(&mut self, typed: &'t Typed<T>, table: &Span, key: &str) -> Option<&'t Spanned<T>> {
        if typed.is_none() && !self.incomplete {
            self.refuse(table, format!("`{key}` is missing"));
        }
        typed.as_ref()
    }

    /// The name of an element of `[[…]]`.
    pub(super) fn name(&mut self, typed: &Typed<String>, table: &Span) -> String {
        let Some(name) = self.required(typed, table, "name") else { return String::new() };
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(plain) || text.contains("__") {
            let what = "of a-z, 0-9, - and _ (never two _ in a row)";
            let what = format!("a name has 1 to {NAME_MAX} {what}, not {}", Quoted(text));
            self.refuse(&name.span(), what);
        }
        text.clone()
    }

    /// A text for an SMPP field of at most `octets_max` bytes; empty if absent.
    pub(super) fn smpp_text(&mut self, typed: &Typed<String>, octets_max: usize) -> String {
        let Some(value) = typed else { return String::new() };
        let text = value.get_ref();
        if text.len() > octets_max {
            let what = format!("{} octets, of which SMPP 3.4 allows {octets_max}", text.len());
            self.refuse(&value.span(), what);
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            self.refuse(&value.span(), "only printable ASCII can be sent in this field");
        }
        text.clone()
    }

    /// A text of the bind, which the carrier dictates; empty if absent.
    pub(super) fn bind_text(&mut self, typed: &Typed<String>) -> String {
        let Some(value) = typed else { return String::new() };
        let text = value.get_ref();
        if text.len() > BIND_TEXT_OCTETS_MAX {
            self.refuse(&value.span(), format!("{} octets, of which {BIND_TEXT_OCTETS_MAX} can be sent", text.len()));
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            self.refuse(&value.span(), "only printable ASCII can be sent in this field");
        }
        text.clone()
    }

    /// A path that is not empty.
    pub(super) fn path(&mut self, typed: &Typed<String>) -> Option<PathBuf> {
        let value = typed.as_ref()?;
        if value.get_ref().is_empty() {
            self.refuse(&value.span(), "an empty path");
        }
        Some(PathBuf::from(value.get_ref()))
    }

    /// An IP address.
    pub(super) fn ip(&mut self, typed: &Typed<String>) -> Option<IpAddr> {
        let value = typed.as_ref()?;
        let parsed = value.get_ref().parse().ok();
        if parsed.is_none() {
            self.refuse(&value.span(), format!("{} is not an IP address", Quoted(value.get_ref())));
        }
        parsed
    }

    /// A sender as it leaves, read as that of a message.
    pub(super) fn sender(&mut self, typed: &Typed<String>) -> Option<String> {
        let value = typed.as_ref()?;
        let read = |text: &str, numbering: &Numbering| sender::read(text, numbering).map(|found| found.to_string());
        Some(self.read_sender(value.get_ref(), &value.span(), read))
    }

    /// Senders, whole or by their beginning and `*`, as they are compared.
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
                ": 15 digits, or 11 characters of ASCII without @`[]{}\\^|~, a letter or digit among them".to_owned()
            }
        };
        self.refuse(at, format!("{} is no sender{why}", Quoted(text)));
        text.to_owned()
    }

    /// An ISO 3166 code.
    pub(super) fn check_country(&mut self, text: &str, at: &Span) {
        if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let what = "is no country: two capital letters (ISO 3166) such as \"DE\"";
            self.refuse(at, format!("{} {what}", Quoted(text)));
        }
    }

    /// A secret, fetched; empty if it cannot be had.
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

/// The typed value or its default.
pub(super) fn or<T: Clone>(typed: &Typed<T>, default: T) -> T {
    typed.as_ref().map_or(default, |value| value.get_ref().clone())
}
