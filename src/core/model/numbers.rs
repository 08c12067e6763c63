//! Whether a receipt is about a message, judged by the numbers in the receipt.
//!
//! A receipt has two addresses, and carriers write them in different ways: national, with leading zeros, masked,
//! exchanged, or not at all. Only a number's last digits are the same in every spelling.

use super::msisdn::Tail;

/// The result of comparing a receipt's numbers with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// The numbers belong to another message.
    Contradicts,
    /// The receipt has no number except the message's sender.
    SaysNothing,
    /// One of the numbers is the message's recipient.
    Agrees,
}

/// The two numbers in a receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Source address: the recipient of the message, if the carrier follows SMPP.
    pub source: Tail,
    /// Destination address: the sender of the message.
    pub destination: Tail,
}

impl Numbers {
    /// Compares the numbers with a message to `recipient` from `sender`. If the sender is not known, or has no number,
    /// any number except the recipient's contradicts: where a carrier exchanges the two addresses, it is the number of
    /// another recipient.
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
        // The addresses are exchanged, and only the sender's can be read.
        assert_eq!([told(acme, "49151*", acme), told(acme, "", acme)], [Agreement::SaysNothing; 2]);
        assert_eq!(told(acme, bert, acme), Agreement::Contradicts);
        assert_eq!([told("", acme, acme), told("", acme, "ACME")], [Agreement::SaysNothing, Agreement::Contradicts]);
        assert_eq!([told("ACME", bert, "ACME"), told("", bert, "")], [Agreement::Contradicts; 2]);
    }
}
