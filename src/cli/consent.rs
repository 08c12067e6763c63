//! Asks the person at the terminal before a decision on many messages. A script has no such person.

use std::io::{self, BufRead, IsTerminal, Write};

/// Puts a question; returns whether the answer is yes.
pub(super) type Person<'a> = &'a mut dyn FnMut(&str) -> bool;

/// Calls `does` with the person at the terminal, or with `None` if there is none.
pub(super) fn at_a_terminal<R>(does: impl FnOnce(Option<Person<'_>>) -> R) -> R {
    if is_at_a_terminal() { does(Some(&mut ask)) } else { does(None) }
}

/// Whether a person is at the terminal.
fn is_at_a_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on stderr, because stdout may be a file. No answer means no.
fn ask(question: &str) -> bool {
    let mut line = String::new();
    let asked = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stdin().lock().read_line(&mut line));
    asked.is_ok() && is_yes(&line)
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// `1 message`, `2 messages`.
pub(super) fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert_eq!(
            ["y\n", "Yes\n", "", "\n", "n\n", "yesterday\n"].map(is_yes),
            [true, true, false, false, false, false]
        );
        assert_eq!([counted(1, "message"), counted(2, "message")], ["1 message", "2 messages"]);
    }
}
