//! Magic numbers: recipients whose last four digits choose the outcome of a message, so that a person or a test can ask
//! for any outcome by its number. Knows the digits and the outcomes; [`super::FakeCarrier`] carries them out.

/// An outcome that the recipient's number asks for. Every other recipient is treated by the rates of the behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    /// …0000: delivered.
    Delivered,
    /// …0001: taken, then undeliverable.
    Undeliverable,
    /// …0002: taken, then expired.
    Expired,
    /// …0003: taken, then rejected.
    Rejected,
    /// …0004: throttled twice, then delivered.
    ThrottledTwice,
    /// …0005: taken, no receipt ever.
    NoReceipt,
    /// …0006: refused permanently at the submit.
    RefusedForGood,
    /// …0007: refused once with a temporary error, then delivered.
    RefusedOnce,
    /// …0008: delivered, its receipt before its response.
    ReceiptFirst,
    /// …0009: neither taken nor answered.
    Swallowed,
    /// …0010: delivered, with two receipts.
    ReceiptTwice,
    /// …0011: taken and delivered, but never answered.
    AnswerLost,
    /// …0012: enroute first, then delivered.
    Intermediate,
    /// …0013: the connection is closed on the first try, then delivered.
    DisconnectedOnce,
}

impl Magic {
    /// Every outcome, at the index that its last two digits name.
    pub const ALL: [Self; 14] = [
        Self::Delivered,
        Self::Undeliverable,
        Self::Expired,
        Self::Rejected,
        Self::ThrottledTwice,
        Self::NoReceipt,
        Self::RefusedForGood,
        Self::RefusedOnce,
        Self::ReceiptFirst,
        Self::Swallowed,
        Self::ReceiptTwice,
        Self::AnswerLost,
        Self::Intermediate,
        Self::DisconnectedOnce,
    ];

    /// The outcome that this recipient asks for; `None` for every number whose last four digits are not 0000 to 0013.
    pub fn of(recipient: &[u8]) -> Option<Self> {
        let [.., b'0', b'0', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = recipient else { return None };
        Self::ALL.get(usize::from(tens - b'0') * 10 + usize::from(ones - b'0')).copied()
    }

    /// The explanation that a person reads beside the number.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Undeliverable => "taken, then undeliverable",
            Self::Expired => "taken, then expired",
            Self::Rejected => "taken, then rejected",
            Self::ThrottledTwice => "throttled twice, then delivered",
            Self::NoReceipt => "taken, no receipt ever",
            Self::RefusedForGood => "refused for good",
            Self::RefusedOnce => "refused once for a passing reason, then delivered",
            Self::ReceiptFirst => "delivered, receipt before the response",
            Self::Swallowed => "neither taken nor answered; each try takes the link down, until the message expires",
            Self::ReceiptTwice => "delivered, receipt twice",
            Self::AnswerLost => "delivered, never answered",
            Self::Intermediate => "enroute, then delivered",
            Self::DisconnectedOnce => "connection closed once, then delivered",
        }
    }
}
