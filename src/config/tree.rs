//! The parsed text as a tree with places: finds the key to which a span belongs, and removes a key.
//!
//! The span of a table under a `[header]` covers the header only, so a search goes through the whole tree and takes the
//! narrowest span that encloses the one searched for. Refuses to know which keys are right.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Span;

/// One step of a path from the root of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The path to the key or value to which the span belongs.
pub(super) fn find(root: &DeTable<'_>, span: &Span) -> Option<Vec<Step>> {
    let mut search = Search { span, here: Vec::new(), best: None };
    search.table(root);
    search.best.map(|(_, steps)| steps)
}

struct Search<'s> {
    span: &'s Span,
    here: Vec<Step>,
    best: Option<(usize, Vec<Step>)>,
}

impl Search<'_> {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.here.push(Step::Key(key.get_ref().to_string()));
            self.offer(&key.span());
            self.value(value);
            self.here.pop();
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) {
        self.offer(&value.span());
        match value.get_ref() {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    self.here.push(Step::Index(index));
                    self.value(element);
                    self.here.pop();
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// Remembers this path if `found` is the narrowest span so far that encloses the one searched for. Of equal spans the
    /// deepest wins, because it is offered last.
    fn offer(&mut self, found: &Span) {
        let encloses = found.start <= self.span.start && self.span.end <= found.end;
        if encloses && self.best.as_ref().is_none_or(|(length, _)| found.len() <= *length) {
            self.best = Some((found.len(), self.here.clone()));
        }
    }
}

/// The path as shown to the operator: elements of `[[…]]` appear by their name if they have one, else by index.
pub(super) fn shown(root: &DeTable<'_>, steps: &[Step]) -> String {
    let mut text = String::new();
    let mut at: Option<&DeValue<'_>> = None;
    for step in steps {
        let below = match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
                match at {
                    None => root.get(key.as_str()),
                    Some(value) => value.as_table().and_then(|table| table.get(key.as_str())),
                }
            }
            Step::Index(index) => {
                let element = at.and_then(DeValue::as_array).and_then(|array| array.get(*index));
                match element.and_then(|element| name_of(element.get_ref())) {
                    Some(name) => text.push_str(&format!(".{name}")),
                    None => text.push_str(&format!("[{index}]")),
                }
                element
            }
        };
        at = below.map(Spanned::get_ref);
    }
    text
}

/// The value of the key `name`, if `value` is a table that has one.
pub(super) fn name_of<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    value.as_table()?.get("name")?.get_ref().as_str()
}

/// Removes the key at the end of the path; false if there is none.
pub(super) fn strike(root: &mut DeTable<'_>, steps: &[Step]) -> bool {
    let Some((last, way)) = steps.split_last() else { return false };
    let Some((Step::Key(first), way)) = way.split_first() else {
        return matches!(last, Step::Key(key) if root.remove(key.as_str()).is_some());
    };
    let mut at = root.get_mut(first.as_str()).map(Spanned::get_mut);
    for step in way {
        at = match (at, step) {
            (Some(DeValue::Table(table)), Step::Key(key)) => table.get_mut(key.as_str()).map(Spanned::get_mut),
            (Some(DeValue::Array(array)), Step::Index(index)) => array.get_mut(*index).map(Spanned::get_mut),
            (Some(_) | None, Step::Key(_) | Step::Index(_)) => None,
        };
    }
    match (at, last) {
        (Some(DeValue::Table(table)), Step::Key(key)) => table.remove(key.as_str()).is_some(),
        (Some(_) | None, Step::Key(_) | Step::Index(_)) => false,
    }
}
