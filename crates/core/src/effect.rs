//! What decides an action's effect, gathered before anything is judged. Two actions with the same effect digest
//! would do the same thing; a repeated action is found again by it.

use crate::canonical::CanonicalError;
use crate::digest::{Base64, Digest, sha256_parts};
use crate::id::{AgentName, PersonName, TargetName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that decides what an action does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The gate that forwards it: `postgres`.
    pub gate: String,
    /// Who asks: stable across connections and tokens.
    pub agent: AgentName,
    /// The person it acts for, where there is one.
    pub acts_for: Option<PersonName>,
    /// The target.
    pub target: TargetName,
    /// The database.
    pub database: String,
    /// The role at the server.
    pub role: String,
    /// Session settings that change what a statement means (`search_path`, `countersign.reveal` …).
    pub settings: BTreeMap<String, String>,
    /// The client's exact bytes.
    pub statement: Base64,
    /// The bind values, as bytes.
    pub params: Vec<Param>,
    /// The result formats that were asked for.
    pub result_formats: Vec<i16>,
    /// The tables, views and functions reached, as the server defines them, by digest of their definitions.
    pub definitions: BTreeMap<String, Digest<str>>,
    /// The version of the code that turns the client's bytes into the server's.
    pub rewriter: u32,
    /// The data of a COPY from the client, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<CopiedData>,
}

/// What is known of the data of a COPY from the client. The data itself stands nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedData {
    /// The digest of all of it.
    pub digest: Digest<[u8]>,
    /// How many bytes.
    pub bytes: u64,
    /// How many lines; of the binary form, how many rows. Never fewer than the rows that the server makes of it.
    pub lines: u64,
}

/// One bind value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// The type's OID, zero where the client left it to the server.
    #[serde(rename = "type")]
    pub type_oid: u32,
    /// 0 text, 1 binary.
    pub format: i16,
    /// The bytes; `None` is SQL's NULL.
    pub value: Option<Base64>,
}

impl Effect {
    /// The effect digest: SHA-256 of the canonical JSON.
    ///
    /// # Errors
    /// The effect has no canonical form.
    pub fn digest(&self) -> Result<Digest<Effect>, CanonicalError> {
        Digest::of_canonical(self)
    }
}

/// The form in which an effect digest may be published: salted, so that nobody can try out statements against it.
pub fn salted(salt: &[u8; 32], effect: &Digest<Effect>) -> Digest<Salted> {
    Digest::from_bytes(sha256_parts(&[b"countersign effect v1\0", salt, effect.bytes()]))
}

/// Marks a digest that is salted.
#[derive(Debug)]
pub struct Salted;
