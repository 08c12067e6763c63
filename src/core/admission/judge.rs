//! Judges one message: turns a draft into an accepted message, or into what is wrong with it. Pure: the clock and the
//! rules are arguments. Knows no door, no frame and no shard; the shard and the route are chosen elsewhere.

use super::{
    draft::{Body, Draft, Expiry},
    numbering::Numbering,
    objection::Objection,
    sender,
    tenant::Tenant,
};
use crate::model::{Class, Content, Encoding, Head, Msisdn, SenderId, Wall, limits};
use {
    stentor_smpp as smpp,
    stentor_smpp::{
        split::{self, CarrierText, Plan, TextError},
        udh::Header,
    },
};

/// How far ahead `send_at` may be.
const AHEAD_MAX_MS: u64 = 366 * 86_400_000;
/// Longest time between `send_at` (or now) and expiry: carriers keep messages no longer than this.
const VALIDITY_MAX_MS: u64 = 14 * 86_400_000;

/// Values for a message when neither it nor its tenant sets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Traffic class.
    pub class: Class,
    /// Sender; empty: the carrier's default.
    pub from: SenderId,
    /// Time from `send_at` (or now) to expiry, ms, by class.
    pub expires_in_ms: [u64; Class::COUNT],
    /// Most parts of a message, unless the message sets its own limit.
    pub parts_max: u8,
}

impl Default for Defaults {
    fn default() -> Self {
        let expires_in_ms = [2 * 86_400_000; Class::COUNT];
        Self { class: Class::Transactional, from: SenderId::default(), expires_in_ms, parts_max: 16 }
    }
}

/// The rules by which messages are judged.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// The wall clock.
    pub now: Wall,
    /// The tenant that sends the messages.
    pub tenant: &'r Tenant,
    /// The caller may administer, and so use every class.
    pub is_admin: bool,
    /// Values for fields that were not given.
    pub defaults: &'r Defaults,
    /// The numbering plan, which reads numbers.
    pub numbering: &'r Numbering,
}

/// An accepted message. Route, time of acceptance and place in an arena are not yet set in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant<'m> {
    /// The fixed part, which decisions read.
    pub head: Head,
    /// Sender, body and the other fields that no decision reads.
    pub content: Content<'m>,
}

/// Judges a message.
///
/// # Errors
/// The first objection, in the order of the checks.
pub fn judge<'m>(draft: &Draft<'m>, rules: &Rules<'_>) -> Result<Meant<'m>, Objection> {
    let to = recipient(draft, rules)?;
    let from = sender_of(draft, rules)?;
    let class = class(draft, rules)?;
    key(draft)?;
    let (send_at, expires_at) = times(draft, rules)?;
    let reference = reference(draft)?;
    let (encoding, body, udh) = body(draft)?;
    let parts = parts(draft, rules, encoding, body, udh)?;
    let head = Head {
        to,
        tenant: rules.tenant.id(),
        class,
        encoding,
        receipt: draft.receipt.unwrap_or(true),
        flash: draft.flash.unwrap_or(false),
        parts,
        send_at,
        expires_at,
        ..Head::default()
    };
    let body = match body {
        split::Body::Text(text) => text.as_bytes(),
        split::Body::Binary(bytes) => bytes,
    };
    let content = Content { from, body, udh, reference, tags: draft.tags, tlvs: draft.tlvs, callback_url: "" };
    Ok(Meant { head, content })
}

/// Everything that is wrong with a message, in the order in which [`judge()`] checks it, each objection once; empty for
/// a good message.
pub fn objections(draft: &Draft<'_>, rules: &Rules<'_>) -> Vec<Objection> {
    let cut = |draft: &Draft<'_>| {
        let (encoding, body, udh) = body(draft)?;
        parts(draft, rules, encoding, body, udh)
    };
    // After an objection the checks go on as if the offending field had not been given.
    let undue = Draft { send_at: None, ..*draft };
    let uncut = Draft { parts_max: Some(u64::from(u8::MAX)), ..*draft };
    let mut found = Vec::new();
    for objection in [
        recipient(draft, rules).err(),
        sender_of(draft, rules).err(),
        class(draft, rules).err(),
        key(draft).err(),
        times(draft, rules).err(),
        times(&undue, rules).err(),
        reference(draft).err(),
        cut(draft).err(),
        cut(&uncut).err(),
    ] {
        found.extend(objection.filter(|objection| !found.contains(objection)));
    }
    found
}

fn recipient(draft: &Draft<'_>, rules: &Rules<'_>) -> Result<Msisdn, Objection> {
    let to = rules.numbering.parse(draft.to.ok_or(Objection::NoRecipient)?).map_err(Objection::Recipient)?;
    if !rules.tenant.may_send_to(to, rules.numbering) {
        return Err(Objection::Country);
    }
    if rules.tenant.may_write_to(to) { Ok(to) } else { Err(Objection::RecipientNotAllowed) }
}

fn key(draft: &Draft<'_>) -> Result<(), Objection> {
    let bytes = draft.key.map_or(1, str::len);
    if (1..=limits::KEY_BYTES_MAX).contains(&bytes) { Ok(()) } else { Err(Objection::Key(bytes)) }
}

fn reference<'m>(draft: &Draft<'m>) -> Result<&'m str, Objection> {
    let reference = draft.reference.unwrap_or_default();
    let bytes = reference.len();
    if bytes <= limits::REFERENCE_BYTES_MAX { Ok(reference) } else { Err(Objection::Reference(bytes)) }
}

fn sender_of(draft: &Draft<'_>, rules: &Rules<'_>) -> Result<SenderId, Objection> {
    let own = rules.tenant.options.from;
    let sender = match draft.from {
        None if own.is_empty() => rules.defaults.from,
        None => own,
        Some(text) => sender::read(text, rules.numbering)?,
    };
    if rules.tenant.may_send_as(&sender) { Ok(sender) } else { Err(Objection::SenderNotAllowed(sender)) }
}

fn named_class(draft: &Draft<'_>, rules: &Rules<'_>) -> Class {
    draft.class.unwrap_or(rules.defaults.class)
}

fn class(draft: &Draft<'_>, rules: &Rules<'_>) -> Result<Class, Objection> {
    let class = named_class(draft, rules);
    if rules.is_admin || rules.tenant.may_send_with(class) { Ok(class) } else { Err(Objection::ClassNotAllowed(class)) }
}

/// `send_at` (0: at once) and `expires_at`. The validity runs from `send_at` even if that lies in the past, so that an
/// old message is not sent as if it were new.
fn times(draft: &Draft<'_>, rules: &Rules<'_>) -> Result<(Wall, Wall), Objection> {
    let now = rules.now;
    if draft.send_at.is_some_and(|at| at > now + AHEAD_MAX_MS) {
        return Err(Objection::DueTooLate);
    }
    let from = draft.send_at.unwrap_or(now);
    let expires_at = match draft.expiry {
        None => from + rules.defaults.expires_in_ms[named_class(draft, rules).index()],
        Some(Expiry::In(ms)) if ms > VALIDITY_MAX_MS => return Err(Objection::ValidTooLong),
        Some(Expiry::In(ms)) => from + ms,
        Some(Expiry::At(at)) if draft.send_at.is_some_and(|send_at| at <= send_at) => {
            return Err(Objection::ExpiresTooEarly);
        }
        Some(Expiry::At(at)) if at > from.max(now) + VALIDITY_MAX_MS => return Err(Objection::ValidTooLong),
        Some(Expiry::At(at)) => at,
    };
    Ok((draft.send_at.filter(|at| *at > now).unwrap_or_default(), expires_at))
}

/// The coding that was asked for, the body to encode, and the user data header before it.
fn body<'m>(draft: &Draft<'m>) -> Result<(Encoding, split::Body<'m>, &'m [u8]), Objection> {
    let checked = |bytes: usize| match bytes {
        1..=limits::BODY_BYTES_MAX => Ok(()),
        _ => Err(Objection::BodyLength(bytes)),
    };
    match draft.body.ok_or(Objection::NoBody)? {
        Body::Text(text) => {
            let encoding = draft.encoding.unwrap_or_default();
            if encoding == Encoding::Binary {
                return Err(Objection::TextAsBinary);
            }
            checked(text.len())?;
            Ok((encoding, split::Body::Text(text), &[]))
        }
        Body::Data { bytes, udh } => {
            if !matches!(draft.encoding, None | Some(Encoding::Binary)) {
                return Err(Objection::DataAsText);
            }
            checked(bytes.len())?;
            Ok((Encoding::Binary, split::Body::Binary(bytes), udh))
        }
    }
}

fn parts(
    draft: &Draft<'_>,
    rules: &Rules<'_>,
    encoding: Encoding,
    body: split::Body<'_>,
    udh: &[u8],
) -> Result<u8, Objection> {
    let header = Header::check(udh).map_err(Objection::Header)?;
    let allowed = match draft.parts_max {
        None => rules.defaults.parts_max,
        Some(parts) => u8::try_from(parts).ok().filter(|parts| *parts > 0).ok_or(Objection::PartsMax)?,
    };
    let encoding = match encoding {
        Encoding::Auto | Encoding::Binary => smpp::analyse::Encoding::Auto,
        Encoding::Gsm7 => smpp::analyse::Encoding::Gsm7,
        Encoding::Ucs2 => smpp::analyse::Encoding::Ucs2,
    };
    let content = split::Content { body, header, encoding, flash: false };
    let too_many = |needed: u32| Objection::TooManyParts { needed, allowed };
    match Plan::new(&content, &CarrierText::default()) {
        Ok(plan) if plan.parts() > allowed => Err(too_many(plan.parts().into())),
        Ok(plan) => Ok(plan.parts()),
        Err(TextError::TooManyParts { needed }) => Err(too_many(needed)),
        Err(TextError::TooLong { .. }) => Err(too_many(u32::from(limits::PARTS_MAX) + 1)),
        Err(error) => Err(Objection::Text(error)),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
