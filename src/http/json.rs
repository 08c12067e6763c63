//! Writes JSON straight into a buffer. Knows escapes, commas and braces; the caller knows the members.

use stentor_core::model::{MessageId, Wall};

use super::rfc3339;

/// Appends a JSON string.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: Option<&[u8]> = match byte {
            b'"' => Some(b"\\\""),
            b'\\' => Some(b"\\\\"),
            b'\n' => Some(b"\\n"),
            b'\r' => Some(b"\\r"),
            b'\t' => Some(b"\\t"),
            0x20.. => continue,
            0..0x20 => None,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        match escape {
            Some(escape) => out.extend_from_slice(escape),
            None => push_hex(out, byte),
        }
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

/// Appends a control character that has no short escape, as `\u00XX`.
fn push_hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(if byte < 0x10 { b"\\u000" } else { b"\\u001" });
    out.push(b"0123456789abcdef"[usize::from(byte & 0xF)]);
}

/// Appends a decimal number.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an id in quotes.
pub fn push_id(out: &mut Vec<u8>, id: MessageId) {
    let mut quoted = [b'"'; 38];
    if let Some(text) = quoted[1..].first_chunk_mut() {
        id.encode(text);
    }
    out.extend_from_slice(&quoted);
}

/// An object being written: `{` when it begins, its members, and `}` by [`Self::end`].
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    /// Begins an object.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins a member whose value the caller writes. Names are this program's own and need no escapes.
    pub fn value(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        push_text(self.value(name), text);
        self
    }

    /// A text member, left out if the text is empty.
    pub fn text_unless_empty(&mut self, name: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.text(name, text) }
    }

    pub fn number(&mut self, name: &str, number: impl Into<u64>) -> &mut Self {
        push_number(self.value(name), number.into());
        self
    }

    pub fn number_or_null(&mut self, name: &str, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.number(name, number),
            None => self.null(name),
        }
    }

    pub fn null(&mut self, name: &str) -> &mut Self {
        self.value(name).extend_from_slice(b"null");
        self
    }

    pub fn truth(&mut self, name: &str, truth: bool) -> &mut Self {
        self.value(name).extend_from_slice(if truth { b"true" } else { b"false" });
        self
    }

    pub fn id(&mut self, name: &str, id: MessageId) -> &mut Self {
        push_id(self.value(name), id);
        self
    }

    /// An instant, as RFC 3339 text.
    pub fn time(&mut self, name: &str, at: Wall) -> &mut Self {
        let out = self.value(name);
        out.push(b'"');
        rfc3339::push(out, at);
        out.push(b'"');
        self
    }

    /// A list, each element written by `write`.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Vec<u8>, T),
    ) -> &mut Self {
        push_list(self.value(name), items, write);
        self
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends a list, each element written by `write`.
pub fn push_list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_is_as_it_was_said() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.text("a", "\"\\\u{1}é\n").number("n", 0_u64).null("x").truth("t", true).time("at", Wall(0));
        object.list("l", [1_u64, 20], push_number);
        object.end();
        let text = r#"{"a":"\"\\\u0001é\n","n":0,"x":null,"t":true,"at":"1970-01-01T00:00:00.000Z","l":[1,20]}"#;
        assert_eq!(String::from_utf8_lossy(&out), text);
    }

    proptest! {
        #[test]
        fn any_text_and_number_reads_back(text: String, number: u64) {
            let mut out = Vec::new();
            push_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("text"), text);
            out.clear();
            push_number(&mut out, number);
            prop_assert_eq!(serde_json::from_slice::<u64>(&out).expect("number"), number);
        }
    }
}
