//! The query string of a call: names and values in the encoding of HTML forms, because every HTTP library sends them so. Knows no
//! parameter: the caller says which ones there are.

use std::borrow::Cow;

use super::problem::{Code, Problem};
use stentor_core::model::Quoted;

/// Most parameters of one query; no call has so many.
const PARAMETERS_MAX: usize = 32;

/// A name and its value.
pub(super) type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// All parameters, in order; none may be repeated.
///
/// # Errors
/// [`Code::InvalidParameter`]: one cannot be decoded, or is repeated.
pub(super) fn pairs(query: &str) -> Result<Vec<Pair<'_>>, Problem> {
    let wrong = |detail: String| Problem::new(Code::InvalidParameter, detail);
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            let what = "values must be UTF-8, with two hexadecimal digits after each `%`";
            return Err(wrong(format!("{}: {what}", Quoted(pair))));
        };
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(wrong(format!("{} is given more than once", Quoted(&name))));
        }
        if pairs.len() == PARAMETERS_MAX {
            return Err(wrong("there are more parameters than any call has".to_owned()));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// A time as it may appear in a query: an unescaped plus sign is decoded as a blank, and no time contains a blank.
pub(super) fn time(value: &str) -> Cow<'_, str> {
    if value.contains(' ') { value.replace(' ', "+").into() } else { value.into() }
}

fn decoded(typed: &str) -> Option<Cow<'_, str>> {
    if !typed.contains(['%', '+']) {
        return Some(typed.into());
    }
    let mut bytes = Vec::with_capacity(typed.len());
    let mut rest = typed.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = rest.split_first_chunk::<2>()?;
                rest = behind;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                (digit(digits[0])? << 4 | digit(digits[1])?) as u8
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<Vec<(String, String)>> {
        let owned = |pairs: Vec<Pair<'_>>| pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs(query).ok().map(owned)
    }

    #[test]
    fn names_and_values_are_read_as_forms_write_them() {
        for (query, expected) in [
            ("", &[][..]),
            ("&&", &[]),
            ("a=1&b=&c", &[("a", "1"), ("b", ""), ("c", "")]),
            ("since=2026-07-01T12%3A00%3A00Z", &[("since", "2026-07-01T12:00:00Z")]),
            ("%74o=%2B49&x=a+b%20c%3d%26", &[("to", "+49"), ("x", "a b c=&")]),
            ("ref=%C3%A4", &[("ref", "ä")]),
        ] {
            let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(read(query), Some(expected), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_stands_there_twice_is_refused() {
        for query in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", "a=1&a=1", "a=1&%61=2"] {
            assert_eq!(pairs(query).map_err(|problem| problem.code), Err(Code::InvalidParameter), "{query}");
        }
        let many = |count: usize| (0..count).map(|at| format!("p{at}=1&")).collect::<String>();
        assert_eq!(read(&many(PARAMETERS_MAX)).map(|pairs| pairs.len()), Some(PARAMETERS_MAX));
        assert!(pairs(&many(PARAMETERS_MAX + 1)).is_err());
    }

    #[test]
    fn a_time_survives_a_plus_sign_that_was_not_escaped() {
        let pairs = pairs("since=2026-07-01T12:00:00+02:00").expect("read");
        assert_eq!(time(&pairs[0].1), "2026-07-01T12:00:00+02:00");
    }
}
