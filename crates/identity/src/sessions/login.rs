//! A login: a passkey's assertion over a challenge of ours. Refuses to know the session that comes of it.

use super::challenge::{Challenge, ChallengeError, Challenges, Purpose};
use crate::Authenticated;
use crate::envelope::{Assertion, SignatureError, WebauthnExpect, check_page, passkey_id};
use crate::keys::{KeyRing, KeyStateError, PublicKey};
use crate::people::People;
use crate::review::Reviewer;
use countersign_core::id::Pseudonym;
use countersign_core::requirement::Assurance;
use countersign_core::time::Timestamp;
use countersign_ledger::sign::webauthn::{self, Expect, WebauthnError};

/// Why a login is refused: for the operator. The person is told to try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The challenge.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyStateError),
    /// The page.
    #[error(transparent)]
    Page(#[from] SignatureError),
    /// The signature.
    #[error(transparent)]
    Passkey(#[from] WebauthnError),
    /// Not a passkey.
    #[error("the key `{0}` is no passkey: log in with one")]
    NotAPasskey(String),
    /// Not a person of the configuration.
    #[error("`{0}` is not a person of the configuration: only people log in")]
    NotAPerson(Pseudonym),
}

/// Checks a login, and uses its challenge up.
///
/// # Errors
/// Anything that is not as expected; then nobody logged in.
pub fn authenticate_login(
    assertion: &Assertion,
    challenge: &Challenge,
    challenges: &mut Challenges,
    keys: &KeyRing,
    people: &People,
    page: &WebauthnExpect,
    now: Timestamp,
) -> Result<Authenticated<Reviewer>, LoginError> {
    challenges.check(&Purpose::Login, challenge, now)?;
    let key = keys.key(&passkey_id(&assertion.credential_id))?;
    let PublicKey::Passkey(public) = key.public() else {
        return Err(LoginError::NotAPasskey(key.record().id.clone()));
    };
    let person = people.by_pseudonym(key.person());
    let person = person.ok_or_else(|| LoginError::NotAPerson(key.person().clone()))?;
    check_page(key, page)?;
    let expect = Expect { rp_id: &page.rp_id, origin: &page.origin, challenge: challenge.bytes() };
    let Assertion { authenticator_data, client_data_json, signature, .. } = assertion;
    webauthn::assertion(public, authenticator_data, client_data_json, signature, &expect)?;
    challenges.spend(&Purpose::Login, challenge, now)?;
    Ok(Authenticated::new(Reviewer::new(person, &key.record().id, Assurance::Passkey)))
}
