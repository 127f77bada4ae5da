//! Opens a request for an action that policy holds, or finds the one that already waits for it.

use crate::advance::{AdvanceError, Beside};
use crate::judge::Held;
use crate::limits::CountedHold;
use crate::park::holds_what_it_touches;
use crate::waiting::Waiting;
use crate::{Desk, hex, random};
use aws_lc_rs::hmac;
use countersign_core::action::{Bound, Impact, Rows, TableName, TableRows, Target};
use countersign_core::digest::Digest;
use countersign_core::disclosure::Disclosure;
use countersign_core::effect::{Effect, salted};
use countersign_core::id::{Pseudonym, RequestId, SessionId};
use countersign_core::kind::Kind;
use countersign_core::lifecycle::{Event, Record};
use countersign_core::refusal::Refusal;
use countersign_core::request::Terms;
use countersign_core::view::{Chain, Place, Segment, SoFar, Step, View, ViewColumn, visible_line};
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use serde_json::json;
use std::collections::BTreeSet;

/// An action that is to be held, with what people need to see. Cheap to clone: a claim may have to open it again.
#[derive(Clone)]
pub struct Draft {
    /// The session that asks.
    pub session: SessionId,
    /// Where.
    pub target: Target,
    /// Everything that decides the effect.
    pub effect: Effect,
    /// What it is and reaches.
    pub impact: Impact,
    /// How many rows, and how that is known.
    pub rows: Option<Rows>,
    /// The most it may touch.
    pub bound: Bound,
    /// The statement in pieces.
    pub statement: Vec<Segment>,
    /// The bind values in pieces.
    pub params: Vec<Segment>,
    /// The columns that come back and how each is masked.
    pub columns: Vec<ViewColumn>,
    /// Why, as stated by the agent.
    pub reason: Option<String>,
    /// The client's address.
    pub address: String,
    /// What the client calls itself.
    pub client: Option<String>,
    /// What the session has done so far. Shown, and no part of what finds a repeated action again.
    pub so_far: SoFar,
    /// The statements of a plan, in their order; empty where there is but one.
    pub steps: Vec<DraftStep>,
    /// What was changed where, when it was tried: as many as [`Bound::tables_max`] says.
    pub tables: Vec<TableRows>,
    /// Why it was not tried.
    pub untried: Option<String>,
    /// Tables that say what it touches, and that the requester may change without anybody.
    pub movable: Vec<TableName>,
}

/// One statement of a plan.
#[derive(Debug, Clone)]
pub struct DraftStep {
    /// What it is and reaches, after those before it.
    pub impact: Impact,
    /// How many rows, and how that is known.
    pub rows: Option<Rows>,
    /// Its text in pieces.
    pub statement: Vec<Segment>,
}

impl Desk {
    /// Holds an action: a request is on stable storage before this returns, and people can see it.
    ///
    /// Where the same principal repeats the effect of a parked request, that one is taken up again instead.
    ///
    /// # Errors
    /// Nobody may approve it, a limit is reached, or it cannot be recorded.
    pub async fn hold(
        &self,
        identity: &Authenticated<AgentIdentity>,
        held: &Held,
        draft: Draft,
    ) -> Result<Waiting, Refusal> {
        self.open_request(identity, held, draft, None).await
    }

    pub(crate) async fn open_request(
        &self,
        identity: &Authenticated<AgentIdentity>,
        held: &Held,
        draft: Draft,
        supersedes: Option<RequestId>,
    ) -> Result<Waiting, Refusal> {
        let key = self.effect_key(&draft.effect.digest().map_err(|_| unrecorded())?);
        // Whoever waits for the answer is not told an earlier one.
        self.shared.parking.forget(&key);
        if supersedes.is_none() {
            if let Some(waiting) = self.adopt(&key, identity, &draft).await? {
                // It has its place already.
                let counted = self.shared.holds.count_anyway(&identity.get().principal.agent);
                return Ok(match counted {
                    Some(counted) => waiting.counted(counted),
                    None => waiting,
                });
            }
        }
        let (record, counted) = self.record_request(identity, held, draft, supersedes, false).await?;
        Ok(Waiting::new(self.clone(), record).counted(counted))
    }

    /// Records a new request, for somebody who waits or for nobody.
    pub(crate) async fn record_request(
        &self,
        identity: &Authenticated<AgentIdentity>,
        held: &Held,
        draft: Draft,
        supersedes: Option<RequestId>,
        parked: bool,
    ) -> Result<(Record, CountedHold), Refusal> {
        let principal = &identity.get().principal;
        let chain = principal.people().into_iter().cloned().collect();
        self.shared
            .bundle
            .check_enough(&held.requirement, &chain, &draft.impact.kinds())
            .map_err(|e| Refusal::NobodyMayApprove { detail: e.to_string() })?;
        let counted = self.shared.holds.count(&principal.agent, &self.shared.limits)?;
        let digest = draft.effect.digest().map_err(|_| unrecorded())?;
        let key = self.effect_key(&digest);
        let now = self.shared.clock.now()?;
        let id = RequestId::from_bytes(random()?);
        let salt: [u8; 32] = random()?;
        let view = self.view(&id, identity, held, &draft, now)?;
        let terms = Terms {
            id: id.clone(),
            session: draft.session.clone(),
            agent: principal.agent.clone(),
            people: self.chain(identity)?,
            target: draft.target.name.clone(),
            env: draft.target.env.clone(),
            kinds: draft.impact.kinds(),
            effect: salted(&salt, &digest),
            view: view.digest().map_err(|_| unrecorded())?,
            obligations: held.obligations.clone(),
            requirement: held.requirement.clone(),
            bound: draft.bound.clone(),
            policy: self.shared.policy,
            opened_at: now,
            expires_at: now.plus(held.requirement.wait),
            supersedes,
        };
        let disclosures = vec![
            disclosure("effect_salt", &json!(hex(&salt)))?,
            disclosure("view", &serde_json::to_value(&view).map_err(|_| unrecorded())?)?,
        ];
        let record = self.commit_open(terms, now, disclosures, key, parked).await.map_err(not_recorded)?;
        Ok((record, counted))
    }

    async fn adopt(
        &self,
        key: &[u8; 32],
        identity: &Authenticated<AgentIdentity>,
        draft: &Draft,
    ) -> Result<Option<Waiting>, Refusal> {
        let Some(id) = self.shared.store.find_pending_by_effect(key) else { return Ok(None) };
        let Some(record) = self.record_of(&id) else { return Ok(None) };
        // The effect names the agent and the person it acts for; the people of the chain must be the same too.
        let same_people = record.terms.people == self.chain(identity)?;
        if !record.state.is_parked() || !same_people || !holds_what_it_touches(&record, draft) {
            return Ok(None);
        }
        let now = self.shared.clock.now()?;
        let session = draft.session.clone();
        let adopt = |_: &_| Event::Adopt { session: session.clone() };
        match self.advance(&id, now, Beside::default(), adopt).await {
            Ok(record) => Ok(Some(Waiting::new(self.clone(), record))),
            // It ended meanwhile: the action is held anew.
            Err(AdvanceError::Step(_)) => Ok(None),
            Err(error) => Err(not_recorded(error)),
        }
    }

    /// The keyed form of an effect digest, by which a repeated action is found. Never leaves the store.
    pub(crate) fn effect_key(&self, digest: &Digest<Effect>) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.shared.match_key.expose());
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&key, digest.bytes()).as_ref());
        out
    }

    /// The pseudonyms of the people in the chain.
    pub(crate) fn chain(
        &self,
        identity: &Authenticated<AgentIdentity>,
    ) -> Result<BTreeSet<Pseudonym>, Refusal> {
        let unknown = Refusal::Unavailable { what: "a person of the requester's chain is not known" };
        self.shared.people.chain(&identity.get().principal).map_err(|_| unknown)
    }

    fn view(
        &self,
        id: &RequestId,
        identity: &Authenticated<AgentIdentity>,
        held: &Held,
        draft: &Draft,
        now: countersign_core::time::Timestamp,
    ) -> Result<View, Refusal> {
        let principal = &identity.get().principal;
        let display =
            |name| self.shared.people.person(name).map_or_else(|| name.to_string(), |p| p.display.clone());
        Ok(View {
            request: id.clone(),
            salt: hex(&random::<16>()?),
            kinds: by_weight(&draft.impact.kinds()),
            resources: resources(&draft.impact),
            rows: draft.rows,
            labels: draft.impact.labels.clone(),
            columns: draft.columns.clone(),
            opaque: draft.impact.opaque,
            unknown: draft.impact.unknown,
            chain: Chain {
                agent: principal.agent.to_string(),
                pipeline: principal.pipeline.as_ref().map(ToString::to_string),
                acts_for: principal.acts_for.as_ref().map(display),
                owner: display(&principal.owner),
            },
            reason: draft.reason.as_deref().map(visible_line),
            place: Place {
                target: draft.target.name.to_string(),
                env: draft.target.env.to_string(),
                database: visible_line(&draft.target.database),
                role: visible_line(&draft.effect.role),
                address: draft.address.clone(),
            },
            statement: draft.statement.clone(),
            params: draft.params.clone(),
            bound: draft.bound.clone(),
            held_by: held.reasons.clone(),
            requirement: held.requirement.to_string(),
            expires_at: now.plus(held.requirement.wait),
            so_far: Some(draft.so_far.clone()),
            client: draft.client.as_deref().map(visible_line),
            steps: draft.steps.iter().map(shown_step).collect(),
            tables: draft.tables.clone(),
            counted_at: draft.rows.is_some().then_some(now),
            untried: draft.untried.as_deref().map(visible_line),
            movable: draft.movable.clone(),
        })
    }
}

fn shown_step(step: &DraftStep) -> Step {
    Step {
        kinds: by_weight(&step.impact.kinds()),
        resources: resources(&step.impact),
        rows: step.rows,
        opaque: step.impact.opaque,
        unknown: step.impact.unknown,
        statement: step.statement.clone(),
    }
}

fn resources(impact: &Impact) -> Vec<String> {
    let all: BTreeSet<String> = impact.pairs.iter().map(|(_, resource)| resource.to_string()).collect();
    all.iter().map(|resource| visible_line(resource)).collect()
}

pub(crate) fn disclosure(name: &str, value: &serde_json::Value) -> Result<Disclosure, Refusal> {
    Ok(Disclosure::new(&random()?, name, value))
}

pub(crate) const fn unrecorded() -> Refusal {
    Refusal::Unavailable { what: "the request cannot be recorded" }
}

pub(crate) fn not_recorded(error: AdvanceError) -> Refusal {
    tracing::error!(%error, "a request could not be recorded");
    match error {
        AdvanceError::Refused(refusal) => refusal,
        AdvanceError::NoSuchRequest(_)
        | AdvanceError::Step(_)
        | AdvanceError::Store(_)
        | AdvanceError::Busy => unrecorded(),
    }
}

// Most serious first, so that the first word on a card is the one that matters.
fn by_weight(kinds: &BTreeSet<Kind>) -> Vec<Kind> {
    let weight = |kind: &Kind| match kind {
        Kind::Secret => 0,
        Kind::Privilege => 1,
        Kind::Reveal => 2,
        Kind::Delete => 3,
        Kind::Schema => 4,
        Kind::Export => 5,
        Kind::Execute => 6,
        Kind::Admin => 7,
        Kind::Infrastructure => 8,
        Kind::Model => 9,
        Kind::Write => 10,
        Kind::Session => 11,
        Kind::Read => 12,
    };
    let mut kinds: Vec<Kind> = kinds.iter().copied().collect();
    kinds.sort_by_key(weight);
    kinds
}
