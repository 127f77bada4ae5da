//! Who is asking and who is approving: agents' tokens, keys and certificates, people and their keys, signed reviews, enrolments, logins.
//!
//! Hostile bytes come in, [`Authenticated`] values go out, made nowhere else. Refuses to know policies, requests'
//! states, files, sockets, clocks and randomness: time, keys and random bytes come in as values.

pub mod agent_keys;
pub mod agents;
mod authenticated;
pub mod certificates;
pub mod credential;
pub mod enrol;
pub mod envelope;
pub mod keys;
pub mod people;
pub mod review;
pub mod sessions;
mod statement;
pub mod tokens;

pub use authenticated::Authenticated;
