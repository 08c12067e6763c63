//! The user data header: information elements before the text (3GPP TS 23.040 §9.2.3.24).
//!
//! Knows: how to read any header without failing, check one given by a sender, and write the elements that `split` needs.
//! Refuses to know: which parts a message has (`split`) and what the text after the header means (`user_data`).

use std::fmt;

use super::national::Language;

/// Concatenation with an 8-bit reference.
pub const CONCATENATION: u8 = 0x00;
/// Application ports, 16 bits each: destination, then source.
pub const PORTS: u8 = 0x05;
/// Concatenation with a 16-bit reference.
pub const CONCATENATION_WIDE: u8 = 0x08;
/// National language single shift.
pub const NATIONAL_SINGLE: u8 = 0x24;
/// National language locking shift.
pub const NATIONAL_LOCKING: u8 = 0x25;

/// Longest header in bytes, including its length byte.
pub const HEADER_MAX: usize = 140;

/// Port-addressed WAP push: destination 2948, source 9200.
pub const WAP_PUSH: [u8; 7] = port_header(2948, 9200);

/// A complete header that contains only a pair of ports.
pub const fn port_header(destination: u16, source: u16) -> [u8; 7] {
    let [to_high, to_low] = destination.to_be_bytes();
    let [from_high, from_low] = source.to_be_bytes();
    [6, PORTS, 4, to_high, to_low, from_high, from_low]
}

/// The numbering of one part of a long message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Concatenation {
    /// The same in every part of one message; 8 or 16 bits of it are sent.
    pub reference: u16,
    /// Number of parts, 1–255.
    pub total: u8,
    /// Number of this part, 1 to `total`.
    pub number: u8,
    /// Whether the reference has 16 bits.
    pub wide: bool,
}

impl Concatenation {
    /// Length of the element in bytes: 5, or 6 if `wide`.
    pub const fn len(wide: bool) -> usize {
        if wide { 6 } else { 5 }
    }

    /// Appends the element.
    pub fn write(&self, out: &mut Vec<u8>) {
        let [high, low] = self.reference.to_be_bytes();
        if self.wide {
            out.extend([CONCATENATION_WIDE, 4, high, low, self.total, self.number]);
        } else {
            out.extend([CONCATENATION, 3, low, self.total, self.number]);
        }
    }
}

/// Why a header given by a sender is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The first byte is not the number of bytes after it.
    LengthMismatch {
        /// The value of the first byte.
        says: usize,
        /// Number of bytes after it.
        has: usize,
    },
    /// An element extends past the end.
    ElementCut {
        /// Where the element begins, counted in bytes from the length byte, which is 0.
        at: usize,
    },
    /// Longer than [`HEADER_MAX`].
    TooLong,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthMismatch { says, has } => {
                write!(out, "its first byte says that {says} bytes follow, but {has} do")
            }
            Self::ElementCut { at } => write!(out, "the element at byte {at} extends past the end"),
            Self::TooLong => write!(out, "longer than {HEADER_MAX} bytes"),
        }
    }
}

/// One information element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The element's identifier.
    pub id: u8,
    /// The element's data.
    pub data: &'a [u8],
}

/// A user data header: its elements, without the length byte. The default is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header<'a> {
    elements: &'a [u8],
}

impl<'a> Header<'a> {
    /// No header.
    pub const NONE: Self = Self { elements: &[] };

    /// Checks a header given by a sender, length byte first; an empty slice means no header.
    pub fn check(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let Some((&says, elements)) = bytes.split_first() else {
            return Ok(Self::NONE);
        };
        if usize::from(says) != elements.len() {
            return Err(HeaderError::LengthMismatch { says: says.into(), has: elements.len() });
        }
        if bytes.len() > HEADER_MAX {
            return Err(HeaderError::TooLong);
        }
        let header = Self { elements };
        let mut walk = header.iter();
        walk.by_ref().for_each(drop);
        match walk.rest.len() {
            0 => Ok(header),
            left => Err(HeaderError::ElementCut { at: bytes.len() - left }),
        }
    }

    /// Splits received user data into the header and the bytes after it.
    ///
    /// Never fails. If the length extends past the end, all bytes count as header; elements are read as far as they are
    /// complete.
    pub fn cut(user_data: &'a [u8]) -> (Self, &'a [u8]) {
        let Some((&length, rest)) = user_data.split_first() else {
            return (Self::NONE, &[]);
        };
        let (elements, text) = rest.split_at(usize::from(length).min(rest.len()));
        (Self { elements }, text)
    }

    /// The bytes of the elements, without the length byte.
    pub const fn elements(&self) -> &'a [u8] {
        self.elements
    }

    /// Length in bytes, including the length byte; 0 if there is no header.
    pub const fn len(&self) -> usize {
        if self.elements.is_empty() { 0 } else { 1 + self.elements.len() }
    }

    /// Whether there is no header.
    pub const fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The elements in order, up to the first that is incomplete.
    pub const fn iter(&self) -> Elements<'a> {
        Elements { rest: self.elements }
    }

    /// The last element that `read` accepts: of repeated elements the last one counts (3GPP TS 23.040 §9.2.3.24).
    fn last<T>(&self, read: impl FnMut(Element<'a>) -> Option<T>) -> Option<T> {
        self.iter().filter_map(read).last()
    }

    /// The part numbering, if there is a valid one: an element with total 0 or a number outside 1..=total is ignored
    /// (§9.2.3.24.1).
    pub fn concatenation(&self) -> Option<Concatenation> {
        self.last(|element| match (element.id, element.data) {
            (CONCATENATION, &[reference, total, number]) => {
                Some(Concatenation { reference: reference.into(), total, number, wide: false })
            }
            (CONCATENATION_WIDE, &[high, low, total, number]) => {
                Some(Concatenation { reference: u16::from_be_bytes([high, low]), total, number, wide: true })
            }
            _ => None,
        })
        .filter(|found| found.number >= 1 && found.number <= found.total)
    }

    /// The bytes of the complete elements, without those that number parts.
    pub fn without_concatenation(&self) -> Vec<u8> {
        let others = self.iter().filter(|element| !matches!(element.id, CONCATENATION | CONCATENATION_WIDE));
        // The cast is safe: each length was read from one byte.
        others.flat_map(|element| [&[element.id, element.data.len() as u8], element.data].concat()).collect()
    }

    /// Destination and source port; 8-bit ports (element 0x04) are widened.
    pub fn ports(&self) -> Option<(u16, u16)> {
        self.last(|element| match (element.id, element.data) {
            (PORTS, &[to_high, to_low, from_high, from_low]) => {
                Some((u16::from_be_bytes([to_high, to_low]), u16::from_be_bytes([from_high, from_low])))
            }
            (0x04, &[to, from]) => Some((to.into(), from.into())),
            _ => None,
        })
    }

    /// The language whose single shift table is used, if any.
    pub fn single_shift(&self) -> Option<Language> {
        self.language(NATIONAL_SINGLE)
    }

    /// The language whose locking shift table is used, if any.
    pub fn locking_shift(&self) -> Option<Language> {
        self.language(NATIONAL_LOCKING)
    }

    fn language(&self, id: u8) -> Option<Language> {
        self.last(|element| match element.data {
            &[identifier] if element.id == id => Some(Language::from_identifier(identifier)),
            _ => None,
        })
        .flatten()
    }
}

/// Iterator over the elements of a header.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&[id, length], rest) = self.rest.split_first_chunk()?;
        let (data, rest) = rest.split_at_checked(length.into())?;
        self.rest = rest;
        Some(Element { id, data })
    }
}

/// Appends the elements that announce national tables.
pub(super) fn write_national(single: Option<Language>, locking: Option<Language>, out: &mut Vec<u8>) {
    if let Some(language) = single {
        out.extend([NATIONAL_SINGLE, 1, language.identifier()]);
    }
    if let Some(language) = locking {
        out.extend([NATIONAL_LOCKING, 1, language.identifier()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_are_read_as_far_as_they_are_whole() {
        let (header, text) = Header::cut(&[5, 0, 3, 7, 2, 1, b'h', b'i']);
        let expected = Concatenation { reference: 7, total: 2, number: 1, wide: false };
        assert_eq!((header.concatenation(), text), (Some(expected), &b"hi"[..]));

        let (header, text) = Header::cut(&[0x0C, 8, 4, 1, 2, 3, 2, 5, 4, 0x0B, 0x84, 0x23, 0xF0]);
        let expected = Concatenation { reference: 0x102, total: 3, number: 2, wide: true };
        assert_eq!((header.concatenation(), header.ports(), text), (Some(expected), Some((2948, 9200)), &[][..]));

        assert_eq!(header.without_concatenation(), [5, 4, 0x0B, 0x84, 0x23, 0xF0]);
        assert!(Header::cut(&[5, 0, 3, 7, 2, 1]).0.without_concatenation().is_empty());

        let (header, _) = Header::cut(&[6, 0x25, 1, 1, 0x24, 1, 3]);
        assert_eq!(header.without_concatenation(), header.elements());
        assert_eq!(
            (header.locking_shift(), header.single_shift()),
            (Some(Language::Turkish), Some(Language::Portuguese))
        );
    }

    #[test]
    fn broken_headers_are_cut_where_they_break() {
        let concatenation = |bytes: &[u8]| Header::cut(bytes).0.concatenation();
        assert_eq!(Header::cut(&[]), (Header::NONE, &[][..]));
        assert_eq!(Header::cut(&[0, b'x']), (Header::NONE, &b"x"[..]));
        assert_eq!(Header::cut(&[200, 0, 3, 7]).1, &[0_u8; 0][..], "a length past the end takes all");
        assert_eq!(concatenation(&[5, 0, 9, 7, 2, 1]), None, "an element past the end");
        assert_eq!(concatenation(&[5, 0, 3, 7, 0, 0]), None, "no parts");
        assert_eq!(concatenation(&[5, 0, 3, 7, 2, 3]), None, "the third of two");
        assert_eq!(concatenation(&[5, 0, 3, 7, 2, 0]), None, "the part before the first");
        assert_eq!(concatenation(&[4, 0, 2, 7, 2]), None, "a wrong length");
        let twice = concatenation(&[10, 0, 3, 7, 2, 1, 0, 3, 8, 2, 2]).map(|found| found.reference);
        assert_eq!(twice, Some(8), "of repeated elements the last counts");
    }

    #[test]
    fn a_header_of_the_user_is_checked() {
        assert_eq!(Header::check(&[]), Ok(Header::NONE));
        assert_eq!(Header::check(&port_header(2948, 9200)).map(|header| header.len()), Ok(7));
        assert_eq!(Header::check(&[6, 5, 4, 1]), Err(HeaderError::LengthMismatch { says: 6, has: 3 }));
        assert_eq!(Header::check(&[3, 5, 4, 1]), Err(HeaderError::ElementCut { at: 1 }));
        assert_eq!(Header::check(&[4, 0x70, 1, 1, 5]), Err(HeaderError::ElementCut { at: 4 }));
        let mut long = vec![140, 0x70, 138];
        long.resize(141, 0);
        assert_eq!(Header::check(&long), Err(HeaderError::TooLong));
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            let (header, text) = Header::cut(&bytes);
            prop_assert!(header.len() + text.len() <= bytes.len());
            header.concatenation();
            prop_assert!(header.without_concatenation().len() <= header.elements().len());
            header.ports();
            header.single_shift();
            header.locking_shift();
            if let Ok(checked) = Header::check(&bytes) {
                prop_assert_eq!((checked, 0), (header, text.len()));
            }
        }
    }
}
