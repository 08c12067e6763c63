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
