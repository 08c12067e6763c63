//! What a shard keeps of messages from handsets: whole ones in `handset`, and in `joining` the parts of those that are not
//! whole yet, with what is remembered of those that were. Part of [`super::record`].

use bincode::{Decode, Encode};

use super::record::Record;

/// `handset`: a message from a handset, its parts joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HandsetRecord {
    /// When it came in, ms; of several parts the first.
    pub wall: u64,
    /// Carrier group.
    pub group: u16,
    /// Number that it came from; 0 if it has no shape of a number.
    pub from: u64,
    /// What it came from, as the carrier wrote it, where that has no shape of a number; else empty.
    pub name: Vec<u8>,
    /// What it was sent to, as the carrier wrote it.
    pub to: Vec<u8>,
    /// Whose it is; `None`: of nobody but the operator.
    pub tenant: Option<u32>,
    /// As on the wire.
    pub data_coding: u8,
    /// Elements of the user data header, without those that join parts.
    pub header: Vec<u8>,
    /// The bytes behind the header, those of all parts one after the other.
    pub text: Vec<u8>,
    /// How many parts it has.
    pub parts: u8,
    /// Parts that never came, and at which byte of `text` each would stand.
    pub missing: Vec<(u8, u32)>,
}

impl Record for HandsetRecord {}

impl HandsetRecord {
    /// Bytes on disk of one without anything in it.
    pub const OCTETS: u64 = 62;
    /// Bytes of its owner.
    pub const TENANT_OCTETS: u64 = 4;
    /// Bytes of a part that is missing.
    pub const MISSING_OCTETS: u64 = 5;

    /// How many bytes it takes on disk.
    pub fn octets(&self) -> u64 {
        let lists = self.name.len() + self.to.len() + self.header.len() + self.text.len();
        let owner = if self.tenant.is_some() { Self::TENANT_OCTETS } else { 0 };
        Self::OCTETS + lists as u64 + owner + self.missing.len() as u64 * Self::MISSING_OCTETS
    }
}

/// `joining`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum JoiningRecord {
    /// A part that waits for the others.
    Part(PartRecord),
    /// Parts that have become a message, by their prints: one that is told again is not a part of another message.
    Told {
        /// When they did, ms.
        wall: u64,
        /// Of each part that was there.
        prints: Vec<u64>,
    },
}

impl Record for JoiningRecord {}

/// A part of a message from a handset. Parts of one message agree in all but `wall`, `part`, `header` and `text`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PartRecord {
    /// When it came in, ms.
    pub wall: u64,
    /// As in [`HandsetRecord`].
    pub group: u16,
    /// As in [`HandsetRecord`].
    pub from: u64,
    /// As in [`HandsetRecord`].
    pub name: Vec<u8>,
    /// As in [`HandsetRecord`].
    pub to: Vec<u8>,
    /// The same in every part.
    pub reference: u16,
    /// How many parts the message has.
    pub parts: u8,
    /// Which one this is, from 1.
    pub part: u8,
    /// As in [`HandsetRecord`].
    pub data_coding: u8,
    /// As in [`HandsetRecord`].
    pub header: Vec<u8>,
    /// Its own bytes.
    pub text: Vec<u8>,
}

impl Record for PartRecord {}

#[cfg(test)]
mod tests {
    use super::super::record::{decode, encode};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn list(octet: &str) -> String {
        format!("0100000000000000{octet}")
    }

    #[test]
    fn golden_bytes_of_messages_from_handsets() {
        let record = HandsetRecord {
            wall: 1,
            group: 2,
            from: 3,
            name: vec![4],
            to: vec![5],
            tenant: Some(6),
            data_coding: 7,
            header: vec![8],
            text: vec![9],
            parts: 10,
            missing: vec![(11, 12)],
        };
        let expected = ["0101000000000000000200", "0300000000000000", &list("04"), &list("05"), "0106000000", "07"]
            .concat()
            + &[&list("08"), &list("09"), "0a", &list("0b"), "0c000000"].concat();
        assert_eq!(hex(&encode(&record)), expected);
        assert_eq!(decode(&encode(&record)), Ok(record.clone()));
        for tenant in [None, Some(6)] {
            let record = HandsetRecord { tenant, ..record.clone() };
            assert_eq!(record.octets(), encode(&record).len() as u64);
        }
        assert_eq!(encode(&HandsetRecord::default()).len() as u64, HandsetRecord::OCTETS);
    }

    #[test]
    fn golden_bytes_of_parts_that_wait_to_be_joined() {
        let part = PartRecord {
            wall: 1,
            group: 2,
            from: 3,
            name: vec![4],
            to: vec![5],
            reference: 6,
            parts: 7,
            part: 8,
            data_coding: 9,
            header: vec![10],
            text: vec![11],
        };
        let expected = ["010000000001000000000000000200", "0300000000000000", &list("04"), &list("05"), "060007"]
            .concat()
            + &["0809", &list("0a"), &list("0b")].concat();
        let record = JoiningRecord::Part(part);
        assert_eq!(hex(&encode(&record)), expected);
        assert_eq!(decode(&encode(&record)), Ok(record));
        let told = JoiningRecord::Told { wall: 1, prints: vec![2] };
        assert_eq!(hex(&encode(&told)), "01010000000100000000000000".to_owned() + &list("0200000000000000"));
    }
}
