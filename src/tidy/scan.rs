//! Looks at Rust source without compiling it: which bytes are code, which lines are tests, where a function ends,
//! what a path or a tree of imports names. Knows the lexical rules needed for that; knows none of the rules in `tidy`.

/// One source file.
#[derive(Debug)]
pub(super) struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// The file's content.
    pub text: String,
    /// The content with comments, string literals and character literals blanked: same length, same lines.
    pub code: String,
    tests: Vec<(usize, usize)>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = blank_out(text);
        let tests = test_items(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, tests }
    }

    /// The line of a byte; the first is 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.code.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Whether the byte belongs to a test: by the file's name, or by `#[cfg(test)]` before its item.
    pub(super) fn is_test(&self, at: usize) -> bool {
        let by_name = self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
            || self.path.contains("/tests/")
            || self.path.starts_with("src/tidy");
        by_name || self.tests.iter().any(|&(from, to)| (from..to).contains(&at))
    }

    /// Positions of `word` in the code; a whole word if it begins or ends with a letter, digit or underscore.
    pub(super) fn find<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = self.code.as_bytes();
        let (first, last) = (word.as_bytes()[0], word.as_bytes()[word.len() - 1]);
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let joined_before = at > 0 && is_name(bytes[at - 1]) && is_name(first);
            let joined_after = bytes.get(at + word.len()).is_some_and(|&next| is_name(next)) && is_name(last);
            !joined_before && !joined_after
        })
    }

    /// Every path that begins with `root::`, import trees expanded: its position and the rest, joined by `::`.
    pub(super) fn paths(&self, root: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in self.find(root) {
            let mut cursor = Cursor { code: &self.code, at: at + root.len() };
            let mut names = Vec::new();
            cursor.continue_path("", &mut names);
            found.extend(names.into_iter().map(|name| (at, name)));
        }
        found
    }

    /// Functions with a body: position of `fn`, name, number of lines up to the closing brace.
    pub(super) fn functions(&self) -> Vec<(usize, &str, usize)> {
        let named = self.find("fn").filter_map(|at| {
            let rest = self.code[at + 2..].trim_start();
            let name = &rest[..rest.bytes().take_while(|&byte| is_name(byte)).count()];
            let end = item_end(&self.code, at);
            let has_body = self.code.as_bytes().get(end.wrapping_sub(1)) == Some(&b'}');
            (has_body && !name.is_empty()).then(|| (at, name, self.line(end - 1) - self.line(at) + 1))
        });
        named.collect()
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Cursor<'a> {
    code: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn skip(&mut self, text: &str) -> bool {
        let rest = &self.code[self.at..];
        let blank = rest.len() - rest.trim_start().len();
        let found = rest[blank..].starts_with(text);
        if found {
            self.at += blank + text.len();
        }
        found
    }

    fn name(&mut self) -> String {
        self.skip("");
        let length = self.code.as_bytes()[self.at..].iter().take_while(|&&byte| is_name(byte) || byte == b'*').count();
        let name = self.code[self.at..self.at + length].to_owned();
        self.at += length;
        name
    }

    fn continue_path(&mut self, prefix: &str, out: &mut Vec<String>) {
        let mut path = prefix.to_owned();
        while self.skip("::") {
            if self.skip("{") {
                while !self.skip("}") && self.at < self.code.len() {
                    let name = self.name();
                    self.continue_path(&join(&path, &name), out);
                    if self.skip("as ") {
                        self.name();
                    }
                    if !self.skip(",") && name.is_empty() {
                        return;
                    }
                }
                return;
            }
            let name = self.name();
            if name.is_empty() {
                break;
            }
            path = join(&path, &name);
        }
        if !path.is_empty() {
            out.push(path);
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }
}

/// Where the item that begins at `from` ends: after its `;`, or after the brace that closes its first block.
fn item_end(code: &str, from: usize) -> usize {
    let (mut round, mut braces) = (0_i32, 0_i32);
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b'{' => braces += 1,
            b'}' if braces == 1 && round == 0 => return at + 1,
            b'}' => braces -= 1,
            b';' if braces == 0 && round == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn test_items(code: &str) -> Vec<(usize, usize)> {
    code.match_indices("#[cfg(test)]").map(|(at, _)| (at, item_end(code, at))).collect()
}

/// Replaces comments and the contents of literals by blanks; line ends stay.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends; `at` if none begins there.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest),
        [b'r', b'"' | b'#', ..] if at == 0 || !is_name(bytes[at - 1]) || bytes[at - 1] == b'b' => at + raw(rest),
        [b'\'', b'\\', _, tail @ ..] => at + 3 + tail.iter().position(|&byte| byte == b'\'').map_or(0, |end| end + 1),
        [b'\'', first, tail @ ..] => {
            let more = tail.iter().take_while(|&&byte| *first >= 0x80 && byte & 0xC0 == 0x80).count();
            if tail.get(more) == Some(&b'\'') { at + 3 + more } else { at }
        }
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw(rest: &[u8]) -> usize {
    let marks = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + marks) != Some(&b'"') {
        return 0;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', marks)).collect();
    let body = &rest[2 + marks..];
    body.windows(close.len()).position(|window| window == close).map_or(rest.len(), |end| 2 + marks + end + close.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> String {
        let code = blank_out(text);
        assert_eq!(code.len(), text.len());
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(blanked("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(blanked(r#"a("b \" // c", 'd', '\'', '\u{1F600}', 'ä') e"#), "a( , , , , ) e");
        assert_eq!(blanked(r##"f(r#"x " y"#, br"z", b'q') r#type"##), "f( , b , b ) r#type");
        assert_eq!(blanked("fn f<'a, 'b>(x: &'a str) {}"), "fn f<'a, 'b>(x: &'a str) {}");
    }

    #[test]
    fn trees_are_taken_apart() {
        let source =
            Source::new("src/a.rs", "use std::{fs, io::{self, Write as _}, net as n};\nlet x = std::env::var::<X>();");
        let names: Vec<_> = source.paths("std").into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["fs", "io::self", "io::Write", "net", "env::var"]);
    }

    #[test]
    fn a_function_ends_with_its_own_brace() {
        let source =
            Source::new("src/a.rs", "trait T { fn a(&self) -> [u8; 4]; }\nfn b(x: fn(u8)) -> T {\n  if x { y }\n}\n");
        assert_eq!(source.functions(), vec![(36, "b", 3)]);
    }

    #[test]
    fn tests_are_told_by_name_and_by_attribute() {
        let source = Source::new("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}");
        let is_test: Vec<_> = source.functions().iter().map(|&(at, name, _)| (name, source.is_test(at))).collect();
        assert_eq!(is_test, [("a", false), ("b", true), ("c", false)]);
        assert!(Source::new("src/a/b_tests.rs", "x").is_test(0));
        let declared = Source::new("src/a.rs", "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn c() {}");
        assert!(!declared.is_test(declared.functions()[0].0));
    }
}
