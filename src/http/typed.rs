//! A message as typed: the JSON of one message, read into borrowed fields. Knows the fields' names and JSON types, but not which
//! values are allowed. A wrong field does not stop the reading: it is remembered and the rest is read, so that all wrong
//! fields of a message are reported at once, and a broken message among good ones fails alone.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Code, Flaw};
use stentor_core::{
    admission::draft::TLVS_MAX,
    model::{Quoted, limits, nearest},
};

/// A field of a message. [`FIELDS`] documents each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    To,
    From,
    Body,
    Data,
    Udh,
    Class,
    Key,
    SendAt,
    ExpiresIn,
    ExpiresAt,
    Encoding,
    Flash,
    Receipt,
    PartsMax,
    Tlvs,
    Ref,
    Tags,
}

/// A field in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct FieldDoc {
    pub field: Field,
    /// Name of the field in JSON.
    pub name: &'static str,
    /// Its JSON schema, as JSON.
    pub schema: &'static str,
    /// Its text in the OpenAPI document.
    pub doc: &'static str,
}

macro_rules! fields {
    ($($field:ident, $name:literal, $schema:literal, $doc:literal;)*) => {
        /// Every field. One macro makes the parser and the documentation, so they cannot differ.
        pub const FIELDS: &[FieldDoc] =
            &[$(FieldDoc { field: Field::$field, name: $name, schema: $schema, doc: $doc }),*];

        impl Field {
            /// Name of the field in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }

            /// The field with exactly this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$field),)* _ => None }
            }
        }
    };
}

fields! {
    To, "to", r#"{"type":"string","maxLength":64,"examples":["+4915112345678"]}"#,
        "Recipient: international with `+` or `00`, or as dialled in the configured country. Spaces and `-./()` are skipped.";
    From, "from", r#"{"type":"string","minLength":1,"maxLength":16,"examples":["ACME"]}"#,
        "Sender: up to 11 characters, or up to 15 digits. Default: the tenant's, the installation's, the carrier's.";
    Body, "body", r#"{"type":"string","minLength":1}"#,
        "Text. Either this or `data`.";
    Data, "data", r#"{"type":"string","contentEncoding":"base64","minLength":2,"pattern":"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?$"}"#,
        "Bytes in base64 (RFC 4648, padding optional). Either this or `body`.";
    Udh, "udh", r#"{"type":"string","contentEncoding":"base64","minLength":2,"pattern":"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?$"}"#,
        "User data header in base64, its length byte first. Only with `data`.";
    Class, "class", r#"{"type":"string","enum":"CLASS"}"#,
        "Urgency. Default: `transactional`, unless configured otherwise. A tenant may use those that it is configured for.";
    Key, "key", r#"{"type":"string","minLength":1,"maxLength":255}"#,
        "Idempotency key, per tenant and recipient: the same message sent again is a duplicate and gets the first id.";
    SendAt, "send_at", r#"{"type":"string","format":"date-time"}"#,
        "Not before. A time in the past means at once; at most 366 days ahead.";
    ExpiresIn, "expires_in", r#"{"anyOf":[{"type":"integer","minimum":1},{"type":"string","pattern":"^[0-9]+(s|m|h|d)$"}]}"#,
        "How long the message is worth sending, from `send_at` or from now: seconds, or a string such as `10m`. At most 14 days.";
    ExpiresAt, "expires_at", r#"{"type":"string","format":"date-time"}"#,
        "Not after. Either this or `expires_in`.";
    Encoding, "encoding", r#"{"type":"string","enum":["auto","gsm7","ucs2","binary"]}"#,
        "`auto`: GSM 7-bit if it has every character, else UCS-2. `binary` is only allowed with `data`.";
    Flash, "flash", r#"{"type":"boolean","default":false}"#,
        "Shown at once, not kept by the handset.";
    Receipt, "receipt", r#"{"type":"boolean","default":true}"#,
        "Ask the carrier for a delivery receipt.";
    PartsMax, "parts_max", r#"{"type":"integer","minimum":1,"maximum":255}"#,
        "A message of more parts than this is refused as `too_many_parts`. Default: as configured.";
    Tlvs, "tlvs", r##"{"type":"array","maxItems":16,"items":{"$ref":"#/components/schemas/Tlv"}}"##,
        "Extra SMPP parameters for every part, such as India's DLT ids.";
    Ref, "ref", r#"{"type":"string","maxLength":256}"#,
        "Your own reference; returned unchanged.";
    Tags, "tags", r#"{"type":"array","items":{"type":"string","minLength":1,"pattern":"^[^,]+$"}}"#,
        "For routes and reports; without commas, 256 bytes in all.";
}

/// Most tags that are kept; with more their bytes are too many in any case, each counted with its comma.
const TAGS_MAX: usize = limits::REFERENCE_BYTES_MAX / 2;

/// A value that people write as a number or as a string: a duration (`600`, `"10m"`), a tag (`5120`, `"0x1400"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loose<'a> {
    Number(u64),
    Text(Cow<'a, str>),
}

/// An SMPP parameter: its tag, and its value as text or in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedTlv<'a> {
    pub tag: Option<Loose<'a>>,
    /// The value as text.
    pub text: Option<Cow<'a, str>>,
    /// The value in hexadecimal, two digits per byte.
    pub hex: Option<Cow<'a, str>>,
}

/// The fields of a message as typed. Null means the same as leaving a field out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed<'a> {
    pub to: Option<Cow<'a, str>>,
    pub from: Option<Cow<'a, str>>,
    pub body: Option<Cow<'a, str>>,
    pub data: Option<Cow<'a, str>>,
    pub udh: Option<Cow<'a, str>>,
    pub class: Option<Cow<'a, str>>,
    pub key: Option<Cow<'a, str>>,
    pub send_at: Option<Cow<'a, str>>,
    pub expires_in: Option<Loose<'a>>,
    pub expires_at: Option<Cow<'a, str>>,
    pub encoding: Option<Cow<'a, str>>,
    pub flash: Option<bool>,
    pub receipt: Option<bool>,
    pub parts_max: Option<u64>,
    pub tlvs: Option<Vec<TypedTlv<'a>>>,
    pub reference: Option<Cow<'a, str>>,
    pub tags: Option<Vec<Cow<'a, str>>>,
    /// What is wrong with its shape; at most [`FLAWS_MAX`] entries.
    pub flaws: Vec<Flaw>,
    /// Nothing could be read; `flaws` says why.
    pub is_unread: bool,
}

impl<'de> Deserialize<'de> for Typed<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut typed = Self::default();
        from.deserialize_any(MessageVisitor(&mut typed))?;
        Ok(typed)
    }
}

impl<'a> Typed<'a> {
    /// Reads a message and overwrites the one that was here before, so that some 400 bytes are not moved.
    ///
    /// # Errors
    /// The text is not JSON, or something follows it; a part of the message has then been read into this value.
    pub fn read(&mut self, json: &'a str) -> serde_json::Result<()> {
        *self = Self::default();
        let mut from = serde_json::Deserializer::from_str(json);
        from.deserialize_any(MessageVisitor(self))?;
        from.end()
    }

    /// The first field whose text contains the character.
    pub fn field_with(&self, character: char) -> Option<Field> {
        let has = |text: &Option<Cow<'_, str>>| text.as_ref().is_some_and(|text| text.contains(character));
        let texts = [
            (Field::To, &self.to),
            (Field::From, &self.from),
            (Field::Body, &self.body),
            (Field::Data, &self.data),
            (Field::Udh, &self.udh),
            (Field::Class, &self.class),
            (Field::Key, &self.key),
            (Field::SendAt, &self.send_at),
            (Field::ExpiresAt, &self.expires_at),
            (Field::Encoding, &self.encoding),
            (Field::Ref, &self.reference),
        ];
        let tagged = || self.tags.iter().flatten().any(|tag| tag.contains(character)).then_some(Field::Tags);
        texts.into_iter().find(|(_, text)| has(text)).map(|(field, _)| field).or_else(tagged)
    }

    /// Makes this a message that could not be read, because of `flaw`.
    pub fn set_flaw(&mut self, flaw: Flaw) {
        *self = Self { flaws: vec![flaw], is_unread: true, ..Self::default() };
    }
}

/// A value of the wanted JSON type, null, or a name for what was there instead.
#[derive(Debug)]
enum Got<T> {
    This(T),
    Null,
    Other(&'static str),
}

/// A type that a field's value is read as.
trait Wanted<'de>: Sized {
    const NAME: &'static str;
    /// Whether a number is allowed.
    const TAKES_NUMBERS: bool = false;
    /// Of a list, this many elements are kept and one more, which shows that there are too many.
    const LISTED_MAX: usize = 0;
    fn text(_: Cow<'de, str>) -> Got<Self> {
        Got::Other("a string")
    }
    fn number(_: u64) -> Got<Self> {
        Got::Other("a number")
    }
    fn truth(_: bool) -> Got<Self> {
        Got::Other("true or false")
    }
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Got<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Got::Other("a list"))
    }
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Got<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Got::Other("an object"))
    }
}

/// The number, if it is whole and small enough that no other whole number has the same floating-point value.
pub(super) fn whole(number: f64) -> Option<u64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    ((0.0..EXACT_MAX).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

struct Value<T>(PhantomData<T>);

impl<'de, T: Wanted<'de>> Visitor<'de> for Value<T> {
    type Value = Got<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::NAME)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Got<T>, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Got<T>, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Got<T>, E> {
        Ok(T::number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Got<T>, E> {
        Ok(Got::Other("a negative number"))
    }

    /// `2.0` is a whole number in JSON Schema, and for libraries that write every number so.
    fn visit_f64<E>(self, number: f64) -> Result<Got<T>, E> {
        Ok(whole(number).map_or(Got::Other("a fraction"), T::number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Got<T>, E> {
        Ok(T::truth(truth))
    }

    fn visit_unit<E>(self) -> Result<Got<T>, E> {
        Ok(Got::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Got<T>, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Got<T>, A::Error> {
        T::object(object)
    }
}

impl<'de, T: Wanted<'de>> DeserializeSeed<'de> for Value<T> {
    type Value = Got<T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Got<T>, D::Error> {
        if !T::TAKES_NUMBERS {
            return from.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(from)?.get();
        // `1e2` is a slip of a person who typed it: no library writes so a number that is small enough for any field.
        if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) && text.contains(['e', 'E']) {
            return Ok(Got::Other("a number with an exponent"));
        }
        serde_json::Deserializer::from_str(text).deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'de> Wanted<'de> for Cow<'de, str> {
    const NAME: &'static str = "a string";
    const LISTED_MAX: usize = TAGS_MAX;
    fn text(text: Self) -> Got<Self> {
        Got::This(text)
    }
}

impl<'de> Wanted<'de> for Loose<'de> {
    const NAME: &'static str = "a whole number or a string";
    const TAKES_NUMBERS: bool = true;
    fn text(text: Cow<'de, str>) -> Got<Self> {
        Got::This(Self::Text(text))
    }
    fn number(number: u64) -> Got<Self> {
        Got::This(Self::Number(number))
    }
}

impl Wanted<'_> for bool {
    const NAME: &'static str = "true or false";
    fn truth(truth: Self) -> Got<Self> {
        Got::This(truth)
    }
}

impl Wanted<'_> for u64 {
    const NAME: &'static str = "a whole number";
    const TAKES_NUMBERS: bool = true;
    fn number(number: Self) -> Got<Self> {
        Got::This(number)
    }
}

impl<'de, T: Wanted<'de>> Wanted<'de> for Vec<T> {
    const NAME: &'static str = "a list";
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Got<Self>, A::Error> {
        let (mut found, mut other) = (Vec::new(), None);
        while found.len() <= T::LISTED_MAX
            && let Some(item) = list.next_element_seed(Value(PhantomData))?
        {
            match item {
                Got::This(item) => found.push(item),
                Got::Null => other = Some("a list with null in it"),
                Got::Other(_) => other = Some("a list with something else in it"),
            }
        }
        // Elements over the limit are not looked at: their size is bounded by that of the whole message.
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(other.map_or(Got::This(found), Got::Other))
    }
}

impl<'de> Wanted<'de> for TypedTlv<'de> {
    const NAME: &'static str = "an object of tag and text or hex";
    const LISTED_MAX: usize = TLVS_MAX;
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Got<Self>, A::Error> {
        let (mut tlv, mut whole) = (Self::default(), true);
        while let Some(Name(name)) = object.next_key()? {
            match &*name {
                "tag" => whole &= put(&mut tlv.tag, object.next_value_seed(Value(PhantomData))?),
                "text" => whole &= put(&mut tlv.text, object.next_value_seed(Value(PhantomData))?),
                "hex" => whole &= put(&mut tlv.hex, object.next_value_seed(Value(PhantomData))?),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    whole = false;
                }
            }
        }
        Ok(if whole { Got::This(tlv) } else { Got::Other("something other than tag and text or hex") })
    }
}

fn put<T>(into: &mut Option<T>, got: Got<T>) -> bool {
    match got {
        Got::This(value) => into.replace(value).is_none(),
        Got::Null | Got::Other(_) => false,
    }
}

/// The name of a member.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a member's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        from.deserialize_str(NameVisitor)
    }
}

struct MessageVisitor<'t, 'de>(&'t mut Typed<'de>);

impl<'de> Visitor<'de> for MessageVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a message")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.no_object("a string")
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.no_object("a number")
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.no_object("a number")
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.no_object("a number")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.no_object("true or false")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.no_object("null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.no_object("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let (typed, mut seen) = (self.0, 0_u32);
        while let Some(Name(name)) = object.next_key()? {
            let Some(field) = Field::from_name(&name) else {
                object.next_value::<IgnoredAny>()?;
                typed.unknown(&name);
                continue;
            };
            if seen & 1 << field as u32 != 0 {
                typed.note(|| Flaw::of(Code::DuplicateField, field.name(), "the field is given twice"));
            }
            seen |= 1 << field as u32;
            typed.read_field(field, &mut object)?;
        }
        Ok(())
    }
}

impl MessageVisitor<'_, '_> {
    fn no_object<E>(self, what: &str) -> Result<(), E> {
        self.0.set_flaw(Flaw::whole(Code::MalformedJson, format!("a message is an object, not {what}")));
        Ok(())
    }
}

const _: () = assert!(FIELDS.len() <= 32);

/// Characters of an unknown field's name that are shown as the field to blame.
const FIELD_SHOWN_MAX: usize = 64;
/// Most flaws of a message's shape that are reported.
const FLAWS_MAX: usize = 16;

impl<'de> Typed<'de> {
    fn note(&mut self, flaw: impl FnOnce() -> Flaw) {
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(flaw());
        }
    }

    fn unknown(&mut self, name: &str) {
        self.note(|| {
            let detail = format!("there is no field {}", Quoted(name));
            let name: String = name.chars().take(FIELD_SHOWN_MAX).collect();
            let plain = name.to_ascii_lowercase().replace('-', "_");
            let meant = nearest(&plain, FIELDS.iter().map(|known| known.name));
            let hint = meant.map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
            Flaw::of(Code::UnknownField, name, detail + &hint)
        });
    }

    fn read_field<A: MapAccess<'de>>(&mut self, field: Field, object: &mut A) -> Result<(), A::Error> {
        match field {
            Field::To => self.to = self.value(field, object)?,
            Field::From => self.from = self.value(field, object)?,
            Field::Body => self.body = self.value(field, object)?,
            Field::Data => self.data = self.value(field, object)?,
            Field::Udh => self.udh = self.value(field, object)?,
            Field::Class => self.class = self.value(field, object)?,
            Field::Key => self.key = self.value(field, object)?,
            Field::SendAt => self.send_at = self.value(field, object)?,
            Field::ExpiresIn => self.expires_in = self.value(field, object)?,
            Field::ExpiresAt => self.expires_at = self.value(field, object)?,
            Field::Encoding => self.encoding = self.value(field, object)?,
            Field::Flash => self.flash = self.value(field, object)?,
            Field::Receipt => self.receipt = self.value(field, object)?,
            Field::PartsMax => self.parts_max = self.value(field, object)?,
            Field::Tlvs => self.tlvs = self.value(field, object)?,
            Field::Ref => self.reference = self.value(field, object)?,
            Field::Tags => self.tags = self.value(field, object)?,
        }
        Ok(())
    }

    fn value<T: Wanted<'de>, A: MapAccess<'de>>(
        &mut self,
        field: Field,
        object: &mut A,
    ) -> Result<Option<T>, A::Error> {
        match object.next_value_seed(Value(PhantomData))? {
            Got::This(value) => Ok(Some(value)),
            Got::Null => Ok(None),
            Got::Other(what) => {
                let detail = || format!("expected {}, not {what}", T::NAME);
                self.note(|| Flaw::of(Code::InvalidType, field.name(), detail()));
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
#[path = "typed_tests.rs"]
mod tests;
