//! The sources of the configuration as one run of text: the file, followed by the values of Stentor's environment
//! variables.
//!
//! A position is a byte offset into that run, so that a value has the same kind of span wherever it came from.
//! Knows how to turn an offset into a [`Place`]. Refuses to know what the text means.

use std::ops::Range;

use super::error::Place;

/// Every environment variable that configures Stentor begins with this.
pub(super) const PREFIX: &str = "STENTOR__";

/// A position in the run of text.
pub(super) type Span = Range<usize>;

/// The file as a whole, for a problem that concerns no particular line.
pub(super) const WHOLE: Span = usize::MAX..usize::MAX;

/// One environment variable that configures Stentor.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// Offset of the value's first byte in the run of text.
    pub(super) at: usize,
}

impl Variable {
    /// The span of its value.
    pub(super) fn span(&self) -> Span {
        self.at..self.at + self.value.len()
    }
}

/// The file and the environment variables.
#[derive(Debug)]
pub(super) struct Source {
    file: String,
    pub(super) text: String,
    /// Sorted by name: a table comes before its keys, and the outcome does not depend on the environment's order.
    pub(super) variables: Vec<Variable>,
}

impl Source {
    /// `environment` may hold any variables; only names that begin with [`PREFIX`] are used.
    pub(super) fn new(file: &str, text: &str, environment: &[(String, String)]) -> Self {
        let mut ours: Vec<&(String, String)> =
            environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        let mut at = text.len() + 1;
        let variables = ours
            .into_iter()
            .map(|(name, value)| {
                let variable = Variable { name: name.clone(), value: value.clone(), at };
                at += value.len() + 1;
                variable
            })
            .collect();
        Self { file: file.to_owned(), text: text.to_owned(), variables }
    }

    /// The place at which the span begins.
    pub(super) fn place(&self, span: &Span) -> Place {
        if *span == WHOLE {
            return Place::Whole(self.file.clone());
        }
        if let Some(variable) = self.variables.iter().rev().find(|variable| span.start >= variable.at) {
            return Place::Variable(variable.name.clone());
        }
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place::File { file: self.file.clone(), line, column }
    }
}
