//! Writing receipts as carriers do, for the simulated ones.
//!
//! Knows: the dialects of the text form. Refuses to know: PDUs, times of day, which receipt is due.

use super::receipt::ReceiptState;
use super::ucs2;

/// How a carrier puts a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReceiptForm {
    /// Appendix B as printed: `Text:` with a capital.
    Standard,
    /// Names in lower case throughout.
    #[default]
    Lower,
    /// Without `text`.
    NoText,
    /// Only id and state.
    Short,
    /// State first, id last.
    Reordered,
    /// Names in capitals.
    Upper,
    /// The comma list, which holds no id.
    CommaList,
    /// No text: the parameters say it all.
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

    /// Whether the receipt means nothing without the parameters `receipted_message_id` and `message_state`.
    pub const fn needs_parameters(self) -> bool {
        matches!(self, Self::CommaList | Self::ParametersOnly)
    }

    /// The `data_coding` to send it with.
    pub const fn data_coding(self) -> u8 {
        if matches!(self, Self::Ucs2) { 8 } else { 0 }
    }
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptFields<'a> {
    /// As the carrier writes it.
    pub id: &'a str,
    /// The word of `stat`; see [`ReceiptState::word`], or one of a dialect.
    pub stat: &'a str,
    /// As written: 10, 12 or 14 digits.
    pub submit_date: &'a str,
    /// As written.
    pub done_date: &'a str,
    /// As written.
    pub error: &'a str,
    /// Whether one of one was delivered.
    pub delivered: bool,
    /// The beginning of the message.
    pub text: &'a str,
}

impl<'a> ReceiptFields<'a> {
    /// A receipt of a state with nothing odd about it.
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
