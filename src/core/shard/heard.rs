//! What receipts turn out to be, as values: asked about, known, of nobody; and what their links are told.

use crate::delivery::Happened;
use crate::model::{Address, LinkId, ReceiptState};
use crate::store::record::{InboundRecord, ReceiptNote};
use crate::traffic::{IfUnknown, ReceiptToken, Verdict};
use stentor_smpp::receipt_id::Candidate;

/// Receipts of one batch whose ids the open epoch does not hold, while the runs are asked.
#[derive(Debug)]
pub(super) struct Probe {
    /// None: they were parked before.
    pub link: Option<LinkId>,
    pub sought: Vec<Sought>,
}

#[derive(Debug)]
pub(super) struct Sought {
    pub token: ReceiptToken,
    pub if_unknown: IfUnknown,
    pub is_shared: bool,
    /// It answers a question: nobody waits for a word on it.
    pub is_asked: bool,
    pub forms: Vec<Candidate>,
    pub record: InboundRecord,
}

/// What a receipt is, as far as the ids say that are known.
#[derive(Debug)]
pub(super) enum Judged {
    /// Of a part that is known.
    Heard(Heard),
    /// Of none that is known: the ledger may know its recipient. With whether its id is known.
    Unknown(Box<InboundRecord>, Unknown),
    /// It bears no id.
    Nameless(Box<InboundRecord>),
    /// The runs are to be asked.
    Asked(Box<Sought>),
}

/// Why nobody knows which part a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Its id is not known.
    Id,
    /// It may be about any of several parts.
    Which,
    /// The parts under its id went to other numbers.
    Number,
}

/// What a receipt says of a part that is known: for the message's history.
#[derive(Debug)]
pub(super) enum Heard {
    /// Nothing that is not there already.
    Nothing,
    /// It changes nothing.
    Note(Address, Happened),
    /// The end of this part, and what said so.
    Final(ReceiptNote, Happened, ReceiptState),
}

/// Verdicts for one link.
#[derive(Debug)]
pub(super) struct Told {
    /// Once what they say is durable.
    pub kept: Vec<(ReceiptToken, Verdict)>,
    /// At once.
    pub prompt: Vec<(ReceiptToken, Verdict)>,
}

impl Told {
    pub(super) fn with_capacity(receipts: usize) -> Self {
        Self { kept: Vec::with_capacity(receipts), prompt: Vec::new() }
    }

    pub(super) fn add(&mut self, token: ReceiptToken, verdict: Verdict) {
        match verdict {
            _ if token == ReceiptToken::NOBODY => {}
            Verdict::Kept => self.kept.push((token, verdict)),
            Verdict::Unknown | Verdict::Perhaps | Verdict::Full => self.prompt.push((token, verdict)),
        }
    }
}
