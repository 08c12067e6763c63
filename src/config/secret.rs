//! Secrets: as they are referred to in the file, and as they are once resolved.
//!
//! Invariants: no `Debug`, `Display`, `Serialize` or error message of this room holds a secret's value; what was typed
//! in a secret's place is never quoted, whatever its type. Refuses to know what a secret is for.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// Stands wherever a secret would be shown.
pub(super) const MASK: &str = "(secret)";

/// A file that holds a secret holds nothing else: longer ones are a mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A resolved secret: not empty, UTF-8, without NUL. Its `==` is for comparing configurations, not for letting a client
/// in: it takes longer the more is right.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
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

/// Where a secret is to be had.
#[derive(Clone)]
pub enum SecretRef {
    /// In the configuration itself.
    Value(String),
    /// In this file; one line end at its end is cut.
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
    /// Fetches the value; `credentials` is `$CREDENTIALS_DIRECTORY`. The error says what to change.
    pub fn resolve(&self, credentials: Option<&Path>) -> Result<Secret, String> {
        match self {
            Self::Value(value) => checked(value, "the secret"),
            Self::File(path) => read(path),
            Self::Credential(name) if name.is_empty() || name.starts_with('.') || name.contains('/') => {
                Err(format!("`{name}` is not the name of a credential"))
            }
            Self::Credential(name) => match credentials {
                Some(directory) => read(&directory.join(name)),
                None => Err(format!(
                    "credential `{name}`: CREDENTIALS_DIRECTORY, where systemd puts it by LoadCredential=, is not set"
                )),
            },
        }
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let length = fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{shown} has {length} octets; a file with a secret holds that secret alone"));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    checked(line.strip_suffix('\r').unwrap_or(line), &format!("the secret in {shown}"))
}

fn checked(value: &str, name: &str) -> Result<Secret, String> {
    if value.is_empty() {
        Err(format!("{name} is empty"))
    } else if value.contains('\0') {
        Err(format!("{name} holds a NUL"))
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
    "a secret is a text, { file = \"/path\" } or { credential = \"name\" }; what stands here is not shown";

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
        Err(E::custom(EXPECTED))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<SecretRef, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<SecretRef, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let entry: Option<(String, String)> = map.next_entry().map_err(|_| de::Error::custom(EXPECTED))?;
        let another = map.next_key::<String>()?.is_some();
        match entry {
            Some((key, path)) if key == "file" && !another => Ok(SecretRef::File(path.into())),
            Some((key, name)) if key == "credential" && !another => Ok(SecretRef::Credential(name)),
            Some(_) | None => Err(de::Error::custom(EXPECTED)),
        }
    }
}
