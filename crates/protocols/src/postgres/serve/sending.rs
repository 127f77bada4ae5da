//! The ends of a pipeline: what was gathered is sent at Sync, Flush or where what follows depends on it; what waits for
//! people is held at Sync; what is refused takes everything after the last Sync with it.

use super::super::action::ClientAction;
use super::super::codec::write::Bare;
use super::super::codec::{TransactionStatus, write, write_frontend};
use super::super::reply::Expect;
use super::super::session::leaves_no_trace;
use super::super::wording;
use super::connection::{Connection, Ended};
use super::copying::{Kept, copies_in};
use super::held::HeldEnd;
use super::pipeline::Pending;
use super::run::Decision;
use super::simple::ends_transaction;
use countersign_core::refusal::Refusal;

/// Why what was gathered is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// The client's Sync.
    Sync,
    /// The client's Flush: it waits for answers before it goes on.
    Flush,
    /// What comes next depends on it.
    Ahead,
}

/// Which Sync of the client's is answered after an action that was held at one.
#[derive(PartialEq, Eq)]
enum Answers {
    /// That one.
    ThisSync,
    /// Data followed it: the server passes over a Sync that comes before the end of a COPY's data, and drivers send
    /// another behind it.
    LaterSync,
}

impl Connection {
    /// Sends what was gathered, so that what comes next is read as the server will read it. False where something of
    /// it failed or was refused: the client has been told, and nothing more counts before Sync.
    pub(super) async fn drain(&mut self) -> Result<bool, Ended> {
        if self.pipeline.pending.is_some() {
            self.refuse_pending("other messages follow it before Sync").await?;
        } else if !self.pipeline.has_nothing_gathered() {
            self.send(Sending::Ahead).await?;
        }
        Ok(!self.pipeline.skipping)
    }

    /// Sends what was gathered; with Sync or without.
    pub(super) async fn send(&mut self, why: Sending) -> Result<(), Ended> {
        if !self.judge_gathered(why).await? {
            return Ok(());
        }
        let kept_back = self.pipeline.take_kept_back();
        if kept_back.is_none() || !self.pipeline.has_nothing_gathered() {
            self.send_judged(why == Sending::Sync).await?;
        }
        if let (Some(bind), false) = (kept_back, self.pipeline.skipping) {
            // Once, however often the client asks for what is due.
            if bind.is_due() {
                write::bare(&mut self.out, Bare::BindComplete);
            }
            self.pipeline.push_kept_back(bind);
            self.flush_client().await?;
        }
        Ok(())
    }

    async fn send_judged(&mut self, sync: bool) -> Result<(), Ended> {
        self.resume_if_suspended().await?;
        // A Sync ends the implicit transaction in which something was defined before.
        let ends = sync && self.session.status == TransactionStatus::Idle;
        let in_doubt = ends && self.session.state.definitions_in_doubt;
        let running = self.running_change(in_doubt || self.pipeline.may_define());
        self.enqueue_all()?;
        if sync {
            write_frontend::sync(&mut self.upout);
            self.replies.expect(Expect::Ready { show: true });
        } else {
            write_frontend::flush(&mut self.upout);
        }
        let failed = self.drive_pipeline(sync).await?;
        drop(running);
        self.pipeline.skipping = failed && !sync;
        Ok(())
    }

    /// Judges each Bind that was not executed: planning may run code, so it is judged like an execution. False where
    /// one of them is refused. One behind which the client waits before it executes it is kept back up to then.
    async fn judge_gathered(&mut self, why: Sending) -> Result<bool, Ended> {
        let mut from = 0;
        while let Some((at, portal)) = self.pipeline.next_unjudged(from) {
            let refusal = match self.decide(&ClientAction::of_portal(&portal)).await? {
                Decision::Allow(analysis, _) if analysis.statements.iter().all(leaves_no_trace) => {
                    if self.is_masked_read(&analysis) {
                        self.pipeline.read_masked_at(at);
                    }
                    None
                }
                Decision::Refuse(refusal) | Decision::Unreadable(refusal) => Some(refusal),
                Decision::Allow(..) | Decision::Hold(..)
                    if why == Sending::Flush && self.pipeline.keep_back(at) =>
                {
                    return Ok(true);
                }
                // It is not recorded before it is executed, and there are more ways to run a portal than Execute.
                Decision::Allow(..) | Decision::Hold(..) => {
                    let why = "it is bound without being executed before Sync or Flush".to_owned();
                    Some(Refusal::CannotHoldHere { why })
                }
            };
            if let Some(refusal) = refusal {
                self.refuse_extended(refusal).await?;
                return Ok(false);
            }
            self.pipeline.judged_at(at);
            from = at + 1;
        }
        Ok(true)
    }

    pub(super) async fn sync(&mut self) -> Result<(), Ended> {
        if let Some(pending) = self.pipeline.pending.take() {
            if Box::pin(self.hold_pending(*pending)).await? == Answers::LaterSync {
                return Ok(());
            }
        }
        if self.pipeline.skipping {
            return self.end_skipping().await;
        }
        if self.session.transaction.suspended && self.pipeline.has_nothing_gathered() {
            // The server has no transaction open while people decided; the client's is.
            write::ready_for_query(&mut self.out, self.session.status);
            self.pipeline.clear();
            return self.flush_client().await;
        }
        self.send(Sending::Sync).await?;
        if self.pipeline.skipping {
            // A Bind that nobody had executed was refused.
            return self.end_skipping().await;
        }
        Ok(())
    }

    // The end of a pipeline in which something failed.
    async fn end_skipping(&mut self) -> Result<(), Ended> {
        self.pipeline.clear();
        write_frontend::sync(&mut self.upout);
        self.replies.expect(Expect::Ready { show: false });
        self.drive_pipeline(true).await?;
        self.pipeline.skipping = false;
        write::ready_for_query(&mut self.out, self.session.status);
        self.flush_client().await
    }

    async fn hold_pending(&mut self, mut pending: Pending) -> Result<Answers, Ended> {
        if !self.send_reads().await? {
            return Ok(Answers::ThisSync);
        }
        if !copies_in(&pending.analysis) {
            self.hold_sent(pending).await?;
            return Ok(Answers::ThisSync);
        }
        if !pending.action.params.is_empty() {
            let (what, instead) = ("COPY with values bound to it".to_owned(), "Bind none.".to_owned());
            self.fail_transaction().await?;
            self.say_and_skip(&Refusal::Unsupported { what, instead }).await?;
            return Ok(Answers::ThisSync);
        }
        match self.keep_copy(&pending.analysis, &pending.greeting_of_copy()?).await? {
            Kept::Whole(data) => {
                pending.action.data = Some(data);
                self.hold_sent(pending).await?;
            }
            Kept::Refused(refusal) => {
                self.fail_transaction().await?;
                self.say_and_skip(&refusal).await?;
                return Ok(Answers::ThisSync);
            }
            Kept::Dropped(refusal) => {
                self.fail_transaction().await?;
                self.say_and_skip(&refusal).await?;
            }
            Kept::GivenUp(why) => {
                self.fail_transaction().await?;
                self.say_given_up(&why);
                self.pipeline.skipping = true;
                self.flush_client().await?;
            }
        }
        Ok(Answers::LaterSync)
    }

    async fn hold_sent(&mut self, pending: Pending) -> Result<(), Ended> {
        let forward = pending.forward()?;
        match Box::pin(self.hold(&pending.action, pending.analysis, pending.held, forward)).await? {
            HeldEnd::Ran => {
                if pending.portal.statement_name.is_empty() {
                    // It ran as the unnamed statement, which the client named so too.
                    self.session.prepared.insert(String::new(), pending.portal.statement.clone());
                }
                for closed in pending.after {
                    self.pipeline.push(closed.frame, closed.expect);
                }
            }
            HeldEnd::Failed => self.pipeline.skipping = true,
            HeldEnd::Refused(refusal) => {
                self.fail_transaction().await?;
                return self.say_and_skip(&refusal).await;
            }
        }
        self.flush_client().await
    }

    /// Sends what stands before an action that is to be held, and ends its implicit transaction, in which nothing was
    /// done but read. False where something of it failed: the action's own text may then not be what its name means,
    /// and the client expects it not to run.
    pub(super) async fn send_reads(&mut self) -> Result<bool, Ended> {
        if self.pipeline.is_empty() {
            return Ok(true);
        }
        if !self.judge_gathered(Sending::Ahead).await? {
            return Ok(false);
        }
        self.resume_if_suspended().await?;
        self.enqueue_all()?;
        write_frontend::sync(&mut self.upout);
        self.replies.expect(Expect::Ready { show: false });
        self.pipeline.skipping = self.drive_pipeline(true).await?;
        Ok(!self.pipeline.skipping)
    }

    fn enqueue_all(&mut self) -> Result<(), Ended> {
        let mut gathered = self.pipeline.take();
        let (mut masked, mut rest) = (false, gathered.drain(..).peekable());
        while let Some(queued) = rest.next() {
            let role = queued.is_of_a_role().then_some(queued.masked);
            // Nothing may stand between the rows and what describes them.
            let role = role.or_else(|| rest.peek().and_then(|next| queued.role_before(next)));
            if let Some(role) = role.filter(|role| *role != masked) {
                masked = role;
                self.switch_role(masked)?;
            }
            let commits = matches!(&queued.expect, Expect::Rows(rows) if ends_transaction(rows.analysis()));
            if commits && self.session.state.definitions_in_doubt {
                self.begin_change();
            }
            self.upout.extend_from_slice(&queued.frame);
            self.replies.expect(queued.expect);
        }
        drop(rest);
        if masked {
            self.switch_role(false)?;
        }
        self.pipeline.reuse(gathered);
        Ok(())
    }

    // Whether something failed.
    async fn drive_pipeline(&mut self, sync: bool) -> Result<bool, Ended> {
        self.drive().await?;
        self.pipeline.open = !sync;
        self.learn();
        self.settle().await?;
        // What was set in what failed may be taken back already, or with its transaction.
        self.session.state_is_stale |= self.replies.failed;
        Ok(std::mem::take(&mut self.replies.failed))
    }

    /// Takes what the server has confirmed, in its order.
    pub(super) fn learn(&mut self) {
        for then in self.replies.done.drain(..) {
            self.session.confirmed(then);
        }
        if !self.pipeline.open {
            self.session.ready(self.replies.status);
        }
    }

    async fn resume_if_suspended(&mut self) -> Result<(), Ended> {
        let idle = self.pipeline.has_nothing_gathered();
        if self.session.transaction.suspended && !idle && !self.resume().await? {
            return Err(Ended::State("a transaction could not be begun again after a hold"));
        }
        Ok(())
    }

    /// Refuses what was set aside to be held.
    pub(super) async fn refuse_pending(&mut self, why: &str) -> Result<(), Ended> {
        self.pipeline.pending = None;
        self.refuse_extended(Refusal::CannotHoldHere { why: why.to_owned() }).await
    }

    /// Refuses in words, for real: what came before in the pipeline is answered, and none of it can commit.
    pub(super) async fn refuse_extended(&mut self, refusal: Refusal) -> Result<(), Ended> {
        if !self.stop_pipeline().await? {
            return Ok(());
        }
        self.say_and_skip(&refusal).await
    }

    async fn say_and_skip(&mut self, refusal: &Refusal) -> Result<(), Ended> {
        wording::refusal(&mut self.out, refusal);
        self.pipeline.skipping = true;
        self.flush_client().await
    }

    /// Sends what may be sent, drops what may not, and fails what is open at the server. False where the server
    /// had an error of its own before that: the client has it then.
    pub(super) async fn stop_pipeline(&mut self) -> Result<bool, Ended> {
        self.pipeline.pending = None;
        self.pipeline.drop_unjudged();
        self.resume_if_suspended().await?;
        if !self.pipeline.has_nothing_gathered() {
            self.enqueue_all()?;
            write_frontend::flush(&mut self.upout);
            self.pipeline.skipping = self.drive_pipeline(false).await?;
            if self.pipeline.skipping {
                return Ok(false);
            }
        }
        self.fail_open().await?;
        Ok(true)
    }

    /// Fails whatever transaction is open, explicit or implicit: nothing in it can be committed any more.
    pub(super) async fn fail_open(&mut self) -> Result<(), Ended> {
        if !self.pipeline.open && self.session.status != TransactionStatus::Open {
            return Ok(());
        }
        if self.session.transaction.suspended {
            self.resume().await?;
        }
        self.fail_at_server().await?;
        self.session.state_is_stale = true;
        self.pipeline.open = false;
        self.session.ready(self.replies.status);
        Ok(())
    }
}
