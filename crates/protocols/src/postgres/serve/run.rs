//! From a client's action to policy's answer, and to the expectation of what the server will say.

use super::super::action::{self, ClientAction};
use super::super::codec::TransactionStatus;
use super::super::plan::MaskPlan;
use super::super::session::{Mode, defines};
use super::super::written;
use super::connection::{Connection, Ended};
use super::exchange::{Answer, OWN_NAME};
use super::facts::Running;
use super::settings::PreviewMode;
use crate::sql::parser::Question;
use crate::sql::session::TempObjects;
use crate::sql::shape::StateId;
use crate::sql::{Analysis, NotUnderstood, PreparedText, Statement, What};
use countersign_core::action::{Known as HowKnown, Obligations, Rows as RowCount};
use countersign_core::effect::Param;
use countersign_core::label::closed;
use countersign_core::refusal::Refusal;
use countersign_desk::{Allowed, Execution, Held, Judged};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the server may count rows for a card.
const COUNT_MILLIS_MAX: u32 = 2_000;
/// How long that may take in all.
pub(super) const COUNT_WAIT_MAX: Duration = Duration::from_millis(2_500);
/// Bytes of the buffer for what is digested that a connection keeps.
const DIGESTED_BYTES_KEPT: usize = 4 << 10;

/// What becomes of an action.
pub(super) enum Decision {
    /// It passes.
    Allow(Arc<Analysis>, Allowed),
    /// It waits for people.
    Hold(Arc<Analysis>, Box<Held>),
    /// It does not run.
    Refuse(Refusal),
    /// Nor does what the grammar refuses; the server may say so itself.
    Unreadable(Refusal),
}

impl Connection {
    /// Analyses and judges an action under the state of this moment.
    pub(super) async fn decide(&mut self, action: &ClientAction) -> Result<Decision, Ended> {
        if let Some(refusal) = self.bring_up_to_date().await? {
            return Ok(Decision::Refuse(refusal));
        }
        let analysis = match self.analyse_action(action).await {
            Ok(analysis) => analysis,
            Err(error) => {
                let of_grammar = matches!(error, NotUnderstood::Grammar(_));
                let refusal = not_understood(error);
                self.shared.desk.refused(&self.id, &refusal);
                let decision = if of_grammar { Decision::Unreadable } else { Decision::Refuse };
                return Ok(decision(refusal));
            }
        };
        let analysis = if analysis.missing.is_empty() {
            analysis
        } else {
            Box::pin(self.look_again(action, analysis)).await?
        };
        let (analysis, by_name) = self.with_prepared(analysis, action).await?;
        if let Some(refusal) = self.unsupported_here(&analysis).or_else(|| unsupported(&analysis)) {
            self.shared.desk.refused(&self.id, &refusal);
            return Ok(Decision::Refuse(refusal));
        }
        let key = &self.shared.settings.mask_key;
        if let Some(refusal) = written::written_back(&analysis, action, key) {
            self.shared.desk.refused(&self.id, &refusal);
            return Ok(Decision::Refuse(refusal));
        }
        Ok(match self.judge(&analysis, action) {
            // What is not there either the server says itself, in its own words.
            Judged::Allow(allowed) => Decision::Allow(analysis, allowed),
            // Nobody is asked about it.
            Judged::Hold(_) if self.is_absent(&analysis) => {
                let name = analysis.missing.first().map(ToString::to_string).unwrap_or_default();
                let what = format!("relation \"{name}\" does not exist");
                Decision::Refuse(Refusal::Invalid { what, absent: true })
            }
            // People would be shown a name, and sign what they cannot see.
            Judged::Hold(_) if by_name => {
                let refusal = Refusal::Unsupported {
                    what: "EXECUTE of a statement that needs approval".to_owned(),
                    instead: "Send the statement itself: people sign the text that runs.".to_owned(),
                };
                self.shared.desk.refused(&self.id, &refusal);
                Decision::Refuse(refusal)
            }
            Judged::Hold(held) => match self.analyse_whole(action).await {
                Ok(whole) => Decision::Hold(whole, Box::new(held)),
                Err(error) => Decision::Refuse(not_understood(error)),
            },
            Judged::Deny(refusal) => {
                self.shared.desk.refused(&self.id, &refusal);
                Decision::Refuse(refusal)
            }
        })
    }

    // A relation is named that surely is not there. What this transaction has defined, what the text itself defines, and
    // temporary objects are not among the facts: of those nobody can say.
    fn is_absent(&self, analysis: &Analysis) -> bool {
        let state = &self.session.state;
        let defines_first = analysis.statements.len() > 1 && analysis.statements.iter().any(defines);
        !analysis.missing.is_empty()
            && !defines_first
            && !state.definitions_in_doubt
            && state.temp_objects != TempObjects::Unseen
    }

    /// The session's state and the newest facts, for what is read next.
    pub(super) async fn bring_up_to_date(&mut self) -> Result<Option<Refusal>, Ended> {
        self.refresh_state().await?;
        let settled = self.settle_definitions().await;
        Ok((!settled).then_some(Refusal::Unavailable { what: "the server's catalogue cannot be read" }))
    }

    // The newest facts. What this session defined is among them once its transaction has ended: false where that cannot
    // be made sure. Up to then everything is judged as what may mean anything.
    async fn settle_definitions(&mut self) -> bool {
        let defined = self.session.state.definitions_in_doubt && !self.is_within_transaction();
        let facts = if defined { self.facts.refreshed().await } else { self.facts.sure().await };
        match facts {
            Ok(snapshot) => {
                self.snapshot = snapshot;
                self.session.state.definitions_in_doubt &= !defined;
                true
            }
            Err(error) => {
                tracing::error!(session = %self.id, %error, "the facts cannot be read");
                false
            }
        }
    }

    /// Begins to commit what may be a change of definitions: until its end is among the facts, nobody else is judged.
    pub(super) fn begin_change(&mut self) {
        self.changing.get_or_insert_with(|| self.facts.begin_change());
    }

    /// What is to be sent may define something and commit it by itself: until it is over everybody looks again before
    /// anything is judged.
    pub(super) fn running_change(&self, defines: bool) -> Option<Running> {
        defines.then(|| self.facts.begin_running())
    }

    /// Whoever waits goes on, with facts that are read after the change.
    pub(super) async fn end_change(&mut self) {
        if let Some(change) = self.changing.take() {
            match self.facts.refreshed().await {
                Ok(snapshot) => self.snapshot = snapshot,
                Err(error) => {
                    tracing::error!(session = %self.id, %error, "the facts cannot be read after a change")
                }
            }
            drop(change);
        }
    }

    /// The version of the facts under which the server reads a text now; 0 where nobody can say.
    pub(super) fn epoch(&self) -> u64 {
        if self.session.state.definitions_in_doubt { 0 } else { self.snapshot.epoch }
    }

    // The same with each EXECUTE as what it runs, and whether there is one.
    async fn with_prepared(
        &mut self,
        analysis: Arc<Analysis>,
        action: &ClientAction,
    ) -> Result<(Arc<Analysis>, bool), Ended> {
        if analysis.statements.iter().any(|s| matches!(s.what, What::Prepare { .. })) {
            // Which part of the text is prepared is kept by place: only this very text has it there.
            return Ok((self.analyse_whole(action).await.unwrap_or(analysis), false));
        }
        let names: Vec<String> = analysis.executes().map(str::to_owned).collect();
        if names.is_empty() {
            return Ok((analysis, false));
        }
        let mut texts = BTreeMap::new();
        for name in names {
            if self.is_outdated(&name) {
                continue;
            }
            let Some(text) = self.find_prepared(&name).map(|prepared| prepared.sql) else { continue };
            if let Ok(analysis) = self.analyse(&text).await {
                texts.insert(name, PreparedText { text, analysis });
            }
        }
        Ok((Arc::new(analysis.with_prepared(&texts)), true))
    }

    // FETCH runs a portal that a driver has bound: its own Execute would be judged and recorded as what it is.
    fn unsupported_here(&self, analysis: &Analysis) -> Option<Refusal> {
        analysis.statements.iter().find_map(|statement| match &statement.what {
            What::Fetch { cursor, .. } if self.find_portal(cursor).is_some() => Some(Refusal::Unsupported {
                what: "FETCH from a portal that was bound by the extended protocol".to_owned(),
                instead: "Execute the portal, or DECLARE a cursor.".to_owned(),
            }),
            What::Execute { name, .. } if self.is_outdated(name) => Some(Refusal::Unsupported {
                what: "EXECUTE of a statement that was prepared before definitions changed".to_owned(),
                instead: "DEALLOCATE it and PREPARE it again: the server may still read it as it was then."
                    .to_owned(),
            }),
            _ => None,
        })
    }

    // What the server read under other facts it may mean otherwise than they are now.
    fn is_outdated(&self, name: &str) -> bool {
        self.find_prepared(name).is_some_and(|prepared| prepared.epoch != self.snapshot.epoch)
    }

    // A relation that is not in the facts may be newer than they are.
    async fn look_again(
        &mut self,
        action: &ClientAction,
        before: Arc<Analysis>,
    ) -> Result<Arc<Analysis>, Ended> {
        match self.facts.refreshed().await {
            Ok(snapshot) => self.snapshot = snapshot,
            Err(error) => {
                tracing::warn!(session = %self.id, %error, "facts cannot be read again");
                return Ok(before);
            }
        }
        Ok(self.analyse_action(action).await.unwrap_or(before))
    }

    /// Puts an analysed action to policy.
    pub(super) fn judge(&mut self, analysis: &Arc<Analysis>, action: &ClientAction) -> Judged {
        let question = |impact| countersign_desk::Question {
            identity: &self.identity,
            target: &self.target,
            impact,
            session_labels: &self.so_far.labels,
            reason: action.reason(&self.session),
        };
        let bounded_by_values = analysis.statements.iter().any(|s| !s.limit_params.is_empty());
        if bounded_by_values {
            return self.shared.desk.judge(&question(&action.impact(analysis)));
        }
        self.shared.desk.judge_kept(&mut self.allowed, analysis, &question(&analysis.joined))
    }

    /// What a text would do, from the cache or from the parser. From the cache it may lack what belongs to one
    /// text and not to its shape: see [`Self::analyse_whole`].
    pub(super) async fn analyse(&mut self, text: &Arc<str>) -> Result<Arc<Analysis>, NotUnderstood> {
        let state = self.state_id()?;
        if let Some(hit) = self.cache.lock().map_err(|_| NotUnderstood::Failed)?.find(state, text) {
            return Ok(hit.analysis);
        }
        let analysis = Box::pin(self.parse_text(text, Vec::new())).await?;
        Ok(self.cache.lock().map_err(|_| NotUnderstood::Failed)?.keep(state, text, analysis))
    }

    /// What an action would do: from the cache, but where the client named types of its own for the values.
    async fn analyse_action(&mut self, action: &ClientAction) -> Result<Arc<Analysis>, NotUnderstood> {
        if action.user_types().is_empty() {
            let state = self.state_id()?;
            return match action.analysed.as_ref().and_then(|analysed| analysed.under(state)) {
                Some(analysis) => Ok(analysis),
                None => self.analyse(&action.text).await,
            };
        }
        self.analyse_whole(action).await
    }

    /// What this very action would do, with everything that people are shown.
    pub(super) async fn analyse_whole(&self, action: &ClientAction) -> Result<Arc<Analysis>, NotUnderstood> {
        Box::pin(self.analysing_whole(action)).await
    }

    /// The same, under way from this moment on, beside whatever else is done.
    pub(super) fn analysing_whole(
        &self,
        action: &ClientAction,
    ) -> impl Future<Output = Result<Arc<Analysis>, NotUnderstood>> + use<> {
        let parsed = self.parse_text(&action.text, action.user_types());
        async move { parsed.await.map(Arc::new) }
    }

    fn parse_text(
        &self,
        text: &Arc<str>,
        param_types: Vec<u32>,
    ) -> impl Future<Output = Result<Analysis, NotUnderstood>> + use<> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let question = Question {
            sql: Arc::clone(text),
            known: Arc::clone(&self.snapshot.known),
            session: self.session.state.clone(),
            agent: self.identity.get().principal.agent.clone(),
            param_types,
        };
        self.shared.pool.analyse_then(question, move |analysis| {
            // The connection may be gone.
            let _ = sender.send(analysis);
        });
        async move { answer.await.unwrap_or(Err(NotUnderstood::Failed)) }
    }

    pub(super) fn state_id(&mut self) -> Result<StateId, NotUnderstood> {
        let epoch = self.snapshot.epoch;
        if let Some((state, of, id)) = &self.state_id {
            if *of == epoch && *state == self.session.state {
                return Ok(*id);
            }
        }
        let agent = &self.identity.get().principal.agent;
        let mut cache = self.cache.lock().map_err(|_| NotUnderstood::Failed)?;
        let id = cache.state(&self.session.state, agent, epoch);
        drop(cache);
        self.state_id = Some((self.session.state.clone(), epoch, id));
        Ok(id)
    }

    /// How the rows of a query that is about to be sent are masked. From here on it counts as done by the session.
    pub(super) fn plan(
        &mut self,
        analysis: &Analysis,
        obligations: &Arc<Obligations>,
        approved: bool,
    ) -> Result<MaskPlan, Refusal> {
        let key = &self.shared.settings.mask_key;
        let stand = approved || self.tokens_stand(analysis, obligations);
        let plan = action::mask_plan(analysis, &self.snapshot.known, obligations, key, approved, stand);
        if !analysis.joined.labels.is_empty() {
            self.so_far.labels.extend(closed(&analysis.joined.labels));
        }
        if plan.is_ok() {
            self.so_far.count(&analysis.joined);
        }
        plan.map_err(|error| Refusal::Unsupported {
            what: "a COPY in a form that cannot be masked".to_owned(),
            instead: error.to_string(),
        })
    }

    /// Records an allowed action before it is forwarded: written for plain reads, flushed for everything else.
    pub(super) async fn pass<'a>(
        &mut self,
        allowed: &Allowed,
        action: &ClientAction,
        payload: &'a [u8],
    ) -> Result<(&'a [u8], Execution), Refusal> {
        self.digested.clear();
        action.write_digested(&mut self.digested);
        let granted = if allowed.obligations().flushed {
            self.lane.pass_flushed(allowed, &self.digested, payload).await
        } else {
            self.lane.pass(allowed, &self.digested, payload)
        };
        // What was large once need not be held on to.
        self.digested.shrink_to(DIGESTED_BYTES_KEPT);
        Ok(granted?.release())
    }

    /// How many rows an action would touch: counted where the analysis found a safe way to count, else estimated.
    /// In a read-only transaction of its own; nothing of the action runs.
    pub(super) async fn count(
        &mut self,
        analysis: &Analysis,
        action: &ClientAction,
    ) -> Result<Option<RowCount>, Ended> {
        let [statement] = analysis.statements.as_slice() else { return Ok(None) };
        if let Some(data) = &action.data {
            return Ok(Some(RowCount { count: data.facts().lines, known: HowKnown::Counted }));
        }
        self.count_one(statement, action).await
    }

    /// The same for one statement of several.
    pub(super) async fn count_one(
        &mut self,
        statement: &Statement,
        action: &ClientAction,
    ) -> Result<Option<RowCount>, Ended> {
        let ways =
            [(&statement.count_query, HowKnown::Counted), (&statement.estimate_query, HowKnown::Estimated)];
        for (query, known) in ways {
            let mode = match known {
                HowKnown::Tried | HowKnown::Counted => PreviewMode::Counted,
                HowKnown::Estimated => PreviewMode::Estimated,
            };
            let Some(query) = query.as_ref().filter(|_| self.shared.settings.preview.mode >= mode) else {
                continue;
            };
            let Some(answer) = self.ask_read_only(query, &action.params).await? else { return Ok(None) };
            let cell = answer.cell().unwrap_or_default();
            let count = match known {
                HowKnown::Tried | HowKnown::Counted => cell.parse().ok(),
                HowKnown::Estimated => estimated_rows(cell),
            };
            if let (None, Some(count)) = (&answer.failed, count) {
                return Ok(Some(RowCount { count, known }));
            }
        }
        Ok(None)
    }
}

const SAVEPOINT: [&str; 2] = ["SAVEPOINT countersign_gate", "SET LOCAL transaction_read_only = on"];
const BACK: [&str; 2] = ["ROLLBACK TO SAVEPOINT countersign_gate", "RELEASE SAVEPOINT countersign_gate"];

impl Connection {
    // In a read-only transaction of its own, or in one within the client's, of which nothing is left. None where there
    // can be neither: what counts could then write.
    async fn ask_read_only(&mut self, query: &str, params: &[Param]) -> Result<Option<Answer>, Ended> {
        let within = self.session.status == TransactionStatus::Open && !self.session.transaction.suspended;
        let (begin, end): (&[&str], &[&str]) =
            if within { (&SAVEPOINT, &BACK) } else { (&["BEGIN READ ONLY"], &["ROLLBACK"]) };
        for text in begin {
            if self.ask(text).await?.failed.is_some() {
                return Ok(None);
            }
        }
        self.ask(&format!("SET LOCAL statement_timeout = {COUNT_MILLIS_MAX}")).await?;
        let answer = self.ask_with(query, params).await?;
        for text in end {
            self.ask(text).await?;
        }
        let ended = if within { TransactionStatus::Open } else { TransactionStatus::Idle };
        if self.replies.status != ended {
            return Err(Ended::State("the transaction around a count did not end"));
        }
        Ok(Some(answer))
    }
}

// `Plan Rows` of the top node of EXPLAIN (FORMAT JSON). For a change the interesting node is the one below.
fn estimated_rows(json: &str) -> Option<u64> {
    let plan: serde_json::Value = serde_json::from_str(json).ok()?;
    let top = plan.get(0)?.get("Plan")?;
    let rows = |node: &serde_json::Value| node.get("Plan Rows")?.as_u64();
    match top.get("Node Type")?.as_str()? {
        "ModifyTable" => rows(top.get("Plans")?.get(0)?),
        _ => rows(top),
    }
}

/// Why a text is refused that could not be analysed.
pub(super) fn not_understood(error: NotUnderstood) -> Refusal {
    match error {
        NotUnderstood::Grammar(what) if what.starts_with("syntax error") => {
            Refusal::Invalid { what, absent: false }
        }
        other => Refusal::NotUnderstood { what: other.to_string() },
    }
}

fn unsupported(analysis: &Analysis) -> Option<Refusal> {
    analysis.statements.iter().find_map(|statement| match &statement.what {
        What::CopyOut { .. } if action::copies_unseen(analysis) => Some(Refusal::Unsupported {
            what: "COPY of a query that cannot be seen through, where data is labelled".to_owned(),
            instead: "Send the query itself: its rows can be masked.".to_owned(),
        }),
        _ if statement.fixes.is_some() => {
            let name = statement.fixes.as_deref().unwrap_or_default();
            Some(Refusal::Unsupported {
                what: format!("another value of {name}"),
                instead: "Leave it as it is: statements are read under the one that it has.".to_owned(),
            })
        }
        What::Execute { .. } => Some(Refusal::Unsupported {
            what: "EXECUTE of a statement that was not seen when it was prepared".to_owned(),
            instead:
                "Prepare it again in this session, in a message of its own; or send the statement itself."
                    .to_owned(),
        }),
        What::Set { name, values: Some(values), .. }
            if name == "countersign.mode" && Mode::parse(&values.join(", ")).is_none() =>
        {
            Some(Refusal::Unsupported {
                what: "another value of `countersign.mode` than `hold` and `park`".to_owned(),
                instead: "`hold` waits for people; `park` answers at once, and the action is repeated later."
                    .to_owned(),
            })
        }
        What::Prepare { name, .. } | What::DeclareCursor { name, .. } if name == OWN_NAME => {
            Some(Refusal::Unsupported {
                what: format!("the name \"{OWN_NAME}\""),
                instead: "Use another: the gate's own questions have this one.".to_owned(),
            })
        }
        _ if statement.runs_prepared => Some(Refusal::Unsupported {
            what: "EXECUTE within another statement".to_owned(),
            instead: "Send the statement itself in its place.".to_owned(),
        }),
        _ => None,
    })
}
