//! Requests as the desk has them, and the reviews of people.

use super::login::closed;
use super::{House, bytes};
use crate::hall::{
    BEFORE_DAYS, Before, Dossier, Filed, HISTORY_MAX, Listed, LogState, Search, Signed, ToSign, Trouble,
    Viewer,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{Choice, End, Fact, Record, State};
use countersign_core::time::{Seconds, Timestamp};
use countersign_desk::ReviewError;
use countersign_identity::envelope::from_assertion;
use countersign_identity::review::authenticate_review;
use countersign_store::{Filter, StoredFact};

/// How many of an agent's latest requests are looked at for those that are like another one.
const BEFORE_MAX: u32 = 500;

impl House {
    fn listed(&self, viewer: &Viewer, record: Record) -> Listed {
        let view = self.desk.view_of(&record);
        let may_review = self.desk.may_review(&viewer.name, &record);
        Listed { record, view, may_review }
    }

    pub(super) fn waiting(&self, viewer: &Viewer) -> Vec<Listed> {
        self.desk.store().pending().into_iter().map(|record| self.listed(viewer, record)).collect()
    }

    pub(super) fn search(&self, viewer: &Viewer, search: &Search) -> Result<Vec<Listed>, Trouble> {
        let states = search.state.iter().cloned().collect();
        let limit = u32::try_from(HISTORY_MAX).unwrap_or(u32::MAX);
        let found = self.list(Filter { states, agent: search.agent.clone(), limit, before: None })?;
        Ok(found.into_iter().map(|record| self.listed(viewer, record)).collect())
    }

    fn list(&self, filter: Filter) -> Result<Vec<Record>, Trouble> {
        self.desk.store().list(&filter).map_err(|error| {
            tracing::error!(%error, "requests cannot be listed");
            closed()
        })
    }

    pub(super) fn everything(&self, viewer: &Viewer, id: &RequestId) -> Result<Option<Dossier>, Trouble> {
        let Some(stored) = self.desk.stored(id) else { return Ok(None) };
        let Listed { record, view, may_review } = self.listed(viewer, stored.record);
        let before = self.before(&record)?;
        let facts = stored.facts.into_iter().map(|fact| self.filed(fact)).collect();
        let (log_size, _) = self.desk.store().head();
        Ok(Some(Dossier { record, view, may_review, facts, log_size, before }))
    }

    fn filed(&self, stored: StoredFact) -> Filed {
        let person = match &stored.fact {
            Fact::Reviewed { vote } => self.display(&vote.person),
            _ => None,
        };
        let said = stored.disclosures.iter().find(|(name, _)| name == "justification");
        Filed {
            at: stored.t,
            index: Some(stored.index),
            person,
            justification: said.and_then(|(_, value)| value.as_str()).map(str::to_owned),
            fact: stored.fact,
        }
    }

    fn before(&self, record: &Record) -> Result<Before, Trouble> {
        let terms = &record.terms;
        let filter = Filter {
            agent: Some(terms.agent.clone()),
            limit: BEFORE_MAX,
            before: Some(terms.id.clone()),
            ..Filter::default()
        };
        let mut before = Before { days: BEFORE_DAYS, ..Before::default() };
        let lately = |r: &Record| terms.opened_at < r.terms.opened_at.plus(Seconds(BEFORE_DAYS * 86_400));
        let like = |r: &Record| r.terms.kinds == terms.kinds && r.terms.target == terms.target;
        for earlier in self.list(filter)?.into_iter().take_while(lately).filter(like) {
            before.asked += 1;
            match earlier.state {
                State::Granted { .. } | State::Claimed { .. } | State::Executed { .. } => {
                    before.approved += 1
                }
                State::Ended { end: End::Committed | End::RolledBack | End::Unknown } => before.approved += 1,
                State::Ended { end: End::Denied } => {
                    before.denied += 1;
                    if before.said.is_none() {
                        before.said = self.why_denied(&earlier.terms.id);
                    }
                }
                State::Ended { end: End::Expired | End::Withdrawn | End::Superseded }
                | State::Held { .. } => {}
            }
        }
        Ok(before)
    }

    fn why_denied(&self, id: &RequestId) -> Option<String> {
        let facts = self.desk.stored(id)?.facts.into_iter();
        let said = |filed: Filed| match filed.fact {
            Fact::Reviewed { vote } if vote.choice == Choice::Denied => filed.justification,
            _ => None,
        };
        facts.map(|fact| self.filed(fact)).find_map(said).filter(|text| !text.is_empty())
    }

    pub(super) fn log_state(&self) -> Result<LogState, Trouble> {
        let none = || Trouble::Unavailable("the log has no checkpoint yet: try again in a moment".to_owned());
        let head = self.desk.store().published().ok_or_else(none)?;
        Ok(LogState {
            origin: head.origin,
            size: head.size,
            root: STANDARD.encode(head.root.as_bytes()),
            checkpoint: head.note,
            verifier: self.verifier.clone(),
            tier: "Not witnessed".to_owned(),
            tier_means: "The gate signs each checkpoint, and each decision carries the log as its person saw it: up \
                         to the last decision a rewrite must forge people's keys or drop their decisions. What came \
                         after it, whoever holds the log's key could rewrite. The command above says which tier holds."
                .to_owned(),
        })
    }

    pub(super) async fn statement_of(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        choice: Choice,
        justification: &str,
    ) -> Result<ToSign, Trouble> {
        let key = Self::key_of(viewer)?;
        let prepared = self.desk.prepare_review(&viewer.person, &key, id, choice, Some(justification)).await;
        let prepared = prepared.map_err(refused)?;
        Ok(ToSign {
            payload: bytes::to_plain(&prepared.payload),
            challenge: bytes::challenge(&prepared.pae),
            allow: viewer.passkeys.clone(),
            rp_id: self.page.rp_id.clone(),
        })
    }

    pub(super) async fn take_review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        signed: &Signed,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let bad =
            |error: &dyn std::fmt::Display| Trouble::Bad(format!("the signature does not count: {error}"));
        let assertion = bytes::assertion(&signed.assertion)?;
        let envelope =
            from_assertion(bytes::plain(&signed.payload)?, assertion, &self.page).map_err(|e| bad(&e))?;
        let people = self.desk.people();
        let checked =
            self.desk.with_keys(|keys| authenticate_review(envelope, keys, people, &self.page, now));
        let review = checked.map_err(|_| closed())?.map_err(|e| bad(&e))?;
        let said = &review.get().statement.predicate;
        if said.request_id != *id || review.get().reviewer.person != viewer.person {
            return Err(bad(&"it is about another request, or by another person"));
        }
        self.desk.review(review).await.map(drop).map_err(refused)
    }
}

fn refused(error: ReviewError) -> Trouble {
    let words = error.to_string();
    match error {
        ReviewError::MayNot(_) => Trouble::Forbidden(words),
        ReviewError::NotPrepared | ReviewError::Step(_) => Trouble::Conflict(words),
        ReviewError::Mismatch(_) | ReviewError::TooLong(_) => Trouble::Bad(words),
        ReviewError::NoSuchRequest => Trouble::NotFound("request"),
        ReviewError::Refused(_) | ReviewError::Envelope(_) => Trouble::Unavailable(words),
    }
}
