//! An approved action runs: in a transaction around it where there can be one, once, within its bound, and its effect
//! becomes permanent only after its record.

use super::super::action::ClientAction;
use super::super::changed::{self, CHANGED_QUERY, Changed};
use super::super::codec::{TransactionStatus, write_frontend};
use super::super::reply::{Expect, Finished, Rows};
use super::super::session::RanAs;
use super::super::session::defines;
use super::connection::{Connection, Ended};
use super::held::{Forward, HeldEnd};
use crate::sql::Analysis;
use countersign_core::lifecycle::End;
use countersign_core::refusal::Refusal;
use countersign_desk::{Execution, Granted, LaneOutcome, Report};
use std::sync::Arc;

/// What stands ready at the server for an approved action.
pub(super) struct Begun {
    /// In a transaction of the client's.
    inside: bool,
    /// In one of the gate's own.
    wrap: bool,
    /// What had changed before it; else why it cannot run.
    before: Result<Changed, &'static str>,
}

impl Connection {
    /// Begins a transaction around an approved action, where there can be one, and counts what has changed before it.
    pub(super) async fn begin_to_run(
        &mut self,
        analysis: &Analysis,
        is_followed: bool,
    ) -> Result<Begun, Ended> {
        let suspended = self.session.transaction.suspended;
        let inside = suspended || self.session.status == TransactionStatus::Open;
        let wrap = !inside && analysis.statements.iter().all(|s| s.transaction_safe);
        let refused = |why| Begun { inside, wrap, before: Err(why) };
        if suspended && !self.resume().await? {
            return Ok(refused("its transaction could not be begun again"));
        }
        let before = match (wrap, is_followed) {
            (true, true) => self.ask_all(&["BEGIN", CHANGED_QUERY]).await?,
            (true, false) => self.ask("BEGIN").await?,
            (false, true) => self.ask(CHANGED_QUERY).await?,
            (false, false) => return Ok(Begun { inside, wrap, before: Ok(Changed::new()) }),
        };
        // Without a transaction around it nothing could be undone that goes over the bound.
        if wrap && self.replies.status == TransactionStatus::Idle {
            return Ok(refused("no transaction could be begun around it"));
        }
        let changed = if is_followed { changed::read(&before.rows) } else { Some(Changed::new()) };
        let changed = changed.filter(|_| before.failed.is_none());
        Ok(Begun { inside, wrap, before: changed.ok_or("what it changes could not be followed") })
    }

    /// Nothing will run in what was begun.
    pub(super) async fn undo_begun(&mut self, begun: &Begun) -> Result<(), Ended> {
        if begun.wrap && self.replies.status != TransactionStatus::Idle {
            self.roll_back().await?;
        }
        Ok(())
    }

    pub(super) async fn run_granted(
        &mut self,
        granted: Granted<'_>,
        begun: Option<Begun>,
        analysis: &Arc<Analysis>,
        action: &ClientAction,
        forward: Forward,
    ) -> Result<HeldEnd, Ended> {
        let (payload, execution) = granted.release();
        let begun = match begun {
            Some(begun) => begun,
            None => self.begin_to_run(analysis, execution.tables().is_some()).await?,
        };
        let (wrap, inside) = (begun.wrap, begun.inside);
        let before = match &begun.before {
            Ok(before) => before,
            Err(what) => {
                self.report(execution, End::RolledBack, what).await?;
                self.undo_begun(&begun).await?;
                return Ok(HeldEnd::Refused(Refusal::Unavailable { what }));
            }
        };
        self.upout.extend_from_slice(payload);
        self.session.forget_names(analysis);
        // Whatever had no name has another text and other values from here on.
        self.session.prepared.remove("");
        self.session.portals.remove("");
        let plan = match self.plan(analysis, execution.obligations(), true) {
            Ok(plan) => plan,
            Err(refusal) => {
                self.upout.clear();
                self.report(execution, End::RolledBack, "its result cannot be masked").await?;
                if wrap {
                    self.roll_back().await?;
                }
                return Ok(HeldEnd::Refused(refusal));
            }
        };
        let simple = matches!(forward, Forward::Simple(_));
        let epoch = self.epoch();
        let mut rows = Rows::new(execution, plan, simple, (analysis, &action.text, epoch));
        rows.keep_back = true;
        rows.announced = action.data.as_ref().map(|data| data.shape());
        self.copying.kept = action.data.as_ref().map(|data| data.bytes()).unwrap_or_default();
        self.expect_granted(rows, forward);
        self.drive().await?;
        self.copying.kept.clear();
        self.replies.failed = false;
        self.replies.done.clear();
        self.session.status = self.replies.status;
        self.session.state_is_stale = true;
        let Some(finished) = self.replies.finished.pop() else {
            return Err(Ended::State("an approved action ended without an answer"));
        };
        let ended = self.conclude(finished, analysis, (wrap, inside), before).await?;
        if matches!(ended, HeldEnd::Ran) {
            self.session.ran(analysis, &action.text, epoch);
        } else {
            self.session.failed(analysis);
        }
        if !wrap && !inside && analysis.statements.iter().any(defines) {
            // It ran on its own, outside a transaction: its effect is there already.
            self.begin_change();
        }
        self.end_change().await;
        self.session.ready(self.session.status);
        Ok(ended)
    }

    fn expect_granted(&mut self, rows: Rows, forward: Forward) {
        match forward {
            Forward::Simple(_) => self.replies.expect(Expect::Rows(Box::new(rows))),
            Forward::Extended { expect, .. } => {
                expect.into_iter().for_each(|e| self.replies.expect(e));
                // That of a COPY follows its data: one before it the server passes over, or answers, as it comes.
                match rows.announced {
                    Some(_) => write_frontend::flush(&mut self.upout),
                    None => write_frontend::sync(&mut self.upout),
                }
                self.replies.expect(Expect::Rows(Box::new(rows)));
                self.replies.expect(Expect::Ready { show: false });
            }
        }
    }

    // The effect becomes permanent only after its record: executed, durable, then COMMIT.
    async fn conclude(
        &mut self,
        finished: Finished,
        analysis: &Analysis,
        (wrap, inside): (bool, bool),
        before: &Changed,
    ) -> Result<HeldEnd, Ended> {
        let kept = std::mem::take(&mut self.replies.kept);
        let Finished { execution, outcome, over, rows } = finished;
        if over {
            let rows_max = execution.rows_max().unwrap_or(0);
            if wrap {
                self.roll_back().await?;
            }
            self.report(execution, End::RolledBack, "it touched more rows than were approved").await?;
            return Ok(HeldEnd::Refused(Refusal::OverBound { rows_max, elsewhere: false }));
        }
        if outcome == LaneOutcome::Error {
            if wrap {
                self.roll_back().await?;
            }
            self.report(execution, End::RolledBack, "the server refused it").await?;
            return Ok(HeldEnd::Failed);
        }
        if let Some(tables) = execution.tables() {
            let changed = self.changed_so_far().await?.map(|after| changed::since(before, after));
            if !changed.is_some_and(|changed| changed::is_within(&changed, tables)) {
                let rows_max = execution.rows_max().unwrap_or(0);
                if wrap {
                    self.roll_back().await?;
                }
                self.report(execution, End::RolledBack, "it changed other tables than were approved").await?;
                return Ok(HeldEnd::Refused(Refusal::OverBound { rows_max, elsewhere: true }));
            }
        }
        let transaction = if wrap || inside {
            let id = self.ask("SELECT pg_catalog.pg_current_xact_id_if_assigned()::text").await?;
            id.cell().map(str::to_owned)
        } else {
            None
        };
        let number = transaction.as_ref().and_then(|number| number.parse().ok());
        let ran_as = number.zip(self.answers_as.clone());
        self.session.transaction.ran_as = ran_as.map(|(transaction, server)| RanAs { transaction, server });
        if let Err(refusal) = self.shared.desk.executed(&execution, transaction, rows).await {
            if wrap {
                self.roll_back().await?;
            }
            return Ok(HeldEnd::Refused(refusal));
        }
        if inside {
            self.session.transaction.executions.push(execution);
        } else if wrap {
            if analysis.statements.iter().any(defines) {
                self.begin_change();
            }
            // Where its answer is lost, what became of it is asked when the session ends.
            self.session.transaction.executions.push(execution);
            self.commit_sent = true;
            let committed = self.ask("COMMIT").await?;
            self.commit_sent = false;
            let Some(execution) = self.session.transaction.executions.pop() else {
                return Err(Ended::State("an approved action was settled twice"));
            };
            self.has_ended()?;
            if committed.failed.is_some() || !committed.committed {
                self.report(execution, End::RolledBack, "the server refused to commit it").await?;
                return Ok(HeldEnd::Refused(Refusal::Unavailable { what: "the server refused to commit" }));
            }
            self.report(execution, End::Committed, "committed").await?;
        } else {
            self.report(execution, End::Committed, "ran on its own, outside a transaction").await?;
        }
        self.out.extend_from_slice(&kept);
        Ok(HeldEnd::Ran)
    }

    // As far as this transaction goes; none where the server does not say.
    async fn changed_so_far(&mut self) -> Result<Option<Changed>, Ended> {
        let answer = self.ask(CHANGED_QUERY).await?;
        Ok(if answer.failed.is_some() { None } else { changed::read(&answer.rows) })
    }

    async fn roll_back(&mut self) -> Result<(), Ended> {
        self.ask("ROLLBACK").await?;
        self.has_ended()
    }

    // The gate's own transaction is over at the server too: what comes next must not become a part of it.
    fn has_ended(&mut self) -> Result<(), Ended> {
        if self.replies.status != TransactionStatus::Idle {
            return Err(Ended::State("the transaction around an approved action did not end"));
        }
        self.session.status = TransactionStatus::Idle;
        Ok(())
    }

    pub(super) async fn report(&self, execution: Execution, end: End, note: &str) -> Result<(), Ended> {
        let report = Report { end, note: note.to_owned() };
        self.shared.desk.finish(execution, report).await.map_err(Ended::Refused)
    }
}
