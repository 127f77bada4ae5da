//! Logins on the web: a challenge, a passkey, a session. Refuses to know cookies, pages and where a session is shown.
//!
//! A session lets a person read; what is decided is signed.

mod challenge;
mod login;
mod store;

pub use challenge::{
    CHALLENGE_SECONDS, CHALLENGES_SPENT_MAX, Challenge, ChallengeError, Challenges, Purpose,
};
pub use login::{LoginError, authenticate_login};
pub use store::{
    SESSION_IDLE_SECONDS, SESSION_SECONDS_MAX, SESSIONS_MAX, SESSIONS_PER_PERSON_MAX, SessionError,
    SessionRandom, Sessions, Visit, WebSession, authenticate_session,
};
