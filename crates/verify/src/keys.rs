//! People's keys as the log tells of them: a chain of signatures back to the first approver. It refuses to know the
//! people behind the pseudonyms.

use crate::envelope::{self, Opened};
use crate::finding::{Misfit, What, demand, misfit};
use countersign_core::entry::KeyRecord;
use countersign_core::id::Pseudonym;
use countersign_core::statement::{ENROLMENT_TYPE, Enrolment};
use countersign_ledger::sign::ed25519::GatePublicKey;
use countersign_ledger::sign::sshsig::SshPublicKey;
use countersign_ledger::sign::webauthn::CosePublicKey;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most keys of one log.
pub const KEYS_MAX: usize = 100_000;

/// Every key that was ever enrolled.
pub(crate) struct Keys {
    first_approver: Pseudonym,
    keys: BTreeMap<String, Key>,
    /// The public key of everything in `keys`: no two people, and no two records, share one.
    public: BTreeSet<String>,
}

/// A key, ready to verify with.
pub(crate) struct Key {
    pub record: KeyRecord,
    pub public: Public,
    revoked: bool,
}

pub(crate) enum Public {
    Passkey(CosePublicKey),
    Ssh(SshPublicKey),
}

impl Keys {
    pub(crate) const fn new(first_approver: Pseudonym) -> Self {
        Self { first_approver, keys: BTreeMap::new(), public: BTreeSet::new() }
    }

    /// Takes a key whose envelope, where there is one, somebody else who counts has signed. Gives what they signed.
    pub(crate) fn enrol(
        &mut self,
        record: &KeyRecord,
        envelope: Option<&Value>,
        gate: &GatePublicKey,
    ) -> Result<Option<Enrolment>, Misfit> {
        let limit = format!("at most {KEYS_MAX} keys");
        demand(self.keys.len() < KEYS_MAX, What::Limit, limit, "more")?;
        let key = Key::read(record)?;
        let new = !self.keys.contains_key(&record.id) && !self.public.contains(&record.public_key);
        demand(new, What::Key, "a key that nobody has had before", &record.id)?;
        let word = match envelope {
            Some(value) => Some(self.vouched(record, value, gate)?),
            None => {
                let first = self.keys.is_empty() && record.person == self.first_approver;
                let expected = "the signature of somebody enrolled before, or the first approver's first key";
                demand(first, What::Enrolment, expected, "an enrolment that nobody signed")?;
                None
            }
        };
        self.public.insert(record.public_key.clone());
        self.keys.insert(record.id.clone(), key);
        Ok(word)
    }

    fn vouched(&self, record: &KeyRecord, value: &Value, gate: &GatePublicKey) -> Result<Enrolment, Misfit> {
        let opened: Opened<Enrolment> = envelope::open(value, ENROLMENT_TYPE, "key")?;
        let said = &opened.statement.predicate;
        let sha256 = record
            .sha256()
            .map_err(|error| misfit(What::Key, "a key record with a canonical form", error))?;
        demand(
            opened.subject == sha256,
            What::Enrolment,
            format!("the key record {sha256}"),
            &opened.subject,
        )?;
        let same = said.person == record.person && said.key_id == record.id;
        demand(same, What::Enrolment, "the record's person and key", &said.key_id)?;
        demand(
            said.enrolled_by.person != record.person,
            What::Enrolment,
            "the word of another person",
            format_args!("{}, whose own key it is", record.person),
        )?;
        let voucher = self.key(&said.enrolled_by.key_id, &said.enrolled_by.person)?;
        opened.signed_by(voucher)?;
        opened.countersigned_by(gate)?;
        Ok(opened.statement.predicate)
    }

    pub(crate) fn revoke(&mut self, id: &str) -> Result<(), Misfit> {
        match self.keys.get_mut(id) {
            Some(key) if !key.revoked => {
                key.revoked = true;
                Ok(())
            }
            Some(_) => {
                Err(misfit(What::Revocation, "a key that still counts", format_args!("{id}, revoked")))
            }
            None => Err(misfit(What::Revocation, "a key that is enrolled", id)),
        }
    }

    /// The key of that person, if it counts now.
    pub(crate) fn key(&self, id: &str, person: &Pseudonym) -> Result<&Key, Misfit> {
        let found = self.keys.get(id);
        let key = found.ok_or_else(|| misfit(What::Key, "a key that is enrolled", id))?;
        demand(!key.revoked, What::Key, "a key that still counts", format_args!("{id}, revoked"))?;
        let expected = format!("a key of {person}");
        demand(key.record.person == *person, What::Key, expected, format_args!("{id}"))?;
        Ok(key)
    }

    /// People, keys, and keys that are revoked.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let people: BTreeSet<_> = self.keys.values().map(|key| &key.record.person).collect();
        let revoked = self.keys.values().filter(|key| key.revoked).count();
        (people.len(), self.keys.len(), revoked)
    }
}

impl Key {
    /// Reads a record, and insists on the one way of writing the key: else one key could stand under two people.
    fn read(record: &KeyRecord) -> Result<Self, Misfit> {
        let (public, text) = if record.id.starts_with("webauthn:") {
            let key: CosePublicKey = record
                .public_key
                .parse()
                .map_err(|error| misfit(What::Key, "the public key of a passkey", error))?;
            let has_page = !record.rp_id.is_empty() && !record.origin.is_empty();
            demand(has_page, What::Key, "the page that the passkey belongs to", "none")?;
            let text = key.to_string();
            (Public::Passkey(key), text)
        } else {
            let key: SshPublicKey = record
                .public_key
                .parse()
                .map_err(|error| misfit(What::Key, "an OpenSSH public key", error))?;
            let id = format!("ssh:{}", key.fingerprint());
            demand(record.id == id, What::Key, format!("the key id `{id}`"), &record.id)?;
            let text = key.to_string();
            (Public::Ssh(key), text)
        };
        demand(text == record.public_key, What::Key, format!("the key as `{text}`"), &record.public_key)?;
        Ok(Self { record: record.clone(), public, revoked: false })
    }
}
