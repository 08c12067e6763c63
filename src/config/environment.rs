//! Environment variables that override the file: `STENTOR__HTTP__LISTEN`, `STENTOR__CARRIER__BENCH__PORT`.
//!
//! Every key can be set this way: in capitals, the steps of its path joined by two underscores. An element of `[[…]]` is
//! addressed by its name, with `-` written as `_`. A string is taken as it is; any other value is parsed as TOML. Each value
//! keeps the place of its variable, so that problems name the variable. Elements can be changed but not added. Refuses to
//! know what the keys mean.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use stentor_core::model::nearest;

use super::read::unknown_key;
use super::shape::Shape;
use super::source::{PREFIX, Source, Span, Variable};
use super::tree::name_of;

const TABLE: &str = "is a table: append __KEY to set one key, or write the whole table as { key = value, … }";
const NO_KEY: &str = "names no key: append one to its name";

type Problem = (Span, String);

/// Writes the variables into the tree and returns a problem for each that cannot be written.
pub(super) fn overlay<'s>(tree: &mut DeTable<'s>, shape: &Shape, source: &'s Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for variable in &source.variables {
        let lower = variable.name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
        let steps: Vec<&str> = lower.split("__").collect();
        if let Err(what) = (Writer { variable, root: shape }).write_table(tree, shape, &steps) {
            problems.push((variable.span(), what));
        }
    }
    problems
}

struct Writer<'s, 'r> {
    variable: &'s Variable,
    root: &'r Shape,
}

impl<'s> Writer<'s, '_> {
    fn write_table(&self, table: &mut DeTable<'s>, shape: &Shape, steps: &[&str]) -> Result<(), String> {
        let Some((step, rest)) = steps.split_first() else { return Err(NO_KEY.to_owned()) };
        let Some(inside) = shape.key(step) else {
            return Err(format!("`{step}`: {}", unknown_key(step, shape, self.root)));
        };
        let span = self.variable.span();
        if rest.is_empty() {
            let value = self.value(inside)?;
            table.insert(Spanned::new(span, Cow::Owned((*step).to_owned())), value);
            return Ok(());
        }
        match inside {
            Shape::Table(_) | Shape::Map(_) => match table.get_mut(*step).map(Spanned::get_mut) {
                Some(DeValue::Table(below)) => self.write_table(below, inside, rest),
                Some(_) => Err(format!("`{step}` is not a table in the file: correct it there to set keys in it")),
                None => {
                    let mut below = DeTable::new();
                    self.write_table(&mut below, inside, rest)?;
                    let key = Spanned::new(span.clone(), Cow::Owned((*step).to_owned()));
                    table.insert(key, Spanned::new(span, DeValue::Table(below)));
                    Ok(())
                }
            },
            Shape::List(element) if element.key("name").is_some() => match table.get_mut(*step).map(Spanned::get_mut) {
                Some(DeValue::Array(array)) => self.write_element(array, element, step, rest),
                Some(_) | None => {
                    Err(format!("the file has no [[{step}]], and a variable cannot add one: add it to the file"))
                }
            },
            Shape::List(_) => {
                Err(format!("`{step}` is a list whose elements have no names: set the whole list as [ … ]"))
            }
            Shape::OneOrMany(_) | Shape::Choice(_) | Shape::Text | Shape::Other => {
                Err(format!("`{step}` is not a table: remove what follows it in the variable's name"))
            }
        }
    }

    fn write_element(&self, array: &mut DeArray<'s>, shape: &Shape, list: &str, steps: &[&str]) -> Result<(), String> {
        let Some((step, rest)) = steps.split_first() else { return Err(NO_KEY.to_owned()) };
        let names: Vec<String> =
            array.iter().filter_map(|value| name_of(value.get_ref())).map(|name| name.replace('-', "_")).collect();
        let named = array
            .iter_mut()
            .find(|value| name_of(value.get_ref()).is_some_and(|name| name.replace('-', "_") == **step));
        match named.map(Spanned::get_mut) {
            Some(DeValue::Table(_)) if rest.is_empty() => {
                Err(format!("is a table: append one of its keys, as in {}__KEY", self.variable.name))
            }
            Some(DeValue::Table(table)) => self.write_table(table, shape, rest),
            Some(_) | None => Err(match nearest(step, names.iter().map(String::as_str)) {
                Some(meant) => format!("there is no [[{list}]] named `{step}`; did you mean `{meant}`?"),
                None => format!("there is no [[{list}]] named `{step}`; the names are: {}", names.join(", ")),
            }),
        }
    }

    fn value(&self, shape: &Shape) -> Result<Spanned<DeValue<'s>>, String> {
        let text = self.variable.value.as_str();
        let plain = || Spanned::new(self.variable.span(), DeValue::String(Cow::Borrowed(text)));
        let toml = DeValue::parse(text).map(|value| moved(value, self.variable.at));
        Ok(match shape {
            Shape::Text | Shape::Choice(_) => match toml {
                Ok(value) if text.starts_with(['"', '\'', '[', '{']) => value,
                Ok(_) | Err(_) => plain(),
            },
            Shape::Other => toml.unwrap_or_else(|_| plain()),
            Shape::List(_) | Shape::OneOrMany(_) if text.starts_with('[') => {
                toml.map_err(|error| error.message().to_owned())?
            }
            Shape::OneOrMany(inside) => self.value(inside)?,
            Shape::List(inside) => {
                let mut array = DeArray::new();
                array.push(self.value(inside)?);
                Spanned::new(self.variable.span(), DeValue::Array(array))
            }
            Shape::Table(_) | Shape::Map(_) => match toml {
                Ok(value) if value.get_ref().is_table() => value,
                Ok(_) | Err(_) => return Err(TABLE.to_owned()),
            },
        })
    }
}

/// The value with every span shifted by the variable's offset in the [`Source`].
fn moved(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = shifted(&value.span(), by);
    let value = match value.into_inner() {
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|element| moved(element, by)).collect()),
        DeValue::Table(table) => DeValue::Table(
            table
                .into_iter()
                .map(|(key, value)| (Spanned::new(shifted(&key.span(), by), key.into_inner()), moved(value, by)))
                .collect(),
        ),
        plain @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => plain,
    };
    Spanned::new(span, value)
}

fn shifted(span: &Span, by: usize) -> Span {
    span.start + by..span.end + by
}
