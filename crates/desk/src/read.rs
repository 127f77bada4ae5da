//! What pages and commands may look at. Moves nothing.

use crate::Desk;
use countersign_core::digest::Digest;
use countersign_core::effect::Salted;
use countersign_core::id::{GroupName, PersonName, RequestId, TargetName};
use countersign_core::lifecycle::{Record, State};
use countersign_core::view::View;
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use countersign_identity::people::Person;
use countersign_ledger::dsse::Envelope;
use countersign_store::{SignedCheckpoint, Stored};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::sync::broadcast;

/// A request moved.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The request.
    pub id: RequestId,
    /// Where it stands now, in a word.
    pub state: &'static str,
}

/// A request with the view that people sign.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The record.
    pub record: Record,
    /// The view.
    pub view: View,
}

/// The log as it is now.
#[derive(Debug, Clone)]
pub struct LogState {
    /// The newest signed checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl Desk {
    /// Hears of every request that moves.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.shared.changes.subscribe()
    }

    /// All requests that wait for people or for their client, oldest first.
    pub fn pending(&self) -> Vec<Summary> {
        let records = self.shared.store.pending();
        records.into_iter().filter_map(|record| self.summary(record)).collect()
    }

    /// A request with everything that is stored of it.
    pub fn stored(&self, id: &RequestId) -> Option<Stored> {
        self.shared.store.request(id).unwrap_or_else(|error| {
            tracing::error!(%id, %error, "a request cannot be read");
            None
        })
    }

    /// Where a request stands.
    pub fn record_of(&self, id: &RequestId) -> Option<Record> {
        self.shared.store.live(id).or_else(|| self.stored(id).map(|stored| stored.record))
    }

    /// Where a request stands, for the principal that asked it: for every other there is none.
    pub fn own_record(
        &self,
        identity: &Authenticated<AgentIdentity>,
        target: &TargetName,
        id: &RequestId,
    ) -> Option<Record> {
        let record = self.record_of(id)?;
        let principal = &identity.get().principal;
        let people = self.chain(identity).ok()?;
        let pipeline = principal.pipeline.as_ref().map(ToString::to_string);
        let own = record.terms.agent == principal.agent
            && record.terms.target == *target
            && record.terms.people == people
            // Who cannot be compared is another.
            && self.view_of(&record).is_some_and(|view| view.chain.pipeline == pipeline);
        own.then_some(record)
    }

    /// A record with its view. A view that does not have the digest that was signed is not shown.
    pub fn summary(&self, record: Record) -> Option<Summary> {
        let view = self.view_of(&record)?;
        Some(Summary { record, view })
    }

    /// The view of a request, checked against the digest in its terms.
    pub fn view_of(&self, record: &Record) -> Option<View> {
        view_in(&self.stored(&record.terms.id)?.disclosures, record)
    }

    /// The view of a request, and the salt of its effect.
    pub(crate) fn view_and_salt(&self, record: &Record) -> Option<(View, [u8; 32])> {
        let opening = self.shared.store.opening(&record.terms.id);
        let opening =
            opening.inspect_err(|error| tracing::error!(%error, "a request cannot be read")).ok()?;
        view_in(&opening, record).zip(salt_in(&opening))
    }

    /// Whether this person may review this request, and if not, why.
    ///
    /// # Errors
    /// The reason, in plain words.
    pub fn may_review(&self, person: &PersonName, record: &Record) -> Result<(), String> {
        let Some(person) = self.shared.people.person(person) else {
            return Err("you are not among the people of this gate".to_owned());
        };
        if record.terms.people.contains(&person.pseudonym) {
            return Err("nobody clears their own: you are part of the chain that asks".to_owned());
        }
        let asked = record.terms.requirement.groups();
        if !asked.keys().any(|group| person.groups.contains(group)) {
            let names: Vec<&str> = asked.keys().map(|g| g.as_str()).collect();
            return Err(format!("only {} may review this", names.join(", ")));
        }
        let asked = asked.keys().filter(|group| person.groups.contains(*group)).cloned().collect();
        let chain = self.chain_names(record);
        self.shared
            .bundle
            .may_review(&person.name, &asked, &chain, &record.terms.kinds)
            .map_err(|error| error.to_string())
    }

    /// The groups for which this person's review of this request counts.
    pub(crate) fn stands_for(&self, person: &Person, record: &Record) -> BTreeSet<GroupName> {
        let chain = self.chain_names(record);
        // Whoever cannot be judged counts for nothing.
        self.shared
            .bundle
            .stands_for(&person.name, &person.groups, &chain, &record.terms.kinds)
            .unwrap_or_default()
    }

    fn chain_names(&self, record: &Record) -> BTreeSet<PersonName> {
        let people = record.terms.people.iter().filter_map(|p| self.shared.people.by_pseudonym(p));
        people.map(|p| p.name.clone()).collect()
    }

    /// What a reviewer wrote beside their decision, for the caller to read.
    pub fn justification(&self, id: &RequestId) -> Option<String> {
        disclosed(&self.stored(id)?.disclosures, "justification")?.as_str().map(str::to_owned)
    }

    /// The signed decisions of a request, as DSSE envelopes that other tools verify.
    pub fn envelopes(&self, id: &RequestId) -> Vec<Envelope> {
        let Some(stored) = self.stored(id) else { return Vec::new() };
        let read = |value: serde_json::Value| Envelope::from_json(value.to_string().as_bytes()).ok();
        stored.facts.into_iter().filter_map(|f| f.envelope).filter_map(read).collect()
    }

    /// Whether the request is over, for pages that must not offer buttons.
    pub const fn is_over(record: &Record) -> bool {
        !matches!(record.state, State::Held { .. })
    }
}

fn disclosed<'a>(all: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    all.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
}

fn view_in(all: &[(String, Value)], record: &Record) -> Option<View> {
    let view: View = serde_json::from_value(disclosed(all, "view")?.clone()).ok()?;
    (view.digest().ok()? == record.terms.view).then_some(view)
}

fn salt_in(all: &[(String, Value)]) -> Option<[u8; 32]> {
    let text = disclosed(all, "effect_salt")?;
    Digest::<Salted>::parse(text.as_str()?).ok().map(|d| *d.bytes())
}
