//! Simple queries: one message, one or more statements, one decision over all of them.

use super::super::action::ClientAction;
use super::super::codec::frontend::Named;
use super::super::codec::write::{self, Report, Severity};
use super::super::codec::{TransactionStatus, write_frontend};
use super::super::reply::{Expect, Rows, Then};
use super::super::session::defines;
use super::super::wording;
use super::connection::{Connection, Ended};
use super::copying::{Kept, copies_in};
use super::exchange::OWN_NAME;
use super::held::{Forward, HeldEnd, cannot_be_asked};
use super::run::Decision;
use crate::sql::{Analysis, What};
use bytes::{Bytes, BytesMut};
use countersign_core::refusal::Refusal;
use countersign_desk::Allowed;
use std::sync::Arc;

impl Connection {
    pub(super) async fn simple(&mut self, text: &Arc<str>, frame: Bytes) -> Result<(), Ended> {
        // What came before it is at the server before it, and decides what it means.
        if !self.drain().await? {
            return Ok(());
        }
        // A simple query destroys the unnamed statement and the unnamed portal at the server ("Extended Query").
        self.session.prepared.remove("");
        self.session.portals.remove("");
        let action = ClientAction::simple(Arc::clone(text));
        match self.decide(&action).await? {
            Decision::Refuse(refusal) => self.refuse_simple(refusal).await,
            Decision::Unreadable(refusal) => self.refuse_unreadable(refusal, text).await,
            Decision::Allow(analysis, _) if self.session.own.plan && cannot_be_asked(&analysis).is_some() => {
                self.refuse_simple(no_plan(&analysis)).await
            }
            Decision::Allow(analysis, allowed) => {
                self.pass_simple(&action, &analysis, &allowed, &frame).await
            }
            Decision::Hold(..) if self.session.has_failed() => self.answer_failed().await,
            Decision::Hold(..) if !self.session.only_reads_since_ready => {
                let why = "the same pipeline has already done more than read".to_owned();
                self.refuse_simple(Refusal::CannotHoldHere { why }).await
            }
            Decision::Hold(analysis, held) => {
                if !self.send_reads().await? {
                    return Err(Ended::State("a pipeline that only read could not be ended"));
                }
                if self.server_refuses_any(&analysis, text).await? {
                    write::ready_for_query(&mut self.out, self.session.status);
                    return self.flush_client().await;
                }
                let mut action = action;
                if copies_in(&analysis) {
                    match Box::pin(self.keep_copy(&analysis, &[])).await? {
                        Kept::Whole(data) => action.data = Some(data),
                        Kept::Refused(refusal) | Kept::Dropped(refusal) => {
                            return self.refuse_simple(refusal).await;
                        }
                        Kept::GivenUp(why) => return self.give_up_simple(&why).await,
                    }
                }
                // What it was read with is not kept while people decide.
                let forward = Forward::Simple(Bytes::copy_from_slice(&frame));
                drop(frame);
                match Box::pin(self.hold(&action, analysis, held, forward)).await? {
                    HeldEnd::Ran | HeldEnd::Failed => {
                        write::ready_for_query(&mut self.out, self.session.status);
                        self.flush_client().await
                    }
                    HeldEnd::Refused(refusal) => self.refuse_simple(refusal).await,
                }
            }
        }
    }

    async fn give_up_simple(&mut self, why: &str) -> Result<(), Ended> {
        self.fail_transaction().await?;
        self.say_given_up(why);
        write::ready_for_query(&mut self.out, self.session.status);
        self.flush_client().await
    }

    // The server says best what is wrong with a text, and where. What it would read, although the gate cannot, is refused.
    async fn refuse_unreadable(&mut self, refusal: Refusal, text: &str) -> Result<(), Ended> {
        // Of several commands it would only say that they are several: it is asked as for what drivers prepare.
        let one = !text.trim_end().trim_end_matches(';').contains(';');
        if self.pipeline.open || !one || !self.server_refuses(text).await? {
            return self.refuse_simple(refusal).await;
        }
        write::ready_for_query(&mut self.out, self.session.status);
        self.flush_client().await
    }

    // Nobody is asked about a misspelt name: the server reads the text, as it does with what drivers prepare, and plans
    // and runs nothing. Where it refuses it, the client has its error.
    pub(super) async fn server_refuses(&mut self, text: &str) -> Result<bool, Ended> {
        let own = |tag| Expect::Done { tag, show: false, then: Then::Nothing };
        write_frontend::close(&mut self.upout, Named::Statement(OWN_NAME))?;
        self.replies.expect(own(b'3'));
        write_frontend::parse(&mut self.upout, OWN_NAME, text, &[])?;
        self.replies.expect(own(b'1'));
        write_frontend::close(&mut self.upout, Named::Statement(OWN_NAME))?;
        self.replies.expect(own(b'3'));
        write_frontend::sync(&mut self.upout);
        self.replies.expect(Expect::Ready { show: false });
        self.drive().await?;
        let failed = std::mem::take(&mut self.replies.failed);
        self.replies.done.clear();
        if !self.session.transaction.suspended {
            self.session.ready(self.replies.status);
        } else if failed {
            // The server had no transaction open; the client's has failed all the same.
            self.fail_transaction().await?;
        }
        self.session.state_is_stale |= failed;
        Ok(failed)
    }

    async fn pass_simple(
        &mut self,
        action: &ClientAction,
        analysis: &Arc<Analysis>,
        allowed: &Allowed,
        frame: &Bytes,
    ) -> Result<(), Ended> {
        let plan = match self.plan(analysis, allowed.obligations(), false) {
            Ok(plan) => plan,
            Err(refusal) => return self.refuse_simple(refusal).await,
        };
        if self.session.transaction.suspended && !self.resume().await? {
            return Err(Ended::State("a transaction could not be begun again after a hold"));
        }
        let masked = self.is_masked_read(analysis);
        if masked && let Some(refusal) = Box::pin(self.take_masked_role(analysis)).await? {
            return self.refuse_simple(refusal).await;
        }
        let (payload, execution) = match self.pass(allowed, action, frame).await {
            Ok(passed) => passed,
            Err(refusal) => {
                if masked {
                    self.give_masked_role_back().await?;
                }
                return self.refuse_simple(refusal).await;
            }
        };
        let rows = Rows::new(execution, plan, true, (analysis, &action.text, self.epoch()));
        self.upout.extend_from_slice(payload);
        if ends_transaction(analysis) {
            self.commit_sent = true;
            if self.session.state.definitions_in_doubt {
                self.begin_change();
            }
        }
        self.replies.expect(Expect::Rows(Box::new(rows)));
        let running = self.running_change(analysis.statements.iter().any(defines));
        self.drive().await?;
        drop(running);
        self.pipeline.open = false;
        self.replies.failed = false;
        self.learn();
        self.settle().await?;
        if masked {
            self.give_masked_role_back().await?;
        }
        Ok(())
    }

    /// Begins the client's transaction again; false where the server refuses.
    pub(super) async fn resume(&mut self) -> Result<bool, Ended> {
        self.session.transaction.suspended = false;
        for text in self.session.transaction.opening.clone() {
            if self.ask(&text).await?.failed.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Refuses in words, for real: an open transaction is driven into the failed state at the server.
    pub(super) async fn refuse_simple(&mut self, refusal: Refusal) -> Result<(), Ended> {
        if self.pipeline.open {
            self.fail_open().await?;
        } else {
            self.fail_transaction().await?;
        }
        wording::refusal(&mut self.out, &refusal);
        write::ready_for_query(&mut self.out, self.session.status);
        self.flush_client().await
    }

    /// Makes sure that nothing of an open transaction can be committed.
    pub(super) async fn fail_transaction(&mut self) -> Result<(), Ended> {
        if self.session.status != TransactionStatus::Open {
            return Ok(());
        }
        if self.session.transaction.suspended {
            self.resume().await?;
        }
        self.fail_at_server().await?;
        self.session.state_is_stale = true;
        if self.replies.status != TransactionStatus::Failed {
            // Nothing else is safe: a transaction that cannot be failed must not live on.
            return Err(Ended::State("a transaction could not be driven into the failed state"));
        }
        self.session.status = self.replies.status;
        Ok(())
    }

    /// Sends something that the server refuses.
    pub(super) async fn fail_at_server(&mut self) -> Result<(), Ended> {
        let mut out = BytesMut::new();
        write_frontend::parse(&mut out, OWN_NAME, "countersign refuses", &[])?;
        write_frontend::sync(&mut out);
        self.ask_raw(&out).await.map(drop)
    }

    async fn answer_failed(&mut self) -> Result<(), Ended> {
        write::error_response(
            &mut self.out,
            &Report {
                severity: Severity::Error,
                code: "25P02",
                message: "current transaction is aborted, commands ignored until end of transaction block",
                detail: None,
                hint: None,
            },
        );
        write::ready_for_query(&mut self.out, self.session.status);
        self.flush_client().await
    }
}

// Its client was promised all of it or nothing, whether people are asked or not.
fn no_plan(analysis: &Analysis) -> Refusal {
    let why = cannot_be_asked(analysis).unwrap_or_default();
    Refusal::Unsupported {
        what: "a plan that would not be one transaction".to_owned(),
        instead: format!("Send it otherwise: {why}."),
    }
}

pub(super) fn ends_transaction(analysis: &Analysis) -> bool {
    analysis.statements.iter().any(|s| matches!(s.what, What::Commit { .. }))
}
