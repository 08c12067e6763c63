//! The keys that a type accepts, derived from its own `Deserialize`, so that the list of known keys matches what is read.
//!
//! A [`Probe`] is a deserializer that holds no data. It follows a path of keys, notes what the type at its end asks
//! for, and fails; the failure is ignored. There is one run per key, only when a configuration is loaded.
//! Refuses to know what any key is for.

use std::cell::Cell;

use serde::de::value::{BorrowedStrDeserializer, Error};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::units::ONE_OR_MANY;

/// The kind of value that a key takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table with these keys and no others.
    Table(Vec<(&'static str, Shape)>),
    /// A table whose keys the operator chooses.
    Map(Box<Shape>),
    /// An array.
    List(Box<Shape>),
    /// An array, or a single value in place of an array of one.
    OneOrMany(Box<Shape>),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A string, or something that has a string form: a duration, a size, a secret.
    Text,
    /// A number, a boolean, or a type that accepts several kinds of values.
    Other,
}

impl Shape {
    /// The shape of `T`.
    pub(super) fn of<T: for<'de> Deserialize<'de>>() -> Self {
        shape_at::<T>(&[])
    }

    /// The shape of one key of a table.
    pub(super) fn key(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Table(keys) => keys.iter().find(|(key, _)| *key == name).map(|(_, shape)| shape),
            Self::Map(inside) => Some(inside),
            Self::List(_) | Self::OneOrMany(_) | Self::Choice(_) | Self::Text | Self::Other => None,
        }
    }

    /// The names of a table's keys; empty for everything else.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        match self {
            Self::Table(keys) => keys.iter().map(|(key, _)| *key).collect(),
            Self::Map(_) | Self::List(_) | Self::OneOrMany(_) | Self::Choice(_) | Self::Text | Self::Other => {
                Vec::new()
            }
        }
    }
}

/// What the type at the end of the path asked the deserializer for.
#[derive(Clone, Copy)]
enum Asked {
    Struct(&'static [&'static str]),
    Map,
    Seq,
    OneOrMany,
    Enum(&'static [&'static str]),
    Text,
    Other,
}

/// The step into an array or a map; any name would do.
const INSIDE: &str = "0";

fn shape_at<T: for<'de> Deserialize<'de>>(path: &[&'static str]) -> Shape {
    let asked = Cell::new(Asked::Other);
    let _ = T::deserialize(Probe { path, asked: &asked });
    let below = |step: &'static str| shape_at::<T>(&[path, &[step]].concat());
    match asked.get() {
        Asked::Struct(keys) => Shape::Table(keys.iter().map(|key| (*key, below(key))).collect()),
        Asked::Map => Shape::Map(Box::new(below(INSIDE))),
        Asked::Seq => Shape::List(Box::new(below(INSIDE))),
        Asked::OneOrMany => Shape::OneOrMany(Box::new(below(INSIDE))),
        Asked::Enum(variants) => Shape::Choice(variants),
        Asked::Text => Shape::Text,
        Asked::Other => Shape::Other,
    }
}

struct Probe<'p> {
    path: &'p [&'static str],
    asked: &'p Cell<Asked>,
}

impl Probe<'_> {
    fn note<T>(self, asked: Asked) -> Result<T, Error> {
        self.asked.set(asked);
        Err(Error::custom("a probe holds no data"))
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.note(Asked::Other)
    }

    fn deserialize_str<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.note(Asked::Text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.note(Asked::Text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name != ONE_OR_MANY {
            return visitor.visit_newtype_struct(self);
        }
        match self.path.split_first() {
            None => self.note(Asked::OneOrMany),
            Some((_, path)) => visitor.visit_seq(Down { key: None, inside: Probe { path, asked: self.asked } }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Some(key) = spanned_value(name, fields) {
            return visitor.visit_map(Down { key: Some(key), inside: self });
        }
        match self.path.split_first() {
            None => self.note(Asked::Struct(fields)),
            Some((step, path)) => {
                visitor.visit_map(Down { key: Some(step), inside: Probe { path, asked: self.asked } })
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.path.split_first() {
            None => self.note(Asked::Map),
            Some((step, path)) => {
                visitor.visit_map(Down { key: Some(step), inside: Probe { path, asked: self.asked } })
            }
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.path.split_first() {
            None => self.note(Asked::Seq),
            Some((_, path)) => visitor.visit_seq(Down { key: None, inside: Probe { path, asked: self.asked } }),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.note(Asked::Enum(variants))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// `toml::Spanned` asks for a struct of start, end and value. This is the name of the value's field; `None` for any other
/// struct.
fn spanned_value(name: &str, fields: &'static [&'static str]) -> Option<&'static str> {
    if name.starts_with("$__serde_spanned") { fields.last().copied() } else { None }
}

/// A map or array with one entry, through which the visitor reaches the probe below.
struct Down<'p> {
    key: Option<&'static str>,
    inside: Probe<'p>,
}

impl<'de> MapAccess<'de> for Down<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.key.take().map(|key| seed.deserialize(BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Probe { path: self.inside.path, asked: self.inside.asked })
    }
}

impl<'de> SeqAccess<'de> for Down<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        seed.deserialize(Probe { path: self.inside.path, asked: self.inside.asked }).map(Some)
    }
}
