//! The extended protocol, message by message: gathered up to Sync or Flush and judged at each Execute with its values;
//! Bind, which makes the server plan, is never forwarded before that.

use super::super::action::{self, ClientAction};
use super::super::codec::frontend::{self, Bind, Execute, Frontend, Named, Parse};
use super::super::codec::write::{self, Report, Severity};
use super::super::codec::{RawMessage, write_frontend};
use super::super::plan::MaskPlan;
use super::super::reply::{Expect, Rows};
use super::super::session::{Analysed, PORTALS_BYTES_MAX, PORTALS_MAX, PREPARED_MAX, Portal, Prepared};
use super::connection::{Connection, Ended};
use super::copying::copies_in;
use super::exchange::OWN_NAME;
use super::pipeline::Found;
use super::run::{Decision, not_understood};
use super::sending::Sending;
use super::simple::ends_transaction;
use crate::sql::Analysis;
use bytes::{Bytes, BytesMut};
use countersign_core::effect::Param;
use countersign_core::refusal::Refusal;
use countersign_desk::{Allowed, Held};
use std::sync::Arc;

const FAILED: &str = "current transaction is aborted, commands ignored until end of transaction block";

impl Connection {
    pub(super) async fn extended(&mut self, message: RawMessage) -> Result<(), Ended> {
        if self.pipeline.must_be_sent_before(message.tag) && !self.drain().await? {
            return Ok(());
        }
        let frame = message.bytes.clone();
        let parsed = frontend::parse(&message)?;
        if parsed.has_long_name() {
            let message = "expected a name of at most 63 bytes, found a longer one";
            return self.error("42622", message).await;
        }
        if self.pipeline.pending.is_some() && !matches!(parsed, Frontend::Sync | Frontend::Close(_)) {
            return self.refuse_pending("other messages follow it before Sync").await;
        }
        match parsed {
            Frontend::Parse(parse) => self.parse(&parse, frame).await,
            Frontend::Bind(bind) => self.bind(&bind, frame).await,
            Frontend::Describe(named) => self.describe(named, frame).await,
            Frontend::Execute(execute) => self.execute(execute, frame).await,
            Frontend::Close(named) => {
                self.pipeline.push_close(frame, named);
                Ok(())
            }
            Frontend::Flush => self.send(Sending::Flush).await,
            Frontend::Sync => self.sync().await,
            _ => Ok(()),
        }
    }

    async fn parse(&mut self, parse: &Parse<'_>, frame: Bytes) -> Result<(), Ended> {
        // A name is given once: whatever the server would say to a second Parse, it must never be able to keep
        // another text under a name than the gate does.
        let taken = self.find_prepared(parse.name).is_some() && !parse.name.is_empty();
        if taken || parse.name == OWN_NAME {
            return self.error("42P05", &format!("{} already exists", statement_words(parse.name))).await;
        }
        if !self.session.may_keep(parse.sql, parse.param_types.len()) {
            let refusal = Refusal::Limit { name: "prepared_max", value: PREPARED_MAX as u64 };
            return self.refuse_extended(refusal).await;
        }
        let sql: Arc<str> = parse.sql.into();
        if let Some(refusal) = self.bring_up_to_date().await? {
            return self.refuse_extended(refusal).await;
        }
        let analysed = match self.analyse(&sql).await {
            Ok(analysis) => self.state_id().ok().map(|state| Analysed::new(state, &analysis)),
            Err(error) => {
                let refusal = not_understood(error);
                self.shared.desk.refused(&self.id, &refusal);
                return self.refuse_extended(refusal).await;
            }
        };
        let param_types = parse.param_types.as_slice().into();
        let prepared = Prepared { sql, param_types, epoch: self.epoch(), by_sql: false, analysed };
        self.pipeline.push_parse(frame, parse.name.to_owned(), prepared);
        Ok(())
    }

    async fn bind(&mut self, bind: &Bind<'_>, frame: Bytes) -> Result<(), Ended> {
        if self.find_prepared(bind.statement).is_none() {
            return self.no_such_statement(bind.statement).await;
        }
        if self.session.portals.len() + self.pipeline.portals() > PORTALS_MAX {
            let refusal = Refusal::Limit { name: "portals_max", value: PORTALS_MAX as u64 };
            return self.refuse_extended(refusal).await;
        }
        if self.session.portal_bytes() + self.pipeline.portal_bytes() > PORTALS_BYTES_MAX {
            let refusal = Refusal::Limit { name: "portals_bytes_max", value: PORTALS_BYTES_MAX as u64 };
            return self.refuse_extended(refusal).await;
        }
        if let Some(refusal) = self.bring_up_to_date().await? {
            return self.refuse_extended(refusal).await;
        }
        let Some(statement) = self.fresh(bind.statement)? else {
            return self
                .error("26000", "the tables have changed since this was prepared: prepare it again")
                .await;
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
            bytes: frame.len() + bind.params.len() * size_of::<Param>(),
            state_version: self.session.state_version,
        };
        self.pipeline.push_bind(frame, bind.portal.to_owned(), Arc::new(portal));
        Ok(())
    }

    // A statement, read by the server under the facts of now. What it read under others it may understand otherwise
    // than the gate (it goes on to use the table that a name meant then), so it is told to read it again.
    fn fresh(&mut self, name: &str) -> Result<Option<Prepared>, Ended> {
        let Some(prepared) = self.find_prepared(name) else { return Ok(None) };
        let epoch = self.epoch();
        // In a transaction that has failed the server reads nothing, and refuses what is bound.
        let is_current = epoch != 0 && prepared.epoch == epoch;
        if is_current || self.session.has_failed() {
            return Ok(Some(prepared));
        }
        if prepared.by_sql {
            return Ok(None);
        }
        let prepared = Prepared { epoch, ..prepared };
        // The client reads rows as it was told at first: where they would be others now the server says so to this
        // question, as it would to the Bind, and nothing behind it is done.
        self.pipeline.push(describe(Named::Statement(name))?, Expect::Describe { show: false });
        let (mut close, mut parse) = (BytesMut::new(), BytesMut::new());
        write_frontend::close(&mut close, Named::Statement(name))?;
        write_frontend::parse(&mut parse, name, &prepared.sql, &prepared.param_types)?;
        self.pipeline.push_parse_again(close.freeze(), parse.freeze(), name.to_owned(), prepared.clone());
        Ok(Some(prepared))
    }

    async fn describe(&mut self, named: Named<'_>, frame: Bytes) -> Result<(), Ended> {
        // Of a portal the server itself says whether there is one: cursors of SQL are portals too, and drivers ask.
        if let Named::Statement(name) = named
            && self.find_prepared(name).is_none()
        {
            return self.no_such_statement(name).await;
        }
        self.pipeline.push(frame, Expect::Describe { show: true });
        Ok(())
    }

    async fn execute(&mut self, execute: Execute<'_>, frame: Bytes) -> Result<(), Ended> {
        let Some(found) = self.find_portal(execute.portal) else {
            return self.error("34000", &format!("portal \"{}\" does not exist", execute.portal)).await;
        };
        let action = ClientAction::of_portal(found.portal());
        let decision = self.decide(&action).await?;
        let epoch = found.portal().statement.epoch;
        if matches!(found, Found::Gathered(_)) && epoch != self.epoch() && !self.session.has_failed() {
            return self.error("0A000", "the tables have changed since this was bound: run it again").await;
        }
        if found.portal().state_version != self.session.state_version {
            // Its names mean what they meant when it was bound; it would be judged by what they mean now.
            let why = "settings have changed since the portal was bound; bind it again".to_owned();
            return self.refuse_extended(Refusal::CannotHoldHere { why }).await;
        }
        match decision {
            Decision::Refuse(refusal) | Decision::Unreadable(refusal) => self.refuse_extended(refusal).await,
            Decision::Allow(analysis, allowed) => {
                self.pass_execute(execute.portal, &action, analysis, &allowed, frame).await
            }
            Decision::Hold(analysis, held) => self.set_aside(execute, &found, action, analysis, held).await,
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
        let masked = self.is_masked_read(&analysis);
        let described = self.pipeline.ends_in_description_of(portal);
        if !described && matches!(plan, MaskPlan::Projection { .. } | MaskPlan::Unlabelled(_)) {
            // The mask is built from the server's own description of this very portal, and where nothing is masked
            // that description must not name anything labelled.
            self.pipeline.push(describe(Named::Portal(portal))?, Expect::Describe { show: false });
        }
        self.commit_sent |= ends_transaction(&analysis);
        let rows = Rows::new(execution, plan, false, (&analysis, &action.text, self.epoch()));
        self.pipeline.push_execute(payload, Expect::Rows(Box::new(rows)), &analysis);
        if masked {
            self.pipeline.read_masked(portal);
        }
        if copies_in(&analysis) {
            // The client waits for the server's word before it sends anything else that counts.
            return self.send(Sending::Ahead).await;
        }
        Ok(())
    }

    // An action that needs approval can only be the last of its pipeline: it waits for the client's Sync.
    async fn set_aside(
        &mut self,
        execute: Execute<'_>,
        found: &Found,
        action: ClientAction,
        analysis: Arc<Analysis>,
        held: Box<Held>,
    ) -> Result<(), Ended> {
        if self.session.has_failed() {
            return self.error("25P02", FAILED).await;
        }
        let portal = found.portal();
        let unsupported = |what: &str, instead: &str| Refusal::Unsupported {
            what: what.to_owned(),
            instead: instead.to_owned(),
        };
        let cannot = |why: &str| Refusal::CannotHoldHere { why: why.to_owned() };
        let refusal = if execute.max_rows > 0 {
            let instead = "Fetch all rows at once (fetch size 0): an approval is for one run.";
            Some(unsupported("an action that needs approval, fetched in pieces", instead))
        } else if portal.statement.by_sql {
            let instead = "Send the statement itself: people sign the text that runs.";
            Some(unsupported("a statement that needs approval, prepared by PREPARE", instead))
        } else if !self.session.only_reads_since_ready || self.pipeline.does_more_than_read() {
            Some(cannot("the same pipeline has already done more than read"))
        } else if matches!(found, Found::Bound(_)) {
            Some(cannot("the portal was bound before the last Sync"))
        } else if !self.pipeline.stands_alone(execute.portal, &portal.statement_name) {
            Some(cannot("other messages stand between its Bind and its Execute"))
        } else {
            None
        };
        match refusal {
            Some(refusal) => self.refuse_extended(refusal).await,
            None => {
                self.pipeline.set_aside(execute.portal, Arc::clone(portal), action, analysis, held);
                Ok(())
            }
        }
    }

    async fn no_such_statement(&mut self, name: &str) -> Result<(), Ended> {
        self.error("26000", &format!("{} does not exist", statement_words(name))).await
    }

    pub(super) async fn error(&mut self, code: &str, message: &str) -> Result<(), Ended> {
        if !self.stop_pipeline().await? {
            return Ok(());
        }
        let report = Report { severity: Severity::Error, code, message, detail: None, hint: None };
        write::error_response(&mut self.out, &report);
        self.pipeline.skipping = true;
        self.flush_client().await
    }

    /// What a name means to what comes next.
    pub(super) fn find_prepared(&self, name: &str) -> Option<Prepared> {
        match self.pipeline.find_prepared(name) {
            Some(tentative) => tentative.clone(),
            None => self.session.prepared.get(name).cloned(),
        }
    }

    pub(super) fn find_portal(&self, name: &str) -> Option<Found> {
        match self.pipeline.find_portal(name) {
            Some(tentative) => tentative,
            None => self.session.portals.get(name).cloned().map(Found::Bound),
        }
    }
}

fn describe(named: Named<'_>) -> Result<Bytes, Ended> {
    let mut out = BytesMut::new();
    write_frontend::describe(&mut out, named)?;
    Ok(out.freeze())
}

/// As the server calls it: drivers look for these very words.
fn statement_words(name: &str) -> String {
    match name {
        "" => "unnamed prepared statement".to_owned(),
        name => format!("prepared statement \"{name}\""),
    }
}
