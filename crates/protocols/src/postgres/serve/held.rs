//! An action that waits for people: at a clean point, with signs of life, withdrawn when the client gives up, and
//! run once when it is granted.

use super::super::action::{self, ClientAction};
use super::super::codec::{TransactionStatus, write_frontend};
use super::super::reply::{Expect, Finished, Rows};
use super::super::wording;
use super::connection::{AHEAD_BYTES_MAX, Connection, Ended, stopped};
use crate::sql::{Analysis, What};
use bytes::Bytes;
use countersign_core::action::Rows as RowCount;
use countersign_core::lifecycle::End;
use countersign_core::refusal::Refusal;
use countersign_desk::{
    Claim, Draft, Execution, FreshAction, Granted, Held, Judged, LaneOutcome, Report, Waited, Waiting,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How often a client that waits is sent a sign of life: below the idle limits of load balancers and drivers.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The messages that are forwarded once an action is granted.
pub(super) enum Forward {
    /// A simple query.
    Simple(Bytes),
    /// Bind, Describe where the client asked, Execute.
    Extended {
        /// The messages.
        frames: Bytes,
        /// The Bind's answer, and the Describe's.
        expect: Vec<Expect>,
    },
}

/// How a hold ended.
pub(super) enum HeldEnd {
    /// It ran; the client has been told, but for ReadyForQuery.
    Ran,
    /// The server refused it; the client has been told, but for ReadyForQuery.
    Failed,
    /// It did not run.
    Refused(Refusal),
}

enum Woken {
    Granted,
    Refused(Refusal),
    Cancelled,
    Alive,
    Read,
}

impl Connection {
    /// Holds an action until it ran or will not run.
    pub(super) async fn hold(
        &mut self,
        action: &ClientAction,
        analysis: Arc<Analysis>,
        held: Held,
        forward: Forward,
    ) -> Result<HeldEnd, Ended> {
        if let Some(why) = self.cannot_hold(&analysis).await? {
            return Ok(HeldEnd::Refused(Refusal::CannotHoldHere { why }));
        }
        let rows = self.count(&analysis, action).await?;
        let draft = self.draft(action, &analysis, held.obligations(), rows);
        let desk = self.shared.desk.clone();
        let mut waiting = match desk.hold(&self.identity, &held, draft).await {
            Ok(waiting) => waiting,
            Err(refusal) => return Ok(HeldEnd::Refused(refusal)),
        };
        let mut changed: Option<String> = None;
        let mut forward = Some(forward);
        loop {
            waiting = match self.wait(waiting, changed.as_deref()).await? {
                Ok(waiting) => waiting,
                Err(refusal) => return Ok(HeldEnd::Refused(refusal)),
            };
            let (analysis, judged) = match self.afresh(action).await? {
                Ok(afresh) => afresh,
                Err(refusal) => return Ok(HeldEnd::Refused(refusal)),
            };
            let obligations = waiting.record().terms.obligations.clone();
            let fresh = self.draft(action, &analysis, &obligations, rows);
            let payload = forward.as_ref().map(Forward::bytes).unwrap_or_default();
            let fresh = FreshAction { draft: fresh, judged, payload: &payload };
            match waiting.claim(&self.identity, fresh).await {
                Claim::Granted(granted) => {
                    let Some(forward) = forward.take() else { return Err(Ended::State("claimed twice")) };
                    return self.run_granted(granted, &analysis, action, forward).await;
                }
                Claim::Reheld { waiting: again, what } => {
                    waiting = *again;
                    changed = Some(what);
                }
                Claim::Refused(refusal) => return Ok(HeldEnd::Refused(refusal)),
            }
        }
    }

    fn draft(
        &self,
        action: &ClientAction,
        analysis: &Analysis,
        obligations: &countersign_core::action::Obligations,
        rows: Option<RowCount>,
    ) -> Draft {
        action::draft(&self.site(), &self.session, action, analysis, obligations, rows, &self.so_far)
    }

    // Everything again: the server's facts, the session's state, the analysis, policy.
    async fn afresh(
        &mut self,
        action: &ClientAction,
    ) -> Result<Result<(Arc<Analysis>, Judged), Refusal>, Ended> {
        // A token that was revoked or ran out while people decided releases nothing.
        self.check_identity()?;
        self.snapshot = match self.facts.refreshed().await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(session = %self.id, %error, "the server's facts cannot be had for a claim");
                return Ok(Err(Refusal::Unavailable { what: "the server's catalogue cannot be read" }));
            }
        };
        self.session.state_is_stale = true;
        self.refresh_state().await?;
        match self.analyse_whole(action).await {
            Ok(analysis) => {
                let judged = self.judge(&analysis, action);
                Ok(Ok((analysis, judged)))
            }
            Err(error) => Ok(Err(Refusal::NotUnderstood { what: error.to_string() })),
        }
    }

    // A hold exists only where no transaction is open at the server. One that has only read is ended there; the
    // client does not see it.
    async fn cannot_hold(&mut self, analysis: &Analysis) -> Result<Option<String>, Ended> {
        if let Some(why) = self.session.cannot_suspend() {
            return Ok(Some(why.to_owned()));
        }
        let controls = |what: &What| {
            matches!(
                what,
                What::Begin { .. }
                    | What::Commit { .. }
                    | What::Rollback { .. }
                    | What::Savepoint { .. }
                    | What::Release { .. }
                    | What::RollbackTo { .. }
                    | What::TwoPhase
            )
        };
        if analysis.statements.len() > 1 && analysis.statements.iter().any(|s| controls(&s.what)) {
            return Ok(Some(
                "the message mixes transaction commands with an action that needs approval".to_owned(),
            ));
        }
        if self.session.status == TransactionStatus::Open && !self.session.transaction.suspended {
            let id = self.ask("SELECT pg_catalog.pg_current_xact_id_if_assigned()::text").await?;
            if id.cell().is_some() || id.failed.is_some() {
                return Ok(Some("the transaction has already changed something".to_owned()));
            }
            self.ask("COMMIT").await?;
            self.session.transaction.suspended = true;
        }
        Ok(None)
    }

    async fn wait(
        &mut self,
        mut waiting: Waiting,
        changed: Option<&str>,
    ) -> Result<Result<Waiting, Refusal>, Ended> {
        // Before the client is told: whoever reads the notice may give up at once.
        self.signal.begin_hold();
        if self.session.wants_notices {
            wording::held(&mut self.out, &waiting, &self.shared.settings.public_url, changed);
        }
        wording::alive(&mut self.out);
        self.flush_client().await?;
        tracing::info!(session = %self.id, request = %waiting.id(), "held");
        let mut alive = tokio::time::interval_at(tokio::time::Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        let mut stop = self.shared.stop.clone();
        let ended = loop {
            let may_read_ahead = self.inbuf.len() < AHEAD_BYTES_MAX;
            let woken = tokio::select! {
                biased;
                waited = waiting.wait() => match waited {
                    Waited::Granted => Woken::Granted,
                    Waited::Refused(refusal) => Woken::Refused(refusal),
                },
                () = self.signal.asked() => Woken::Cancelled,
                read = self.client.read_buf(&mut self.inbuf), if may_read_ahead => match read {
                    Ok(0) | Err(_) => break Err(Ended::Client),
                    Ok(_) => Woken::Read,
                },
                _ = alive.tick() => Woken::Alive,
                () = stopped(&mut stop) => break Err(Ended::Stopping),
            };
            match woken {
                Woken::Granted => break Ok(None),
                Woken::Refused(refusal) => break Ok(Some(refusal)),
                Woken::Cancelled => {
                    let request = waiting.id().clone();
                    waiting.withdraw("the client cancelled it").await.map_err(Ended::Refused)?;
                    self.signal.end_hold();
                    return Ok(Err(Refusal::Withdrawn { request }));
                }
                Woken::Alive => {
                    wording::alive(&mut self.out);
                    self.flush_client().await?;
                }
                Woken::Read => {}
            }
        };
        self.signal.end_hold();
        match ended {
            Ok(None) => Ok(Ok(waiting)),
            Ok(Some(refusal)) => Ok(Err(refusal)),
            Err(Ended::Client) => {
                waiting.withdraw("the client is gone").await.map_err(Ended::Refused)?;
                Err(Ended::Client)
            }
            // The desk parks what waits when the gate stops: the drop of `waiting` then leaves it alone.
            Err(reason) => Err(reason),
        }
    }

    async fn run_granted(
        &mut self,
        granted: Granted<'_>,
        analysis: &Arc<Analysis>,
        action: &ClientAction,
        forward: Forward,
    ) -> Result<HeldEnd, Ended> {
        let (payload, execution) = granted.release();
        let inside = self.session.transaction.suspended;
        let wrap = !inside && analysis.statements.iter().all(|s| s.transaction_safe);
        if inside && !self.resume().await? {
            self.report(execution, End::RolledBack, "its transaction could not be begun again").await?;
            return Ok(HeldEnd::Refused(Refusal::Unavailable {
                what: "the transaction could not be begun again",
            }));
        }
        if wrap
            && (self.ask("BEGIN").await?.failed.is_some() || self.replies.status != TransactionStatus::Open)
        {
            // Without a transaction around it nothing could be undone that goes over the bound.
            self.report(execution, End::RolledBack, "no transaction could be begun around it").await?;
            return Ok(HeldEnd::Refused(Refusal::Unavailable { what: "no transaction could be begun" }));
        }
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
                    self.ask("ROLLBACK").await?;
                }
                return Ok(HeldEnd::Refused(refusal));
            }
        };
        let simple = matches!(forward, Forward::Simple(_));
        let epoch = self.snapshot.epoch;
        let mut rows = Rows::new(execution, plan, simple, (analysis, &action.text, epoch));
        rows.keep_back = true;
        self.expect_granted(rows, forward);
        self.drive().await?;
        self.replies.failed = false;
        self.replies.done.clear();
        self.session.status = self.replies.status;
        self.session.state_is_stale = true;
        let Some(finished) = self.replies.finished.pop() else {
            return Err(Ended::State("an approved action ended without an answer"));
        };
        let ended = self.conclude(finished, wrap, inside).await?;
        if analysis.joined.may_change() {
            // What it changed may be what names mean: the next statement is analysed under the new facts.
            match self.facts.refreshed().await {
                Ok(snapshot) => self.snapshot = snapshot,
                Err(error) => tracing::warn!(session = %self.id, %error, "facts are stale after a change"),
            }
        }
        if matches!(ended, HeldEnd::Ran) {
            self.session.ran(analysis, &action.text, epoch);
        }
        Ok(ended)
    }

    fn expect_granted(&mut self, rows: Rows, forward: Forward) {
        match forward {
            Forward::Simple(_) => self.replies.expect(Expect::Rows(Box::new(rows))),
            Forward::Extended { expect, .. } => {
                expect.into_iter().for_each(|e| self.replies.expect(e));
                self.replies.expect(Expect::Rows(Box::new(rows)));
                write_frontend::sync(&mut self.upout);
                self.replies.expect(Expect::Ready { show: false });
            }
        }
    }

    // The effect becomes permanent only after its record: executed, durable, then COMMIT.
    async fn conclude(&mut self, finished: Finished, wrap: bool, inside: bool) -> Result<HeldEnd, Ended> {
        let kept = std::mem::take(&mut self.replies.kept);
        let Finished { execution, outcome, over, rows } = finished;
        if over {
            let rows_max = execution.rows_max().unwrap_or(0);
            if wrap {
                self.ask("ROLLBACK").await?;
                self.session.status = TransactionStatus::Idle;
            }
            self.report(execution, End::RolledBack, "it touched more rows than were approved").await?;
            return Ok(HeldEnd::Refused(Refusal::OverBound { rows_max }));
        }
        if outcome == LaneOutcome::Error {
            if wrap {
                self.ask("ROLLBACK").await?;
                self.session.status = TransactionStatus::Idle;
            }
            self.report(execution, End::RolledBack, "the server refused it").await?;
            return Ok(HeldEnd::Failed);
        }
        let transaction = if wrap || inside {
            let id = self.ask("SELECT pg_catalog.pg_current_xact_id_if_assigned()::text").await?;
            id.cell().map(str::to_owned)
        } else {
            None
        };
        if let Err(refusal) = self.shared.desk.executed(&execution, transaction, rows).await {
            if wrap {
                self.ask("ROLLBACK").await?;
                self.session.status = TransactionStatus::Idle;
            }
            return Ok(HeldEnd::Refused(refusal));
        }
        if inside {
            self.session.transaction.executions.push(execution);
        } else if wrap {
            self.commit_sent = true;
            let committed = self.ask("COMMIT").await?;
            self.commit_sent = false;
            self.session.status = TransactionStatus::Idle;
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

    async fn report(&self, execution: Execution, end: End, note: &str) -> Result<(), Ended> {
        let report = Report { end, note: note.to_owned() };
        self.shared.desk.finish(execution, report).await.map_err(Ended::Refused)
    }
}

impl Forward {
    fn bytes(&self) -> Bytes {
        match self {
            Self::Simple(frame) => frame.clone(),
            Self::Extended { frames, .. } => frames.clone(),
        }
    }
}
