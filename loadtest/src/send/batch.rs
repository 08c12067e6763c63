//! The text of requests: NDJSON lines of one fixed length, rendered once and patched in place with numbers, so that a
//! message costs the generator some tens of nanoseconds. Knows the public message format; knows no sockets and no time.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::mark::{MARK_LEN, Mark, write_digits};

const FILLER: &str = "Your order is on its way and will be with you between nine and noon. Track it in the app. ";
/// The longest class name with its quotes; shorter names are padded with blanks, which JSON ignores.
const CLASS_WIDTH: usize = "\"transactional\"".len();
const KEY_DIGITS: usize = 10;

/// The properties that all messages of a run share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Characters of each body, at least [`MARK_LEN`].
    pub length: usize,
    /// The first recipient, digits of an international number without `+`.
    pub first_recipient: u64,
    /// Number of recipients, which take turns.
    pub recipients: u64,
    /// The serial in the mark of the first message.
    pub first_mark: u64,
    /// `from` of every message; `None`: the server's default.
    pub from: Option<String>,
    /// Classes by weight; empty: the server's default. One recipient always has the same class.
    pub classes: Vec<(String, u32)>,
    /// Whether each message has a `key`.
    pub keys: bool,
    /// Whether receipts are asked for; `None`: the server's default.
    pub receipt: Option<bool>,
}

/// Renders batches of consecutive serials.
#[derive(Debug)]
pub(crate) struct Renderer {
    shape: Shape,
    line_len: usize,
    recipient_digits: usize,
    /// The positions in a line at which the fields to be patched begin.
    recipient_at: usize,
    mark_at: usize,
    class_at: Option<usize>,
    key_at: Option<usize>,
    weight_sum: u32,
    body: Vec<u8>,
    /// Bytes of `body` that the last batch fills.
    filled: usize,
    packed: Vec<u8>,
    gzip: bool,
}

impl Renderer {
    /// Prepares room for `lines` lines. The shape must have been checked ([`Shape::check`]).
    pub(crate) fn new(shape: Shape, lines: usize, gzip: bool) -> Self {
        let recipient_digits = shape.first_recipient.max(1).ilog10() as usize + 1;
        let mut line = b"{\"to\":\"+".to_vec();
        let recipient_at = line.len();
        line.resize(recipient_at + recipient_digits, b'0');
        line.push(b'"');
        if let Some(from) = &shape.from {
            line.extend_from_slice(format!(",\"from\":{}", serde_json::Value::from(from.as_str())).as_bytes());
        }
        let class_at = (!shape.classes.is_empty()).then(|| {
            line.extend_from_slice(b",\"class\":");
            line.resize(line.len() + CLASS_WIDTH, b' ');
            line.len() - CLASS_WIDTH
        });
        let key_at = shape.keys.then(|| {
            line.extend_from_slice(b",\"key\":\"load-");
            line.resize(line.len() + KEY_DIGITS, b'0');
            line.push(b'"');
            line.len() - KEY_DIGITS - 1
        });
        if let Some(receipt) = shape.receipt {
            line.extend_from_slice(format!(",\"receipt\":{receipt}").as_bytes());
        }
        line.extend_from_slice(b",\"body\":\"");
        let mark_at = line.len();
        line.resize(mark_at + MARK_LEN, b'0');
        line.extend(FILLER.bytes().cycle().take(shape.length.saturating_sub(MARK_LEN + 1)));
        // A trailing blank could be trimmed on the way, and the length would then be wrong.
        line.resize(mark_at + shape.length, b'.');
        line.extend_from_slice(b"\"}\n");
        Self {
            weight_sum: shape.classes.iter().map(|(_, weight)| weight).sum(),
            shape,
            line_len: line.len(),
            recipient_digits,
            recipient_at,
            mark_at,
            class_at,
            key_at,
            body: line.repeat(lines),
            filled: 0,
            packed: Vec::new(),
            gzip,
        }
    }

    /// Renders the messages `serials`, at most as many as there is room for, and returns [`Renderer::body`].
    pub(crate) fn render(&mut self, serials: std::ops::Range<u64>, offered_us: u64) -> &[u8] {
        for (serial, line) in serials.clone().zip(self.body.chunks_exact_mut(self.line_len)) {
            let recipient = serial % self.shape.recipients;
            let digits = &mut line[self.recipient_at..self.recipient_at + self.recipient_digits];
            write_digits(digits, self.shape.first_recipient + recipient);
            Mark { serial: self.shape.first_mark + serial, offered_us }.write(&mut line[self.mark_at..]);
            if let Some(at) = self.key_at {
                write_digits(&mut line[at..at + KEY_DIGITS], serial);
            }
            if let Some(at) = self.class_at {
                let class = class_of(&self.shape.classes, self.weight_sum, recipient);
                let field = &mut line[at..at + CLASS_WIDTH];
                field.fill(b' ');
                field[0] = b'"';
                field[1..=class.len()].copy_from_slice(class.as_bytes());
                field[class.len() + 1] = b'"';
            }
        }
        self.filled = (serials.end - serials.start) as usize * self.line_len;
        if self.gzip {
            self.packed.clear();
            let mut encoder = GzEncoder::new(&mut self.packed, Compression::fast());
            // Writing to a vector cannot fail.
            let _ = encoder.write_all(&self.body[..self.filled]).and_then(|()| encoder.finish().map(|_| ()));
        }
        self.body()
    }

    /// The request body that was rendered last.
    pub(crate) fn body(&self) -> &[u8] {
        if self.gzip { &self.packed } else { &self.body[..self.filled] }
    }
}

impl Shape {
    /// Reports what cannot be rendered.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = ["emergency", "otp", "transactional", "marketing"];
        if self.length < MARK_LEN + 1 {
            return Err(format!("--length: at least {} characters, for serial number and time", MARK_LEN + 1));
        }
        if self.recipients == 0 {
            return Err("--recipients: at least one is needed".to_owned());
        }
        if (self.first_recipient + self.recipients - 1).max(1).ilog10() != self.first_recipient.max(1).ilog10() {
            return Err("--recipients: the last number has more digits than the first".to_owned());
        }
        match self.classes.iter().find(|(class, weight)| *weight == 0 || !known.contains(&class.as_str())) {
            Some((class, weight)) => Err(format!("--classes: {class}={weight}")),
            None => Ok(()),
        }
    }
}

fn class_of(classes: &[(String, u32)], weight_sum: u32, recipient: u64) -> &str {
    // A multiplicative hash, so that neighbours differ and a recipient keeps its class.
    let mut point = ((recipient.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % u64::from(weight_sum.max(1))) as u32;
    for (class, weight) in classes {
        match point.checked_sub(*weight) {
            None => return class,
            Some(rest) => point = rest,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn shape() -> Shape {
        Shape {
            length: 160,
            first_recipient: 4_915_110_000_000,
            recipients: 3,
            first_mark: 0,
            from: Some("Sten\"tor".to_owned()),
            classes: vec![("otp".to_owned(), 1), ("transactional".to_owned(), 1)],
            keys: true,
            receipt: Some(true),
        }
    }

    fn lines(body: &[u8]) -> Vec<serde_json::Value> {
        let text = std::str::from_utf8(body).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_is_json_with_its_own_numbers() {
        let mut renderer = Renderer::new(shape(), 10, false);
        renderer.render(0..10, 1);
        let lines = lines(renderer.render(7..11, 1_795_238_512_123_456));
        assert_eq!(lines.len(), 4);
        for (serial, line) in (7_u64..).zip(&lines) {
            let body = line["body"].as_str().unwrap();
            assert_eq!(body.chars().count(), 160);
            assert_eq!(Mark::read(body.as_bytes()), Some(Mark { serial, offered_us: 1_795_238_512_123_456 }));
            assert_eq!(line["to"], format!("+{}", 4_915_110_000_000 + serial % 3));
            assert_eq!(line["key"], format!("load-{serial:010}"));
            assert_eq!((&line["from"], &line["receipt"]), (&"Sten\"tor".into(), &true.into()));
        }
        assert_eq!(lines[0]["class"], lines[3]["class"], "same recipient, same class");
    }

    #[test]
    fn classes_follow_their_weights() {
        let classes = [("otp".to_owned(), 1), ("marketing".to_owned(), 3)];
        let otp = (0..10_000).filter(|recipient| class_of(&classes, 4, *recipient) == "otp").count();
        assert!((2_300..2_700).contains(&otp), "{otp}");
    }

    #[test]
    fn packed_is_the_same_text() {
        let plain = Renderer::new(shape(), 5, false).render(0..5, 9).to_vec();
        let mut renderer = Renderer::new(shape(), 5, true);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(renderer.render(0..5, 9)).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }

    #[test]
    fn impossible_shapes_are_named() {
        let check = |shape: Shape, word: &str| assert!(shape.check().unwrap_err().contains(word));
        assert_eq!(shape().check(), Ok(()));
        check(Shape { length: 10, ..shape() }, "--length");
        check(Shape { recipients: 0, ..shape() }, "--recipients");
        check(Shape { first_recipient: 99, ..shape() }, "--recipients");
        check(Shape { classes: vec![("vip".to_owned(), 1)], ..shape() }, "--classes");
    }
}
