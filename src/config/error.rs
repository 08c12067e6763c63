//! What is wrong with a configuration, and where.
//!
//! Knows places (line and column, or the environment variable) and how a list of problems reads.
//! Refuses to know what is a problem: the readers and `check` decide that. Never holds a secret's value.

use std::fmt;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; both numbers start at 1, the column counts characters.
    File {
        /// The file as the caller named it.
        file: String,
        /// Line.
        line: usize,
        /// Character in the line.
        column: usize,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// Nowhere in particular: the file as a whole.
    Whole(String),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(out, "{file}:{line}:{column}"),
            Self::Variable(name) => write!(out, "environment variable {name}"),
            Self::Whole(file) => out.write_str(file),
        }
    }
}

/// One thing that the operator has to change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key's path, elements of `[[…]]` by name: `carrier.bench.window`. Empty: the file as a whole.
    pub path: String,
    /// What is wrong with it, in a sentence without its subject.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(out, "{}: {}", self.place, self.what)
        } else {
            write!(out, "{}: {}: {}", self.place, self.path, self.what)
        }
    }
}

/// Every problem that was found, in the order of their places; never empty as an error.
/// `Display` writes one line per problem. The caller's exit code is 78 (`EX_CONFIG`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The one of `known` that `typed` was probably meant to be: at most a third of its letters differ.
pub(super) fn nearest<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance, two neighbours in the wrong order counting as one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let mut best = (last[column] + usize::from(from != to)).min(last[column + 1] + 1).min(current[column] + 1);
            let crossed = row > 0 && column > 0 && *from == right[column - 1] && left[row - 1] == *to;
            if crossed {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let known = ["window", "binds", "bind_rate", "rate"];
        assert_eq!(nearest("windwo", known), Some("window"));
        assert_eq!(nearest("bind", known), Some("binds"));
        assert_eq!(nearest("rte", known), Some("rate"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
