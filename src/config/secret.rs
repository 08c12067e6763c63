//! Secrets: how the file refers to them, and their values once resolved.
//!
//! Invariants: no `Debug`, `Display`, `Serialize` or error message of this module holds a secret's value; whatever is
//! written in the place of a secret is never quoted, not even when it has the wrong type. Refuses to know what a secret is
//! for.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// Printed in place of a secret's value.
pub(super) const MASK: &str = "(secret)";

/// A secret's file holds nothing but the secret, so a longer file is a mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A resolved secret: UTF-8, without NUL, and not empty unless it is absent or was not fetched. Its `==` is for comparing
/// configurations, not for authenticating clients: its duration depends on how many bytes match.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the code that sends or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(MASK)
    }
}

/// Where a secret is read from.
#[derive(Clone)]
pub enum SecretRef {
    /// In the configuration itself.
    Value(String),
    /// In this file; one line end at the end of the file is removed.
    File(PathBuf),
    /// In the file of this name under `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`).
    Credential(String),
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => out.write_str(MASK),
            Self::File(path) => write!(out, "{{ file = {path:?} }}"),
            Self::Credential(name) => write!(out, "{{ credential = {name:?} }}"),
        }
    }
}

impl SecretRef {
    /// Reads the value; `credentials` is `$CREDENTIALS_DIRECTORY`. The error says what to change.
    pub fn resolve(&self, credentials: Option<&Path>) -> Result<Secret, String> {
        match self {
            Self::Value(value) => checked(value, "the secret"),
            Self::File(path) => read(path),
            Self::Credential(name) if name.is_empty() || name.starts_with('.') || name.contains('/') => {
                Err(format!("`{name}` is not a credential name: write the file's name alone, without / or a leading ."))
            }
            Self::Credential(name) => match credentials {
                Some(directory) => read(&directory.join(name)),
                None => Err(format!(
                    "credential `{name}` cannot be read: CREDENTIALS_DIRECTORY is not set; add \
                     LoadCredential={name}:/path to the systemd unit, or use {{ file = \"/path\" }}"
                )),
            },
        }
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let length = fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{shown} has {length} bytes; the file of a secret must hold the secret alone"));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8: store the secret as UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    checked(line.strip_suffix('\r').unwrap_or(line), &format!("the secret in {shown}"))
}

fn checked(value: &str, name: &str) -> Result<Secret, String> {
    if value.is_empty() {
        Err(format!("{name} is empty: write a value, or leave the secret out"))
    } else if value.contains('\0') {
        Err(format!("{name} contains a NUL byte: remove it"))
    } else {
        Ok(Secret(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_string(Reference)
    }
}

const EXPECTED: &str =
    "a secret, written as \"text\", { file = \"/path\" } or { credential = \"name\" } (the present value is not shown)";

/// For values that serde's own messages would quote.
const WRONG: &str =
    "write a secret as \"text\", { file = \"/path\" } or { credential = \"name\" } (the present value is not shown)";

struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretRef, E> {
        Ok(SecretRef::Value(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(WRONG))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(WRONG))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<SecretRef, E> {
        Err(E::custom(WRONG))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<SecretRef, E> {
        Err(E::custom(WRONG))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(WRONG))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(WRONG))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let entry: Option<(String, String)> = map.next_entry().map_err(|_| de::Error::custom(WRONG))?;
        let another = map.next_key::<String>()?.is_some();
        match entry {
            Some((key, path)) if key == "file" && !another => Ok(SecretRef::File(path.into())),
            Some((key, name)) if key == "credential" && !another => Ok(SecretRef::Credential(name)),
            Some(_) | None => Err(de::Error::custom(WRONG)),
        }
    }
}
