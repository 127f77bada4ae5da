//! The configuration: one file, read once, as `raw` and then `checked`. The environment is read here and nowhere
//! else.

pub mod checked;
mod checks;
mod policy_files;
pub mod raw;
pub mod secret;
mod targets;

pub use checked::{ClientTlsFiles, Config, Roles, Target, TlsFiles};
pub use secret::SecretRef;

use std::path::{Path, PathBuf};

/// The name of the file in its folder.
pub const FILE_NAME: &str = "countersign.toml";
/// The longest configuration.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

/// Why a configuration is not one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration `{}`: {source}: run `countersign init`, or name it with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Too long.
    #[error("expected a configuration of at most {CONFIG_BYTES_MAX} bytes in `{}`, found {found}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: usize,
    },
    /// Not TOML, or not these keys.
    #[error("{}:{line}: {message}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{}: `{key}`: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What was expected, what was found, what to do.
        message: String,
    },
}

/// Reads and checks a configuration.
///
/// # Errors
/// Whatever is not plainly right in it, with the file and the line or key.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Checks the text of a configuration that stands at `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(ConfigError::TooLong { path: path.to_owned(), found: text.len() });
    }
    let raw: raw::RawConfig = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        // Not the whole error: it would print the line, and with it what somebody took for a place for a secret.
        ConfigError::Shape { path: path.to_owned(), line, message: error.message().to_owned() }
    })?;
    checked::check(path, raw)
}

/// A variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the configuration is the one place that reads the environment"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
