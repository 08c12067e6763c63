//! Problems of a configuration: what is wrong, and where.
//!
//! Knows places (line and column, or the environment variable) and how a list of problems is printed.
//! Refuses to know what is a problem: the readers and `check` decide that. Never holds a secret's value.

use std::fmt;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; line and column start at 1.
    File {
        /// The file as the caller named it.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted in characters, from 1.
        column: usize,
    },
    /// In the environment variable of this name.
    Variable(String),
    /// In no particular line of the file of this name.
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
    /// File, line and column, or environment variable.
    pub place: Place,
    /// The key's path, with elements of `[[…]]` by name: `carrier.bench.window`. Empty if no key is concerned.
    pub path: String,
    /// What is wrong and what to write instead. Printed after the path.
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

/// All problems found, in the order of their places; as an error never empty.
/// `Display` writes one line per problem. The process should exit with code 78 (`EX_CONFIG`).
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
