//! What commands and the gate say to each other over the control socket. Data only.

use countersign_core::digest::Base64;
use countersign_core::id::{PersonName, Pseudonym, RequestId, TokenId};
use countersign_core::lifecycle::{Choice, Record};
use countersign_core::time::Timestamp;
use countersign_core::view::View;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A request with its card.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The request and where it stands.
    pub record: Record,
    /// The card's data; gone where it was erased, or where it is not what was signed.
    pub view: Option<View>,
}

/// Which requests to list.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Those that are over too.
    #[serde(default)]
    pub all: bool,
}

/// A request moved.
#[derive(Debug, Serialize, Deserialize)]
pub struct Moved {
    /// The request.
    pub id: RequestId,
    /// Where it stands now, in a word.
    pub state: String,
}

/// What somebody is about to decide.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deciding {
    /// Who.
    pub person: PersonName,
    /// With which key.
    pub key_id: String,
    /// Yes or no.
    pub choice: Choice,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A statement for a person to sign.
#[derive(Debug, Serialize, Deserialize)]
pub struct ToSign {
    /// Its bytes.
    pub payload: Base64,
}

/// A signed statement.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Its bytes.
    pub payload: Base64,
    /// The SSH signature, armored.
    pub signature: String,
}

/// Where something stands now.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stands {
    /// In a word.
    pub state: String,
}

/// The invitation of a link.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByLink {
    /// The secret in the link.
    pub link: String,
}

/// What the holder of a new SSH key signs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Challenged {
    /// Who is invited.
    pub name: PersonName,
    /// Their pseudonym.
    pub person: Pseudonym,
    /// The challenge.
    pub challenge: String,
}

/// A new SSH key, with proof that its holder has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSshKey {
    /// The secret in the link.
    pub link: String,
    /// The code that came beside it.
    pub code: String,
    /// The challenge.
    pub challenge: String,
    /// The public key's line.
    pub public_key: String,
    /// The SSH signature over the challenge, armored.
    pub signature: String,
}

/// A key that waits for somebody who vouches.
#[derive(Debug, Serialize, Deserialize)]
pub struct WaitingKey {
    /// Its id.
    pub id: String,
    /// Whose it is to be.
    pub display: String,
    /// When it was made.
    pub at: Timestamp,
}

/// Who vouches for which key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouching {
    /// Who vouches.
    pub person: PersonName,
    /// With which key.
    pub key_id: String,
    /// The key that waits.
    pub key: String,
}

/// The signed word for a key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// The key that waits.
    pub key: String,
    /// The statement.
    pub payload: Base64,
    /// The SSH signature, armored.
    pub signature: String,
}

/// A token to refuse from now on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoking {
    /// Its id.
    pub id: TokenId,
}

/// Why the gate says no.
#[derive(Debug, Serialize, Deserialize)]
pub struct No {
    /// In words.
    pub error: String,
}

/// Where to copy the store to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackingUp {
    /// A folder that is empty or not there yet, as a whole path.
    pub to: PathBuf,
}

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackedUp {
    /// Leaves at least.
    pub entries: u64,
    /// Bytes of segments.
    pub bytes: u64,
}
