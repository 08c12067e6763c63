//! Translates SMPP to the terms of the domain: the family of a command status, the state and the error in a receipt. Code above
//! the link knows only the terms of the domain.

use crate::model::{CarrierError, ErrorFamily, ErrorOrigin, ErrorText, ReceiptState};
use stentor_smpp::receipt::{self, NetworkError, Receipt};
use stentor_smpp::status::ErrorClass;

/// The family of a status, unless the carrier's configuration sets another one.
pub(in crate::link) const fn family(class: ErrorClass) -> ErrorFamily {
    match class {
        ErrorClass::Throttle => ErrorFamily::Throttle,
        ErrorClass::Transient => ErrorFamily::Transient,
        ErrorClass::Session => ErrorFamily::Session,
        ErrorClass::Credential => ErrorFamily::Credential,
        ErrorClass::PermanentMessage => ErrorFamily::Permanent,
        ErrorClass::OurBug => ErrorFamily::OurBug,
        ErrorClass::Unknown => ErrorFamily::Unknown,
    }
}

/// The same state in the terms of the domain.
pub(in crate::link) const fn state(state: receipt::ReceiptState) -> ReceiptState {
    match state {
        receipt::ReceiptState::Scheduled => ReceiptState::Scheduled,
        receipt::ReceiptState::Enroute => ReceiptState::Enroute,
        receipt::ReceiptState::Delivered => ReceiptState::Delivered,
        receipt::ReceiptState::Expired => ReceiptState::Expired,
        receipt::ReceiptState::Deleted => ReceiptState::Deleted,
        receipt::ReceiptState::Undeliverable => ReceiptState::Undeliverable,
        receipt::ReceiptState::Accepted => ReceiptState::Accepted,
        receipt::ReceiptState::Unknown => ReceiptState::Unknown,
        receipt::ReceiptState::Rejected => ReceiptState::Rejected,
        receipt::ReceiptState::Skipped => ReceiptState::Skipped,
    }
}

/// The error family of a receipt. It comes from the state alone, because each carrier has its own error codes.
const fn family_of_state(state: Option<receipt::ReceiptState>) -> ErrorFamily {
    match state {
        Some(receipt::ReceiptState::Expired) => ErrorFamily::Transient,
        Some(receipt::ReceiptState::Rejected) => ErrorFamily::Permanent,
        Some(
            receipt::ReceiptState::Scheduled
            | receipt::ReceiptState::Enroute
            | receipt::ReceiptState::Delivered
            | receipt::ReceiptState::Deleted
            | receipt::ReceiptState::Undeliverable
            | receipt::ReceiptState::Accepted
            | receipt::ReceiptState::Unknown
            | receipt::ReceiptState::Skipped,
        )
        | None => ErrorFamily::Unknown,
    }
}

/// The error in the answer to a query: the network's code, 0 for none (SMPP 3.4 §4.8.2).
pub(in crate::link) fn error_of_query(state: receipt::ReceiptState, code: u8) -> CarrierError {
    CarrierError {
        family: family_of_state(Some(state)),
        origin: ErrorOrigin::Receipt,
        text: ErrorText::default(),
        number: u32::from(code),
    }
}

/// The error in a receipt. A code of zeros only means that there is no error (SMPP 3.4 appendix B: `err:000`).
pub(in crate::link) fn error(receipt: &Receipt<'_>) -> CarrierError {
    let family = family_of_state(receipt.state);
    let written = receipt.error.filter(|written| written.iter().any(|byte| *byte != b'0'));
    let network = receipt.network_error.map(|error| match error {
        NetworkError::Code { code, .. } | NetworkError::Digits(code) => u32::from(code),
    });
    let network = network.filter(|code| *code != 0);
    let number = written.and_then(|written| std::str::from_utf8(written).ok()?.parse().ok());
    CarrierError {
        family,
        origin: if written.is_none() && network.is_some() { ErrorOrigin::Network } else { ErrorOrigin::Receipt },
        text: written.map(ErrorText::cut).unwrap_or_default(),
        number: number.or(network).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_their_words() {
        for spelled in receipt::ReceiptState::ALL {
            let meant = state(spelled);
            assert_eq!((meant.word(), meant.is_final()), (spelled.word(), spelled.is_final()));
        }
    }

    #[test]
    fn a_receipts_error_is_told_as_it_was_written() {
        let check = |text: &str, network: Option<[u8; 3]>, origin: ErrorOrigin, told: &str, number: u32| {
            let mut receipt = Receipt::parse_text(text.as_bytes());
            receipt.network_error = network.map(NetworkError::read);
            let error = error(&receipt);
            assert_eq!((error.text.as_str(), error.number, error.origin), (told, number, origin), "{text}");
            assert_eq!(error.has_code(), !told.is_empty() || number != 0, "{text}");
        };
        let (receipt, network) = (ErrorOrigin::Receipt, ErrorOrigin::Network);
        check("id:1 stat:DELIVRD err:000 text:", None, receipt, "", 0);
        check("id:1 stat:DELIVRD err:0", None, receipt, "", 0);
        check("id:1 stat:DELIVRD", None, receipt, "", 0);
        check("id:1 stat:UNDELIV err: text:x", None, receipt, "", 0);
        check("id:1 stat:UNDELIV err:027 text:x", None, receipt, "027", 27);
        check("id:1 stat:UNDELIV err:nul", None, receipt, "nul", 0);
        check("id:1 stat:UNDELIV err:0x1F", None, receipt, "0x1F", 0);
        check("id:1 stat:UNDELIV err:1F", None, receipt, "1F", 0);
        check("id:1 stat:UNDELIV err:ABSENT_SUBSCRIBER text:", None, receipt, "ABSENT_S", 0);
        check("id:1 stat:UNDELIV err:123456789012 text:", None, receipt, "12345678", 0);
        check("id:1 stat:UNDELIV err:\u{1}\u{7F}7 text:", None, receipt, "??7", 0);
        check("id:1 stat:UNDELIV err:99999999999", None, receipt, "99999999", 0);
        check("id:1 stat:UNDELIV err:000", Some([3, 0, 27]), network, "", 27);
        check("id:1 stat:UNDELIV", Some(*b"027"), network, "", 27);
        check("id:1 stat:UNDELIV", Some([3, 0, 0]), receipt, "", 0);
        check("id:1 stat:UNDELIV err:nul", Some([3, 1, 0]), receipt, "nul", 256);
        check("id:1 stat:UNDELIV err:5", Some([3, 1, 0]), receipt, "5", 5);
    }

    #[test]
    fn a_receipts_family_is_its_states() {
        let of = |text: &str| error(&Receipt::parse_text(text.as_bytes())).family;
        assert_eq!(of("id:1 stat:EXPIRED err:27"), ErrorFamily::Transient);
        assert_eq!(of("id:1 stat:REJECTD err:27"), ErrorFamily::Permanent);
        for word in ["UNDELIV", "DELETED", "UNKNOWN", "DELIVRD", "ENROUTE", "?"] {
            assert_eq!(of(&format!("id:1 stat:{word} err:27")), ErrorFamily::Unknown, "{word}");
        }
    }
}
