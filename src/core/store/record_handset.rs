//! The records of messages from handsets: complete messages in `handset`; in `joining`, parts of messages that are not
//! complete yet, and what is remembered of joined ones. Part of [`super::record`].

use bincode::{Decode, Encode};

use super::record::Record;

/// `handset`: a message from a handset, its parts joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HandsetRecord {
    /// When it came in, ms; for several parts, when the first did.
    pub wall: u64,
    /// Carrier group.
    pub group: u16,
    /// Number that it came from; 0 if the address is not a number.
    pub from: u64,
    /// Address that it came from, as the carrier wrote it, if it is not a number; otherwise empty.
    pub name: Vec<u8>,
    /// Address that it was sent to, as the carrier wrote it.
    pub to: Vec<u8>,
    /// The tenant that it belongs to; `None`: no tenant, so only the operator can read it.
    pub tenant: Option<u32>,
    /// Data coding, as on the wire.
    pub data_coding: u8,
    /// Elements of the user data header, without those for joining parts.
    pub header: Vec<u8>,
    /// The bytes after the header, those of all parts one after the other.
    pub text: Vec<u8>,
    /// How many parts it has.
    pub parts: u8,
    /// Parts that never came: part number, and the byte of `text` at which the part would be.
    pub missing: Vec<(u8, u32)>,
}

impl Record for HandsetRecord {}

impl HandsetRecord {
    /// Bytes on disk of an empty record.
    pub const BYTES: u64 = 62;
    /// Bytes of the tenant, if there is one.
    pub const TENANT_BYTES: u64 = 4;
    /// Bytes of a missing part.
    pub const MISSING_BYTES: u64 = 5;

    /// How many bytes it takes on disk.
    pub fn bytes(&self) -> u64 {
        let lists = self.name.len() + self.to.len() + self.header.len() + self.text.len();
        let owner = if self.tenant.is_some() { Self::TENANT_BYTES } else { 0 };
        Self::BYTES + lists as u64 + owner + self.missing.len() as u64 * Self::MISSING_BYTES
    }
}

/// `joining`: a part that waits, or a note about joined parts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum JoiningRecord {
    /// A part that waits for the others.
    Part(PartRecord),
    /// Parts that became a message, by their fingerprints: a part that the carrier sends again does not begin a new
    /// message.
    Told {
        /// When they became a message, ms.
        wall: u64,
        /// The fingerprints of all parts that were there.
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
    /// The reference, the same in every part.
    pub reference: u16,
    /// How many parts the message has.
    pub parts: u8,
    /// The number of this part, from 1.
    pub part: u8,
    /// As in [`HandsetRecord`].
    pub data_coding: u8,
    /// As in [`HandsetRecord`].
    pub header: Vec<u8>,
    /// The part's own bytes.
    pub text: Vec<u8>,
}

impl Record for PartRecord {}

#[cfg(test)]
mod tests {
    use super::super::record::{decode, encode};
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    fn list(byte: &str) -> String {
        format!("0100000000000000{byte}")
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
            assert_eq!(record.bytes(), encode(&record).len() as u64);
        }
        assert_eq!(encode(&HandsetRecord::default()).len() as u64, HandsetRecord::BYTES);
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
