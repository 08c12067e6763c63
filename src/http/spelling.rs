//! From a message as typed to a draft, or to the fields that cannot be read: how HTTP spells instants, durations, bytes, classes
//! and encodings. `admission` judges whether the draft is allowed. All that is wrong is reported at once.

use super::{
    base64::{self, NotBase64},
    problem::{Code, Flaw},
    rfc3339::{self, NotAnInstant},
    typed::{Loose, Typed, TypedTlv},
    wording,
};
use data_encoding::HEXLOWER_PERMISSIVE;
use stentor_core::{
    admission::{Body, Draft, Expiry, Meant, Rules, TagList, TlvList, judge, objections},
    model::{Class, Encoding, Wall},
};

/// Buffers that a message borrows from while it is judged; reused from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    data: Vec<u8>,
    udh: Vec<u8>,
    value: Vec<u8>,
    tlvs: TlvList,
    tags: TagList,
}

/// The draft of a message, and what `admission` makes of it.
///
/// # Errors
/// All that is wrong with the message.
pub fn meant<'m>(
    typed: &'m Typed<'_>,
    scratch: &'m mut Scratch,
    rules: &Rules<'_>,
) -> Result<(Draft<'m>, Meant<'m>), Flaw> {
    let mut flaws = Vec::new();
    let draft = draft(typed, scratch, &mut flaws);
    if flaws.is_empty()
        && let Ok(meant) = judge(&draft, rules)
    {
        return Ok((draft, meant));
    }
    if !typed.is_unread {
        let found = objections(&draft, rules);
        wording::add(&found, typed, rules.tenant, &mut flaws);
    }
    Err(Flaw::all(flaws).unwrap_or_else(|| Flaw::whole(Code::Internal, Code::Internal.title())))
}

/// The draft. A field that cannot be read goes to `flaws` and counts as absent.
fn draft<'m>(typed: &'m Typed<'_>, scratch: &'m mut Scratch, flaws: &mut Vec<Flaw>) -> Draft<'m> {
    flaws.clone_from(&typed.flaws);
    let Scratch { data, udh, value, tlvs, tags } = scratch;
    tags.clear();
    for tag in typed.tags.iter().flatten() {
        if or_noted(tags.add(tag).map_err(|objection| wording::of_tag(&objection, tag)), flaws).is_none() {
            break;
        }
    }
    tlvs.clear();
    for (at, tlv) in typed.tlvs.iter().flatten().enumerate() {
        if or_noted(add_tlv(at, tlv, tlvs, value), flaws).is_none() {
            break;
        }
    }
    let send_at = typed.send_at.as_deref().map(|text| instant("send_at", text)).transpose();
    Draft {
        to: typed.to.as_deref(),
        from: typed.from.as_deref(),
        class: or_noted(class(typed), flaws).flatten(),
        key: typed.key.as_deref(),
        send_at: or_noted(send_at, flaws).flatten(),
        expiry: or_noted(expiry(typed), flaws).flatten(),
        body: or_noted(body(typed, data, udh), flaws).flatten(),
        encoding: or_noted(encoding(typed), flaws).flatten(),
        flash: typed.flash,
        receipt: typed.receipt,
        parts_max: typed.parts_max,
        reference: typed.reference.as_deref(),
        tags: tags.text(),
        tlvs: tlvs.bytes(),
    }
}

/// The value that was read; an error goes to `flaws`.
fn or_noted<T>(read: Result<T, Flaw>, flaws: &mut Vec<Flaw>) -> Option<T> {
    read.map_err(|flaw| flaws.push(flaw)).ok()
}

fn class(typed: &Typed<'_>) -> Result<Option<Class>, Flaw> {
    let Some(name) = typed.class.as_deref() else { return Ok(None) };
    let known = || format!("one of {}", Class::ALL.map(Class::name).join(", "));
    Class::from_name(name).map(Some).ok_or_else(|| Flaw::of(Code::InvalidClass, "class", known()))
}

fn instant(field: &'static str, text: &str) -> Result<Wall, Flaw> {
    rfc3339::parse(text).map_err(|error| {
        Flaw::of(
            Code::InvalidTime,
            field,
            match error {
                NotAnInstant::Form => "a time must look like 2026-01-31T12:00:00Z or 2026-01-31T14:00:00+02:00",
                NotAnInstant::Range => "this day or hour does not exist",
            },
        )
    })
}

fn expiry(typed: &Typed<'_>) -> Result<Option<Expiry>, Flaw> {
    match (&typed.expires_in, typed.expires_at.as_deref()) {
        (Some(_), Some(_)) => {
            Err(Flaw::of(Code::ConflictingFields, "expires_at", "give either `expires_in` or `expires_at`, not both"))
        }
        (None, None) => Ok(None),
        (None, Some(text)) => Ok(Some(Expiry::At(instant("expires_at", text)?))),
        (Some(span), None) => match span_ms(span) {
            Some(ms) => Ok(Some(Expiry::In(ms))),
            None => Err(Flaw::of(
                Code::InvalidTime,
                "expires_in",
                "a number of seconds, or a string such as \"90s\", \"10m\", \"48h\", \"2d\"",
            )),
        },
    }
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

/// `value` is a buffer for bytes that are typed in hexadecimal.
fn add_tlv(at: usize, typed: &TypedTlv<'_>, tlvs: &mut TlvList, value: &mut Vec<u8>) -> Result<(), Flaw> {
    let wrong = |what: &str| Flaw::of(Code::InvalidTlvs, "tlvs", format!("number {at}: {what}"));
    let tag = tag(typed.tag.as_ref())
        .ok_or_else(|| wrong("`tag` must be a number up to 65535, or a string such as \"0x1400\""))?;
    let bytes = match (&typed.text, &typed.hex) {
        (Some(text), None) => text.as_bytes(),
        (None, Some(hex)) => {
            value.clear();
            push_bytes(hex, value).ok_or_else(|| wrong("`hex` must be pairs of hexadecimal digits"))?;
            value
        }
        (Some(_), Some(_)) | (None, None) => return Err(wrong("give either `text` or `hex`")),
    };
    tlvs.add(tag, bytes).map_err(|objection| wording::of_tlv(&objection, at))
}

fn tag(typed: Option<&Loose<'_>>) -> Option<u16> {
    match typed? {
        Loose::Number(number) => u16::try_from(*number).ok(),
        Loose::Text(text) => u16::from_str_radix(text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?, 16).ok(),
    }
}

/// Appends the bytes that are typed in hexadecimal.
pub(super) fn push_bytes(hex: &str, into: &mut Vec<u8>) -> Option<()> {
    let before = into.len();
    into.resize(before + HEXLOWER_PERMISSIVE.decode_len(hex.len()).ok()?, 0);
    HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut into[before..]).ok().map(|_| ())
}

fn body<'m>(typed: &'m Typed<'_>, data: &'m mut Vec<u8>, udh: &'m mut Vec<u8>) -> Result<Option<Body<'m>>, Flaw> {
    match (typed.body.as_deref(), typed.data.as_deref()) {
        (Some(_), Some(_)) => Err(Flaw::of(Code::ConflictingFields, "data", "give either `body` or `data`, not both")),
        (None, None) => Ok(None),
        (Some(_), None) if typed.udh.is_some() => {
            Err(Flaw::of(Code::ConflictingFields, "udh", "`udh` is only allowed with `data`"))
        }
        (Some(text), None) => Ok(Some(Body::Text(text))),
        (None, Some(base64)) => {
            data.clear();
            udh.clear();
            bytes("data", Code::InvalidData, base64, data)?;
            bytes("udh", Code::InvalidUdh, typed.udh.as_deref().unwrap_or_default(), udh)?;
            Ok(Some(Body::Data { bytes: data, udh }))
        }
    }
}

fn bytes(field: &'static str, code: Code, base64: &str, into: &mut Vec<u8>) -> Result<(), Flaw> {
    base64::decode(base64, into).map_err(|error| {
        Flaw::of(
            code,
            field,
            match error {
                NotBase64::BadCharacter(at) => format!("not base64: the character at byte {at}"),
                NotBase64::BadEnd => {
                    "not base64: at its end a character is missing, or there is one too many".to_owned()
                }
            },
        )
    })
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

#[cfg(test)]
#[path = "spelling_tests.rs"]
pub(super) mod tests;
