//! A plan: several statements in one message, put before people as one. Each is shown as it reads after those before it,
//! with its rows as far as they can be known before anything runs. What is shown here decides nothing: the message is
//! judged, and run, as a whole.

use super::super::action::ClientAction;
use super::super::session::defines;
use super::super::touched::{Touched, step_range};
use super::connection::{Connection, Ended};
use super::run::COUNT_WAIT_MAX;
use super::settings::PreviewMode;
use super::trial::Tried;
use crate::sql::known::Known;
use crate::sql::parser::Question;
use crate::sql::session::TempObjects;
use crate::sql::{self, Analysis, SessionState, Statement, TEMP_SCHEMA, What};
use countersign_core::action::{Impact, Known as HowKnown, Resource, Rows, TableName};
use countersign_core::kind::Kind;
use countersign_core::view::{Segment, visible};
use countersign_desk::DraftStep;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The statements of a plan that are read one by one; of the rest people see what the whole text says of them.
const STEPS_READ_MAX: usize = 200;
/// How long the rows of a plan may be counted. What is not counted by then is said to be unknown.
const COUNTS_WAIT_MAX: Duration = Duration::from_secs(10);

/// One statement of a plan, read after those before it.
struct Read {
    impact: Impact,
    missing: BTreeSet<TableName>,
    statement: Option<Statement>,
    segments: Vec<Segment>,
}

impl Connection {
    /// What an action touches, as far as it can be known before it runs.
    pub(super) async fn touched(
        &mut self,
        analysis: &Analysis,
        action: &ClientAction,
    ) -> Result<Touched, Ended> {
        let begun = Instant::now();
        let tried = Box::pin(self.try_out(analysis, action)).await?;
        let mut touched = match &tried {
            Some(Ok(tried)) if analysis.statements.len() < 2 => Touched::tried(tried.rows.first().copied()),
            tried => Box::pin(self.counted(analysis, action, matches!(tried, Some(Ok(_))))).await?,
        };
        touched.movable = self.movable(analysis).await?;
        match tried {
            Some(Ok(Tried { rows, changed })) => touched.try_shows(&rows, changed),
            Some(Err(why)) => touched.untried = Some(why),
            None => {}
        }
        // How long a predicate over what is labelled takes would tell what stands there: it takes as long as it may.
        if looks_into_labels(analysis) && self.shared.settings.preview.mode != PreviewMode::None {
            tokio::time::sleep_until(begun + COUNT_WAIT_MAX + self.preview_wait_max()).await;
        }
        Ok(touched)
    }

    async fn counted(
        &mut self,
        analysis: &Analysis,
        action: &ClientAction,
        was_tried: bool,
    ) -> Result<Touched, Ended> {
        if analysis.statements.len() < 2 {
            return Ok(Touched { rows: self.count(analysis, action).await?, ..Touched::default() });
        }
        let begun = Instant::now();
        let (mut changed, mut steps) = (BTreeSet::new(), Vec::new());
        for read in self.read_steps(analysis, &action.text).await {
            let mut rows = None;
            if let Some(statement) =
                read.statement.filter(|_| !was_tried && begun.elapsed() < COUNTS_WAIT_MAX)
            {
                rows = self.count_one(&statement, action).await?;
            }
            // Counted before the steps that come first have run: on what they change it is no count.
            let known =
                if touches_any(&read.impact, &changed) { HowKnown::Estimated } else { HowKnown::Counted };
            let rows = rows.map(|rows: Rows| Rows { known: rows.known.max_doubt(known), ..rows });
            let mut impact = read.impact;
            // What an earlier step makes or changes is no news to whoever reads that step.
            impact.unknown &= !was_made_before(&impact, &read.missing, &changed);
            changed.extend(changes(&impact));
            steps.push(DraftStep { impact, rows, statement: read.segments });
        }
        Ok(Touched { steps, ..Touched::default() }.summed())
    }

    async fn read_steps(&self, analysis: &Analysis, text: &Arc<str>) -> Vec<Read> {
        let mut known = Arc::clone(&self.snapshot.known);
        let mut session = self.session.state.clone();
        let mut follows = true;
        let mut reads = Vec::new();
        for (at, whole) in analysis.statements.iter().enumerate() {
            let part: Arc<str> = text.get(step_range(text, analysis, at)).unwrap_or_default().into();
            let alone = match at < STEPS_READ_MAX {
                true => self.analyse_step(&part, &known, &session).await,
                false => None,
            };
            let Some(alone) = alone else {
                follows = false;
                let segments = cut_off(&part, analysis);
                let impact = whole.impact.clone();
                reads.push(Read { impact, missing: BTreeSet::new(), statement: None, segments });
                continue;
            };
            // What is counted is what stands there now: another may be behind a name that an earlier step gives a meaning.
            let counted = match Arc::ptr_eq(&known, &self.snapshot.known) {
                true => alone.statements.first().cloned(),
                false => self.first_as_it_stands(&part).await,
            };
            let counted = counted.filter(|_| follows);
            let statement = alone.statements.first().filter(|_| follows).cloned();
            let impact = if follows { alone.joined.clone() } else { whole.impact.clone() };
            follows &= !shifts_names(whole);
            if follows && statement.as_ref().is_some_and(defines) {
                (known, session) = self.after_step(part, known, session).await;
            }
            reads.push(Read { impact, missing: alone.missing, statement: counted, segments: alone.segments });
        }
        reads
    }

    async fn first_as_it_stands(&self, part: &Arc<str>) -> Option<Statement> {
        let real = self.analyse_step(part, &self.snapshot.known, &self.session.state).await?;
        real.statements.into_iter().next()
    }

    async fn analyse_step(
        &self,
        text: &Arc<str>,
        known: &Arc<Known>,
        session: &SessionState,
    ) -> Option<Analysis> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let question = Question {
            sql: Arc::clone(text),
            known: Arc::clone(known),
            session: session.clone(),
            agent: self.identity.get().principal.agent.clone(),
            param_types: Vec::new(),
        };
        self.shared.pool.analyse_then(question, move |analysis| {
            // The connection may be gone.
            let _ = sender.send(analysis);
        });
        answer.await.ok()?.ok()
    }

    // What a step makes, changes or drops is there, changed or gone for the next.
    async fn after_step(
        &self,
        part: Arc<str>,
        known: Arc<Known>,
        session: SessionState,
    ) -> (Arc<Known>, SessionState) {
        let agent = self.identity.get().principal.agent.clone();
        let (before, state) = (Arc::clone(&known), session.clone());
        let after = tokio::task::spawn_blocking(move || sql::after(&part, &before, &state, &agent)).await;
        let Ok(Some(after)) = after else { return (known, session) };
        let temp_objects = match after.facts().has_objects_in(TEMP_SCHEMA) {
            true => TempObjects::Listed,
            false => session.temp_objects,
        };
        (Arc::new(after), SessionState { temp_objects, ..session })
    }

    /// Nobody is asked about a misspelt name: the server reads each statement that no other before it gives a meaning.
    pub(super) async fn server_refuses_any(
        &mut self,
        analysis: &Analysis,
        text: &str,
    ) -> Result<bool, Ended> {
        let [_, _, ..] = analysis.statements.as_slice() else { return self.server_refuses(text).await };
        for statement in analysis.statements.iter().take(STEPS_READ_MAX) {
            let part = text.get(statement.text_range.clone()).unwrap_or_default();
            if self.server_refuses(part).await? {
                return Ok(true);
            }
            if defines(statement) || shifts_names(statement) {
                break;
            }
        }
        Ok(false)
    }
}

/// Why several statements cannot be one plan.
pub(super) fn cannot_be_a_plan(analysis: &Analysis) -> Option<String> {
    if analysis.statements.len() < 2 {
        return None;
    }
    let at = analysis.statements.iter().position(|statement| !statement.transaction_safe)?;
    Some(format!(
        "statement {} of {} cannot run in a transaction, and a plan is one: send it on its own",
        at + 1,
        analysis.statements.len()
    ))
}

// Labelled data decides what is counted.
fn looks_into_labels(analysis: &Analysis) -> bool {
    let counts = |s: &Statement| s.count_query.is_some() || s.changes.is_some();
    analysis.joined.kinds().contains(&Kind::Reveal) && analysis.statements.iter().any(counts)
}

// What it sets may give the names after it another meaning.
fn shifts_names(statement: &Statement) -> bool {
    matches!(statement.what, What::Set { .. } | What::Reset { .. } | What::Discard { .. })
}

fn changes(impact: &Impact) -> impl Iterator<Item = TableName> + '_ {
    impact.pairs.iter().filter_map(|(kind, resource)| match resource {
        Resource::Table(table) if !matches!(kind, Kind::Read | Kind::Export | Kind::Reveal) => {
            Some(table.clone())
        }
        _ => None,
    })
}

fn touches_any(impact: &Impact, changed: &BTreeSet<TableName>) -> bool {
    impact
        .pairs
        .iter()
        .any(|(_, resource)| matches!(resource, Resource::Table(table) if changed.contains(table)))
}

// Whether all that is not known of what it touches is what the steps before it make or change.
fn was_made_before(impact: &Impact, missing: &BTreeSet<TableName>, changed: &BTreeSet<TableName>) -> bool {
    let unknown = impact.reach.iter().filter(|reach| reach.unknown).map(|reach| &reach.table);
    let mut unknown = unknown.chain(missing).peekable();
    if unknown.peek().is_some() {
        return unknown.all(|table| changed.contains(table));
    }
    let is_changed = |(_, resource): &(Kind, Resource)| matches!(resource, Resource::Table(table) if changed.contains(table));
    !impact.pairs.is_empty() && impact.pairs.iter().all(is_changed)
}

// Where a secret stands in it nobody has said: where there may be one, nothing is shown here. The whole text is, above.
fn cut_off(part: &str, analysis: &Analysis) -> Vec<Segment> {
    if analysis.segments.iter().any(|segment| matches!(segment, Segment::Redacted(_))) {
        return vec![Segment::Redacted(format!("{} characters", part.chars().count()))];
    }
    visible(part, Segment::Text)
}
