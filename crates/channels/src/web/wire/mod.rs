//! The house as it is: the desk and identity behind the pages. Turns bytes of browsers into what identity checks,
//! and what the desk says into plain data. Refuses to decide anything.

mod bytes;
mod keys;
mod login;
mod requests;

use crate::hall::*;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use countersign_core::digest::sha256;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::Choice;
use countersign_core::time::Timestamp;
use countersign_desk::Desk;
use countersign_identity::enrol::Invite;
use countersign_identity::envelope::WebauthnExpect;
use countersign_identity::sessions::{Challenges, Sessions};
use std::future::Future;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;

/// Where invitations are kept: the command that writes one is another process.
pub trait Invites: Send + Sync + 'static {
    /// All that are kept.
    ///
    /// # Errors
    /// They cannot be read.
    fn all(&self) -> Result<Vec<Invite>, String>;
    /// Keeps an invitation as it is now, before anybody is answered.
    ///
    /// # Errors
    /// It cannot be kept; then the answer is no.
    fn keep(&self, invite: &Invite) -> Result<(), String>;
}

/// What a house is made of.
pub struct Parts {
    /// The desk.
    pub desk: Desk,
    /// The relying party and the origin that passkeys are for.
    pub page: WebauthnExpect,
    /// The invitations.
    pub invites: Arc<dyn Invites>,
    /// SHA-256 of each token of a reader of the log.
    pub readers: Vec<[u8; 32]>,
    /// The key that verifies checkpoints, in the note format.
    pub verifier: String,
}

/// The desk and identity, as the pages see them.
pub struct House {
    desk: Desk,
    page: WebauthnExpect,
    invites: Arc<dyn Invites>,
    readers: Vec<[u8; 32]>,
    verifier: String,
    challenges: Mutex<Challenges>,
    sessions: Mutex<Sessions>,
    // One invitation is tried at a time, so that tries are counted.
    trying: tokio::sync::Mutex<()>,
    news: broadcast::Sender<Option<Moved>>,
}

/// How far a page may fall behind before its stream ends and it asks again.
const NEWS_MAX: usize = 256;

impl House {
    /// The house of these parts.
    ///
    /// # Errors
    /// No randomness can be drawn.
    pub fn new(parts: Parts) -> Result<Self, Trouble> {
        let Parts { desk, page, invites, readers, verifier } = parts;
        let house = Self {
            challenges: Mutex::new(Challenges::new(&bytes::random()?)),
            sessions: Mutex::new(Sessions::default()),
            trying: tokio::sync::Mutex::new(()),
            news: broadcast::channel(NEWS_MAX).0,
            desk,
            page,
            invites,
            readers,
            verifier,
        };
        house.tell_news();
        Ok(house)
    }

    /// The origin that the pages are served at.
    pub fn origin(&self) -> &str {
        &self.page.origin
    }

    // The desk's changes as news for pages. It ends with the desk.
    fn tell_news(&self) {
        let mut changes = self.desk.changes();
        let news = self.news.clone();
        tokio::spawn(async move {
            loop {
                match changes.recv().await {
                    Ok(changed) => {
                        let moved = Moved { id: changed.id, state: changed.state.to_owned() };
                        // Nobody listens: nobody needs to hear.
                        let _ = news.send(Some(moved));
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        let _ = news.send(None);
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    fn display(&self, person: &countersign_core::id::Pseudonym) -> Option<String> {
        self.desk.people().by_pseudonym(person).map(|p| p.display.clone())
    }
}

impl Hall for House {
    fn viewer(&self, session: &str, now: Timestamp) -> Option<Viewer> {
        self.visit(session, now)
    }
    fn prepare_login(&self, now: Timestamp) -> Result<ToSign, Trouble> {
        self.challenge_login(now)
    }
    fn login(&self, assertion: &Assertion, now: Timestamp) -> Result<Opened, Trouble> {
        self.open_session(assertion, now)
    }
    fn logout(&self, session: &str) {
        if let Ok(mut sessions) = self.sessions.lock() {
            sessions.close(session);
        }
    }

    fn queue(&self, viewer: &Viewer) -> Result<Vec<Listed>, Trouble> {
        Ok(self.waiting(viewer))
    }
    fn history(&self, viewer: &Viewer, search: &Search) -> Result<Vec<Listed>, Trouble> {
        self.search(viewer, search)
    }
    fn dossier(&self, viewer: &Viewer, id: &RequestId) -> Result<Option<Dossier>, Trouble> {
        self.everything(viewer, id)
    }
    fn log(&self) -> Result<LogState, Trouble> {
        self.log_state()
    }
    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let store = self.desk.store();
        if path == "checkpoint" {
            // A reader sees everything that was recorded until they asked.
            let fresh = store.checkpoint().await;
            fresh.map_err(|error| Trouble::Unavailable(error.to_string()))?;
        }
        Ok(store.log_file(path))
    }
    fn is_log_reader(&self, token: &str) -> bool {
        let token = sha256(token.as_bytes());
        self.readers.iter().any(|known| verify_slices_are_equal(known, &token).is_ok())
    }
    fn people(&self) -> Result<Vec<Person>, Trouble> {
        self.everybody()
    }
    fn events(&self) -> broadcast::Receiver<Option<Moved>> {
        self.news.subscribe()
    }

    fn prepare_review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        choice: Choice,
        justification: &str,
        _now: Timestamp,
    ) -> impl Future<Output = Result<ToSign, Trouble>> + Send {
        self.statement_of(viewer, id, choice, justification)
    }
    fn review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        signed: &Signed,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Trouble>> + Send {
        self.take_review(viewer, id, signed, now)
    }

    fn invitation(&self, link: &str, now: Timestamp) -> Option<Invitation> {
        self.invited(link, now)
    }
    fn prepare_enrolment(&self, link: &str, now: Timestamp) -> Result<ToCreate, Trouble> {
        self.challenge_enrolment(link, now)
    }
    fn enrol(
        &self,
        link: &str,
        created: &Created,
        now: Timestamp,
    ) -> impl Future<Output = Result<Enrolled, Trouble>> + Send {
        self.take_key(link, created, now)
    }
    fn proposed(&self) -> Result<Vec<Proposed>, Trouble> {
        Ok(self.waiting_keys())
    }
    fn prepare_vouch(
        &self,
        viewer: &Viewer,
        key_id: &str,
        _now: Timestamp,
    ) -> impl Future<Output = Result<ToSign, Trouble>> + Send {
        self.statement_for(viewer, key_id)
    }
    fn vouch(
        &self,
        viewer: &Viewer,
        key_id: &str,
        signed: &Signed,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Trouble>> + Send {
        self.take_vouch(viewer, key_id, signed, now)
    }
}
