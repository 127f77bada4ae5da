//! People's keys: invitations, new passkeys, and those who vouch.

use super::login::closed;
use super::{House, bytes};
use crate::hall::{
    Created, Enrolled, Invitation, Person, Proposed, Signed, ToCreate, ToSign, Trouble, Viewer,
};
use countersign_core::time::Timestamp;
use countersign_desk::EnrolError;
use countersign_identity::enrol::{Invite, authenticate_enrolment, authenticate_registration};
use countersign_identity::envelope::from_assertion;
use countersign_identity::people;
use countersign_identity::sessions::{Challenge, Purpose};

/// The longest link that is looked up.
const LINK_BYTES_MAX: usize = 128;
/// ES256, EdDSA, RS256 (COSE algorithm numbers): what the verifier reads.
const ALGORITHMS: [i64; 3] = [-7, -8, -257];

impl House {
    pub(super) fn everybody(&self) -> Result<Vec<Person>, Trouble> {
        let describe = |person: &people::Person| {
            let keys = self
                .desk
                .with_keys(|ring| ring.keys_of(&person.pseudonym).map(|key| key.record().clone()).collect());
            Ok(Person {
                name: person.name.clone(),
                display: person.display.clone(),
                person: person.pseudonym.clone(),
                groups: person.groups.clone(),
                keys: keys.map_err(|_| closed())?,
            })
        };
        self.desk.people().iter().map(describe).collect()
    }

    // The invitation of a link that is good now, and the person it is for.
    fn find(&self, link: &str, now: Timestamp) -> Result<(Invite, people::Person), Trouble> {
        let gone =
            || Trouble::NotFound("invitation: it was used, is too old, or never was one; ask for a new one");
        if link.is_empty() || link.len() > LINK_BYTES_MAX {
            return Err(gone());
        }
        let all = self.invites.all().map_err(|error| {
            tracing::error!(%error, "invitations cannot be read");
            closed()
        })?;
        let invite = all.into_iter().find(|invite| invite.is_opened_by(link)).ok_or_else(gone)?;
        invite.check(link, now).map_err(|error| Trouble::Forbidden(error.to_string()))?;
        let person = self.desk.people().person(&invite.person).cloned().ok_or_else(gone)?;
        Ok((invite, person))
    }

    pub(super) fn invited(&self, link: &str, now: Timestamp) -> Option<Invitation> {
        let (invite, person) = self.find(link, now).ok()?;
        let first = match self.desk.store().genesis() {
            Some(countersign_core::entry::Entry::Genesis { first_approver, .. }) => {
                let nobody = self.desk.with_keys(|ring| ring.keys_of(&first_approver).next().is_none());
                first_approver == person.pseudonym && nobody.unwrap_or(false)
            }
            _ => false,
        };
        Some(Invitation { display: person.display, groups: person.groups, until: invite.expires_at, first })
    }

    pub(super) fn challenge_enrolment(&self, link: &str, now: Timestamp) -> Result<ToCreate, Trouble> {
        let (invite, person) = self.find(link, now)?;
        let random = bytes::random()?;
        let challenges = self.challenges.lock().map_err(|_| closed())?;
        let challenge = challenges.issue(&Purpose::Enrolment(invite.id), random, now);
        let known = self.desk.with_keys(|ring| {
            let passkey = |id: &str| id.strip_prefix("webauthn:").map(str::to_owned);
            ring.keys_of(&person.pseudonym).filter_map(|key| passkey(&key.record().id)).collect()
        });
        Ok(ToCreate {
            challenge: challenge.to_string(),
            rp_id: self.page.rp_id.clone(),
            user: bytes::to_url(person.pseudonym.as_str().as_bytes()),
            name: person.name.to_string(),
            display: person.display,
            exclude: known.map_err(|_| closed())?,
            algorithms: ALGORITHMS.to_vec(),
        })
    }

    pub(super) async fn take_key(
        &self,
        link: &str,
        created: &Created,
        now: Timestamp,
    ) -> Result<Enrolled, Trouble> {
        let _one_at_a_time = self.trying.lock().await;
        let (mut invite, person) = self.find(link, now)?;
        let client_data = bytes::url(&created.client_data)?;
        let attestation = bytes::url(&created.attestation)?;
        let challenge = Challenge::parse(&bytes::answered(&client_data)?);
        let challenge = challenge.map_err(|e| Trouble::Bad(e.to_string()))?;
        let purpose = Purpose::Enrolment(invite.id.clone());
        let bad =
            |error: &dyn std::fmt::Display| Trouble::Bad(format!("the passkey does not count: {error}"));
        let spend = |now| {
            self.challenges.lock().map_err(|_| closed()).map(|mut c| c.spend(&purpose, &challenge, now))
        };
        spend(now)?.map_err(|e| bad(&e))?;
        let key = authenticate_registration(
            &attestation,
            &client_data,
            &person.pseudonym,
            &self.page,
            challenge.bytes(),
        )
        .map_err(|e| bad(&e))?;
        // The try is kept before it is answered: a code cannot be guessed without end.
        let accepted = invite.accept(link, &created.code, now);
        self.invites.keep(&invite).map_err(|error| {
            tracing::error!(%error, "an invitation cannot be kept");
            closed()
        })?;
        accepted.map_err(|e| Trouble::Forbidden(e.to_string()))?;
        match self.desk.enrol(key).await.map_err(refused)? {
            countersign_desk::Enrolled::Counts => Ok(Enrolled::Enrolled),
            countersign_desk::Enrolled::Waits => Ok(Enrolled::Waiting),
        }
    }

    pub(super) fn waiting_keys(&self) -> Vec<Proposed> {
        let name = |p: &countersign_core::id::Pseudonym| self.display(p).unwrap_or_else(|| p.to_string());
        let keys = self.desk.proposed_keys().into_iter();
        keys.map(|key| Proposed {
            display: name(&key.record.person),
            key_id: key.record.id,
            person: key.record.person,
            at: key.at,
        })
        .collect()
    }

    pub(super) async fn statement_for(&self, viewer: &Viewer, key_id: &str) -> Result<ToSign, Trouble> {
        let own = Self::key_of(viewer)?;
        let prepared = self.desk.prepare_enrolment(&viewer.person, &own, key_id).await.map_err(refused)?;
        Ok(ToSign {
            payload: bytes::to_plain(&prepared.payload),
            challenge: bytes::challenge(&prepared.pae),
            allow: viewer.passkeys.clone(),
            rp_id: self.page.rp_id.clone(),
        })
    }

    pub(super) async fn take_vouch(
        &self,
        viewer: &Viewer,
        key_id: &str,
        signed: &Signed,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let bad =
            |error: &dyn std::fmt::Display| Trouble::Bad(format!("the signature does not count: {error}"));
        let waits = self.desk.proposed_keys().into_iter().find(|key| key.record.id == key_id);
        let record = waits.ok_or(Trouble::NotFound("key that waits"))?.record;
        let assertion = bytes::assertion(&signed.assertion)?;
        let envelope =
            from_assertion(bytes::plain(&signed.payload)?, assertion, &self.page).map_err(|e| bad(&e))?;
        let people = self.desk.people();
        let checked = self
            .desk
            .with_keys(|keys| authenticate_enrolment(envelope, &record, keys, people, &self.page, now));
        let enrolment = checked.map_err(|_| closed())?.map_err(|e| bad(&e))?;
        if enrolment.get().voucher.person != viewer.person {
            return Err(bad(&"it is by another person"));
        }
        self.desk.vouch(enrolment).await.map_err(refused)
    }
}

fn refused(error: EnrolError) -> Trouble {
    let words = error.to_string();
    match error {
        EnrolError::Refused(_) => Trouble::Unavailable(words),
        _ => Trouble::Conflict(words),
    }
}
