//! Login sessions in memory: after a restart people log in again. Refuses to keep a session whose key was revoked or
//! whose person is gone.

use crate::Authenticated;
use crate::keys::{KeyRing, KeyStateError};
use crate::people::People;
use crate::review::Reviewer;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::digest::sha256;
use countersign_core::id::Pseudonym;
use countersign_core::requirement::Assurance;
use countersign_core::secret::Secret;
use countersign_core::time::{Seconds, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A session that nobody uses for so long is over.
pub const SESSION_IDLE_SECONDS: Seconds = Seconds(8 * 60 * 60);
/// A session is over after so long, used or not.
pub const SESSION_SECONDS_MAX: Seconds = Seconds(24 * 60 * 60);
/// The most sessions at a time.
pub const SESSIONS_MAX: usize = 50_000;
/// The most sessions of one person; the one that was not used for longest makes room.
pub const SESSIONS_PER_PERSON_MAX: usize = 16;
const CLOCK_BACK_SECONDS_MAX: Seconds = Seconds(60);

/// A login session.
#[derive(Debug)]
pub struct WebSession {
    /// Whose it is.
    pub person: Pseudonym,
    /// The key that opened it.
    pub key_id: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_seen: Timestamp,
    csrf: Arc<Secret<String>>,
}

/// The random bytes that a session is made of.
pub struct SessionRandom {
    /// For the token.
    pub token: [u8; 32],
    /// For the forms.
    pub csrf: [u8; 32],
}

/// A person on a page.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The person; the assurance is that of a session.
    pub reviewer: Reviewer,
    /// What forms must carry.
    pub csrf: Arc<Secret<String>>,
}

/// The sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    /// By SHA-256 of the token: whoever reads the memory of this map has no token.
    sessions: BTreeMap<[u8; 32], WebSession>,
}

/// Why a session does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Unknown or over.
    #[error("the session is unknown or over: log in")]
    Over,
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyStateError),
    /// Its person is gone.
    #[error("`{0}` is not a person of the configuration any more")]
    NotAPerson(Pseudonym),
    /// Too many sessions.
    #[error("expected at most {SESSIONS_MAX} sessions: try again later")]
    Full,
}

impl Sessions {
    /// Opens a session for whoever logged in, and gives its token.
    ///
    /// # Errors
    /// Too many sessions.
    pub fn open(
        &mut self,
        reviewer: &Authenticated<Reviewer>,
        random: &SessionRandom,
        now: Timestamp,
    ) -> Result<Secret<String>, SessionError> {
        let reviewer = reviewer.get();
        self.make_room(&reviewer.person, now)?;
        let token = URL_SAFE_NO_PAD.encode(random.token);
        let session = WebSession {
            person: reviewer.person.clone(),
            key_id: reviewer.key_id.clone(),
            created_at: now,
            last_seen: now,
            csrf: Arc::new(Secret::new(URL_SAFE_NO_PAD.encode(random.csrf))),
        };
        self.sessions.insert(sha256(token.as_bytes()), session);
        Ok(Secret::new(token))
    }

    /// Closes a session (log out).
    pub fn close(&mut self, token: &str) {
        self.sessions.remove(&sha256(token.as_bytes()));
    }

    /// Closes every session of a person.
    pub fn close_person(&mut self, person: &Pseudonym) {
        self.sessions.retain(|_, session| session.person != *person);
    }

    /// How many there are, over or not.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn make_room(&mut self, person: &Pseudonym, now: Timestamp) -> Result<(), SessionError> {
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.retain(|_, session| session.is_alive(now));
        }
        let own = || self.sessions.iter().filter(|(_, session)| session.person == *person);
        if own().count() >= SESSIONS_PER_PERSON_MAX {
            let oldest = own().min_by_key(|(_, session)| session.last_seen).map(|(key, _)| *key);
            oldest.map(|key| self.sessions.remove(&key));
        }
        if self.sessions.len() < SESSIONS_MAX { Ok(()) } else { Err(SessionError::Full) }
    }
}

impl WebSession {
    fn is_alive(&self, now: Timestamp) -> bool {
        // A clock that steps back further than clocks are corrected ends the session: its age is not known then.
        now.plus(CLOCK_BACK_SECONDS_MAX) >= self.created_at
            && now < self.last_seen.plus(SESSION_IDLE_SECONDS)
            && now < self.created_at.plus(SESSION_SECONDS_MAX)
    }
}

impl Visit {
    /// Whether a form carries this session's mark, in constant time.
    pub fn csrf_matches(&self, given: &str) -> bool {
        verify_slices_are_equal(self.csrf.expose().as_bytes(), given.as_bytes()).is_ok()
    }
}

/// Finds the person of a session token, and marks the session as used.
///
/// # Errors
/// The session is unknown or over, its key was revoked, its person is gone. It is closed then.
pub fn authenticate_session(
    token: &str,
    sessions: &mut Sessions,
    keys: &KeyRing,
    people: &People,
    now: Timestamp,
) -> Result<Authenticated<Visit>, SessionError> {
    let id = sha256(token.as_bytes());
    let found = visit(sessions.sessions.get_mut(&id).ok_or(SessionError::Over)?, keys, people, now);
    if found.is_err() {
        sessions.sessions.remove(&id);
    }
    found.map(Authenticated::new)
}

fn visit(
    session: &mut WebSession,
    keys: &KeyRing,
    people: &People,
    now: Timestamp,
) -> Result<Visit, SessionError> {
    if !session.is_alive(now) {
        return Err(SessionError::Over);
    }
    let key = keys.key(&session.key_id)?;
    if *key.person() != session.person {
        return Err(SessionError::Over);
    }
    let person = people.by_pseudonym(&session.person);
    let person = person.ok_or_else(|| SessionError::NotAPerson(session.person.clone()))?;
    session.last_seen = session.last_seen.max(now);
    let reviewer = Reviewer::new(person, &session.key_id, Assurance::Session);
    Ok(Visit { reviewer, csrf: session.csrf.clone() })
}
