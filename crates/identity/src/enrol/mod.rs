//! How a person gets a key: a single-use invitation, proof that they hold the key, and somebody's word for them.
//! Refuses to know how an invitation travels and where the log is.

mod invite;
mod key;
mod vouch;

pub use invite::{CODE_ATTEMPTS_MAX, INVITE_SECONDS, Invite, InviteError, InviteRandom, InviteSecrets};
pub use key::{
    NewKey, RegistrationError, SSH_ENROL_NAMESPACE, authenticate_registration, authenticate_ssh_key,
    ssh_key_challenge,
};
pub use vouch::{EnrolmentAuthError, SignedEnrolment, authenticate_enrolment, enrolment_statement};
