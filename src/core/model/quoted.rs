//! Text from outside, made safe to show to people: in quotes, at most [`QUOTED_MAX`] characters, and none that a
//! terminal would interpret. Every place that quotes a client, a carrier or a configuration uses this, so that no
//! answer and no log line grows with what was sent.

use std::fmt::{self, Display, Write};

/// Most characters of a quoted text; `…` after the quotes shows that text was cut off.
pub const QUOTED_MAX: usize = 100;

/// A text to be quoted: `"short"`, or `"the first hundred characters"…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'t>(pub &'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        out.write_char('"')?;
        for character in rest.by_ref().take(QUOTED_MAX) {
            show(character, out)?;
        }
        out.write_char('"')?;
        if rest.next().is_some() { out.write_char('…') } else { Ok(()) }
    }
}

/// A message of a third-party parser, which may contain the client's text anywhere: its first [`QUOTED_MAX`]
/// characters.
#[derive(Clone, Copy, Debug)]
pub struct Clipped<T>(pub T);

impl<T: Display> Display for Clipped<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut clip = Clip { out, left: QUOTED_MAX, cut: false };
        write!(clip, "{}", self.0)?;
        if clip.cut { out.write_char('…') } else { Ok(()) }
    }
}

struct Clip<'c, 'o> {
    out: &'c mut fmt::Formatter<'o>,
    left: usize,
    cut: bool,
}

impl Write for Clip<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let Some(left) = self.left.checked_sub(1) else {
                self.cut = true;
                return Ok(());
            };
            self.left = left;
            show(character, self.out)?;
        }
        Ok(())
    }
}

/// Writes control characters, and those that reorder or hide the text around them, as JSON escapes.
fn show(character: char, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hidden = character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    if hidden { write!(out, "\\u{:04x}", u32::from(character)) } else { out.write_char(character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_as_it_is_up_to_a_limit() {
        let quoted = |text: &str| Quoted(text).to_string();
        assert_eq!(quoted("Send-At"), "\"Send-At\"");
        assert_eq!(quoted("é€😀"), "\"é€😀\"");
        assert_eq!(quoted(&"é".repeat(QUOTED_MAX)), format!("\"{}\"", "é".repeat(QUOTED_MAX)));
        assert_eq!(quoted(&"é".repeat(1 << 20)), format!("\"{}\"…", "é".repeat(QUOTED_MAX)));
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(Quoted("a\u{1b}[2J\n\u{80}\u{202e}").to_string(), r#""a\u001b[2J\u000a\u0080\u202e""#);
        let worst = Quoted(&"\u{80}".repeat(1 << 20)).to_string();
        assert!(worst.len() <= 6 * QUOTED_MAX + 5, "{}", worst.len());
    }

    #[test]
    fn the_message_of_a_library_is_clipped() {
        assert_eq!(Clipped(format_args!("{}: {}", "unknown field `x`", 5)).to_string(), "unknown field `x`: 5");
        let long = Clipped(format_args!("unknown field `{}`, expected `ids`", "x".repeat(1 << 20))).to_string();
        assert_eq!((long.chars().count(), long.ends_with("xxx…")), (QUOTED_MAX + 1, true));
        assert_eq!(Clipped("y".repeat(QUOTED_MAX)).to_string(), "y".repeat(QUOTED_MAX));
    }
}
