//! The people, as the configuration names them. One person is one pseudonym, whatever their names and accounts.
//! Refuses to know their keys and what they may do.

use aws_lc_rs::hmac;
use countersign_core::id::{GroupName, ID_BYTES, PersonName, Pseudonym};
use countersign_core::principal::Principal;
use std::collections::{BTreeMap, BTreeSet};

/// The most people in a directory.
pub const PEOPLE_MAX: usize = 100_000;
/// The most accounts linked to one entry.
pub const ACCOUNTS_MAX: usize = 64;
/// The longest account or display name.
pub const ACCOUNT_BYTES_MAX: usize = 256;

/// The key under which names become pseudonyms. Whoever has it can link the log to people.
pub struct PseudonymKey(hmac::Key);

/// A person as the configuration writes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonEntry {
    /// The handle.
    pub name: PersonName,
    /// The name that people read.
    pub display: String,
    /// The groups.
    pub groups: BTreeSet<GroupName>,
    /// Linked accounts: e-mail addresses, chat ids, names at code hosts.
    pub accounts: BTreeSet<String>,
    /// This entry is another name of that person.
    pub same_as: Option<PersonName>,
}

/// A person: all entries that are the same human, as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The handle.
    pub name: PersonName,
    /// The name that people read.
    pub display: String,
    /// The groups of all entries.
    pub groups: BTreeSet<GroupName>,
    /// The accounts and other names of all entries, in lower case.
    pub accounts: BTreeSet<String>,
    /// What the log knows.
    pub pseudonym: Pseudonym,
}

/// Everybody who may act as a human here.
#[derive(Debug, Clone, Default)]
pub struct People {
    people: BTreeMap<PersonName, Person>,
    /// Invariant: every name and account of everybody, in lower case, each leading to exactly one person.
    known_as: BTreeMap<String, PersonName>,
    pseudonyms: BTreeMap<Pseudonym, PersonName>,
}

/// Why a list of people is not a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// Too many.
    #[error("expected at most {PEOPLE_MAX} people, found {0}")]
    TooMany(usize),
    /// Two entries share a name or an account.
    #[error(
        "`{first}` and `{second}` share `{shared}`, so they are one person: write `same_as` in one of them, or take it from one"
    )]
    Shared {
        /// The one.
        first: PersonName,
        /// The other.
        second: PersonName,
        /// The account or name that both have.
        shared: String,
    },
    /// `same_as` leads nowhere, or to another `same_as`.
    #[error("`{name}` is the same as `{same_as}`, which is not a person of its own: name the person itself")]
    SameAs {
        /// The entry.
        name: PersonName,
        /// Where it points.
        same_as: PersonName,
    },
    /// An account that cannot be one.
    #[error(
        "expected accounts of 1 to {ACCOUNT_BYTES_MAX} bytes without control characters, at most {ACCOUNTS_MAX}, found others at `{0}`"
    )]
    Account(PersonName),
    /// Two people would have one pseudonym.
    #[error("`{0}` and `{1}` have the same pseudonym: choose another handle for one of them")]
    Collision(PersonName, PersonName),
}

/// A person who is named in a chain and is not in the directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a person of the configuration")]
pub struct UnknownPerson(pub PersonName);

impl PseudonymKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    fn pseudonym(&self, name: &PersonName) -> Pseudonym {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"person\0");
        context.update(name.as_str().as_bytes());
        let mut bytes = [0; ID_BYTES];
        for (slot, byte) in bytes.iter_mut().zip(context.sign().as_ref()) {
            *slot = *byte;
        }
        Pseudonym::from_bytes(bytes)
    }
}

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl People {
    /// Builds the directory.
    ///
    /// # Errors
    /// Two entries that share a name or an account without saying that they are one person, and the like: whoever
    /// has two entries could clear their own requests.
    pub fn load(entries: Vec<PersonEntry>, key: &PseudonymKey) -> Result<Self, PeopleError> {
        if entries.len() > PEOPLE_MAX {
            return Err(PeopleError::TooMany(entries.len()));
        }
        let mut directory = Self::default();
        let (aliases, own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.same_as.is_some());
        for entry in own {
            directory.add(entry, key)?;
        }
        for entry in aliases {
            directory.merge(entry)?;
        }
        Ok(directory)
    }

    fn add(&mut self, entry: PersonEntry, key: &PseudonymKey) -> Result<(), PeopleError> {
        let known_as = self.claim_names(&entry, &entry.name)?;
        let pseudonym = key.pseudonym(&entry.name);
        if let Some(other) = self.pseudonyms.insert(pseudonym.clone(), entry.name.clone()) {
            return Err(PeopleError::Collision(other, entry.name));
        }
        let PersonEntry { name, display, groups, .. } = entry;
        let person = Person { name: name.clone(), display, groups, accounts: known_as, pseudonym };
        self.people.insert(name, person);
        Ok(())
    }

    fn merge(&mut self, entry: PersonEntry) -> Result<(), PeopleError> {
        let Some(same_as) = entry.same_as.clone().filter(|name| self.people.contains_key(name)) else {
            let same_as = entry.same_as.unwrap_or_else(|| entry.name.clone());
            return Err(PeopleError::SameAs { name: entry.name, same_as });
        };
        let known_as = self.claim_names(&entry, &same_as)?;
        if let Some(person) = self.people.get_mut(&same_as) {
            person.groups.extend(entry.groups);
            person.accounts.extend(known_as);
        }
        Ok(())
    }

    // Names and accounts are one space, compared without case: `Ada`, `ada` and the account `ADA` are one person.
    fn claim_names(
        &mut self,
        entry: &PersonEntry,
        person: &PersonName,
    ) -> Result<BTreeSet<String>, PeopleError> {
        let bad = |text: &str| {
            text.trim().is_empty() || text.len() > ACCOUNT_BYTES_MAX || text.contains(char::is_control)
        };
        if entry.accounts.len() > ACCOUNTS_MAX || entry.accounts.iter().any(|account| bad(account)) {
            return Err(PeopleError::Account(entry.name.clone()));
        }
        let accounts = entry.accounts.iter().map(|account| fold(account));
        let known_as: BTreeSet<String> = accounts.chain([fold(entry.name.as_str())]).collect();
        for text in &known_as {
            match self.known_as.insert(text.clone(), person.clone()) {
                Some(other) if other != *person || entry.same_as.is_none() => {
                    let (first, second) = (other, entry.name.clone());
                    return Err(PeopleError::Shared { first, second, shared: text.clone() });
                }
                _ => {}
            }
        }
        Ok(known_as)
    }

    /// The person of that name; an alias leads to the person it is.
    pub fn person(&self, name: &PersonName) -> Option<&Person> {
        self.by_account(name.as_str())
    }

    /// The person who has that linked account or name.
    pub fn by_account(&self, account: &str) -> Option<&Person> {
        self.known_as.get(&fold(account)).and_then(|name| self.people.get(name))
    }

    /// The person behind a pseudonym.
    pub fn by_pseudonym(&self, pseudonym: &Pseudonym) -> Option<&Person> {
        self.pseudonyms.get(pseudonym).and_then(|name| self.people.get(name))
    }

    /// The pseudonyms of everybody in a principal's chain: none of them may review its requests.
    ///
    /// # Errors
    /// Somebody in the chain is unknown; nothing may be held for that principal, since nobody could say who is
    /// not in its chain.
    pub fn chain(&self, principal: &Principal) -> Result<BTreeSet<Pseudonym>, UnknownPerson> {
        let resolve = |name: &&PersonName| {
            self.person(name).map(|p| p.pseudonym.clone()).ok_or_else(|| UnknownPerson((*name).clone()))
        };
        principal.people().iter().map(resolve).collect()
    }

    /// Everybody, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }
}

fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests;
