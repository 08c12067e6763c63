//! Whether a receipt is about a message, as far as the numbers say that it names.
//!
//! A receipt has two addresses, and a carrier may write either in a way of its own: national, with zeros in front, masked, one
//! for the other, or not at all. What stays of a number in every spelling are its last digits.

use super::msisdn::Tail;

/// What a receipt's numbers say of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// They are somebody else's.
    Contradicts,
    /// There is none but its sender's.
    SaysNothing,
    /// One is its recipient's.
    Agrees,
}

/// The two numbers that a receipt names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Where it comes from: the recipient, if the carrier does as SMPP says.
    pub source: Tail,
    /// Whom it is for: the sender.
    pub destination: Tail,
}

impl Numbers {
    /// What they say of a message to `recipient` by `sender`. Where that is not known, or has no number, any number but the
    /// recipient's contradicts: in a receipt whose addresses stand in each other's places it is another recipient's.
    pub fn agreement(self, recipient: Tail, sender: Tail) -> Agreement {
        let Self { source, destination } = self;
        let is_recipients = |tail: Tail| !tail.is_none() && tail == recipient;
        let says_nothing = |tail: Tail| tail.is_none() || tail == sender;
        if is_recipients(source) || is_recipients(destination) {
            Agreement::Agrees
        } else if says_nothing(source) && says_nothing(destination) {
            Agreement::SaysNothing
        } else {
            Agreement::Contradicts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_number_may_be_the_recipients() {
        let (anna, bert, acme) = ("4915112345678", "4915198765432", "4930555000");
        let told = |source: &str, destination: &str, sender: &str| {
            let [source, destination, sender] =
                [source, destination, sender].map(|address| Tail::of_written(address.as_bytes()));
            Numbers { source, destination }.agreement(Tail::of(4_915_112_345_678), sender)
        };
        for sender in [acme, "ACME", ""] {
            for (source, destination) in
                [(anna, acme), ("015112345678", acme), (acme, anna), (anna, ""), ("", anna), (bert, anna), (anna, bert)]
            {
                assert_eq!(told(source, destination, sender), Agreement::Agrees, "{source} {destination} {sender}");
            }
            for (source, destination) in [("", ""), ("ACME", "49151xxxx678"), ("345678", "12")] {
                assert_eq!(
                    told(source, destination, sender),
                    Agreement::SaysNothing,
                    "{source} {destination} {sender}"
                );
            }
            for (source, destination) in [(bert, ""), (bert, acme), (bert, bert), (bert, "ACME")] {
                assert_eq!(
                    told(source, destination, sender),
                    Agreement::Contradicts,
                    "{source} {destination} {sender}"
                );
            }
        }
        // One for the other, and only the sender can be read.
        assert_eq!([told(acme, "49151*", acme), told(acme, "", acme)], [Agreement::SaysNothing; 2]);
        assert_eq!(told(acme, bert, acme), Agreement::Contradicts);
        assert_eq!([told("", acme, acme), told("", acme, "ACME")], [Agreement::SaysNothing, Agreement::Contradicts]);
        assert_eq!([told("ACME", bert, "ACME"), told("", bert, "")], [Agreement::Contradicts; 2]);
    }
}
