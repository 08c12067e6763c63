//! The meaning of a message's bytes: SMPP `data_coding`, alphabets, message classes.
//!
//! Knows: the values of `data_coding` (SMPP 3.4 §5.2.19, 3GPP TS 23.038 §4) in both directions, and that each carrier
//! defines the meaning of value 0. Refuses to know: how characters become bytes (`gsm7`, `ucs2`) and how many of them fit
//! into a part (`split`).

use super::national::Language;

/// The meaning of `data_coding` 0, "SMSC default alphabet", at one carrier.
///
/// The handset receives GSM 7-bit if that holds the text, so the room in a part is counted in septets for every variant;
/// the variant only decides which bytes the carrier expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum DefaultAlphabet {
    /// GSM 03.38, one septet per byte, not packed.
    #[default]
    Gsm7,
    /// ISO 8859-1.
    Latin1,
    /// ASCII (IA5); anything beyond it goes as UCS-2.
    Ascii,
}

/// The alphabet of one message as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// GSM 03.38 with its extension table.
    Gsm7,
    /// GSM 03.38 with national tables, announced by information elements 0x24 (single shift) and 0x25 (locking).
    /// At least one of the two is set.
    Gsm7National {
        /// Replaces the extension table.
        single: Option<Language>,
        /// Replaces the default alphabet.
        locking: Option<Language>,
    },
    /// UTF-16, big endian, no byte order mark.
    Ucs2,
    /// ISO 8859-1, every character of which GSM 7-bit has, too; its room is counted in septets, like `Gsm7`.
    Latin1,
    /// ISO 8859-1 with characters that GSM 7-bit lacks; its room is counted in bytes, like `Binary`, as carriers do.
    Latin1Bytes,
    /// ASCII in a carrier's default coding; its room is counted in septets, like `Gsm7`.
    Ascii,
    /// No text: the bytes are sent as they are.
    Binary,
}

impl Alphabet {
    /// Bytes that one unit takes in `short_message`: 1 for a septet or byte, 2 for a UTF-16 unit.
    pub const fn bytes_per_unit(self) -> usize {
        match self {
            Alphabet::Ucs2 => 2,
            Alphabet::Gsm7 | Alphabet::Gsm7National { .. } => 1,
            Alphabet::Latin1 | Alphabet::Latin1Bytes | Alphabet::Ascii | Alphabet::Binary => 1,
        }
    }

    /// Units that fit into one part whose user data header is `header` bytes long, including its length byte (0 = none).
    ///
    /// 140 bytes hold 160 septets, and the text begins on a septet boundary (3GPP TS 23.040 §9.2.3.24).
    pub const fn room(self, header: usize) -> usize {
        let bytes = 140usize.saturating_sub(header);
        match self {
            Alphabet::Ucs2 => bytes / 2,
            Alphabet::Binary | Alphabet::Latin1Bytes => bytes,
            Alphabet::Gsm7 | Alphabet::Gsm7National { .. } | Alphabet::Latin1 | Alphabet::Ascii => bytes * 8 / 7,
        }
    }

    /// Bytes of the national information elements that announce this alphabet: 0, 3 or 6.
    pub const fn announcement_len(self) -> usize {
        match self {
            Alphabet::Gsm7National { single, locking } => 3 * (single.is_some() as usize + locking.is_some() as usize),
            Alphabet::Gsm7 | Alphabet::Ucs2 | Alphabet::Binary => 0,
            Alphabet::Latin1 | Alphabet::Latin1Bytes | Alphabet::Ascii => 0,
        }
    }
}

/// Where the handset stores the message (3GPP TS 23.038 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// Class 0: shown at once and not stored.
    Flash,
    /// Class 1: stored in the handset's own memory.
    Device,
    /// Class 2: stored on the SIM.
    Sim,
    /// Class 3: passed to external equipment.
    Terminal,
}

/// The character set that a `data_coding` names, with the carrier's meaning of 0 applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// GSM 03.38, unpacked.
    Gsm7,
    /// ASCII.
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// ISO 8859-5, Latin and Cyrillic.
    Cyrillic,
    /// ISO 8859-8, Latin and Hebrew.
    Hebrew,
    /// UTF-16 big endian.
    Ucs2,
    /// Bytes that are not text.
    Binary,
    /// A set that this library does not decode: JIS, pictograms, Kanji, KS C 5601, or a reserved value.
    Other,
}

/// The `data_coding` byte of a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DataCoding(pub u8);

impl DataCoding {
    /// SMSC default alphabet; see [`DefaultAlphabet`].
    pub const DEFAULT: Self = Self(0x00);
    /// IA5, ASCII.
    pub const IA5: Self = Self(0x01);
    /// ISO 8859-1.
    pub const LATIN1: Self = Self(0x03);
    /// 8-bit bytes.
    pub const BINARY: Self = Self(0x04);
    /// UCS-2, in practice UTF-16 big endian.
    pub const UCS2: Self = Self(0x08);
    /// GSM 7-bit, class 0.
    pub const FLASH_GSM7: Self = Self(0x10);
    /// 8-bit, class 0.
    pub const FLASH_BINARY: Self = Self(0x14);
    /// UCS-2, class 0.
    pub const FLASH_UCS2: Self = Self(0x18);
    /// GSM 7-bit, class 0, in the coding group 1111 that some carriers want instead of 0x10.
    pub const FLASH_GSM7_GROUP_F: Self = Self(0xF0);
    /// 8-bit, class 0, in the coding group 1111.
    pub const FLASH_BINARY_GROUP_F: Self = Self(0xF4);
    /// 8-bit, class 1: the usual coding of port-addressed data.
    pub const DEVICE_BINARY: Self = Self(0xF5);

    /// The value for a message to be sent. `group_f` selects 0xF0 and 0xF4 for flash messages; UCS-2 has no such form and
    /// stays 0x18.
    pub const fn of(alphabet: Alphabet, flash: bool, group_f: bool) -> Self {
        match (alphabet, flash) {
            (Alphabet::Ucs2, false) => Self::UCS2,
            (Alphabet::Ucs2, true) => Self::FLASH_UCS2,
            (Alphabet::Binary, false) => Self::BINARY,
            (Alphabet::Binary, true) if group_f => Self::FLASH_BINARY_GROUP_F,
            (Alphabet::Binary, true) => Self::FLASH_BINARY,
            (Alphabet::Gsm7 | Alphabet::Gsm7National { .. }, _)
            | (Alphabet::Latin1 | Alphabet::Latin1Bytes | Alphabet::Ascii, _) => match (flash, group_f) {
                (false, _) => Self::DEFAULT,
                (true, false) => Self::FLASH_GSM7,
                (true, true) => Self::FLASH_GSM7_GROUP_F,
            },
        }
    }

    /// The character set. Defined for every byte.
    ///
    /// 0x01–0x0E are SMPP's own list, every other value is read as in 3GPP TS 23.038 §4. In the class and message-waiting
    /// groups, the 7-bit alphabet is also replaced by the carrier's default, because a carrier that sends Latin-1 does so with
    /// every class.
    pub const fn charset(self, default: DefaultAlphabet) -> Charset {
        let seven_bit = match default {
            DefaultAlphabet::Gsm7 => Charset::Gsm7,
            DefaultAlphabet::Latin1 => Charset::Latin1,
            DefaultAlphabet::Ascii => Charset::Ascii,
        };
        match self.0 {
            0x00 => seven_bit,
            0x01 => Charset::Ascii,
            0x02 | 0x04 => Charset::Binary,
            0x03 => Charset::Latin1,
            0x06 => Charset::Cyrillic,
            0x07 => Charset::Hebrew,
            0x08 => Charset::Ucs2,
            0x05 | 0x09..=0x0F => Charset::Other,
            0x10..=0x7F => match self.0 & 0x0C {
                _ if self.0 & 0x20 != 0 => Charset::Other, // compressed text
                0x00 => seven_bit,
                0x04 => Charset::Binary,
                0x08 => Charset::Ucs2,
                _ => Charset::Other,
            },
            0x80..=0xBF => Charset::Other,
            0xC0..=0xDF => seven_bit,
            0xE0..=0xEF => Charset::Ucs2,
            0xF0..=0xFF if self.0 & 0x04 != 0 => Charset::Binary,
            0xF0..=0xFF => seven_bit,
        }
    }

    /// The message class, if the value contains one.
    pub const fn class(self) -> Option<MessageClass> {
        let has_class = match self.0 {
            0x10..=0x7F => self.0 & 0x10 != 0,
            0xF0..=0xFF => true,
            0x00..=0x0F | 0x80..=0xEF => false,
        };
        match (has_class, self.0 & 0x03) {
            (false, _) => None,
            (true, 0) => Some(MessageClass::Flash),
            (true, 1) => Some(MessageClass::Device),
            (true, 2) => Some(MessageClass::Sim),
            (true, _) => Some(MessageClass::Terminal),
        }
    }

    /// Whether the message is shown at once and not stored (class 0).
    pub const fn is_flash(self) -> bool {
        matches!(self.class(), Some(MessageClass::Flash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_that_we_send_reads_back_as_its_alphabet() {
        let cases = [
            (Alphabet::Gsm7, Charset::Gsm7),
            (Alphabet::Gsm7National { single: Some(Language::Urdu), locking: None }, Charset::Gsm7),
            (Alphabet::Ucs2, Charset::Ucs2),
            (Alphabet::Binary, Charset::Binary),
        ];
        for (alphabet, charset) in cases {
            for (flash, group_f) in [(false, false), (true, false), (true, true)] {
                let coding = DataCoding::of(alphabet, flash, group_f);
                assert_eq!(coding.charset(DefaultAlphabet::Gsm7), charset, "{coding:?}");
                assert_eq!(coding.is_flash(), flash, "{coding:?}");
            }
        }
        assert_eq!(DataCoding::of(Alphabet::Latin1, false, false).charset(DefaultAlphabet::Latin1), Charset::Latin1);
        assert_eq!(DataCoding::of(Alphabet::Ascii, false, false).charset(DefaultAlphabet::Ascii), Charset::Ascii);
    }

    #[test]
    fn classes_stand_only_where_the_group_has_them() {
        let class = |value: u8| DataCoding(value).class();
        assert_eq!([0x00, 0x08, 0xC0, 0x84, 0x0F].map(class), [None; 5]);
        assert_eq!(class(0x11), Some(MessageClass::Device));
        assert_eq!(class(0xF2), Some(MessageClass::Sim));
        assert_eq!(class(0x1B), Some(MessageClass::Terminal));
        assert_eq!(class(0x40), None);
        assert_eq!(class(0x50), Some(MessageClass::Flash));
    }

    #[test]
    fn room_is_what_140_bytes_leave() {
        let national = Alphabet::Gsm7National { single: Some(Language::Turkish), locking: Some(Language::Turkish) };
        assert_eq!([0, 6, 7].map(|header| Alphabet::Gsm7.room(header)), [160, 153, 152]);
        assert_eq!([0, 6, 7].map(|header| Alphabet::Binary.room(header)), [140, 134, 133]);
        assert_eq!([0, 6, 7].map(|header| Alphabet::Ucs2.room(header)), [70, 67, 66]);
        assert_eq!([4, 7, 9, 12].map(|header| national.room(header)), [155, 152, 149, 146]);
        assert_eq!(Alphabet::Ucs2.room(200), 0);
        assert_eq!(national.announcement_len(), 6);
    }
}
