//! Writes receipts as real carriers do, for simulated carriers.
//!
//! Knows: the variants of the text form. Refuses to know: PDUs, times of day, which receipt is due.

use super::receipt::ReceiptState;
use super::ucs2;

/// The form in which a carrier writes receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReceiptForm {
    /// Appendix B as printed, with `Text:` capitalised.
    Standard,
    /// All names in lower case.
    #[default]
    Lower,
    /// Without the field `text`.
    NoText,
    /// Only the id and the state.
    Short,
    /// State first, id last.
    Reordered,
    /// All names in upper case.
    Upper,
    /// The comma list, which has no id.
    CommaList,
    /// No text: id and state are only in the parameters.
    ParametersOnly,
    /// As `Lower`, in UCS-2.
    Ucs2,
}

impl ReceiptForm {
    /// Every form.
    pub const ALL: [Self; 9] = [
        Self::Standard,
        Self::Lower,
        Self::NoText,
        Self::Short,
        Self::Reordered,
        Self::Upper,
        Self::CommaList,
        Self::ParametersOnly,
        Self::Ucs2,
    ];

    /// Whether the receipt is useless without the parameters `receipted_message_id` and `message_state`.
    pub const fn needs_parameters(self) -> bool {
        matches!(self, Self::CommaList | Self::ParametersOnly)
    }

    /// The `data_coding` to send it with.
    pub const fn data_coding(self) -> u8 {
        if matches!(self, Self::Ucs2) { 8 } else { 0 }
    }
}

/// The values of a receipt's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptFields<'a> {
    /// Message id, as the carrier writes it.
    pub id: &'a str,
    /// The word of `stat`; see [`ReceiptState::word`], or one of a dialect.
    pub stat: &'a str,
    /// 10, 12 or 14 digits.
    pub submit_date: &'a str,
    /// 10, 12 or 14 digits.
    pub done_date: &'a str,
    /// The value of `err`.
    pub error: &'a str,
    /// Whether `dlvrd` is 1 or 0; `sub` is always 1.
    pub delivered: bool,
    /// The beginning of the message.
    pub text: &'a str,
}

impl<'a> ReceiptFields<'a> {
    /// An ordinary receipt with this state.
    pub const fn plain(id: &'a str, state: ReceiptState, submit_date: &'a str, done_date: &'a str) -> Self {
        let delivered = matches!(state, ReceiptState::Delivered);
        let error = if delivered { "000" } else { "001" };
        Self { id, stat: state.word(), submit_date, done_date, error, delivered, text: "" }
    }
}

/// Appends the text of a receipt to `out`.
pub fn write_receipt(form: ReceiptForm, fields: &ReceiptFields, out: &mut Vec<u8>) {
    let ReceiptFields { id, stat, submit_date, done_date, error, text, .. } = *fields;
    let delivered = if fields.delivered { "001" } else { "000" };
    let body = format!(
        "id:{id} sub:001 dlvrd:{delivered} submit date:{submit_date} done date:{done_date} stat:{stat} err:{error}"
    );
    let written = match form {
        ReceiptForm::Standard => format!("{body} Text:{text}"),
        ReceiptForm::Lower | ReceiptForm::Ucs2 => format!("{body} text:{text}"),
        ReceiptForm::NoText => body,
        ReceiptForm::Short => format!("id:{id} stat:{stat}"),
        ReceiptForm::Reordered => {
            format!("stat:{stat} err:{error} done date:{done_date} submit date:{submit_date} dlvrd:{delivered} id:{id}")
        }
        ReceiptForm::Upper => format!(
            "ID:{id} SUB:001 DLVRD:{delivered} SUBMIT DATE:{submit_date} DONE DATE:{done_date} STAT:{stat} \
             ERR:{error} TEXT:{text}"
        ),
        ReceiptForm::CommaList => format!("{error},{done_date},{text}"),
        ReceiptForm::ParametersOnly => String::new(),
    };
    if form == ReceiptForm::Ucs2 {
        ucs2::encode(&written, out);
    } else {
        out.extend_from_slice(written.as_bytes());
    }
}
