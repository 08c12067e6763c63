//! Cuts a body into messages: one JSON object, a JSON array, or lines of NDJSON. A broken line is a flaw of that line alone; broken
//! JSON in an object or array fails the request, because it is not known where the next message would begin.
//!
//! Limits hold while the body is read: a message is parsed only as far as its largest size, and if it does not end there it
//! is skipped unparsed. Every byte that is looked at counts against the caller's slice of work, so that blanks, endless lines
//! and endless elements take as many turns as their length demands.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{
    problem::{Code, Flaw, Problem},
    typed::Typed,
    unread::{self, LoneSurrogate, MENDED, byte_order_mark, mended},
};
use stentor_core::model::Clipped;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object, or an array of them.
    Json,
    /// One object per line; empty lines are skipped.
    Lines,
}

/// The result of one call of [`Items::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A message of this many bytes.
    Message(usize),
    /// The slice of work is used up; go on with a new one.
    Pause,
    /// The end of the body.
    End,
}

/// The messages of a body, in order.
#[derive(Debug)]
pub struct Items<'b> {
    body: &'b [u8],
    /// Position of the next byte to read.
    at: usize,
    /// The bytes from `at` on, as far as they were found to be UTF-8. Only for objects and arrays.
    text: &'b str,
    state: State,
    one: bool,
    line_bytes_max: usize,
    number: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Only blanks were read.
    Start,
    /// After `[`.
    First,
    /// A value must follow.
    Value,
    /// Within an element longer than allowed, which began at that position.
    Skipping(usize, Bounds),
    /// After an element.
    Between,
    /// After the object or array.
    Tail,
    Lines,
    /// Within a line longer than allowed, which began at that position; whether it was blank so far.
    LongLine(usize, bool),
    Nothing,
}

/// The first byte after blanks.
enum Found {
    Byte(u8),
    Pause,
    End,
}

impl<'b> Items<'b> {
    /// Reads `body`; a message of more than `line_bytes_max` bytes is flawed.
    pub const fn new(body: &'b [u8], form: Form, line_bytes_max: usize) -> Self {
        let state = match form {
            Form::Json => State::Start,
            Form::Lines => State::Lines,
        };
        Self { body, at: 0, text: "", state, one: false, line_bytes_max, number: 0 }
    }

    /// Whether the body is a single object, so that the answer is about one message. Known once it was read.
    pub const fn is_one(&self) -> bool {
        self.one
    }

    /// Reads the next message into `typed`; if it cannot be read, `typed` has what is wrong with it. `work`: bytes that may still
    /// be looked at before [`Next::Pause`]; those that were looked at are subtracted.
    ///
    /// # Errors
    /// [`Code::InvalidUtf8`], [`Code::MalformedJson`] or [`Code::NoMessages`] for the body as a whole; nothing more can be read
    /// then.
    pub fn next(&mut self, typed: &mut Typed<'b>, work: &mut usize) -> Result<Next, Problem> {
        loop {
            let found = match self.state {
                State::Lines => self.line(typed, work),
                State::LongLine(began, blank) => self.long_line(began, blank, typed, work),
                State::Nothing => Some(Next::End),
                State::Skipping(began, bounds) => self.skip(began, bounds, typed, work)?,
                State::Start | State::First | State::Value | State::Between | State::Tail => {
                    self.json(typed, work).inspect_err(|_| self.state = State::Nothing)?
                }
            };
            match found {
                Some(next) => return Ok(next),
                None if *work == 0 => return Ok(Next::Pause),
                None => {}
            }
        }
    }

    /// One step within an object or an array; `None`: take the next step.
    fn json(&mut self, typed: &mut Typed<'b>, work: &mut usize) -> Result<Option<Next>, Problem> {
        let found = match self.found(work) {
            Found::Byte(byte) => Some(byte),
            Found::End => None,
            Found::Pause => return Ok(Some(Next::Pause)),
        };
        self.state = match (self.state, found) {
            (State::Start, None) => return Err(Problem::new(Code::NoMessages, "the body is empty")),
            (State::Start, Some(b'[')) => {
                self.pass(1, work);
                State::First
            }
            (State::Start, Some(0xEF | 0xFE | 0xFF)) if let Some(why) = byte_order_mark(&self.body[self.at..]) => {
                return Err(malformed(why.to_owned()));
            }
            (State::First, Some(b']')) => {
                self.pass(1, work);
                State::Tail
            }
            (State::Start, Some(_)) => {
                self.one = true;
                return self.value(typed, work).map(Some);
            }
            (State::First | State::Value, Some(_)) => return self.value(typed, work).map(Some),
            (State::First | State::Value, None) => {
                return Err(malformed(format!("the array ends before element {}", self.number)));
            }
            (State::Between, Some(b',')) => {
                self.pass(1, work);
                State::Value
            }
            (State::Between, Some(b']')) => {
                self.pass(1, work);
                State::Tail
            }
            (State::Between, _) => {
                return Err(malformed(format!(
                    "`,` or `]` is missing after element {}",
                    self.number.saturating_sub(1)
                )));
            }
            (State::Tail, Some(_)) => {
                let what = if self.one { "the object" } else { "the array" };
                return Err(malformed(format!("there is something after {what}")));
            }
            (State::Tail, None) if self.number == 0 => {
                return Err(Problem::new(Code::NoMessages, "the array is empty"));
            }
            (State::Tail, None) => State::Nothing,
            (state @ (State::Skipping(..) | State::Lines | State::LongLine(..) | State::Nothing), _) => state,
        };
        Ok(None)
    }

    /// Reads the message that begins here.
    fn value(&mut self, typed: &mut Typed<'b>, work: &mut usize) -> Result<Next, Problem> {
        let (number, began) = (self.number, self.at);
        let (text, cut) = self.window()?;
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Typed<'b>>();
        let read = values.next();
        let bytes = values.byte_offset();
        match read {
            // A number at the very end of a cut text may have more digits.
            Some(Ok(read)) if !cut || bytes < text.len() => *typed = read,
            Some(Err(error)) if !cut || !error.is_eof() => match self.cut_in_two(text) {
                Some((bytes, flaw)) => {
                    typed.set_flaw(flaw);
                    return Ok(self.end_value(bytes, typed, work));
                }
                None => {
                    let place = if self.one { String::new() } else { format!("element {number}: ") };
                    return Err(malformed(format!("{place}{}", Clipped(error))));
                }
            },
            None => return Err(malformed(format!("element {number} is missing"))),
            Some(Ok(_) | Err(_)) => return Ok(self.begin_skipping(began, text.len(), typed, work)),
        }
        Ok(self.end_value(bytes, typed, work))
    }

    /// Ends the message that begins here and is `bytes` long.
    fn end_value(&mut self, bytes: usize, typed: &mut Typed<'b>, work: &mut usize) -> Next {
        self.pass(bytes, work);
        self.state = if self.one { State::Tail } else { State::Between };
        self.number += 1;
        if bytes > self.line_bytes_max {
            typed.set_flaw(self.too_large(bytes));
        }
        Next::Message(bytes)
    }

    /// A message that is valid JSON except for lone surrogates: its length, and what is wrong with it. Only this message fails,
    /// because its end is known. No text beyond the message is looked at.
    fn cut_in_two(&self, text: &str) -> Option<(usize, Flaw)> {
        let end = if self.one { text.len() } else { Bounds::default().end(text.as_bytes())? };
        let (mended, lone) = mended(text.get(..end)?)?;
        let mut values = serde_json::Deserializer::from_str(&mended).into_iter::<Typed<'_>>();
        let read = values.next()?.ok()?;
        Some((values.byte_offset(), lone_surrogate(&read, lone)))
    }

    /// The text from here on, as long as the largest message may be and a little longer; and whether more follows. Each byte is
    /// looked at about twice, because the text reaches further than is needed.
    fn window(&mut self) -> Result<(&'b str, bool), Problem> {
        let wanted = self.line_bytes_max + 4;
        let ahead = self.body.get(self.at..).unwrap_or_default();
        if self.text.len() < wanted.min(ahead.len()) {
            let reach = &ahead[..ahead.len().min(2 * wanted)];
            self.text = match std::str::from_utf8(reach) {
                Ok(text) => text,
                // The character is only cut by the end of the window; in the body it is complete.
                Err(error) if error.error_len().is_none() && reach.len() < ahead.len() => {
                    std::str::from_utf8(&reach[..error.valid_up_to()]).unwrap_or_default()
                }
                Err(error) => {
                    let detail = format!("the byte at {} is not UTF-8", self.at + error.valid_up_to());
                    return Err(Problem::new(Code::InvalidUtf8, detail));
                }
            };
        }
        let text = &self.text[..self.text.floor_char_boundary(wanted)];
        Ok((text, text.len() < ahead.len()))
    }

    /// The message that began here does not end within the largest size.
    fn begin_skipping(&mut self, began: usize, seen: usize, typed: &mut Typed<'b>, work: &mut usize) -> Next {
        *work = work.saturating_sub(seen);
        if !self.one {
            self.state = State::Skipping(began, Bounds::default());
            return Next::Pause;
        }
        let bytes = self.body.len() - began;
        typed.set_flaw(self.too_large(bytes));
        self.state = State::Nothing;
        self.number += 1;
        Next::Message(bytes)
    }

    fn skip(
        &mut self,
        began: usize,
        mut bounds: Bounds,
        typed: &mut Typed<'b>,
        work: &mut usize,
    ) -> Result<Option<Next>, Problem> {
        let ahead = self.body.get(self.at..).unwrap_or_default();
        let window = &ahead[..ahead.len().min(*work)];
        let end = bounds.end(window);
        self.pass(end.unwrap_or(window.len()), work);
        self.state = match end {
            Some(_) => State::Between,
            None if window.len() == ahead.len() => {
                self.state = State::Nothing;
                return Err(malformed(format!("the array ends within element {}", self.number)));
            }
            None => State::Skipping(began, bounds),
        };
        Ok(end.map(|_| {
            let bytes = self.at - began;
            typed.set_flaw(self.too_large(bytes));
            self.number += 1;
            Next::Message(bytes)
        }))
    }

    fn line(&mut self, typed: &mut Typed<'b>, work: &mut usize) -> Option<Next> {
        let ahead = self.body.get(self.at..).unwrap_or_default();
        let window = &ahead[..ahead.len().min(self.line_bytes_max + 1)];
        let (line, passed) = match memchr(b'\n', window) {
            Some(end) => (&window[..end], end + 1),
            None if ahead.is_empty() => {
                self.state = State::Nothing;
                return Some(Next::End);
            }
            None if window.len() == ahead.len() => (window, window.len()),
            None => {
                self.state = State::LongLine(self.at, is_blank(window));
                self.pass(window.len(), work);
                return None;
            }
        };
        self.pass(passed, work);
        if is_blank(line) {
            return None;
        }
        if line.len() > self.line_bytes_max {
            typed.set_flaw(self.too_large(line.len()));
        } else {
            read_line(line, typed);
        }
        Some(Next::Message(line.len()))
    }

    fn long_line(&mut self, began: usize, blank: bool, typed: &mut Typed<'b>, work: &mut usize) -> Option<Next> {
        let ahead = self.body.get(self.at..).unwrap_or_default();
        let window = &ahead[..ahead.len().min(*work)];
        let end = memchr(b'\n', window);
        let is_last = window.len() == ahead.len();
        let seen = &window[..end.unwrap_or(window.len())];
        let (blank, bytes) = (blank && is_blank(seen), self.at + seen.len() - began);
        self.pass(end.map_or(window.len(), |end| end + 1), work);
        if end.is_none() && !is_last {
            self.state = State::LongLine(began, blank);
            return None;
        }
        self.state = State::Lines;
        if blank {
            return None;
        }
        typed.set_flaw(self.too_large(bytes));
        Some(Next::Message(bytes))
    }

    /// Skips blanks, each of which is one byte.
    fn found(&mut self, work: &mut usize) -> Found {
        let ahead = self.body.get(self.at..).unwrap_or_default();
        let window = &ahead[..ahead.len().min(*work)];
        let blanks = window.iter().position(|byte| !is_space(*byte));
        self.pass(blanks.unwrap_or(window.len()), work);
        match (blanks.and_then(|at| window.get(at)), window.len() == ahead.len()) {
            (Some(byte), _) => Found::Byte(*byte),
            (None, true) => Found::End,
            (None, false) => Found::Pause,
        }
    }

    fn pass(&mut self, bytes: usize, work: &mut usize) {
        self.at += bytes;
        self.text = self.text.get(bytes..).unwrap_or_default();
        *work = work.saturating_sub(bytes);
    }

    fn too_large(&self, bytes: usize) -> Flaw {
        Flaw::whole(Code::LineTooLarge, format!("{bytes} bytes; {} are allowed", self.line_bytes_max))
    }
}

fn read_line<'b>(line: &'b [u8], typed: &mut Typed<'b>) {
    match std::str::from_utf8(line) {
        Ok(text) => {
            if let Err(error) = typed.read(text) {
                let mut mended_line = Typed::default();
                let mended = mended(text);
                let lone = mended.as_ref().filter(|(mended, _)| mended_line.read(mended).is_ok());
                typed.set_flaw(match lone {
                    Some((_, lone)) => lone_surrogate(&mended_line, *lone),
                    None => Flaw::whole(Code::MalformedJson, unread::why(line, &error)),
                });
            }
        }
        Err(_) if let Some(why) = byte_order_mark(line) => typed.set_flaw(Flaw::whole(Code::InvalidUtf8, why)),
        Err(error) => {
            let detail = format!("the byte at {} of the line is not UTF-8", error.valid_up_to());
            typed.set_flaw(Flaw::whole(Code::InvalidUtf8, detail));
        }
    }
}

/// What is wrong with a message in which something else was put in place of its lone surrogates to read it.
fn lone_surrogate(mended: &Typed<'_>, lone: LoneSurrogate) -> Flaw {
    let flaw = Flaw::whole(Code::MalformedJson, lone.to_string());
    let field = mended.field_with(MENDED).map(|field| Cow::Borrowed(field.name()));
    Flaw { field, ..flaw }
}

/// Finds the end of an array's element by quotes and brackets alone: it need not be valid JSON, because it is refused anyway.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Bounds {
    /// Looks at the next bytes; the position at which the element ends, if it ends among them.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.escaped {
                self.escaped = false;
            } else if self.in_text {
                at += memchr2(b'"', b'\\', &bytes[at..])?;
                self.escaped = bytes.get(at) == Some(&b'\\');
                self.in_text = self.escaped;
            } else {
                match byte {
                    b'"' => self.in_text = true,
                    b'[' | b'{' => self.depth += 1,
                    b']' | b',' if self.depth == 0 => return Some(at),
                    b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
            at += 1;
        }
        None
    }
}

/// The blanks that JSON knows: a form feed is not one.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| is_space(*byte))
}

fn malformed(detail: String) -> Problem {
    Problem::new(Code::MalformedJson, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<Vec<Result<String, Code>>, Code>;

    /// Recipients and flaws in order, or the problem of the whole body; the same for every size of slice.
    fn read(body: impl AsRef<[u8]>, form: Form) -> Read {
        let whole = read_in(body.as_ref(), form, 40, usize::MAX).0;
        for slice in [1, 2, 7, 40] {
            assert_eq!(read_in(body.as_ref(), form, 40, slice).0, whole, "in slices of {slice}");
        }
        whole
    }

    /// Also returns the number of slices of work; no slice may look at more than its size plus the largest message.
    fn read_in(body: &[u8], form: Form, line_bytes_max: usize, slice: usize) -> (Read, usize) {
        let mut items = Items::new(body, form, line_bytes_max);
        let (mut found, mut typed, mut slices) = (Vec::new(), Typed::default(), 0);
        loop {
            let (before, mut work) = (items.at, slice);
            slices += 1;
            let next = items.next(&mut typed, &mut work).map_err(|problem| problem.code);
            assert!(
                items.at - before <= slice.saturating_add(line_bytes_max + 4),
                "{} bytes at once",
                items.at - before
            );
            match next {
                Ok(Next::Message(_)) => found.push(match typed.flaws.first() {
                    Some(flaw) => Err(flaw.code),
                    None => Ok(typed.to.as_deref().unwrap_or_default().to_owned()),
                }),
                Ok(Next::Pause) => {}
                Ok(Next::End) => return (Ok(found), slices),
                Err(code) => return (Err(code), slices),
            }
        }
    }

    fn to(text: &str) -> Result<String, Code> {
        Ok(text.to_owned())
    }

    #[test]
    fn an_object_or_an_array() {
        assert_eq!(read(" {\"to\":\"1\"} \n", Form::Json), Ok(vec![to("1")]));
        assert_eq!(read("\t[ {\"to\":\"1\"} ,\n{\"to\":\"2\"}]\r\n", Form::Json), Ok(vec![to("1"), to("2")]));
        let odd = r#"[{"to":"1"},5,"x",[1,{}],null,true,{"too":1},{"to":"2"}]"#;
        let malformed = Err(Code::MalformedJson);
        let expected = [
            to("1"),
            malformed.clone(),
            malformed.clone(),
            malformed.clone(),
            malformed.clone(),
            malformed,
            Err(Code::UnknownField),
            to("2"),
        ];
        assert_eq!(read(odd, Form::Json), Ok(expected.to_vec()));
        let long = format!("[{{\"to\":\"1\"}},{{\"to\":\"{}\"}},{{\"to\":\"2\"}}]", "x".repeat(40));
        assert_eq!(read(long, Form::Json), Ok(vec![to("1"), Err(Code::LineTooLarge), to("2")]));
    }

    #[test]
    fn broken_json_is_the_whole_requests() {
        for broken in [
            "{",
            "}",
            "]",
            "{}x",
            "{} {}",
            "[",
            "[{}",
            "[{},",
            "[{},]",
            "[,{}]",
            "[{} {}]",
            "[{}]]",
            "[{}]{}",
            "[]x",
            "{\"to\":\"1\",}",
            "{'to':1}",
            "nul",
            "\u{FEFF}{}",
            "[1.]",
        ] {
            assert_eq!(read(broken, Form::Json), Err(Code::MalformedJson), "{broken}");
        }
        assert_eq!(read(b"{\"to\":\"\xFF\"}", Form::Json), Err(Code::InvalidUtf8));
        for empty in ["", " \n", "[]", " [ ] "] {
            assert_eq!(read(empty, Form::Json), Err(Code::NoMessages), "{empty}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(deep, Form::Json), Err(Code::MalformedJson));
    }

    /// From <https://github.com/hartwork/jawanndenn/issues/44>: a text that was cut after a number of UTF-16 units.
    #[test]
    fn half_a_character_costs_its_message_alone_and_is_named() {
        let told = |body: &str, form| {
            let (mut items, mut found) = (Items::new(body.as_bytes(), form, 1_000), Vec::new());
            let (mut typed, mut work) = (Typed::default(), usize::MAX);
            while let Next::Message(_) = items.next(&mut typed, &mut work).expect("sound") {
                let flaw = |flaw: &Flaw| format!("{} {}", flaw.field.as_deref().unwrap_or("-"), flaw.detail);
                found.push(typed.flaws.first().map(flaw));
            }
            found
        };
        let lone = |field: &str, unit: &str, at: usize| {
            Some(format!(r"{field} a lone surrogate, \{unit} at byte {at}: half of a character that was cut in two"))
        };
        let (good, half) = (r#"{"body":"\ud83c\udf89"}"#, r#"{"to":"1","body":"x\ud83d"}"#);
        let other = r#"{"ref":"\udf89","tags":[{},"]"]}"#;
        for separator in [",", "\n"] {
            let list = [good, half, other, good].join(separator);
            let (body, form) = match separator {
                "," => (format!("[{list}]"), Form::Json),
                _ => (list, Form::Lines),
            };
            let expected = [None, lone("body", "ud83d", 19), lone("ref", "udf89", 8), None];
            assert_eq!(told(&body, form), expected);
        }
        assert_eq!(told(half, Form::Json), [lone("body", "ud83d", 19)]);
        assert_eq!(told(r#"{"\udf89":1}"#, Form::Json), [lone("-", "udf89", 2)]);
        for broken in [r#"[{"a":"\ud83d"},"#, r#"[{"a":"\ud83d"]"#, r#"{"a":"\ud83d""#, r#"{"a":"\ud83d"}x"#] {
            assert_eq!(read(broken, Form::Json), Err(Code::MalformedJson), "{broken}");
        }
        let many = format!("[{half}{}]", format!(",{half}").repeat(20_000));
        let (found, _) = read_in(many.as_bytes(), Form::Json, LINE, SLICE);
        assert_eq!(
            found.map(|found| found.len()),
            Ok(20_001),
            "no message is looked at together with all that follows"
        );
    }

    #[test]
    fn a_byte_order_mark_is_named() {
        let mut typed = Typed::default();
        for (body, told) in
            [(&b"\xEF\xBB\xBF{}"[..], "EF BB BF"), (b"\xFF\xFE{\0}\0", "UTF-16"), (b"\xFE\xFF\0{", "UTF-16")]
        {
            let whole = Items::new(body, Form::Json, 40).next(&mut typed, &mut 100).expect_err("a mark");
            assert_eq!((whole.code, whole.detail.contains(told)), (Code::MalformedJson, true), "{}", whole.detail);
            assert_eq!(Items::new(body, Form::Lines, 40).next(&mut typed, &mut 100), Ok(Next::Message(body.len())));
            assert!(typed.flaws[0].detail.contains(told), "{}", typed.flaws[0].detail);
        }
    }

    #[test]
    fn a_broken_line_costs_itself_alone() {
        let body = b"{\"to\":\"1\"}\r\n\n  \n{\"to\":\n{\"to\":\"\xFF\"}\n{}{}\n{\"to\":\"0123456789012345678901234567890123456789\"}\n{\"to\":\"2\"}";
        let expected = vec![
            to("1"),
            Err(Code::MalformedJson),
            Err(Code::InvalidUtf8),
            Err(Code::MalformedJson),
            Err(Code::LineTooLarge),
            to("2"),
        ];
        assert_eq!(read(body, Form::Lines), Ok(expected.clone()));
        let valid = String::from_utf8_lossy(body).replace('\u{FFFD}', "?");
        let without = expected.into_iter().map(|item| if item == Err(Code::InvalidUtf8) { to("?") } else { item });
        assert_eq!(read(valid, Form::Lines), Ok(without.collect()));
        assert_eq!(read("\n\n", Form::Lines), Ok(Vec::new()));
    }

    const LINE: usize = 256 << 10;
    const SLICE: usize = 64 << 10;
    const BODY: usize = 16 << 20;

    fn filled(begin: &str, unit: &str, end: &str) -> Vec<u8> {
        let mut body = begin.as_bytes().to_vec();
        while body.len() + unit.len() + end.len() <= BODY {
            body.extend_from_slice(unit.as_bytes());
        }
        body.extend_from_slice(end.as_bytes());
        body
    }

    #[test]
    fn an_element_over_its_limit_is_skipped_without_being_parsed() {
        let (one, two) = ("{\"to\":\"1\"}", "{\"to\":\"2\"}");
        for (unit, begin, end) in [
            ("{},", "{\"tlvs\":[", "{}]}"),
            ("\"a\",", "{\"tags\":[", "\"a\"]}"),
            ("\\u0041", "{\"x\":\"", "\"}"),
            ("\\\"]}", "\"", "\""),
            ("\"q\":1,", "{", "\"q\":1}"),
            ("é]", "{\"x\":\"", "\"}"),
        ] {
            let body = filled(&format!("[{one},{begin}"), unit, &format!("{end} , {two}]"));
            let (found, slices) = read_in(&body, Form::Json, LINE, SLICE);
            assert_eq!(found, Ok(vec![to("1"), Err(Code::LineTooLarge), to("2")]), "{begin}{unit}");
            assert!(slices >= (body.len() - LINE) / SLICE, "{begin}{unit}: {slices} slices");
            let (alone, _) = read_in(&filled(begin, unit, end), Form::Json, LINE, SLICE);
            assert_eq!(alone, Ok(vec![Err(Code::LineTooLarge)]), "{begin}{unit}");
        }
        let number = read_in(&filled("[1", "1", "1]"), Form::Json, LINE, SLICE);
        assert_eq!(number.0, Err(Code::MalformedJson), "larger than any number");
        let endless = read_in(&filled("[{\"x\":\"", "x", ""), Form::Json, LINE, SLICE);
        assert_eq!(endless.0, Err(Code::MalformedJson));
        let deep = read_in(&filled("[{\"x\":", "[", ""), Form::Json, LINE, SLICE);
        assert_eq!(deep.0, Err(Code::MalformedJson), "deeper than any message");
    }

    #[test]
    fn blanks_and_long_lines_take_as_many_slices_as_they_are_long() {
        let message = "{\"to\":\"1\"}";
        for (form, body, expected) in [
            (Form::Lines, filled(&format!("{message}\n"), "\n", ""), Ok(vec![to("1")])),
            (Form::Lines, filled("", " \r\n", message), Ok(vec![to("1")])),
            (Form::Lines, filled("", " ", &format!("\n{message}")), Ok(vec![to("1")])),
            (Form::Lines, filled("x", "x", &format!("\n{message}")), Ok(vec![Err(Code::LineTooLarge), to("1")])),
            (Form::Json, filled("[", " ", "]"), Err(Code::NoMessages)),
            (Form::Json, filled("", "\n", ""), Err(Code::NoMessages)),
            (Form::Json, filled(message, "\t", ""), Ok(vec![to("1")])),
            (Form::Json, filled(&format!("[{message}"), " ", &format!(",{message}]")), Ok(vec![to("1"), to("1")])),
        ] {
            let (found, slices) = read_in(&body, form, LINE, SLICE);
            assert_eq!(found, expected);
            assert!(slices >= (body.len() - 2 * LINE) / SLICE, "{slices} slices");
        }
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit() {
        for filling in ["x", "é", "😀"] {
            let message = |bytes: usize| {
                let room = bytes - "{'to':''}".len();
                format!("{{\"to\":\"{}{}\"}}", filling.repeat(room / filling.len()), "y".repeat(room % filling.len()))
            };
            for bytes in 36..=46 {
                let (message, fits) = (message(bytes), bytes <= 40);
                let behind = "é".repeat(200);
                for (body, form) in [
                    (message.clone(), Form::Json),
                    (format!("[{message}]"), Form::Json),
                    (format!("[{message},\"{behind}\"]"), Form::Json),
                    (message.clone(), Form::Lines),
                    (format!("{message}\n{behind}"), Form::Lines),
                ] {
                    let found = read(&body, form).expect("sound");
                    assert_eq!(found[0].is_ok(), fits, "{bytes}: {body}");
                }
            }
        }
    }
}
