//! Logins and sessions.

use super::{House, bytes};
use crate::hall::{Assertion, Opened, ToSign, Trouble, Viewer};
use countersign_core::time::Timestamp;
use countersign_identity::sessions::{
    Challenge, Purpose, SESSION_SECONDS_MAX, SessionRandom, authenticate_login, authenticate_session,
};

const PASSKEY: &str = "webauthn:";

impl House {
    pub(super) fn visit(&self, token: &str, now: Timestamp) -> Option<Viewer> {
        let mut sessions = self.sessions.lock().ok()?;
        let people = self.desk.people();
        let visit =
            self.desk.with_keys(|keys| authenticate_session(token, &mut sessions, keys, people, now)).ok()?;
        let visit = visit.ok()?.into_inner();
        let person = people.by_pseudonym(&visit.reviewer.person)?;
        // The key that opened the session is the one that signs: its id stands in what is signed.
        let passkey = visit.reviewer.key_id.strip_prefix(PASSKEY).map(str::to_owned);
        Some(Viewer {
            name: person.name.clone(),
            display: person.display.clone(),
            person: person.pseudonym.clone(),
            groups: person.groups.clone(),
            passkeys: passkey.into_iter().collect(),
            csrf: visit.csrf.expose().clone(),
        })
    }

    pub(super) fn challenge_login(&self, now: Timestamp) -> Result<ToSign, Trouble> {
        let random = bytes::random()?;
        let challenges = self.challenges.lock().map_err(|_| closed())?;
        let challenge = challenges.issue(&Purpose::Login, random, now);
        Ok(ToSign {
            payload: String::new(),
            challenge: challenge.to_string(),
            allow: Vec::new(),
            rp_id: self.page.rp_id.clone(),
        })
    }

    pub(super) fn open_session(&self, sent: &Assertion, now: Timestamp) -> Result<Opened, Trouble> {
        let assertion = bytes::assertion(sent)?;
        let challenge = bytes::answered(&assertion.client_data_json)?;
        let challenge = Challenge::parse(&challenge).map_err(|e| Trouble::Bad(e.to_string()))?;
        let mut challenges = self.challenges.lock().map_err(|_| closed())?;
        let people = self.desk.people();
        let checked = self.desk.with_keys(|keys| {
            authenticate_login(&assertion, &challenge, &mut challenges, keys, people, &self.page, now)
        });
        let reviewer = checked.map_err(|_| closed())?.map_err(|error| {
            tracing::info!(%error, "a login was refused");
            let why = "this passkey does not open this gate, or the login took too long: try again, or ask for an \
                       invitation";
            Trouble::Forbidden(why.to_owned())
        })?;
        let random = SessionRandom { token: bytes::random()?, csrf: bytes::random()? };
        let mut sessions = self.sessions.lock().map_err(|_| closed())?;
        let token =
            sessions.open(&reviewer, &random, now).map_err(|e| Trouble::Unavailable(e.to_string()))?;
        Ok(Opened { cookie: token.expose().clone(), seconds: SESSION_SECONDS_MAX.0 })
    }

    /// The key id of the passkey that this person signs with.
    pub(super) fn key_of(viewer: &Viewer) -> Result<String, Trouble> {
        let none = || Trouble::Forbidden("you have no passkey for this address".to_owned());
        viewer.passkeys.first().map(|id| format!("{PASSKEY}{id}")).ok_or_else(none)
    }
}

pub(super) fn closed() -> Trouble {
    Trouble::Unavailable("the gate cannot answer: try again later".to_owned())
}
