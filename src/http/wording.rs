//! Admission's objections in the words of this API: code, field and detail. Knows how each field is called; decides
//! nothing.

use super::{
    problem::{Code, Flaw},
    rfc3339,
    spelling::push_bytes,
    typed::Typed,
};
use stentor_core::{
    admission::{Limit, Objection, Quota, Tenant, UsedUp, draft},
    model::{Class, Period, Quoted, Wall, limits, sender::SenderError},
};
use stentor_smpp::{split::TextError, udh::HeaderError};

/// Adds admission's objections, except for fields that already have a flaw: a field that could not be read counts as absent, and
/// the client is not told that it is missing.
pub fn add(objections: &[Objection], typed: &Typed<'_>, tenant: &Tenant, flaws: &mut Vec<Flaw>) {
    for objection in objections {
        let flaw = flaw(objection, typed, tenant);
        let is_told = |field: Option<&str>| match (field, objection) {
            (Some("body" | "data" | "udh"), Objection::NoBody) => true,
            (field, _) => field == flaw.field.as_deref(),
        };
        if !flaws.iter().any(|told| is_told(told.field.as_deref())) {
            flaws.push(flaw);
        }
    }
}

/// The flaw for an objection to a message of this tenant.
fn flaw(objection: &Objection, typed: &Typed<'_>, tenant: &Tenant) -> Flaw {
    let body = if typed.data.is_some() { "data" } else { "body" };
    match *objection {
        Objection::NoRecipient => Flaw::of(Code::MissingField, "to", "a message needs a recipient"),
        Objection::Recipient(error) => Flaw::of(Code::InvalidRecipient, "to", error.to_string()),
        Objection::Country => {
            let detail = format!("this tenant may send to {}", tenant.options.countries.join(", "));
            Flaw::of(Code::CountryNotAllowed, "to", detail)
        }
        Objection::RecipientNotAllowed => {
            let detail = "the number is blocked for this tenant or for all, or is not among those that are allowed";
            Flaw::of(Code::RecipientNotAllowed, "to", detail)
        }
        Objection::Sender(error) => Flaw::of(Code::InvalidSender, "from", of_sender(error)),
        Objection::SenderNumber(error) => Flaw::of(Code::InvalidSender, "from", error.to_string()),
        Objection::SenderNotAllowed(sender) => {
            Flaw::of(Code::SenderNotAllowed, "from", format!("{sender} is not among the senders of this tenant"))
        }
        Objection::ClassNotAllowed(class) => of_class(class, typed, tenant),
        Objection::Key(bytes) => {
            Flaw::of(Code::InvalidKey, "key", format!("1 to {} bytes, not {bytes}", limits::KEY_BYTES_MAX))
        }
        Objection::DueTooLate => Flaw::of(Code::InvalidTime, "send_at", "must be at most 366 days ahead"),
        Objection::ValidTooLong => {
            let field = if typed.expires_in.is_some() { "expires_in" } else { "expires_at" };
            Flaw::of(Code::InvalidTime, field, "must be at most 14 days after the message is due")
        }
        Objection::ExpiresTooEarly => Flaw::of(Code::InvalidTime, "expires_at", "must be after `send_at`"),
        Objection::Reference(bytes) => {
            let detail = format!("{bytes} bytes; {} are allowed", limits::REFERENCE_BYTES_MAX);
            Flaw::of(Code::InvalidRef, "ref", detail)
        }
        Objection::Tag | Objection::TagsTooLong => of_tag(objection, ""),
        Objection::TooManyTlvs | Objection::TlvReserved(_) | Objection::TlvTooLong(_) => of_tlv(objection, 0),
        Objection::NoBody => Flaw::of(Code::MissingField, "body", "a message needs `body` or `data`"),
        Objection::TextAsBinary => {
            Flaw::of(Code::ConflictingFields, "encoding", "`binary` is only allowed with `data`")
        }
        Objection::DataAsText => Flaw::of(Code::ConflictingFields, "encoding", "`data` is always `binary`"),
        Objection::BodyLength(bytes) => {
            let code = if typed.data.is_some() { Code::InvalidData } else { Code::InvalidBody };
            match bytes {
                0 => Flaw::of(code, body, "it is empty"),
                1.. => {
                    let detail = format!("{bytes} bytes; a message holds at most {}", limits::BODY_BYTES_MAX);
                    Flaw::of(code, body, detail)
                }
            }
        }
        Objection::Header(error) => of_header(error, typed),
        Objection::PartsMax => Flaw::of(Code::InvalidPartsMax, "parts_max", format!("1 to {}", limits::PARTS_MAX)),
        Objection::TooManyParts { needed, allowed } => {
            let detail = format!("it takes {needed} parts; {allowed} are allowed (`parts_max`)");
            Flaw::of(Code::TooManyParts, body, detail)
        }
        Objection::Text(error) => of_text(error, body),
    }
}

fn of_class(class: Class, typed: &Typed<'_>, tenant: &Tenant) -> Flaw {
    let may = tenant.options.classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(", ");
    let (name, is_default) = (class.name(), if typed.class.is_none() { ", which is the default" } else { "" });
    Flaw::of(Code::ClassNotAllowed, "class", format!("this tenant may use {may}; not {name}{is_default}"))
}

const fn of_sender(error: SenderError) -> &'static str {
    match error {
        SenderError::Empty => "it is empty; leave it out for the default sender",
        SenderError::NoLetter => "it contains neither a letter nor a digit",
        SenderError::TooLong => "it is longer than 11 characters, or 15 digits",
        SenderError::BadCharacter => "it contains a character that carriers do not accept in a sender",
    }
}

fn of_header(error: HeaderError, typed: &Typed<'_>) -> Flaw {
    let is_hex = typed.udh.as_deref().is_some_and(|udh| push_bytes(udh, &mut Vec::new()).is_some());
    let hint = if is_hex { "; it looks like hexadecimal, but must be base64" } else { "" };
    Flaw::of(Code::InvalidUdh, "udh", format!("{error}{hint}"))
}

fn of_text(error: TextError, body: &'static str) -> Flaw {
    match error {
        TextError::Unrepresentable(found) => {
            let mut bytes = [0; 4];
            let character = Quoted(found.character.encode_utf8(&mut bytes));
            let detail = format!("{character} (character {}) does not exist in GSM 7-bit", found.position);
            Flaw::of(Code::Unencodable, "body", detail)
        }
        TextError::HeaderTooLong => Flaw::of(Code::InvalidUdh, "udh", "it leaves no room for the data"),
        TextError::HeaderNumbersParts => {
            let detail = "it numbers parts, but the data does not fit into one part: send each part as its own message";
            Flaw::of(Code::InvalidUdh, "udh", detail)
        }
        TextError::TooManyParts { .. } | TextError::TooLong { .. } => {
            Flaw::of(Code::TooManyParts, body, "it takes more parts than a message can have")
        }
    }
}

/// The flaw for an objection to a tag.
pub fn of_tag(objection: &Objection, tag: &str) -> Flaw {
    let detail = match objection {
        Objection::TagsTooLong => format!("more than {} bytes in all", limits::REFERENCE_BYTES_MAX),
        _ => format!("{}: a tag must not be empty or contain a comma or a control character", Quoted(tag)),
    };
    Flaw::of(Code::InvalidTags, "tags", detail)
}

/// The flaw for an objection to the SMPP parameter at this index.
pub fn of_tlv(objection: &Objection, at: usize) -> Flaw {
    let detail = match objection {
        Objection::TlvReserved(tag) => format!("number {at}: 0x{tag:04X} is set by Stentor itself"),
        Objection::TlvTooLong(bytes) => {
            format!("number {at}: {bytes} bytes; {} are allowed", draft::TLV_BYTES_MAX)
        }
        _ => format!("more than {}", draft::TLVS_MAX),
    };
    Flaw::of(Code::InvalidTlvs, "tlvs", detail)
}

/// Says which limit of the tenant is used up, and until when.
pub fn used_up(used_up: UsedUp, tenant: &Tenant, now: Wall) -> Flaw {
    let count = |messages: u64| format!("{messages} message{}", if messages == 1 { "" } else { "s" });
    let detail = match (used_up.limit, tenant.options.rate, tenant.options.quota) {
        (Limit::Rate, Some(rate), _) => format!("the rate of {} per second is used up", count(rate.into())),
        (Limit::Quota, _, Some(Quota { messages, period })) => {
            let span = match period {
                Period::Hour => "an hour",
                Period::Day => "a day",
                Period::Month => "a month",
            };
            // The quota's periods begin on full seconds, and `more_in_s` counts what is left of the current one.
            let until = (now.0 / 1_000 + u64::from(used_up.more_in_s)) * 1_000;
            let mut text = Vec::new();
            rfc3339::push(&mut text, Wall(until));
            let until = String::from_utf8_lossy(&text);
            format!("the quota of {} {span} is used up until {until}", count(messages))
        }
        // Changed by a reload between two looks.
        (limit, ..) => format!("the tenant's {} is used up", limit.name()),
    };
    Flaw::whole(Code::OverQuota, detail)
}
