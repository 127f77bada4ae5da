//! The extended protocol: messages are gathered up to Sync or Flush and judged at each Execute with its values;
//! Bind, which makes the server plan, is never forwarded before that.

use super::super::action::{self, ClientAction};
use super::super::codec::frontend::{self, Bind, Execute, Frontend, Named, Parse};
use super::super::codec::write::{self, Report, Severity};
use super::super::codec::{RawMessage, TransactionStatus, write_frontend};
use super::super::plan::MaskPlan;
use super::super::reply::{Expect, Rows, Then};
use super::super::session::{Portal, Prepared};
use super::super::wording;
use super::connection::{Connection, Ended};
use super::exchange::OWN_NAME;
use super::held::{Forward, HeldEnd};
use super::run::{Decision, scrubs};
use super::simple::ends_transaction;
use crate::sql::{Analysis, What};
use bytes::{Bytes, BytesMut};
use countersign_core::refusal::Refusal;
use countersign_desk::{Allowed, Held, LaneOutcome};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// Bytes that one pipeline may gather before it is sent.
const PIPELINE_BYTES_MAX: usize = 16 << 20;

/// What was gathered since the last Sync.
#[derive(Default)]
pub(super) struct Pipeline {
    queue: Vec<Queued>,
    bytes: usize,
    skipping: bool,
    // What was executed since the last Sync, whether sent or not.
    executed: Vec<(Arc<Analysis>, Arc<str>)>,
    // What names mean to the rest of this pipeline, once the server confirms it.
    prepared: HashMap<String, Option<Prepared>>,
    portals: HashMap<String, Option<Portal>>,
}

struct Queued {
    frame: Bytes,
    expect: Expect,
    // A Bind of this portal that was not judged yet: it must not be sent.
    unjudged: Option<String>,
}

impl Queued {
    const fn is_description(&self) -> bool {
        matches!(self.expect, Expect::Describe { show: true })
    }
}

impl Pipeline {
    /// Whether messages are ignored until Sync, as after an error.
    pub(super) const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether nothing was gathered or executed since the last Sync.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.executed.is_empty()
    }

    fn push(&mut self, frame: Bytes, expect: Expect) {
        self.bytes += frame.len();
        self.queue.push(Queued { frame, expect, unjudged: None });
    }

    fn judged(&mut self, portal: &str) {
        for queued in &mut self.queue {
            if queued.unjudged.as_deref() == Some(portal) {
                queued.unjudged = None;
            }
        }
    }

    fn clear(&mut self) {
        *self = Self { skipping: self.skipping, ..Self::default() };
    }

    // Nothing that was executed since the last Sync stands in the way of a hold.
    fn has_only_read(&self) -> bool {
        let plain = |s: &crate::sql::Statement| {
            s.proven_read
                || matches!(s.what, What::Begin { .. } | What::SetTransaction { .. } | What::Show { .. })
        };
        self.executed.iter().all(|(analysis, _)| analysis.statements.iter().all(plain))
    }
}

impl Connection {
    pub(super) async fn extended(&mut self, message: RawMessage) -> Result<(), Ended> {
        let frame = message.bytes.clone();
        if self.pipeline.bytes > PIPELINE_BYTES_MAX {
            let refusal = Refusal::Limit { name: "pipeline_bytes_max", value: PIPELINE_BYTES_MAX as u64 };
            return self.refuse_extended(refusal).await;
        }
        let parsed = frontend::parse(&message)?;
        if parsed.has_long_name() {
            let message = "expected a name of at most 63 bytes, found a longer one";
            return self.error("42622", message).await;
        }
        match parsed {
            Frontend::Parse(parse) => self.parse(&parse, frame).await,
            Frontend::Bind(bind) => self.bind(&bind, frame).await,
            Frontend::Describe(named) => self.describe(named, frame).await,
            Frontend::Execute(execute) => self.execute(execute, frame).await,
            Frontend::Close(named) => {
                self.close_named(named, frame);
                Ok(())
            }
            Frontend::Flush => self.send(false).await,
            Frontend::Sync => self.sync(&frame).await,
            _ => Ok(()),
        }
    }

    async fn parse(&mut self, parse: &Parse<'_>, frame: Bytes) -> Result<(), Ended> {
        // A name is given once: whatever the server would say to a second Parse, it must never be able to keep
        // another text under a name than the gate does.
        let taken = self.find_prepared(parse.name).is_some() && !parse.name.is_empty();
        if taken || parse.name == OWN_NAME {
            return self.error("42P05", "prepared statement already exists").await;
        }
        let sql: Arc<str> = parse.sql.into();
        self.refresh_state().await?;
        self.snapshot = self.facts.current();
        if let Err(error) = self.analyse(&sql).await {
            let refusal = Refusal::NotUnderstood { what: error.to_string() };
            self.shared.desk.refused(&self.id, &refusal);
            return self.refuse_extended(refusal).await;
        }
        let prepared = Prepared { sql, param_types: parse.param_types.as_slice().into() };
        self.pipeline.prepared.insert(parse.name.to_owned(), Some(prepared.clone()));
        let then = Then::Prepared(parse.name.to_owned(), prepared);
        self.pipeline.push(frame, Expect::Done { tag: b'1', then });
        Ok(())
    }

    async fn bind(&mut self, bind: &Bind<'_>, frame: Bytes) -> Result<(), Ended> {
        let Some(statement) = self.find_prepared(bind.statement) else {
            return self.error("26000", "prepared statement does not exist").await;
        };
        let portal = Portal {
            params: action::params(bind, &statement.param_types),
            result_formats: bind
                .result_formats
                .iter()
                .map(|f| i16::try_from(f.code()).unwrap_or(0))
                .collect(),
            statement,
            statement_name: bind.statement.to_owned(),
            bind: frame.clone(),
        };
        let name = bind.portal.to_owned();
        self.pipeline.portals.insert(name.clone(), Some(portal.clone()));
        let then = Then::Bound(name.clone(), portal);
        self.pipeline.push(frame, Expect::Done { tag: b'2', then });
        if let Some(last) = self.pipeline.queue.last_mut() {
            last.unjudged = Some(name);
        }
        Ok(())
    }

    async fn describe(&mut self, named: Named<'_>, frame: Bytes) -> Result<(), Ended> {
        let known = match named {
            Named::Statement(name) => self.find_prepared(name).is_some(),
            Named::Portal(name) => self.find_portal(name).is_some(),
        };
        if !known {
            return self.error("26000", "there is nothing of this name to describe").await;
        }
        self.pipeline.push(frame, Expect::Describe { show: true });
        Ok(())
    }

    fn close_named(&mut self, named: Named<'_>, frame: Bytes) {
        let then = match named {
            Named::Statement(name) => {
                self.pipeline.prepared.insert(name.to_owned(), None);
                Then::StatementClosed(name.to_owned())
            }
            Named::Portal(name) => {
                self.pipeline.portals.insert(name.to_owned(), None);
                Then::PortalClosed(name.to_owned())
            }
        };
        self.pipeline.push(frame, Expect::Done { tag: b'3', then });
    }

    async fn execute(&mut self, execute: Execute<'_>, frame: Bytes) -> Result<(), Ended> {
        let Some(portal) = self.find_portal(execute.portal) else {
            return self.error("34000", "portal does not exist").await;
        };
        let action = ClientAction::of_portal(&portal);
        match self.decide(&action).await? {
            Decision::Refuse(refusal) => self.refuse_extended(refusal).await,
            Decision::Allow(analysis, allowed) => {
                self.pass_execute(execute.portal, &action, analysis, &allowed, frame).await
            }
            Decision::Hold(analysis, held) => {
                self.hold_execute(execute, &action, analysis, held, frame).await
            }
        }
    }

    async fn pass_execute(
        &mut self,
        portal: &str,
        action: &ClientAction,
        analysis: Arc<Analysis>,
        allowed: &Allowed,
        frame: Bytes,
    ) -> Result<(), Ended> {
        let plan = match self.plan(&analysis, allowed.obligations(), false) {
            Ok(plan) => plan,
            Err(refusal) => return self.refuse_extended(refusal).await,
        };
        let (payload, execution) = match self.pass(allowed, action, &frame).await {
            Ok(passed) => passed,
            Err(refusal) => return self.refuse_extended(refusal).await,
        };
        let payload = Bytes::copy_from_slice(payload);
        self.pipeline.judged(portal);
        let described = matches!(self.pipeline.queue.last(), Some(last) if last.is_description());
        if matches!(plan, MaskPlan::Projection { .. })
            || (matches!(plan, MaskPlan::Unlabelled(_)) && !described)
        {
            // The mask is built from the server's own description of this very portal, and where nothing is masked
            // that description must not name anything labelled.
            self.pipeline.push(own_describe(portal)?, Expect::Describe { show: false });
        }
        self.session.about_to_run(&analysis);
        self.commit_sent |= ends_transaction(&analysis);
        let rows = Rows::new(execution, plan, false, scrubs(&analysis));
        self.pipeline.push(payload, Expect::Rows(Box::new(rows)));
        self.pipeline.executed.push((analysis, Arc::clone(&action.text)));
        Ok(())
    }

    async fn hold_execute(
        &mut self,
        execute: Execute<'_>,
        action: &ClientAction,
        analysis: Arc<Analysis>,
        held: Held,
        frame: Bytes,
    ) -> Result<(), Ended> {
        if self.session.has_failed() {
            return self
                .error(
                    "25P02",
                    "current transaction is aborted, commands ignored until end of transaction block",
                )
                .await;
        }
        if execute.max_rows > 0 {
            let refusal = Refusal::Unsupported {
                what: "an action that needs approval, fetched in pieces".to_owned(),
                instead: "Fetch all rows at once (fetch size 0): an approval is for one run.".to_owned(),
            };
            return self.refuse_extended(refusal).await;
        }
        if let Some(why) = self.cannot_hold_in_pipeline(execute.portal).await? {
            return self.refuse_extended(Refusal::CannotHoldHere { why: why.to_owned() }).await;
        }
        let (before, own) = self.split_queue(execute.portal);
        self.pipeline.queue = before;
        if !self.send_up_to_here().await? {
            return Ok(());
        }
        let forward = forward(own, execute.portal, &frame)?;
        match self.hold(action, analysis, held, forward).await? {
            HeldEnd::Ran => self.flush_client().await,
            HeldEnd::Failed => {
                self.pipeline.skipping = true;
                self.flush_client().await
            }
            HeldEnd::Refused(refusal) => {
                self.fail_transaction().await?;
                self.say_and_skip(&refusal).await
            }
        }
    }

    // A hold is possible for the last Execute before Sync, where what came before it in the pipeline only read.
    async fn cannot_hold_in_pipeline(&mut self, portal: &str) -> Result<Option<&'static str>, Ended> {
        if !self.pipeline.has_only_read() {
            return Ok(Some("the same pipeline has already done more than read"));
        }
        let queue = &self.pipeline.queue;
        let bind = queue.iter().position(|q| q.unjudged.as_deref() == Some(portal));
        let foreign = |q: &Queued| {
            !matches!(q.expect, Expect::Describe { .. }) && q.unjudged.as_deref() != Some(portal)
        };
        match bind {
            None => return Ok(Some("the portal was bound before the last Sync")),
            Some(at) if queue.iter().skip(at).any(foreign) => {
                return Ok(Some("other messages stand between its Bind and its Execute"));
            }
            Some(_) => {}
        }
        loop {
            match self.inbuf.first() {
                Some(b'S' | b'H') => return Ok(None),
                Some(_) => return Ok(Some("other messages follow it before Sync")),
                None => {
                    if self.client.read_buf(&mut self.inbuf).await? == 0 {
                        return Err(Ended::Client);
                    }
                }
            }
        }
    }

    fn split_queue(&mut self, portal: &str) -> (Vec<Queued>, Vec<Queued>) {
        let mut before = std::mem::take(&mut self.pipeline.queue);
        let at = before.iter().position(|q| q.unjudged.as_deref() == Some(portal)).unwrap_or(before.len());
        let own = before.split_off(at);
        (before, own)
    }

    // Sends what stands before a held action, and ends its implicit transaction; false where it failed.
    async fn send_up_to_here(&mut self) -> Result<bool, Ended> {
        if self.pipeline.queue.is_empty() && self.pipeline.executed.is_empty() {
            return Ok(true);
        }
        self.resume_if_suspended().await?;
        self.enqueue_all();
        write_frontend::sync(&mut self.upout);
        self.replies.expect(Expect::Ready { show: false });
        self.drive_pipeline().await?;
        Ok(!self.pipeline.skipping)
    }

    async fn sync(&mut self, frame: &Bytes) -> Result<(), Ended> {
        if self.pipeline.skipping {
            self.pipeline.skipping = false;
            self.pipeline.clear();
            write_frontend::sync(&mut self.upout);
            self.replies.expect(Expect::Ready { show: false });
            self.drive().await?;
            self.settle().await?;
            write::ready_for_query(&mut self.out, self.session.status);
            return self.flush_client().await;
        }
        if self.session.transaction.suspended && self.pipeline.queue.is_empty() {
            // The server has no transaction open while people decided; the client's is.
            write::ready_for_query(&mut self.out, self.session.status);
            self.pipeline.clear();
            return self.flush_client().await;
        }
        self.send(true).await?;
        if self.pipeline.skipping {
            return Box::pin(self.sync(frame)).await;
        }
        self.pipeline.clear();
        Ok(())
    }

    /// Sends what was gathered; with Sync or without.
    async fn send(&mut self, sync: bool) -> Result<(), Ended> {
        while let Some(portal) = self.pipeline.queue.iter().find_map(|q| q.unjudged.clone()) {
            // Bound but not executed: planning may run code, so it is judged like an execution.
            let Some(bound) = self.find_portal(&portal) else { return Err(Ended::State("a portal is lost")) };
            match self.decide(&ClientAction::of_portal(&bound)).await? {
                Decision::Allow(..) => self.pipeline.judged(&portal),
                Decision::Refuse(refusal) => return self.refuse_extended(refusal).await,
                Decision::Hold(..) => {
                    let why = "it is bound without being executed before Sync or Flush".to_owned();
                    return self.refuse_extended(Refusal::CannotHoldHere { why }).await;
                }
            }
        }
        self.resume_if_suspended().await?;
        self.enqueue_all();
        if sync {
            write_frontend::sync(&mut self.upout);
            self.replies.expect(Expect::Ready { show: true });
        } else {
            write_frontend::flush(&mut self.upout);
        }
        self.drive_pipeline().await
    }

    fn enqueue_all(&mut self) {
        for queued in std::mem::take(&mut self.pipeline.queue) {
            self.upout.extend_from_slice(&queued.frame);
            self.replies.expect(queued.expect);
        }
        self.pipeline.bytes = 0;
    }

    async fn drive_pipeline(&mut self) -> Result<(), Ended> {
        self.drive().await?;
        for then in std::mem::take(&mut self.replies.done) {
            self.session.confirmed(then).map_err(Ended::State)?;
        }
        let failed = self.replies.finished.iter().any(|f| f.outcome == LaneOutcome::Error);
        for (analysis, text) in std::mem::take(&mut self.pipeline.executed) {
            if failed {
                self.session.state_is_stale = true;
                self.session.transaction.only_reads = false;
            } else {
                self.session.ran(&analysis, &text);
            }
        }
        if self.replies.is_skipping() {
            self.pipeline.skipping = true;
        }
        self.settle().await
    }

    async fn resume_if_suspended(&mut self) -> Result<(), Ended> {
        let idle = self.pipeline.queue.is_empty();
        if self.session.transaction.suspended && !idle && !self.resume().await? {
            return Err(Ended::State("a transaction could not be begun again after a hold"));
        }
        Ok(())
    }

    /// Refuses in words, for real: what came before in the pipeline is answered, and none of it can commit.
    pub(super) async fn refuse_extended(&mut self, refusal: Refusal) -> Result<(), Ended> {
        if !self.stop_pipeline().await? {
            return Ok(());
        }
        self.say_and_skip(&refusal).await
    }

    async fn error(&mut self, code: &str, message: &str) -> Result<(), Ended> {
        if !self.stop_pipeline().await? {
            return Ok(());
        }
        let report = Report { severity: Severity::Error, code, message, detail: None, hint: None };
        write::error_response(&mut self.out, &report);
        self.pipeline.skipping = true;
        self.flush_client().await
    }

    async fn say_and_skip(&mut self, refusal: &Refusal) -> Result<(), Ended> {
        wording::refusal(&mut self.out, refusal);
        self.pipeline.skipping = true;
        self.flush_client().await
    }

    // Sends what may be sent, drops what may not, and fails what is open at the server. False where the server
    // had an error of its own before that: the client has it then.
    async fn stop_pipeline(&mut self) -> Result<bool, Ended> {
        let at = self.pipeline.queue.iter().position(|q| q.unjudged.is_some());
        self.pipeline.queue.truncate(at.unwrap_or(self.pipeline.queue.len()));
        self.resume_if_suspended().await?;
        let executed = !self.pipeline.executed.is_empty();
        if !self.pipeline.queue.is_empty() {
            self.enqueue_all();
            write_frontend::flush(&mut self.upout);
            self.drive_pipeline().await?;
            if self.pipeline.skipping {
                return Ok(false);
            }
        }
        // Statements since the last Sync share an implicit transaction, which the failure undoes.
        if executed || self.session.status == TransactionStatus::Open {
            if self.session.transaction.suspended {
                self.resume().await?;
            }
            self.fail_at_server().await?;
            self.session.status = self.replies.status;
        }
        Ok(true)
    }

    /// What a name means to what comes next.
    pub(super) fn find_prepared(&self, name: &str) -> Option<Prepared> {
        match self.pipeline.prepared.get(name) {
            Some(tentative) => tentative.clone(),
            None => self.session.prepared.get(name).cloned(),
        }
    }

    fn find_portal(&self, name: &str) -> Option<Portal> {
        match self.pipeline.portals.get(name) {
            Some(tentative) => tentative.clone(),
            None => self.session.portals.get(name).cloned(),
        }
    }
}

fn own_describe(portal: &str) -> Result<Bytes, Ended> {
    let mut out = BytesMut::new();
    write_frontend::describe(&mut out, Named::Portal(portal))?;
    Ok(out.freeze())
}

fn forward(own: Vec<Queued>, portal: &str, execute: &Bytes) -> Result<Forward, Ended> {
    let mut frames = BytesMut::new();
    let mut expect = Vec::new();
    for queued in own {
        frames.extend_from_slice(&queued.frame);
        expect.push(queued.expect);
    }
    frames.extend_from_slice(&own_describe(portal)?);
    expect.push(Expect::Describe { show: false });
    frames.extend_from_slice(execute);
    Ok(Forward::Extended { frames: frames.freeze(), expect })
}
