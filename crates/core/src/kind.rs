//! The closed list of operation kinds, one for all gates. `docs/kinds.md` says which statement is which.

use serde::{Deserialize, Serialize};

/// What an action would do, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Looks at data that stays behind the masks.
    Read,
    /// Takes data out in bulk.
    Export,
    /// Adds or changes rows.
    Write,
    /// Removes rows.
    Delete,
    /// Changes what exists: tables, columns, functions.
    Schema,
    /// Changes who may do what.
    Privilege,
    /// Touches a credential or a key.
    Secret,
    /// Runs code that we cannot read.
    Execute,
    /// Changes how the session behaves.
    Session,
    /// Operates the server.
    Admin,
    /// Sees labelled data in clear.
    Reveal,
    /// Changes infrastructure.
    Infrastructure,
    /// Sends data to a model.
    Model,
}

impl Kind {
    /// All kinds, in the order of the list.
    pub const ALL: [Self; 13] = [
        Self::Read,
        Self::Export,
        Self::Write,
        Self::Delete,
        Self::Schema,
        Self::Privilege,
        Self::Secret,
        Self::Execute,
        Self::Session,
        Self::Admin,
        Self::Reveal,
        Self::Infrastructure,
        Self::Model,
    ];

    /// The word, as policies, pages and the log write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Export => "export",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Schema => "schema",
            Self::Privilege => "privilege",
            Self::Secret => "secret",
            Self::Execute => "execute",
            Self::Session => "session",
            Self::Admin => "admin",
            Self::Reveal => "reveal",
            Self::Infrastructure => "infrastructure",
            Self::Model => "model",
        }
    }

    /// Whether an action of this kind can leave something changed at the target.
    pub const fn may_change(self) -> bool {
        match self {
            Self::Read | Self::Export | Self::Reveal | Self::Session => false,
            Self::Write
            | Self::Delete
            | Self::Schema
            | Self::Privilege
            | Self::Secret
            | Self::Execute
            | Self::Admin
            | Self::Infrastructure
            | Self::Model => true,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_the_log_writes() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("a kind serialises"), kind.word());
        }
    }
}
