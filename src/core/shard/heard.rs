//! What receipts turn out to be, as values: known, unknown or to be looked up in the runs; and the verdicts that links get.

use crate::delivery::Happened;
use crate::model::{Address, LinkId, ReceiptState};
use crate::store::record::{InboundRecord, ReceiptNote};
use crate::traffic::{IfUnknown, ReceiptToken, Verdict};
use stentor_smpp::receipt_id::Candidate;

/// Receipts of one batch whose ids are not in the open epoch, while the runs are asked.
#[derive(Debug)]
pub(super) struct Probe {
    /// The link that waits for verdicts; `None` if the receipts were parked before.
    pub link: Option<LinkId>,
    pub sought: Vec<Sought>,
}

/// A receipt while the runs are asked about it.
#[derive(Debug)]
pub(super) struct Sought {
    pub token: ReceiptToken,
    pub if_unknown: IfUnknown,
    pub is_shared: bool,
    /// It answers a query: no link waits for a verdict.
    pub is_asked: bool,
    pub forms: Vec<Candidate>,
    pub record: InboundRecord,
}

/// What a receipt is, as far as the known ids say.
#[derive(Debug)]
pub(super) enum Judged {
    /// About a known part.
    Heard(Heard),
    /// About no known part, though a message in doubt may be meant; with the reason why its part is not known.
    Unknown(Box<InboundRecord>, Unknown),
    /// It has no id.
    Nameless(Box<InboundRecord>),
    /// The runs must be asked.
    Asked(Box<Sought>),
}

/// Why it is not known which part a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Its id is not known.
    Id,
    /// It may be about any of several parts.
    Which,
    /// The parts under its id went to other numbers.
    Number,
}

/// What a receipt about a known part adds to the message's history.
#[derive(Debug)]
pub(super) enum Heard {
    /// Nothing new.
    Nothing,
    /// A note that changes no state.
    Note(Address, Happened),
    /// The end of this part, with the event and the receipt's state.
    Final(ReceiptNote, Happened, ReceiptState),
}

/// Verdicts for one link.
#[derive(Debug)]
pub(super) struct Told {
    /// Verdicts to be told once the batch being gathered is durable.
    pub kept: Vec<(ReceiptToken, Verdict)>,
    /// Verdicts that promise nothing, and are told at once.
    pub prompt: Vec<(ReceiptToken, Verdict)>,
}

impl Told {
    pub(super) fn with_capacity(receipts: usize) -> Self {
        Self { kept: Vec::with_capacity(receipts), prompt: Vec::new() }
    }

    pub(super) fn add(&mut self, token: ReceiptToken, verdict: Verdict) {
        match verdict {
            _ if token == ReceiptToken::NONE => {}
            Verdict::Kept => self.kept.push((token, verdict)),
            Verdict::Unknown | Verdict::Perhaps | Verdict::Full => self.prompt.push((token, verdict)),
        }
    }
}
