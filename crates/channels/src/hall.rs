//! What the pages ask of the house behind them, as one trait and plain data. Knows no store, no socket and no
//! page: `wire` answers with the desk and identity, `fixtures` answers in tests and screenshots.

use countersign_core::entry::KeyRecord;
use countersign_core::id::{AgentName, GroupName, PersonName, Pseudonym, RequestId};
use countersign_core::lifecycle::{Choice, Fact, Record};
use countersign_core::time::Timestamp;
use countersign_core::view::View;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::future::Future;
use tokio::sync::broadcast;

/// The house behind the pages.
pub trait Hall: Send + Sync + 'static {
    /// The person whose session this cookie names; nobody where it is unknown or over.
    fn viewer(&self, session: &str, now: Timestamp) -> Option<Viewer>;
    /// The challenge of a login.
    fn prepare_login(&self, now: Timestamp) -> Result<ToSign, Trouble>;
    /// Checks a login and opens a session.
    fn login(&self, assertion: &Assertion, now: Timestamp) -> Result<Opened, Trouble>;
    /// Ends a session.
    fn logout(&self, session: &str);

    /// The requests that people or clients can still do something about.
    fn queue(&self, viewer: &Viewer) -> Result<Vec<Listed>, Trouble>;
    /// All requests that fit the search, newest first, at most `HISTORY_MAX`.
    fn history(&self, viewer: &Viewer, search: &Search) -> Result<Vec<Listed>, Trouble>;
    /// Everything about one request.
    fn dossier(&self, viewer: &Viewer, id: &RequestId) -> Result<Option<Dossier>, Trouble>;
    /// The log as it stands.
    fn log(&self) -> Result<LogState, Trouble>;
    /// One file of the log's tile directory, by its path below `/log/`.
    fn log_file(&self, path: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Trouble>> + Send;
    /// Whether this is the token of a reader of the log.
    fn is_log_reader(&self, token: &str) -> bool;
    /// Everybody, their groups and keys.
    fn people(&self) -> Result<Vec<Person>, Trouble>;
    /// What moves, from now on; nothing where some of it was lost: then whoever listens asks how things stand.
    fn events(&self) -> broadcast::Receiver<Option<Moved>>;

    /// The statement of a decision, for the person's key to sign.
    fn prepare_review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        choice: Choice,
        justification: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<ToSign, Trouble>> + Send;
    /// Takes a signed decision.
    fn review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        signed: &Signed,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// What the invitation of a link says, where it is still good.
    fn invitation(&self, link: &str, now: Timestamp) -> Option<Invitation>;
    /// What the browser makes a passkey from.
    fn prepare_enrolment(&self, link: &str, now: Timestamp) -> Result<ToCreate, Trouble>;
    /// Takes a new passkey, with the code that the terminal shows.
    fn enrol(
        &self,
        link: &str,
        created: &Created,
        now: Timestamp,
    ) -> impl Future<Output = Result<Enrolled, Trouble>> + Send;
    /// The keys that wait for somebody who vouches.
    fn proposed(&self) -> Result<Vec<Proposed>, Trouble>;
    /// The statement with which a person vouches for another's key.
    fn prepare_vouch(
        &self,
        viewer: &Viewer,
        key_id: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<ToSign, Trouble>> + Send;
    /// Takes the signature of the one who vouches.
    fn vouch(
        &self,
        viewer: &Viewer,
        key_id: &str,
        signed: &Signed,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// The most requests that one page of history shows.
pub const HISTORY_MAX: usize = 200;

/// The person who looks.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// Their handle.
    pub name: PersonName,
    /// Their name as others read it.
    pub display: String,
    /// Their pseudonym in the log.
    pub person: Pseudonym,
    /// Their groups.
    pub groups: BTreeSet<GroupName>,
    /// Their passkeys at this origin, as credential ids in base64url.
    pub passkeys: Vec<String>,
    /// What their pages' posts must carry.
    pub csrf: String,
}

/// A request in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The request and where it stands.
    pub record: Record,
    /// The card's data; gone where it was erased, or where it is not what was signed.
    pub view: Option<View>,
    /// Whether the person who looks may review it, by the desk's own rule, and if not, why.
    pub may_review: Result<(), String>,
}

/// A search in the history.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The word of a state or an end.
    pub state: Option<String>,
    /// The agent.
    pub agent: Option<AgentName>,
}

/// Everything about one request.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// The request and where it stands.
    pub record: Record,
    /// The card's data; gone where it was erased, or where it is not what was signed.
    pub view: Option<View>,
    /// Whether the person who looks may review it, by the desk's own rule, and if not, why.
    pub may_review: Result<(), String>,
    /// The facts of its life, in order.
    pub facts: Vec<Filed>,
    /// How many entries the log has.
    pub log_size: u64,
    /// What was asked before that is like it.
    pub before: Before,
}

/// A fact and where it stands in the log.
#[derive(Debug, Clone)]
pub struct Filed {
    /// The fact.
    pub fact: Fact,
    /// When.
    pub at: Timestamp,
    /// The index of its leaf, where it is known.
    pub index: Option<u64>,
    /// The name of the person it is about, where there is one.
    pub person: Option<String>,
    /// The person's justification, where there is one.
    pub justification: Option<String>,
}

/// How earlier requests ended that were like this one: of the same agent and kinds, on the same target.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Of how many days.
    pub days: u32,
    /// How many there were.
    pub asked: u32,
    /// How many were approved.
    pub approved: u32,
    /// How many were denied.
    pub denied: u32,
    /// What the last person who said no gave as the reason.
    pub said: Option<String>,
}

/// How many days back requests are looked at that are like another one.
pub const BEFORE_DAYS: u32 = 30;

/// The log as it stands.
#[derive(Debug, Clone)]
pub struct LogState {
    /// The origin line.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root, base64.
    pub root: String,
    /// The signed checkpoint, as a note.
    pub checkpoint: String,
    /// The key that verifies it, in the note format.
    pub verifier: String,
    /// The tier of evidence, in a word or two.
    pub tier: String,
    /// What that tier means, in a sentence.
    pub tier_means: String,
}

/// A person, for the page of people.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their handle.
    pub name: PersonName,
    /// Their name as others read it.
    pub display: String,
    /// Their pseudonym in the log.
    pub person: Pseudonym,
    /// Their groups.
    pub groups: BTreeSet<GroupName>,
    /// Their keys.
    pub keys: Vec<KeyRecord>,
}

/// A key that waits for somebody who vouches.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// Its id.
    pub key_id: String,
    /// Whose it is to be.
    pub display: String,
    /// Their pseudonym.
    pub person: Pseudonym,
    /// When it was made.
    pub at: Timestamp,
}

/// What an invitation says.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Who is invited.
    pub display: String,
    /// Their groups.
    pub groups: BTreeSet<GroupName>,
    /// Until when.
    pub until: Timestamp,
    /// Nobody has to vouch: this is the first approver's first key.
    pub first: bool,
}

/// Something moved.
#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    /// The request.
    pub id: RequestId,
    /// Where it stands, in a word.
    pub state: String,
}

/// What a browser is asked to sign.
#[derive(Debug, Clone, Serialize)]
pub struct ToSign {
    /// The statement's bytes, base64; empty for a login.
    pub payload: String,
    /// The challenge, base64url: SHA-256 of the DSSE pre-authentication encoding of the payload.
    pub challenge: String,
    /// The credential ids that may sign, base64url; empty lets the person choose.
    pub allow: Vec<String>,
    /// The relying party.
    pub rp_id: String,
}

/// A passkey's signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// The credential's id, base64url.
    pub credential: String,
    /// The authenticator data, base64url.
    pub authenticator_data: String,
    /// The client data, base64url.
    pub client_data: String,
    /// The signature, base64url.
    pub signature: String,
    /// The user handle, base64url, where the authenticator gave one.
    #[serde(default)]
    pub user_handle: Option<String>,
}

/// A statement and the signature over it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The statement's bytes, base64.
    pub payload: String,
    /// The signature.
    pub assertion: Assertion,
}

/// What a browser is asked to make a passkey from.
#[derive(Debug, Clone, Serialize)]
pub struct ToCreate {
    /// The challenge, base64url.
    pub challenge: String,
    /// The relying party.
    pub rp_id: String,
    /// The user handle, base64url.
    pub user: String,
    /// The handle.
    pub name: String,
    /// The name as others read it.
    pub display: String,
    /// The credential ids that the person has already, base64url.
    pub exclude: Vec<String>,
    /// The COSE algorithms that are accepted, best first.
    pub algorithms: Vec<i64>,
}

/// A new passkey.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Created {
    /// The code that the terminal shows.
    pub code: String,
    /// The client data, base64url.
    pub client_data: String,
    /// The attestation object, base64url.
    pub attestation: String,
}

/// What became of a new passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Enrolled {
    /// It counts from now on.
    Enrolled,
    /// It counts once another approver has vouched.
    Waiting,
}

/// A login session.
pub struct Opened {
    /// The cookie's value.
    pub cookie: String,
    /// How long the browser keeps it, in seconds.
    pub seconds: u32,
}

/// Why the house says no. The text is for the person who looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is not theirs to do.
    #[error("{0}")]
    Forbidden(String),
    /// It moved meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// What they sent does not fit.
    #[error("{0}")]
    Bad(String),
    /// It cannot be answered now.
    #[error("{0}")]
    Unavailable(String),
}
