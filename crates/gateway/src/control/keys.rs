//! People's SSH keys over the control socket: enrolled by invitation with proof of possession, vouched for by somebody
//! who has a key already.

use super::api::{ByLink, Challenged, NewSshKey, Stands, ToSign, Vouched, Vouching, WaitingKey};
use super::server::{Answer, Control, Refused};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_channels::web::wire::Invites;
use countersign_core::digest::Base64;
use countersign_core::time::Timestamp;
use countersign_desk::{EnrolError, Enrolled};
use countersign_identity::enrol::{Invite, authenticate_enrolment, authenticate_ssh_key};
use countersign_identity::envelope::from_sshsig;
use countersign_identity::people::Person;
use countersign_identity::sessions::{Challenge, Purpose};
use std::sync::Arc;

impl Control {
    fn invited(&self, link: &str, now: Timestamp) -> Result<(Invite, Person), Refused> {
        let gone = || Refused::missing("invitation: it was used, is too old, or never was one");
        let all = self.invites.all().map_err(|error| unavailable(&error))?;
        let invite = all.into_iter().find(|invite| invite.is_opened_by(link)).ok_or_else(gone)?;
        invite.check(link, now).map_err(|error| Refused(StatusCode::FORBIDDEN, error.to_string()))?;
        let person = self.desk.people().person(&invite.person).cloned().ok_or_else(gone)?;
        Ok((invite, person))
    }
}

/// What the invited person's new key is to sign.
pub async fn challenge(State(control): State<Arc<Control>>, Json(by): Json<ByLink>) -> Answer<Challenged> {
    let now = control.desk.clock().read();
    let (invite, person) = control.invited(&by.link, now)?;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| unavailable(&"no randomness can be drawn"))?;
    let challenges = control.challenges.lock().map_err(|error| unavailable(&error))?;
    let challenge = challenges.issue(&Purpose::Enrolment(invite.id), random, now);
    Ok(Json(Challenged { name: person.name, person: person.pseudonym, challenge: challenge.to_string() }))
}

/// Takes the new key.
pub async fn enrol(State(control): State<Arc<Control>>, Json(new): Json<NewSshKey>) -> Answer<Stands> {
    let _one_at_a_time = control.trying.lock().await;
    let now = control.desk.clock().read();
    let (mut invite, person) = control.invited(&new.link, now)?;
    let challenge = Challenge::parse(&new.challenge).map_err(Refused::bad)?;
    let purpose = Purpose::Enrolment(invite.id.clone());
    control
        .challenges
        .lock()
        .map_err(|error| unavailable(&error))?
        .spend(&purpose, &challenge, now)
        .map_err(Refused::bad)?;
    let key = authenticate_ssh_key(&new.public_key, &new.signature, &person.pseudonym, challenge.bytes())
        .map_err(Refused::bad)?;
    // The try is kept before it is answered: a code cannot be guessed without end.
    let accepted = invite.accept(&new.link, &new.code, now);
    control.invites.keep(&invite).map_err(|error| unavailable(&error))?;
    accepted.map_err(|error| Refused(StatusCode::FORBIDDEN, error.to_string()))?;
    let state = match control.desk.enrol(key).await.map_err(refused)? {
        Enrolled::Counts => "enrolled",
        Enrolled::Waits => "waiting",
    };
    Ok(Json(Stands { state: state.to_owned() }))
}

/// The keys that wait for somebody who vouches.
pub async fn waiting(State(control): State<Arc<Control>>) -> Answer<Vec<WaitingKey>> {
    let people = control.desk.people();
    let keys = control.desk.proposed_keys().into_iter().map(|key| WaitingKey {
        display: people
            .by_pseudonym(&key.record.person)
            .map_or_else(|| key.record.person.to_string(), |p| p.display.clone()),
        id: key.record.id,
        at: key.at,
    });
    Ok(Json(keys.collect()))
}

/// The statement with which somebody vouches.
pub async fn prepare(State(control): State<Arc<Control>>, Json(vouching): Json<Vouching>) -> Answer<ToSign> {
    let person = control.desk.people().person(&vouching.person).ok_or_else(|| Refused::missing("person"))?;
    let prepared = control
        .desk
        .prepare_enrolment(&person.pseudonym, &vouching.key_id, &vouching.key)
        .await
        .map_err(refused)?;
    Ok(Json(ToSign { payload: Base64(prepared.payload) }))
}

/// Takes their signature.
pub async fn vouch(State(control): State<Arc<Control>>, Json(vouched): Json<Vouched>) -> Answer<Stands> {
    let (desk, now) = (&control.desk, control.desk.clock().read());
    let waits = desk.proposed_keys().into_iter().find(|key| key.record.id == vouched.key);
    let record = waits.ok_or_else(|| Refused::missing("key that waits"))?.record;
    let envelope = from_sshsig(vouched.payload.0, &vouched.signature).map_err(Refused::bad)?;
    let checked = desk
        .with_keys(|keys| authenticate_enrolment(envelope, &record, keys, desk.people(), &control.page, now))
        .map_err(|error| unavailable(&error))?;
    desk.vouch(checked.map_err(Refused::bad)?).await.map_err(refused)?;
    Ok(Json(Stands { state: "enrolled".to_owned() }))
}

fn unavailable(error: &dyn std::fmt::Display) -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn refused(error: EnrolError) -> Refused {
    let status = match error {
        EnrolError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    Refused(status, error.to_string())
}
