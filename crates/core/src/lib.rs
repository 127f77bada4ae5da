//! Pure domain words: kinds, digests, the life of a request, tokens.
//!
//! Knows nothing of sockets, files, clocks or randomness: time, salts and ids come in as values.
//! The words are those of `docs/ARCHITECTURE.md`, one meaning each.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod action;
pub mod canonical;
pub mod digest;
pub mod disclosure;
pub mod effect;
pub mod entry;
pub mod id;
pub mod key_path;
pub mod kind;
pub mod label;
pub mod lifecycle;
pub mod mask;
pub mod principal;
pub mod refusal;
pub mod request;
pub mod requirement;
pub mod secret;
pub mod statement;
pub mod time;
pub mod token;
pub mod verdict;
pub mod view;
