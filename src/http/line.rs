//! One message: from what was typed to what is meant, or to the field that is wrong and why. Pure: the clock, the rules
//! and the buffers are arguments. Knows no frame and no shard; where the message goes is asked elsewhere.

use super::{
    auth::Tenant,
    base64::{self, NotBase64},
    problem::{Code, Flaw},
    rfc3339::{self, NotAnInstant},
    typed::{Loose, TLVS_MAX, Typed, TypedTlv},
};
use crate::{
    admission::numbering::Numbering,
    model::{Class, Content, Encoding, Head, Quoted, SenderId, Wall, limits, sender::SenderError},
    smpp::{
        self,
        split::{self, CarrierText, Plan, TextError},
        udh::Header,
    },
};

/// Furthest `send_at`.
const AHEAD_MAX_MS: u64 = 366 * 86_400_000;
/// Longest time between `send_at` (or now) and expiry: what carriers keep at most.
const VALIDITY_MAX_MS: u64 = 14 * 86_400_000;
/// Octets of one TLV's value.
const TLV_BYTES_MAX: usize = 1_000;
/// TLVs that carry what the message itself says (SMPP 3.4 §5.3.2): `sar_*` and `message_payload`.
const TLVS_OURS: [u16; 4] = [0x020C, 0x020E, 0x020F, 0x0424];

/// What a message gets when neither it nor its tenant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Urgency.
    pub class: Class,
    /// Sender; empty: the carrier's own.
    pub from: SenderId,
    /// How long it is worth sending.
    pub expires_in_ms: u64,
    /// More parts are `too_many_parts`, unless the message allows more.
    pub parts_max: u8,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { class: Class::Transactional, from: SenderId::default(), expires_in_ms: 2 * 86_400_000, parts_max: 16 }
    }
}

/// What messages are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// The wall clock.
    pub now: Wall,
    /// Whose messages they are.
    pub tenant: &'r Tenant,
    /// What holds where nothing is said.
    pub defaults: &'r Defaults,
    /// Reads numbers.
    pub numbering: &'r Numbering,
}

/// Buffers that a message borrows from while it is judged; kept from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    data: Vec<u8>,
    udh: Vec<u8>,
    tlvs: Vec<u8>,
    tags: String,
}

/// A message as it is meant. Its head lacks route, time of acceptance and place in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant<'m> {
    /// What decisions read.
    pub head: Head,
    /// What it says.
    pub content: Content<'m>,
    /// Its idempotency key.
    pub key: Option<&'m str>,
}

/// Judges a message.
///
/// # Errors
/// The first field that is wrong, in the order of the documentation.
pub fn judge<'m>(typed: &'m Typed<'_>, rules: &Rules<'_>, scratch: &'m mut Scratch) -> Result<Meant<'m>, Flaw> {
    if let Some(flaw) = &typed.flaw {
        return Err(Flaw::clone(flaw));
    }
    let to = typed.to.as_deref().ok_or_else(|| Flaw::of(Code::MissingField, "to", "every message has a recipient"))?;
    let to = rules.numbering.parse(to).map_err(|error| Flaw::number("to", error))?;
    if !rules.tenant.countries.is_empty() && !rules.numbering.is_in(to, &rules.tenant.countries) {
        let detail = format!("this tenant may send to {}", rules.tenant.countries.join(", "));
        return Err(Flaw::of(Code::CountryNotAllowed, "to", detail));
    }
    let from = sender(typed, rules)?;
    let class = class(typed, rules)?;
    let key = typed.key.as_deref();
    if let Some(key) = key.filter(|key| key.is_empty() || key.len() > limits::KEY_BYTES_MAX) {
        let detail = format!("1 to {} octets, not {}", limits::KEY_BYTES_MAX, key.len());
        return Err(Flaw::of(Code::InvalidKey, "key", detail));
    }
    let (send_at, expires_at) = times(typed, rules)?;
    let reference = typed.reference.as_deref().unwrap_or_default();
    if reference.len() > limits::REFERENCE_BYTES_MAX {
        let detail = format!("{} octets; {} are allowed", reference.len(), limits::REFERENCE_BYTES_MAX);
        return Err(Flaw::of(Code::InvalidRef, "ref", detail));
    }
    let Scratch { data, udh, tlvs, tags } = scratch;
    read_tags(typed, tags)?;
    read_tlvs(typed.tlvs.as_deref().unwrap_or_default(), tlvs)?;
    let (encoding, body) = body(typed, data, udh)?;
    let parts = parts(typed, rules, encoding, body, udh)?;
    let head = Head {
        to,
        tenant: rules.tenant.id,
        class,
        encoding,
        receipt: typed.receipt.unwrap_or(true),
        flash: typed.flash.unwrap_or(false),
        parts,
        send_at,
        expires_at,
        ..Head::default()
    };
    let body = match body {
        split::Body::Text(text) => text.as_bytes(),
        split::Body::Binary(octets) => octets,
    };
    let content = Content { from, body, udh, reference, tags, tlvs, callback_url: "" };
    Ok(Meant { head, content, key })
}

fn sender(typed: &Typed<'_>, rules: &Rules<'_>) -> Result<SenderId, Flaw> {
    let sender = match typed.from.as_deref() {
        None if rules.tenant.from.is_empty() => rules.defaults.from,
        None => rules.tenant.from,
        Some(text) => SenderId::parse(text).map_err(|error| {
            Flaw::of(
                Code::InvalidSender,
                "from",
                match error {
                    SenderError::Empty => "it is empty; leave it out for the default sender",
                    SenderError::TooLong => "longer than 11 characters, or 15 digits",
                    SenderError::BadCharacter => "it has a character that carriers do not take in a sender",
                },
            )
        })?,
    };
    if rules.tenant.may_send_as(&sender) { Ok(sender) } else { Err(Flaw::sender_not_allowed(&sender)) }
}

fn class(typed: &Typed<'_>, rules: &Rules<'_>) -> Result<Class, Flaw> {
    typed.class.as_deref().map_or(Ok(rules.defaults.class), |name| {
        let known = || format!("one of {}", Class::ALL.map(Class::name).join(", "));
        Class::from_name(name).ok_or_else(|| Flaw::of(Code::InvalidClass, "class", known()))
    })
}

/// `send_at` (0: at once) and `expires_at`. Validity runs from `send_at`, so that a message of the past is not sent anew.
fn times(typed: &Typed<'_>, rules: &Rules<'_>) -> Result<(Wall, Wall), Flaw> {
    let now = rules.now;
    let send_at = typed.send_at.as_deref().map(|text| instant("send_at", text)).transpose()?;
    if send_at.is_some_and(|at| at > now + AHEAD_MAX_MS) {
        return Err(Flaw::of(Code::InvalidTime, "send_at", "more than 366 days ahead"));
    }
    let from = send_at.unwrap_or(now);
    let too_long = |field| Flaw::of(Code::InvalidTime, field, "more than 14 days after the message is due");
    let expires_at = match (&typed.expires_in, typed.expires_at.as_deref()) {
        (Some(_), Some(_)) => {
            return Err(Flaw::of(Code::ConflictingFields, "expires_at", "either `expires_in` or `expires_at`"));
        }
        (None, None) => from + rules.defaults.expires_in_ms,
        (Some(span), None) => {
            let ms = span_ms(span).ok_or_else(|| {
                Flaw::of(
                    Code::InvalidTime,
                    "expires_in",
                    "a number of seconds, or a text such as \"90s\", \"10m\", \"48h\", \"2d\"",
                )
            })?;
            if ms > VALIDITY_MAX_MS {
                return Err(too_long("expires_in"));
            }
            from + ms
        }
        (None, Some(text)) => {
            let at = instant("expires_at", text)?;
            if send_at.is_some_and(|send_at| at <= send_at) {
                return Err(Flaw::of(Code::InvalidTime, "expires_at", "not after `send_at`"));
            }
            if at > from.max(now) + VALIDITY_MAX_MS {
                return Err(too_long("expires_at"));
            }
            at
        }
    };
    Ok((send_at.filter(|at| *at > now).unwrap_or_default(), expires_at))
}

fn instant(field: &'static str, text: &str) -> Result<Wall, Flaw> {
    rfc3339::parse(text).map_err(|error| {
        Flaw::of(
            Code::InvalidTime,
            field,
            match error {
                NotAnInstant::Form => "an instant is written like 2026-01-31T12:00:00Z or 2026-01-31T14:00:00+02:00",
                NotAnInstant::Range => "there is no such day or hour",
            },
        )
    })
}

fn span_ms(span: &Loose<'_>) -> Option<u64> {
    let (number, unit_ms) = match span {
        Loose::Number(seconds) => (*seconds, 1_000),
        Loose::Text(text) => {
            let at = text.len().checked_sub(1)?;
            let (number, unit) = text.split_at_checked(at)?;
            let unit_ms = match unit {
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            (number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??, unit_ms)
        }
    };
    Some(number.saturating_mul(unit_ms)).filter(|ms| *ms > 0)
}

fn read_tags(typed: &Typed<'_>, into: &mut String) -> Result<(), Flaw> {
    into.clear();
    for tag in typed.tags.iter().flatten() {
        if tag.is_empty() || tag.contains(',') || tag.chars().any(char::is_control) {
            let detail = format!("{}: a tag is not empty and has no comma or control character in it", Quoted(tag));
            return Err(Flaw::of(Code::InvalidTags, "tags", detail));
        }
        if !into.is_empty() {
            into.push(',');
        }
        if into.len() + tag.len() > limits::REFERENCE_BYTES_MAX {
            let detail = format!("more than {} octets in all", limits::REFERENCE_BYTES_MAX);
            return Err(Flaw::of(Code::InvalidTags, "tags", detail));
        }
        into.push_str(tag);
    }
    Ok(())
}

fn read_tlvs(typed: &[TypedTlv<'_>], into: &mut Vec<u8>) -> Result<(), Flaw> {
    into.clear();
    if typed.len() > TLVS_MAX {
        return Err(Flaw::of(Code::InvalidTlvs, "tlvs", format!("more than {TLVS_MAX}")));
    }
    for (at, tlv) in typed.iter().enumerate() {
        let wrong = |what: &str| Flaw::of(Code::InvalidTlvs, "tlvs", format!("number {at}: {what}"));
        let tag = tag(tlv.tag.as_ref())
            .ok_or_else(|| wrong("`tag` is a number up to 65535, or a text such as \"0x1400\""))?;
        if TLVS_OURS.contains(&tag) {
            return Err(wrong(&format!("0x{tag:04X} says what the message itself says")));
        }
        let place = into.len();
        into.extend_from_slice(&tag.to_be_bytes());
        into.extend_from_slice(&[0, 0]);
        match (&tlv.text, &tlv.hex) {
            (Some(text), None) => into.extend_from_slice(text.as_bytes()),
            (None, Some(hex)) => push_octets(hex, into).ok_or_else(|| wrong("`hex` is pairs of hexadecimal digits"))?,
            (Some(_), Some(_)) | (None, None) => return Err(wrong("either `text` or `hex`")),
        }
        let length = into.len() - place - 4;
        if length > TLV_BYTES_MAX {
            return Err(wrong(&format!("{length} octets; {TLV_BYTES_MAX} are allowed")));
        }
        if let Some(room) = into.get_mut(place + 2..place + 4) {
            room.copy_from_slice(&(length as u16).to_be_bytes());
        }
    }
    Ok(())
}

fn tag(typed: Option<&Loose<'_>>) -> Option<u16> {
    match typed? {
        Loose::Number(number) => u16::try_from(*number).ok(),
        Loose::Text(text) => u16::from_str_radix(text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?, 16).ok(),
    }
}

fn push_octets(hex: &str, into: &mut Vec<u8>) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    for [high, low] in pairs {
        into.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(())
}

/// The coding asked for and what is to be coded.
fn body<'m>(
    typed: &'m Typed<'_>,
    data: &'m mut Vec<u8>,
    udh: &mut Vec<u8>,
) -> Result<(Encoding, split::Body<'m>), Flaw> {
    data.clear();
    udh.clear();
    let encoding = encoding(typed)?;
    match (typed.body.as_deref(), typed.data.as_deref()) {
        (Some(_), Some(_)) => Err(Flaw::of(Code::ConflictingFields, "data", "either `body` or `data`")),
        (None, None) => Err(Flaw::of(Code::MissingField, "body", "every message has a `body`, or `data`")),
        (Some(text), None) => {
            if typed.udh.is_some() {
                return Err(Flaw::of(Code::ConflictingFields, "udh", "`udh` goes with `data`"));
            }
            let encoding = encoding.unwrap_or_default();
            if encoding == Encoding::Binary {
                return Err(Flaw::of(Code::ConflictingFields, "encoding", "`binary` goes with `data`"));
            }
            check_length("body", Code::InvalidBody, text.len())?;
            Ok((encoding, split::Body::Text(text)))
        }
        (None, Some(base64)) => {
            if !matches!(encoding, None | Some(Encoding::Binary)) {
                return Err(Flaw::of(Code::ConflictingFields, "encoding", "`data` is always `binary`"));
            }
            octets("data", Code::InvalidData, base64, data)?;
            check_length("data", Code::InvalidData, data.len())?;
            octets("udh", Code::InvalidUdh, typed.udh.as_deref().unwrap_or_default(), udh)?;
            Ok((Encoding::Binary, split::Body::Binary(data)))
        }
    }
}

fn encoding(typed: &Typed<'_>) -> Result<Option<Encoding>, Flaw> {
    Ok(Some(match typed.encoding.as_deref() {
        None => return Ok(None),
        Some("auto") => Encoding::Auto,
        Some("gsm7") => Encoding::Gsm7,
        Some("ucs2") => Encoding::Ucs2,
        Some("binary") => Encoding::Binary,
        Some(_) => return Err(Flaw::of(Code::InvalidEncoding, "encoding", "one of auto, gsm7, ucs2, binary")),
    }))
}

fn check_length(field: &'static str, code: Code, octets: usize) -> Result<(), Flaw> {
    match octets {
        0 => Err(Flaw::of(code, field, "it is empty")),
        1..=limits::BODY_BYTES_MAX => Ok(()),
        _ => Err(Flaw::of(
            code,
            field,
            format!("{octets} octets; no message holds more than {}", limits::BODY_BYTES_MAX),
        )),
    }
}

fn octets(field: &'static str, code: Code, base64: &str, into: &mut Vec<u8>) -> Result<(), Flaw> {
    base64::decode(base64, into).map_err(|error| {
        Flaw::of(
            code,
            field,
            match error {
                NotBase64::BadCharacter(at) => format!("no base64: the character at octet {at}"),
                NotBase64::BadEnd => "no base64: it ends in the middle of an octet".to_owned(),
            },
        )
    })
}

fn parts(
    typed: &Typed<'_>,
    rules: &Rules<'_>,
    encoding: Encoding,
    body: split::Body<'_>,
    udh: &[u8],
) -> Result<u8, Flaw> {
    let wrong_udh = |detail: String| Flaw::of(Code::InvalidUdh, "udh", detail);
    let header = Header::check(udh).map_err(|error| {
        let hex = typed.udh.as_deref().is_some_and(|udh| push_octets(udh, &mut Vec::new()).is_some());
        wrong_udh(format!("{error}{}", if hex { "; it looks like hexadecimal, base64 is wanted" } else { "" }))
    })?;
    let allowed = match typed.parts_max {
        None => rules.defaults.parts_max,
        Some(parts) => u8::try_from(parts)
            .ok()
            .filter(|parts| *parts > 0)
            .ok_or_else(|| Flaw::of(Code::InvalidPartsMax, "parts_max", format!("1 to {}", limits::PARTS_MAX)))?,
    };
    let encoding = match encoding {
        Encoding::Auto | Encoding::Binary => smpp::analyse::Encoding::Auto,
        Encoding::Gsm7 => smpp::analyse::Encoding::Gsm7,
        Encoding::Ucs2 => smpp::analyse::Encoding::Ucs2,
    };
    let content = split::Content { body, header, encoding, flash: false };
    let too_many = |needed: u32| {
        let field = if typed.data.is_some() { "data" } else { "body" };
        Flaw::of(Code::TooManyParts, field, format!("it takes {needed} parts; {allowed} are allowed (`parts_max`)"))
    };
    match Plan::new(&content, &CarrierText::default()) {
        Ok(plan) if plan.parts() > allowed => Err(too_many(plan.parts().into())),
        Ok(plan) => Ok(plan.parts()),
        Err(TextError::Unrepresentable(found)) => {
            let mut octets = [0; 4];
            let character = Quoted(found.character.encode_utf8(&mut octets));
            let detail = format!("{character} (character {}) has no place in GSM 7-bit", found.position);
            Err(Flaw::of(Code::Unencodable, "body", detail))
        }
        Err(TextError::TooManyParts { needed }) => Err(too_many(needed)),
        Err(TextError::TooLong { .. }) => Err(too_many(u32::from(limits::PARTS_MAX) + 1)),
        Err(TextError::HeaderTooLong) => Err(wrong_udh("it leaves no room for the data".to_owned())),
        Err(TextError::HeaderNumbersParts) => {
            Err(wrong_udh("it numbers parts, and the data does not fit one: send each part as a message".to_owned()))
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
pub(super) mod tests;
