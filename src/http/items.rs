//! A body cut into messages: one JSON object, a JSON array, or lines of NDJSON. A broken line is that line's flaw; broken
//! JSON in an object or array is the request's, for nobody can tell where the next message would begin.

use super::{
    problem::{Code, Flaw, Problem},
    typed::Typed,
};

/// In which form messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An object or an array of them.
    Json,
    /// An object a line; empty lines are skipped.
    Lines,
}

/// The messages of a body, in order.
#[derive(Debug)]
pub struct Items<'b> {
    rest: Rest<'b>,
    line_bytes_max: usize,
    number: usize,
}

#[derive(Debug)]
enum Rest<'b> {
    One(&'b str),
    Array(&'b str),
    Lines(&'b str),
    /// Somewhere in it is something that is not UTF-8.
    Octets(&'b [u8]),
    Nothing,
}

impl<'b> Items<'b> {
    /// Reads `body`; a message of more than `line_bytes_max` octets is flawed.
    ///
    /// # Errors
    /// [`Code::InvalidUtf8`], [`Code::MalformedJson`] or [`Code::NoMessages`] for the body as a whole.
    pub fn new(body: &'b [u8], form: Form, line_bytes_max: usize) -> Result<Self, Problem> {
        let rest = match (form, std::str::from_utf8(body)) {
            (Form::Lines, Ok(text)) => Rest::Lines(text),
            (Form::Lines, Err(_)) => Rest::Octets(body),
            (Form::Json, Ok(text)) => Self::json(text)?,
            (Form::Json, Err(error)) => {
                let detail = format!("the octet at {} is not UTF-8", error.valid_up_to());
                return Err(Problem::new(Code::InvalidUtf8, detail));
            }
        };
        Ok(Self { rest, line_bytes_max, number: 0 })
    }

    fn json(text: &'b str) -> Result<Rest<'b>, Problem> {
        let text = skip_space(text);
        match text.as_bytes().first() {
            Some(b'[') => match skip_space(&text[1..]).strip_prefix(']') {
                Some(after) if skip_space(after).is_empty() => {
                    Err(Problem::new(Code::NoMessages, "the array is empty"))
                }
                Some(_) => Err(Problem::new(Code::MalformedJson, "something stands after the array")),
                None => Ok(Rest::Array(&text[1..])),
            },
            Some(_) => Ok(Rest::One(text)),
            None => Err(Problem::new(Code::NoMessages, "the body is empty")),
        }
    }

    /// There is exactly one, and it is answered as such.
    pub const fn is_one(&self) -> bool {
        matches!(self.rest, Rest::One(_))
    }

    /// Reads the next message into `typed`, with what is wrong with it if it cannot be read, and says how many octets it
    /// took; `None` at the end.
    ///
    /// # Errors
    /// [`Code::MalformedJson`], after which there is nothing more.
    pub fn next(&mut self, typed: &mut Typed<'b>) -> Result<Option<usize>, Problem> {
        let octets = match self.rest {
            Rest::Lines(rest) => return Ok(self.line(rest, typed)),
            Rest::Octets(rest) => return Ok(self.octets(rest, typed)),
            Rest::Nothing => return Ok(None),
            Rest::One(text) => {
                self.rest = Rest::Nothing;
                typed.read(text).map_err(|error| malformed(error.to_string()))?;
                text.len()
            }
            Rest::Array(rest) => self.element(rest, typed)?,
        };
        self.number += 1;
        if octets > self.line_bytes_max {
            typed.set_flaw(self.too_large(octets));
        }
        Ok(Some(octets))
    }

    fn element(&mut self, rest: &'b str, typed: &mut Typed<'b>) -> Result<usize, Problem> {
        let number = self.number;
        let mut elements = serde_json::Deserializer::from_str(rest).into_iter();
        *typed = match elements.next() {
            Some(Ok(typed)) => typed,
            Some(Err(error)) => return Err(malformed(format!("element {number}: {error}"))),
            None => return Err(malformed(format!("the array ends before element {number}"))),
        };
        let octets = elements.byte_offset();
        let after = skip_space(&rest[octets..]);
        self.rest = match (after.strip_prefix(','), after.strip_prefix(']')) {
            (Some(next), _) => Rest::Array(next),
            (None, Some(end)) if skip_space(end).is_empty() => Rest::Nothing,
            (None, Some(_)) => return Err(malformed("something stands after the array".to_owned())),
            (None, None) => return Err(malformed(format!("`,` or `]` is missing after element {number}"))),
        };
        Ok(octets)
    }

    fn line(&mut self, mut rest: &'b str, typed: &mut Typed<'b>) -> Option<usize> {
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            if !skip_space(line).is_empty() {
                self.rest = Rest::Lines(after);
                self.read(line, typed);
                return Some(line.len());
            }
        }
        self.rest = Rest::Nothing;
        None
    }

    fn octets(&mut self, mut rest: &'b [u8], typed: &mut Typed<'b>) -> Option<usize> {
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            // JSON's own blanks, as in a body that is UTF-8: a form feed is no blank.
            if !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                self.rest = Rest::Octets(rest);
                match std::str::from_utf8(line) {
                    Ok(line) => self.read(line, typed),
                    Err(error) => {
                        let detail = format!("the octet at {} of the line is not UTF-8", error.valid_up_to());
                        typed.set_flaw(Flaw::whole(Code::InvalidUtf8, detail));
                    }
                }
                return Some(line.len());
            }
        }
        self.rest = Rest::Nothing;
        None
    }

    fn read(&self, line: &'b str, typed: &mut Typed<'b>) {
        if line.len() > self.line_bytes_max {
            typed.set_flaw(self.too_large(line.len()));
        } else if let Err(error) = typed.read(line) {
            typed.set_flaw(Flaw::whole(Code::MalformedJson, error.to_string()));
        }
    }

    fn too_large(&self, octets: usize) -> Flaw {
        Flaw::whole(Code::LineTooLarge, format!("{octets} octets; {} are allowed", self.line_bytes_max))
    }
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

fn malformed(detail: String) -> Problem {
    Problem::new(Code::MalformedJson, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recipients and flaws in order, or the problem of the whole.
    fn read(body: impl AsRef<[u8]>, form: Form) -> Result<Vec<Result<String, Code>>, Code> {
        let mut items = Items::new(body.as_ref(), form, 40).map_err(|problem| problem.code)?;
        let (mut found, mut typed) = (Vec::new(), Typed::default());
        while items.next(&mut typed).map_err(|problem| problem.code)?.is_some() {
            found.push(match &typed.flaw {
                Some(flaw) => Err(flaw.code),
                None => Ok(typed.to.as_deref().unwrap_or_default().to_owned()),
            });
        }
        Ok(found)
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
}
