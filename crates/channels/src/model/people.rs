//! People and their keys as a page shows them.

use super::story::short_key;
use super::words::{ago, shape};
use crate::hall::{Person, Proposed, Viewer};
use countersign_core::time::Timestamp;
use countersign_core::view::visible_line;

/// A person.
#[derive(Debug, Clone)]
pub struct PersonShown {
    /// Their name.
    pub display: String,
    /// Their handle.
    pub name: String,
    /// Their pseudonym in the log.
    pub person: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their keys.
    pub keys: Vec<KeyShown>,
    /// It is the person who looks.
    pub me: bool,
}

/// A key.
#[derive(Debug, Clone)]
pub struct KeyShown {
    /// `Passkey` or `SSH key`.
    pub kind: &'static str,
    /// Its id, short.
    pub short: String,
    /// Its id.
    pub id: String,
    /// What to know about it.
    pub about: &'static str,
}

/// A key that waits for somebody who vouches.
#[derive(Debug, Clone)]
pub struct ProposedShown {
    /// Its id.
    pub id: String,
    /// Its id, short.
    pub short: String,
    /// Whose it is to be.
    pub display: String,
    /// How long it has waited.
    pub since: String,
    /// The person who looks may vouch, or why not.
    pub may: Result<(), &'static str>,
    /// The shape of the button.
    pub path: &'static str,
}

/// A person as the page shows them.
pub fn person(person: &Person, viewer: &Viewer) -> PersonShown {
    PersonShown {
        display: visible_line(&person.display),
        name: person.name.to_string(),
        person: person.person.to_string(),
        groups: person.groups.iter().map(ToString::to_string).collect(),
        keys: person.keys.iter().map(|key| shown(&key.id, key.synced)).collect(),
        me: person.person == viewer.person,
    }
}

fn shown(id: &str, synced: bool) -> KeyShown {
    let (kind, about) = match (id.starts_with("webauthn:"), synced) {
        (true, true) => ("Passkey", "may be copied between the person's devices"),
        (true, false) => ("Passkey", "bound to one device"),
        (false, _) => ("SSH key", "for reviews in the terminal"),
    };
    KeyShown { kind, short: short_key(id), id: id.to_owned(), about }
}

/// A waiting key as the page shows it.
pub fn proposed(proposed: &Proposed, viewer: &Viewer, now: Timestamp) -> ProposedShown {
    let may = if proposed.person == viewer.person {
        Err("Somebody else must vouch for your key.")
    } else if viewer.passkeys.is_empty() {
        Err("You need a passkey of your own to vouch.")
    } else {
        Ok(())
    };
    ProposedShown {
        id: proposed.key_id.clone(),
        short: short_key(&proposed.key_id),
        display: visible_line(&proposed.display),
        since: ago(proposed.at, now),
        may,
        path: shape::YES,
    }
}
