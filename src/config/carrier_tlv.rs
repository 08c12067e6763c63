//! The optional parameters (TLVs) that a carrier wants on every submit, such as India's DLT ids or billing codes.
//!
//! Knows which tags the link sets itself. Refuses to know what a tag means to a carrier.

use data_encoding::HEXLOWER_PERMISSIVE;
use toml::Spanned;

use super::gather::Gather;
use super::raw::{RawCarrier, RawTlv};

/// One optional parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlv {
    /// SMPP 3.4 §5.3; carriers define their own from 0x1400.
    pub tag: u16,
    /// At most 1,000 bytes.
    pub value: Vec<u8>,
}

/// Tags that the link sets itself: they depend on the message, or match receipts to their part.
const OURS: [(u16, &str); 5] = [
    (0x0204, "user_message_reference"),
    (0x020C, "sar_msg_ref_num"),
    (0x020E, "sar_total_segments"),
    (0x020F, "sar_segment_seqnum"),
    (0x0424, "message_payload"),
];

/// Longest value in bytes: more than any carrier asks for, far below the 65,535 that SMPP allows, since every submit carries it.
const VALUE_MAX: usize = 1_000;

pub(super) fn tlvs(raw: &RawCarrier, gather: &mut Gather<'_>) -> Vec<Tlv> {
    let mut found: Vec<Tlv> = Vec::new();
    for typed in raw.tlvs.iter().flat_map(|list| list.get_ref()) {
        let Some(tlv) = tlv(typed, gather) else { continue };
        if let Some((_, name)) = OURS.iter().find(|(tag, _)| *tag == tlv.tag) {
            gather.refuse(&typed.span(), format!("tag 0x{:04X} ({name}) is set by Stentor itself: remove it", tlv.tag));
        }
        if found.iter().any(|other| other.tag == tlv.tag) {
            gather.refuse(&typed.span(), format!("tag 0x{:04X} is listed twice: remove one", tlv.tag));
        }
        found.push(tlv);
    }
    found
}

fn tlv(typed: &Spanned<RawTlv>, gather: &mut Gather<'_>) -> Option<Tlv> {
    let raw = typed.get_ref();
    let tag = gather.required(&raw.tag, &typed.span(), "tag")?.get_ref().get();
    let value = match (&raw.text, &raw.hex) {
        (Some(text), None) => Some(text.get_ref().clone().into_bytes()),
        (None, Some(hex)) => bytes(hex.get_ref()).or_else(|| {
            gather.refuse(&hex.span(), "is not hexadecimal: write two digits for each byte, such as \"00ff\"");
            None
        }),
        (Some(_), Some(_)) | (None, None) => {
            if !gather.incomplete {
                gather.refuse(&typed.span(), "write exactly one of `text` and `hex`");
            }
            None
        }
    }?;
    if value.len() > VALUE_MAX {
        gather.refuse(&typed.span(), format!("is {} bytes long; at most {VALUE_MAX} are allowed", value.len()));
    }
    Some(Tlv { tag, value })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()
}
