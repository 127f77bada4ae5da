//! Ids and names as types, so that one can never stand where another is meant.

use serde::{Deserialize, Serialize};

/// Why a text is not an id or a name of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found `{found}`")]
pub struct IdError {
    expected: &'static str,
    found: String,
}

/// The length of an id's random part; 80 bits are enough for ids that are not secrets.
pub const ID_BYTES: usize = 10;
/// The longest name that is accepted.
pub const NAME_BYTES_MAX: usize = 128;

// Crockford's base 32, lower case: no i, l, o, u, so that a person can read an id aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn encode(bytes: [u8; ID_BYTES]) -> String {
    let mut value = bytes.iter().fold(0u128, |acc, b| (acc << 8) | u128::from(*b));
    let mut text = [0u8; ID_BYTES * 8 / 5];
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'0');
        value >>= 5;
    }
    text.iter().map(|b| char::from(*b)).collect()
}

fn is_encoded(text: &str) -> bool {
    text.len() == ID_BYTES * 8 / 5 && text.bytes().all(|b| ALPHABET.contains(&b))
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id made of these random bytes.
            pub fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
                Self(format!(concat!($prefix, "{}"), encode(bytes)))
            }
            /// Parses the printed form.
            ///
            /// # Errors
            /// Another prefix, length or alphabet.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                match text.strip_prefix($prefix) {
                    Some(rest) if is_encoded(rest) => Ok(Self(text.to_owned())),
                    _ => Err(IdError {
                        expected: concat!("an id such as `", $prefix, "0123456789abcdef`"),
                        found: text.chars().take(60).collect(),
                    }),
                }
            }
            /// The printed form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        // A map of ids can be asked by what was read elsewhere: the order and the hash are those of the text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

random_id! {
    /// A request: one action that somebody or policy must grant.
    RequestId, "req_"
}
random_id! {
    /// One connection of an agent through a gate.
    SessionId, "ses_"
}
random_id! {
    /// A person in the log: an opaque pseudonym, the same for all of one person's keys and accounts.
    Pseudonym, "per_"
}
random_id! {
    /// An agent's short-lived token, for revocation.
    TokenId, "tok_"
}
random_id! {
    /// A single-use invitation to enrol a key.
    InviteId, "inv_"
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name: a letter or digit, then letters, digits and `. _ - @ / :`, at most 128 bytes.
            ///
            /// # Errors
            /// Any other character, an empty text, or one that is too long.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { expected: $expected, found: text.chars().take(60).collect() })
                }
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    let rest_ok = |b: u8| b.is_ascii_alphanumeric() || b"._-@/:".contains(&b);
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(rest_ok)
}

name! {
    /// An agent: the name under which a machine authenticates.
    AgentName, "an agent's name of letters, digits and . _ - @ / :"
}
name! {
    /// A person's handle in the configuration (`ada`); the log knows only the pseudonym.
    PersonName, "a person's handle of letters, digits and . _ - @ / :"
}
name! {
    /// A pipeline or job that runs an agent.
    PipelineName, "a pipeline's name of letters, digits and . _ - @ / :"
}
name! {
    /// A group of people or of agents.
    GroupName, "a group's name of letters, digits and . _ - @ / :"
}
name! {
    /// A server, API or tool server behind the gate.
    TargetName, "a target's name of letters, digits and . _ - @ / :"
}
name! {
    /// An environment such as `prod`.
    EnvName, "an environment's name of letters, digits and . _ - @ / :"
}
name! {
    /// The `@id` of a policy.
    PolicyId, "a policy id of letters, digits and . _ - @ / :"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_of_another_kind_does_not_parse() {
        let id = RequestId::from_bytes([7; ID_BYTES]);
        assert!(SessionId::parse(id.as_str()).is_err());
        assert!(RequestId::parse("req_").is_err());
        assert!(RequestId::parse("req_ILOU567890123456").is_err());
    }

    #[test]
    fn names_refuse_spaces_quotes_and_invisible_characters() {
        for text in ["", "a b", "a\"", "-a", "a\u{200b}", "é", &"a".repeat(129)] {
            assert!(AgentName::parse(text).is_err(), "{text:?}");
        }
        assert!(AgentName::parse("etl-agent@ci/prod:7").is_ok());
    }

    proptest! {
        #[test]
        fn different_bytes_give_different_ids(a: [u8; ID_BYTES], b: [u8; ID_BYTES]) {
            let (x, y) = (RequestId::from_bytes(a), RequestId::from_bytes(b));
            prop_assert_eq!(a == b, x == y);
            prop_assert_eq!(RequestId::parse(x.as_str()), Ok(x));
        }
    }
}
