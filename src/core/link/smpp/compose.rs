//! Composes the `submit_sm` of one part of a message.
//!
//! Knows the carrier's encodings, numbering and optional parameters, and keeps the buffers that every part reuses. Refuses
//! to know sessions, and which part is due.

use std::borrow::Cow;

use crate::model::sender::SenderForm;
use crate::model::{Coding, Content, Encoding, Head, Msisdn, SenderId, Wall};
use stentor_smpp::analyse::Encoding as TextEncoding;
use stentor_smpp::coding::{Alphabet, DataCoding, DefaultAlphabet};
use stentor_smpp::pdu::{Address, EsmClass, ShortMessage};
use stentor_smpp::split::{Body, CarrierText, Content as Spoken, Part, Parts, Plan, Position};
use stentor_smpp::time_format::{SmppTime, TIME_BYTES};
use stentor_smpp::tlv::{TlvTag, TlvWriter, Tlvs};
use stentor_smpp::transliterate::transliterate;
use stentor_smpp::udh::Header;

use super::super::options::{CarrierEncoding, Numbering, Options, TonNpi};

/// The content cannot be encoded for this carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unencodable;

/// The part of a message that is to be composed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The fixed-size fields of the message.
    pub head: &'a Head,
    /// The fields of variable size: sender, text, header, TLVs.
    pub content: &'a Content<'a>,
    /// Concatenation reference, the same in all parts of the message.
    pub reference: u16,
    /// `user_message_reference` of this part, which its receipt may carry back; `None`: none is sent.
    pub user_reference: Option<u16>,
    /// The result of [`plan`].
    pub plan: Plan,
    /// The position in the text where an earlier part ended. The beginning is always correct, but slower.
    pub position: Position,
    /// Number of the part, from 1.
    pub number: u8,
    /// The current time, from which the remaining validity is computed.
    pub now: Wall,
}

/// The buffers of one link, reused by every part.
#[derive(Debug, Default)]
pub struct Composer {
    user_data: Vec<u8>,
    tlvs: Vec<u8>,
    digits: [u8; 15],
    validity: [u8; TIME_BYTES],
}

/// Decides how a message is encoded and cut into parts. Reads the whole text.
pub fn plan(head: &Head, content: &Content<'_>, options: &Options) -> Result<Plan, Unencodable> {
    let text = text_of(head, content)?;
    let spoken = spoken(head, content, text, options)?;
    Plan::new(&spoken, &carrier_text(head, options)).map_err(|_| Unencodable)
}

impl Composer {
    /// The PDU, and the position in the text after the part. The PDU borrows the buffers until the next call.
    pub fn compose<'c>(
        &'c mut self,
        wanted: &Wanted<'c>,
        options: &'c Options,
    ) -> Result<(ShortMessage<'c>, Position), Unencodable> {
        let Wanted { head, content, plan, .. } = *wanted;
        let text = text_of(head, content)?.map(|text| as_planned(text, plan.alphabet(), options));
        let spoken = spoken(head, content, text.as_deref(), options)?;
        let mut segments = Parts::new(spoken, plan, wanted.reference).resumed(wanted.position);
        segments.skip_to(wanted.number);
        let part = segments.next_into(&mut self.user_data).filter(|part| part.number == wanted.number);
        let part = part.ok_or(Unencodable)?;
        self.write_tlvs(&part, wanted.user_reference, content, options).ok_or(Unencodable)?;
        let has_validity = options.validity && self.write_validity(head.expires_at, wanted.now);
        let digits = head.to.write_digits(&mut self.digits).as_bytes();
        let message = ShortMessage {
            service_type: &options.service_type,
            source: source(&content.from, &options.numbering),
            destination: address(options.numbering.recipient, digits),
            esm_class: EsmClass(part.esm_class()),
            validity_period: if has_validity { &self.validity } else { &[] },
            registered_delivery: if head.receipt { options.registered_delivery } else { 0 },
            data_coding: data_coding(&plan, head, options).0,
            short_message: if part.in_payload { &[] } else { &self.user_data },
            tlvs: Tlvs::new(&self.tlvs),
            ..ShortMessage::default()
        };
        Ok((message, segments.position()))
    }

    /// Writes the optional parameters; `None` if a value is too long for a parameter.
    fn write_tlvs(
        &mut self,
        part: &Part,
        user_reference: Option<u16>,
        content: &Content<'_>,
        options: &Options,
    ) -> Option<()> {
        self.tlvs.clear();
        let mut writer = TlvWriter::new(&mut self.tlvs);
        let own = Tlvs::new(content.tlvs);
        let is_free = own.find(TlvTag::USER_MESSAGE_REFERENCE).is_none();
        if let Some(reference) = user_reference.filter(|_| is_free) {
            writer.u16(TlvTag::USER_MESSAGE_REFERENCE, reference);
        }
        if let Some(sar) = part.sar {
            writer.u16(TlvTag::SAR_MSG_REF_NUM, sar.reference);
            writer.u8(TlvTag::SAR_TOTAL_SEGMENTS, sar.total);
            writer.u8(TlvTag::SAR_SEGMENT_SEQNUM, sar.number);
        }
        let ours = |tag| tag == TlvTag::USER_MESSAGE_REFERENCE && user_reference.is_some();
        let added = |tag| own.find(tag).is_none() && !ours(tag);
        for tlv in Tlvs::new(&options.tlvs).iter().flatten().filter(|tlv| added(tlv.tag)) {
            writer.bytes(tlv.tag, tlv.value).ok()?;
        }
        if part.in_payload {
            writer.bytes(TlvTag::MESSAGE_PAYLOAD, &self.user_data).ok()?;
        }
        self.tlvs.extend_from_slice(content.tlvs);
        Some(())
    }

    /// Writes the remaining validity as a relative time, so that the carrier's clock does not matter; as an absolute time if it is
    /// too long for the relative form. False if there is no validity to send.
    fn write_validity(&mut self, expires_at: Wall, now: Wall) -> bool {
        if expires_at == Wall(0) {
            return false;
        }
        let seconds = (expires_at.since(now) / 1_000).max(1);
        let unix_ms = i64::try_from(expires_at.0).unwrap_or(i64::MAX);
        let written = SmppTime::Relative { seconds }.write().or_else(|_| SmppTime::Absolute { unix_ms }.write());
        if let Ok(text) = written {
            self.validity = text;
        }
        written.is_ok()
    }
}

/// The text as the client sent it; `None` for binary content.
fn text_of<'a>(head: &Head, content: &Content<'a>) -> Result<Option<&'a str>, Unencodable> {
    match head.encoding {
        Encoding::Binary => Ok(None),
        Encoding::Auto | Encoding::Gsm7 | Encoding::Ucs2 => {
            std::str::from_utf8(content.body).map(Some).map_err(|_| Unencodable)
        }
    }
}

/// The text as it is sent: transliterated if the options say so. The plan was made for this text.
fn as_planned<'a>(text: &'a str, alphabet: Alphabet, options: &Options) -> Cow<'a, str> {
    match options.transliterate.then(|| transliterate(text, alphabet)).flatten() {
        Some(near) => near.text,
        None => Cow::Borrowed(text),
    }
}

fn spoken<'a>(
    head: &Head,
    content: &Content<'a>,
    text: Option<&'a str>,
    options: &Options,
) -> Result<Spoken<'a>, Unencodable> {
    let encoding = match (head.encoding, options.encoding) {
        (Encoding::Gsm7, _) | (Encoding::Auto, CarrierEncoding::Gsm7) => TextEncoding::Gsm7,
        (Encoding::Ucs2, _) | (Encoding::Auto, CarrierEncoding::Ucs2) => TextEncoding::Ucs2,
        (Encoding::Auto, CarrierEncoding::Auto | CarrierEncoding::Latin1) | (Encoding::Binary, _) => TextEncoding::Auto,
    };
    let body = match text {
        Some(text) => Body::Text(text),
        None => Body::Binary(content.body),
    };
    let header = Header::check(content.udh).map_err(|_| Unencodable)?;
    Ok(Spoken { body, header, encoding, flash: head.flash })
}

fn says_latin1(head: &Head, options: &Options) -> bool {
    head.encoding == Encoding::Auto && options.encoding == CarrierEncoding::Latin1
}

fn carrier_text(head: &Head, options: &Options) -> CarrierText {
    let text = CarrierText { transliterate: options.transliterate, ..options.text };
    match says_latin1(head, options) {
        true => CarrierText { default_alphabet: DefaultAlphabet::Latin1, ..text },
        false => text,
    }
}

/// The encoding that a message's history shows for an alphabet.
pub const fn coding(alphabet: Alphabet) -> Coding {
    match alphabet {
        Alphabet::Gsm7 | Alphabet::Gsm7National { .. } => Coding::Gsm7,
        Alphabet::Ucs2 => Coding::Ucs2,
        Alphabet::Latin1 | Alphabet::Latin1Bytes => Coding::Latin1,
        Alphabet::Ascii => Coding::Ascii,
        Alphabet::Binary => Coding::Binary,
    }
}

/// The `data_coding` of a part. Latin-1 is named by its own number (3), unless 0 means Latin-1 at this carrier anyway.
fn data_coding(plan: &Plan, head: &Head, options: &Options) -> DataCoding {
    let named = says_latin1(head, options)
        && matches!(plan.alphabet(), Alphabet::Latin1 | Alphabet::Latin1Bytes)
        && options.text.default_alphabet != DefaultAlphabet::Latin1
        && !head.flash;
    if named { DataCoding::LATIN1 } else { plan.data_coding() }
}

/// A sender as an SMPP address; an empty address stands for the carrier's default sender.
pub(in crate::link) fn source<'a>(from: &'a SenderId, numbering: &Numbering) -> Address<'a> {
    if from.is_empty() {
        return Address::default();
    }
    let pair = match from.form() {
        SenderForm::International => numbering.international,
        SenderForm::ShortCode => numbering.short_code,
        SenderForm::Alphanumeric => numbering.alphanumeric,
    };
    address(pair, from.as_bytes())
}

const fn address(pair: TonNpi, digits: &[u8]) -> Address<'_> {
    Address { ton: pair.ton, npi: pair.npi, digits }
}

/// The phone number in an address, without a leading `+` or `00`; 0 if the address is not a phone number.
pub fn recipient_of(digits: &[u8]) -> u64 {
    let digits = digits.strip_prefix(b"+").or_else(|| digits.strip_prefix(b"00")).unwrap_or(digits);
    Msisdn::from_digits(digits).map_or(0, Msisdn::number)
}
