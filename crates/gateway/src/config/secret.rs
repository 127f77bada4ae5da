//! Secrets by reference: an environment variable or a file. Refuses one that stands in the configuration itself.

use countersign_core::secret::Secret;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest secret that is read.
const SECRET_BYTES_MAX: u64 = 4_096;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In a variable of the environment.
    Env(String),
    /// In a file; a line break at its end does not count.
    File(PathBuf),
}

/// Why a secret cannot be had. Never says what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No such variable.
    #[error("expected a secret in the environment variable `{0}`, found none: set it")]
    Env(String),
    /// No such file.
    #[error("expected a secret in `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Empty or too long.
    #[error("expected a secret of 1 to {SECRET_BYTES_MAX} bytes of text in {0}")]
    Size(String),
}

impl SecretRef {
    /// The same reference, with a file's path as seen from `folder`.
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Self::Env(name) => Self::Env(name),
            Self::File(path) => Self::File(folder.join(path)),
        }
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// It is not there, is empty or too long.
    pub fn read(&self) -> Result<Secret<String>, SecretError> {
        let text = match self {
            Self::Env(name) => super::variable(name).ok_or_else(|| SecretError::Env(name.clone()))?,
            Self::File(path) => read_file(path)?,
        };
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() || text.len() as u64 > SECRET_BYTES_MAX {
            return Err(SecretError::Size(self.to_string()));
        }
        Ok(Secret::new(text.to_owned()))
    }
}

fn read_file(path: &Path) -> Result<String, SecretError> {
    use std::io::Read;
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX + 2).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RefVisitor)
    }
}

struct RefVisitor;

const EXPECTED: &str = "{ env = \"NAME\" } or { file = \"path\" }";

impl<'de> Visitor<'de> for RefVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a reference to a secret, {EXPECTED}")
    }

    // Does not repeat what it found: messages are copied into tickets.
    fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(format!("found a secret written out, expected a reference to one: write {EXPECTED}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<String>()?;
            let reference = match key.as_str() {
                "env" => SecretRef::Env(value),
                "file" => SecretRef::File(PathBuf::from(value)),
                _ => return Err(de::Error::unknown_field(&key, &["env", "file"])),
            };
            if found.replace(reference).is_some() {
                return Err(de::Error::custom(format!("expected one of env and file: write {EXPECTED}")));
            }
        }
        found.ok_or_else(|| de::Error::custom(format!("expected env or file: write {EXPECTED}")))
    }
}
