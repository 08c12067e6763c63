//! A posted JSON document must be an object. By itself serde also accepts a list of a struct's fields in their order, so that
//! `["drop"]` would be a decision; no documentation says so, and no client means it.

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use super::problem::Problem;

/// A `T` that was read from a JSON object.
#[derive(Debug)]
pub(super) struct Only<T>(pub(super) T);

/// Reads a document; `wanted` describes its shape, for the error.
///
/// # Errors
/// The body is not such a document.
pub(super) fn read<T: DeserializeOwned>(wanted: &str, body: &[u8]) -> Result<T, Problem> {
    let read: Result<Only<T>, serde_json::Error> = serde_json::from_slice(body);
    read.map(|Only(document)| document).map_err(|error| Problem::unread(wanted, body, &error))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Only<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Object(PhantomData))
    }
}

/// A field that may be left out and is not null, for `deserialize_with` beside `default`. By itself serde reads null as a field that
/// was left out.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Only<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Only<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(Only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        name: Option<String>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        action: String,
        inner: Option<Only<Inner>>,
    }

    fn outer(body: &str) -> Result<Outer, Code> {
        read("{…}", body.as_bytes()).map_err(|problem| problem.code)
    }

    #[test]
    fn an_object_is_read_and_a_list_is_none() {
        let read = outer(r#"{"action":"drop","inner":{"name":"x"}}"#).expect("a document");
        let name = read.inner.and_then(|Only(inner)| inner.name);
        assert_eq!((read.action.as_str(), name.as_deref()), ("drop", Some("x")));
        assert!(outer(r#"{"action":"drop","inner":null}"#).is_ok_and(|read| read.inner.is_none()));
        for body in [
            "[]",
            r#"["drop"]"#,
            r#"["drop",{"name":"x"}]"#,
            r#"{"action":"drop","inner":[]}"#,
            r#"{"action":"drop","inner":["x"]}"#,
            "null",
            "\"drop\"",
            r#"{"action":"drop","action":"drop"}"#,
            r#"{"action":"drop","more":1}"#,
            r#"{"action":"drop"} x"#,
        ] {
            assert_eq!(outer(body).map(|read| read.action), Err(Code::MalformedJson), "{body}");
        }
    }
}
