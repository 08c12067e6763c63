//! From text to [`RawConfig`]: reports syntax errors, unknown keys and wrong types, all in one run.
//!
//! serde stops at its first error. So the key at fault is removed from the tree and the rest is read again until no error
//! is left; each round reports one problem. Refuses to know what the values mean.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment;
use super::raw::RawConfig;
use super::shape::Shape;
use super::source::{Source, Span, WHOLE};
use super::tree::{Step, find, strike};
use stentor_core::model::{Quoted, nearest};

/// Reading stops after this many problems: such a file is probably not a configuration of Stentor.
const PROBLEMS_MAX: usize = 100;

/// The result of reading the text.
#[derive(Debug)]
pub(super) struct Read<'s> {
    /// Without the keys that were wrong; empty if the syntax was wrong.
    pub(super) raw: RawConfig,
    /// The whole tree, wrong keys included: the paths of problems are looked up in it.
    pub(super) tree: DeTable<'s>,
    /// Where in the source, and what is wrong.
    pub(super) problems: Vec<(Span, String)>,
}

pub(super) fn read(source: &Source) -> Read<'_> {
    let (parsed, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        let problems = errors.iter().map(|error| (error.span().unwrap_or(WHOLE), error.message().to_owned())).collect();
        return Read { raw: RawConfig::default(), tree: DeTable::new(), problems };
    }
    let shape = Shape::of::<RawConfig>();
    let span = parsed.span();
    let mut tree = parsed.into_inner();
    let mut problems = environment::overlay(&mut tree, &shape, source);
    let whole = tree.clone();

    let mut unknown = Vec::new();
    refuse_unknown(&tree, &shape, &shape, &mut unknown);
    for (at, _) in &unknown {
        strike_at(&mut tree, at);
    }
    problems.append(&mut unknown);

    let raw = loop {
        let error = match RawConfig::deserialize(toml::Deserializer::from(Spanned::new(span.clone(), tree.clone()))) {
            Ok(raw) => break raw,
            Err(error) => error,
        };
        let at = error.span().unwrap_or(WHOLE);
        problems.push((at.clone(), error.message().to_owned()));
        if !strike_at(&mut tree, &at) || problems.len() > PROBLEMS_MAX {
            break RawConfig::default();
        }
    };
    Read { raw, tree: whole, problems }
}

/// Removes the key to which the span belongs; false if there is none. A list is removed whole: with an element missing it
/// would cause problems of its own.
fn strike_at(tree: &mut DeTable<'_>, at: &Span) -> bool {
    let Some(mut steps) = find(tree, at) else { return false };
    while steps.pop_if(|step| matches!(step, Step::Index(_))).is_some() {}
    strike(tree, &steps)
}

/// Reports keys that a table of this shape does not have, and words that are not among a key's choices. Values of the wrong
/// type are left to serde.
fn refuse_unknown(table: &DeTable<'_>, shape: &Shape, root: &Shape, problems: &mut Vec<(Span, String)>) {
    for (key, value) in table {
        match shape.key(key.get_ref()) {
            Some(inside) => refuse_unknown_within(value, inside, root, problems),
            None => problems.push((key.span(), unknown_key(key.get_ref(), shape, root))),
        }
    }
}

fn refuse_unknown_within(
    value: &Spanned<DeValue<'_>>,
    shape: &Shape,
    root: &Shape,
    problems: &mut Vec<(Span, String)>,
) {
    match (shape, value.get_ref()) {
        (Shape::Table(_) | Shape::Map(_), DeValue::Table(table)) => refuse_unknown(table, shape, root, problems),
        (Shape::List(inside) | Shape::OneOrMany(inside), DeValue::Array(array)) => {
            array.iter().for_each(|element| refuse_unknown_within(element, inside, root, problems));
        }
        (Shape::Choice(words), DeValue::String(word)) if !words.contains(&word.as_ref()) => {
            let mut what = format!("{} is not one of {}", Quoted(word), words.join(", "));
            if let Some(meant) = nearest(word, words.iter().copied()) {
                what.push_str(&format!("; did you mean {}?", Quoted(meant)));
            }
            problems.push((value.span(), what));
        }
        (Shape::OneOrMany(inside), DeValue::String(_)) => refuse_unknown_within(value, inside, root, problems),
        (
            Shape::Table(_)
            | Shape::Map(_)
            | Shape::List(_)
            | Shape::OneOrMany(_)
            | Shape::Choice(_)
            | Shape::Text
            | Shape::Other,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_),
        ) => {}
    }
}

/// The message for a key that is unknown here. It names the nearest known key, else the table that has this key, else all
/// known keys.
pub(super) fn unknown_key(typed: &str, here: &Shape, root: &Shape) -> String {
    if let Some(meant) = nearest(typed, here.keys()) {
        return format!("unknown key; did you mean `{meant}`?");
    }
    let Shape::Table(sections) = root else { return "unknown key".to_owned() };
    // A table whose keys are all in another section too, as the classes are, leaves the key out on purpose.
    let is_partial = |section: &Shape| here.keys().iter().all(|key| section.key(key).is_some());
    let elsewhere =
        sections.iter().filter(|(_, section)| !is_partial(section)).find_map(|(name, section)| match section {
            Shape::List(inside) => inside.key(typed).map(|_| format!("[[{name}]]")),
            Shape::Table(_) => section.key(typed).map(|_| format!("[{name}]")),
            Shape::Map(_) | Shape::OneOrMany(_) | Shape::Choice(_) | Shape::Text | Shape::Other => None,
        });
    match elsewhere {
        Some(section) => format!("unknown key here; it belongs in {section}"),
        None => format!("unknown key; the known ones are {}", here.keys().join(", ")),
    }
}
