//! Where a value stands within a JSON document: a JSON Pointer (RFC 6901) in which `*` stands for every member or element.
//! Knows no document.

use serde::{Deserialize, Serialize};

/// The most steps of one path.
pub const STEPS_MAX: usize = 16;
/// The most bytes of one path.
pub const PATH_BYTES_MAX: usize = 256;

/// One place within documents, or several alike: `/email`, `/contacts/*/phone`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPath(Vec<Step>);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into every member of an object, and every element of an array.
    Every,
    /// Into the members of this name, or the element of this number.
    Named(String),
}

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a JSON Pointer such as `/email` or `/contacts/*/phone` (at most {STEPS_MAX} steps and {PATH_BYTES_MAX} bytes), \
     found `{0}`"
)]
pub struct KeyPathError(String);

impl KeyPath {
    /// Parses a pointer: `~1` stands for `/` and `~0` for `~`. The whole document has none: its column is labelled.
    ///
    /// # Errors
    /// No slash before the first step, a tilde before something else, a control character, more steps or bytes than the
    /// limits.
    pub fn parse(text: &str) -> Result<Self, KeyPathError> {
        let error = || KeyPathError(text.chars().take(60).collect());
        let readable = text.len() <= PATH_BYTES_MAX && !text.contains(char::is_control);
        let steps = text.strip_prefix('/').filter(|_| readable).ok_or_else(error)?;
        let steps: Vec<Step> = steps.split('/').map(step).collect::<Option<_>>().ok_or_else(error)?;
        if steps.len() > STEPS_MAX { Err(error()) } else { Ok(Self(steps)) }
    }

    /// The way down, step by step: one at least.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

fn step(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::Every);
    }
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(Step::Named(name))
}

impl std::fmt::Display for KeyPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.0 {
            match step {
                Step::Every => f.write_str("/*")?,
                Step::Named(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for KeyPath {
    type Error = KeyPathError;
    fn try_from(text: String) -> Result<Self, KeyPathError> {
        Self::parse(&text)
    }
}

impl From<KeyPath> for String {
    fn from(path: KeyPath) -> String {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_the_pointer_that_it_is_and_written_back_the_same() {
        let named = |name: &str| Step::Named(name.to_owned());
        for (text, steps) in [
            ("/email", vec![named("email")]),
            ("/contacts/*/phone", vec![named("contacts"), Step::Every, named("phone")]),
            ("/a~1b/~0c", vec![named("a/b"), named("~c")]),
            ("/", vec![named("")]),
            ("/0", vec![named("0")]),
        ] {
            let path = KeyPath::parse(text).unwrap();
            assert_eq!((path.steps(), path.to_string().as_str()), (steps.as_slice(), text));
        }
    }

    #[test]
    fn what_is_no_pointer_is_no_path() {
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        let deep = "/x".repeat(STEPS_MAX + 1);
        for text in ["", "email", "$.email", "/a~", "/a~2", "/a\nb", &long, &deep] {
            assert!(KeyPath::parse(text).is_err(), "{text}");
        }
        assert!(KeyPath::parse(&"/x".repeat(STEPS_MAX)).is_ok());
    }
}
