//! Sends to the server and sees the answers through: either to the client, or to ourselves.

use super::super::codec::backend::{self, Backend};
use super::super::codec::frontend::Named;
use super::super::codec::{Format, Limits, TransactionStatus, write_frontend};
use super::super::reply::DataFrom;
use super::super::session::{Session, Setting};
use super::super::upstream::UpstreamStream;
use super::client::{make_more_room, make_room, read_ahead};
use super::connection::{AHEAD_BYTES_MAX, Connection, Ended, stopped};
use crate::sql::session::{SessionState, TempObjects};
use crate::sql::settings;
use bytes::BytesMut;
use countersign_core::digest::Base64;
use countersign_core::effect::Param;
use countersign_core::lifecycle::End;
use countersign_desk::Report;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The name of the gate's own statement and portal at the server. Clients cannot use it.
pub(super) const OWN_NAME: &str = "countersign gate";
/// What a session is called at the server whose client gives it no name.
pub(super) const OWN_APPLICATION: &str = "countersign";
/// How often a question of our own is asked that is cancelled each time.
const OWN_TRIES_MAX: u32 = 4;
const QUERY_CANCELED: &str = "57014";
/// How many messages of a question of our own are answered with CloseComplete; the last ends it.
const OWN_CLOSES: u32 = 4;
/// The largest answer to a question of our own, in bytes.
const OWN_ANSWER_BYTES_MAX: usize = 16 << 20;

/// What the server answered to a question of our own.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The rows, as text.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// The SQLSTATE, where it failed.
    pub(super) failed: Option<String>,
    /// It was answered with the tag COMMIT: a transaction that has failed answers COMMIT with ROLLBACK.
    pub(super) committed: bool,
    /// The status afterwards.
    pub(super) status: Option<TransactionStatus>,
}

impl Answer {
    /// The one cell of a one-row answer.
    pub(super) fn cell(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }
}

impl Connection {
    /// Sends what is ready and passes the answers on until everything that was asked is answered. What happens seldom is on
    /// the heap while it happens: every session has room for this, whether it does anything or not.
    pub(super) async fn drive(&mut self) -> Result<(), Ended> {
        let (mut sent, mut cancelled) = (0, false);
        let mut stop = self.shared.stop.clone();
        if !self.upout.is_empty() && !self.server.is_open() {
            Box::pin(self.connected()).await?;
        }
        loop {
            self.replies.take(&mut self.upin, &mut self.out)?;
            if self.replies.must_cancel && !cancelled {
                cancelled = true;
                self.replies.must_cancel = false;
                Box::pin(self.signal.cancel_running(&self.shared)).await;
            }
            self.flush_client().await?;
            if self.replies.fatal {
                return Err(Ended::Server);
            }
            let copies = self.replies.reading.is_some() || self.replies.cut.is_some();
            if sent == self.upout.len() && copies {
                self.upout.clear();
                sent = 0;
                if let Err(ended) = self.feed() {
                    Box::pin(self.give_up_copy(sent)).await?;
                    return Err(ended);
                }
            }
            if sent == self.upout.len() && self.replies.is_settled() {
                break;
            }
            let waits_for_data = self.replies.reading.is_some_and(|r| r.from == DataFrom::Client);
            let may_read_ahead = self.inbuf.len() < AHEAD_BYTES_MAX;
            make_room(&mut self.inbuf);
            make_room(&mut self.upin);
            let pending = self.upout.get(sent..).unwrap_or_default();
            tokio::select! {
                biased;
                moved = either(self.server.stream(), pending, &mut self.upin) => match moved.map_err(lost)? {
                    Moved::Sent(0) | Moved::Received(0) => return Err(Ended::Server),
                    Moved::Sent(bytes) => {
                        sent += bytes;
                        if sent == self.upout.len() {
                            self.server.stream().ok_or(Ended::Server)?.flush().await.map_err(lost)?;
                        }
                    }
                    Moved::Received(_) => make_more_room(&mut self.upin),
                },
                read = read_ahead(&mut self.client, &mut self.inbuf, AHEAD_BYTES_MAX), if may_read_ahead => {
                    if !matches!(read, Ok(1..)) {
                        Box::pin(self.give_up_copy(sent)).await?;
                        return Err(Ended::Client);
                    }
                }
                // A client may take any time to send its data.
                () = stopped(&mut stop), if waits_for_data => {
                    Box::pin(self.give_up_copy(sent)).await?;
                    return Err(Ended::Stopping);
                }
            }
        }
        self.upout.clear();
        Ok(())
    }

    /// Asks the server something of our own. Nothing of it reaches the client, but settings that it reports. By
    /// the extended protocol, since a simple query would destroy the client's unnamed statement.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Answer, Ended> {
        self.ask_with(sql, &[]).await
    }

    /// As [`Self::ask`], with bind values.
    pub(super) async fn ask_with(&mut self, sql: &str, params: &[Param]) -> Result<Answer, Ended> {
        let mut out = BytesMut::new();
        let types: Vec<u32> = params.iter().map(|p| p.type_oid).collect();
        let format = |p: &Param| if p.format == 0 { Format::Text } else { Format::Binary };
        let formats: Vec<Format> = params.iter().map(format).collect();
        let values: Vec<Option<&[u8]>> =
            params.iter().map(|p| p.value.as_ref().map(|v| v.0.as_slice())).collect();
        write_own(&mut out, sql, &types, &formats, &values)?;
        if self.pipeline.open {
            // A Sync would commit the implicit transaction of what the client has sent so far.
            write_frontend::flush(&mut out);
            let answer = self.ask_until(&out, Until::Closed).await?;
            return match answer.failed.clone() {
                None => Ok(answer),
                Some(code) => Err(Ended::Unanswered { asked: "a question within a pipeline", code }),
            };
        }
        write_frontend::sync(&mut out);
        self.ask_again(&out).await
    }

    async fn ask_again(&mut self, messages: &[u8]) -> Result<Answer, Ended> {
        let mut tries = OWN_TRIES_MAX;
        loop {
            let answer = self.ask_raw(messages).await?;
            let Some(code) = &answer.failed else { return Ok(answer) };
            tries -= 1;
            // A cancel request that the server was slow to take, or a time limit of the client's. In a transaction, which
            // has failed with it, nothing is answered any more.
            let may_help = code == QUERY_CANCELED && answer.status == Some(TransactionStatus::Idle);
            if !may_help || tries == 0 {
                return Ok(answer);
            }
        }
    }

    /// Asks several things of our own at once, of which one at most has rows: none of them is asked once one fails.
    pub(super) async fn ask_all(&mut self, asked: &[&str]) -> Result<Answer, Ended> {
        if let &[sql] = asked {
            return self.ask(sql).await;
        }
        if self.pipeline.open {
            return Err(Ended::State("several questions of the gate's own within a pipeline"));
        }
        let mut out = BytesMut::new();
        for sql in asked {
            write_own(&mut out, sql, &[], &[], &[])?;
        }
        write_frontend::sync(&mut out);
        self.ask_again(&out).await
    }

    /// Sends messages of our own that end in one ReadyForQuery.
    pub(super) async fn ask_raw(&mut self, messages: &[u8]) -> Result<Answer, Ended> {
        self.ask_until(messages, Until::Ready).await
    }

    async fn ask_until(&mut self, messages: &[u8], until: Until) -> Result<Answer, Ended> {
        if !self.server.is_open() {
            Box::pin(self.connected()).await?;
        }
        // A cancel request means what the client runs, and never a question of the gate's own.
        self.signal.begin_asking().await;
        let answer = Box::pin(self.exchange(messages, until)).await;
        self.signal.end_asking();
        answer
    }

    /// Sends messages of our own over the connection that there is, and takes their answer.
    pub(super) async fn exchange(&mut self, messages: &[u8], until: Until) -> Result<Answer, Ended> {
        let stream = self.server.stream().ok_or(Ended::Server)?;
        stream.write_all(messages).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let mut answer = Answer::default();
        let (mut bytes, mut closed) = (0, 0);
        loop {
            let limits = Limits { message_bytes_max: OWN_ANSWER_BYTES_MAX };
            while let Some(message) = backend::next_message(&mut self.upin, limits)? {
                bytes += message.bytes.len();
                if bytes > OWN_ANSWER_BYTES_MAX {
                    return Err(Ended::State("an answer to the gate's own question is too large"));
                }
                match backend::parse(&message)? {
                    Backend::DataRow(row) => {
                        let mut cells = Vec::with_capacity(row.len());
                        for cell in row.columns() {
                            cells.push(cell?.map(|b| String::from_utf8_lossy(b).into_owned()));
                        }
                        answer.rows.push(cells);
                    }
                    Backend::ErrorResponse(fields) => {
                        if fields.severity() == "FATAL" {
                            return Err(Ended::Server);
                        }
                        answer.failed = Some(fields.sqlstate().into_owned());
                        if until == Until::Closed {
                            return Ok(answer);
                        }
                    }
                    Backend::CloseComplete => {
                        closed += 1;
                        // The portal and the statement.
                        if until == Until::Closed && closed == OWN_CLOSES {
                            return Ok(answer);
                        }
                    }
                    Backend::CommandComplete(complete) => answer.committed = complete.tag == "COMMIT",
                    Backend::ReadyForQuery(status) => {
                        self.replies.status = status;
                        answer.status = Some(status);
                        return Ok(answer);
                    }
                    Backend::ParameterStatus { .. } => self.out.extend_from_slice(&message.bytes),
                    Backend::NotificationResponse { .. } => {
                        self.replies.notification(&message.bytes, &mut self.out);
                    }
                    _ => {}
                }
            }
            make_room(&mut self.upin);
            if self.server.read_buf(&mut self.upin).await == 0 {
                return Err(Ended::Server);
            }
        }
    }

    /// Whether a transaction of the client is open at the server, explicit or implicit, or may be.
    pub(super) fn is_within_transaction(&self) -> bool {
        self.pipeline.open || self.session.status != TransactionStatus::Idle
    }

    /// Reads the settings that decide what values mean: people sign them with the statement.
    pub(super) async fn read_values(&mut self) -> Result<(), Ended> {
        let answer = self.ask(&VALUES_QUERY).await?;
        if let Some(code) = answer.failed {
            return Err(Ended::Unanswered { asked: "what its values' settings are", code });
        }
        let setting = |row: Vec<Option<String>>| match row.as_slice() {
            [Some(name), Some(value), Some(changed)] => {
                Some(Setting { name: name.clone(), value: value.clone(), changed: changed == "true" })
            }
            _ => None,
        };
        let settings: Vec<Setting> = answer.rows.into_iter().filter_map(setting).collect();
        let application = settings.iter().find(|s| s.name == "application_name").map(|s| s.value.clone());
        self.session.application = application.filter(|name| !name.is_empty() && name != OWN_APPLICATION);
        let counts = |s: &Setting| {
            settings::decides_values(&s.name) || (s.changed && settings::is_unheard_of(&s.name))
        };
        self.session.values = settings.into_iter().filter(counts).collect();
        for name in self.session.placeholders.clone() {
            let param =
                Param { type_oid: TEXT_OID, format: 0, value: Some(Base64(name.clone().into_bytes())) };
            let answer = self.ask_with(PLACEHOLDER_QUERY, &[param]).await?;
            let value = answer.cell().unwrap_or_default().to_owned();
            self.session.values.push(Setting { name, value, changed: true });
        }
        Ok(())
    }

    /// Asks the server for whatever decides how names are resolved, where it may have changed.
    pub(super) async fn refresh_state(&mut self) -> Result<(), Ended> {
        if self.walls.is_away() {
            Box::pin(self.back_from_granted()).await?;
        }
        // Another connection may begin otherwise than the last one: the state is that of the one that will be used.
        if !self.server.is_open() {
            Box::pin(self.connected()).await?;
        }
        let stale = self.session.state_is_stale || std::mem::take(&mut self.replies.settings_changed);
        if !stale || self.session.status == TransactionStatus::Failed {
            return Ok(());
        }
        let answer = self.ask(STATE_QUERY).await?;
        let row = answer.rows.first().filter(|row| row.len() == 10);
        let Some(row) = row else {
            let code = answer.failed.unwrap_or_default();
            return Err(Ended::Unanswered { asked: "what its settings are", code });
        };
        let cell = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        if cell(4) != "on" {
            return Err(Ended::State("standard_conforming_strings is off"));
        }
        // An old name of the same, which the server alone of all its names gives back as it was set.
        if !matches!(cell(5), "UTF8" | "UNICODE") {
            return Err(Ended::State("client_encoding is not UTF8"));
        }
        if cell(6) != "origin" || cell(7) != "on" {
            return Err(Ended::State("session_replication_role or row_security was changed"));
        }
        let reveal = self.session.state.reveal;
        // Outside any transaction what was read is there to stay.
        let within = self.is_within_transaction();
        self.session.unsettled &= within;
        let state = SessionState {
            search_path: SessionState::parse_search_path(cell(0)),
            role: cell(1).to_owned(),
            user: cell(2).to_owned(),
            temp_objects: if cell(3) == "false" { TempObjects::None } else { TempObjects::Unseen },
            path_in_transaction: self.session.state.path_in_transaction && within,
            definitions_in_doubt: self.session.state.definitions_in_doubt,
            reveal,
            ..SessionState::new(cell(1))
        };
        if state != self.session.state {
            self.session.state_version += 1;
            self.session.state = state;
        }
        self.session.read_committed = cell(8) == "read committed";
        let weight = cell(9);
        self.session.wants_notices = !matches!(weight, "warning" | "error" | "fatal" | "panic");
        self.session.state_is_stale = false;
        self.replies.settings_changed = false;
        Ok(())
    }

    /// Settles what was answered: records of the fast lane, and approved actions whose transaction has ended.
    pub(super) async fn settle(&mut self) -> Result<(), Ended> {
        for finished in self.replies.finished.drain(..) {
            self.lane.finish(finished.execution, finished.outcome);
        }
        let committed = self.replies.committed.take();
        let idle = !self.pipeline.open && self.session.status == TransactionStatus::Idle;
        if committed.is_some() || idle {
            let executions = std::mem::take(&mut self.session.transaction.executions);
            for (execution, end) in std::mem::take(&mut self.session.transaction.undone) {
                let report = Report { end, note: UNDONE.to_owned() };
                self.shared.desk.finish(execution, report).await.map_err(Ended::Refused)?;
            }
            for execution in executions {
                let (end, note) = match committed {
                    Some(true) => (End::Committed, "committed with its transaction"),
                    Some(false) => (End::RolledBack, "rolled back with its transaction"),
                    None => (End::Unknown, "its transaction ended and the server did not say how"),
                };
                let report = Report { end, note: note.to_owned() };
                self.shared.desk.finish(execution, report).await.map_err(Ended::Refused)?;
            }
        }
        if idle {
            self.commit_sent = false;
            self.session.transaction.suspended = false;
        }
        if idle || committed.is_some() {
            self.end_change().await;
        }
        if idle && self.walls.is_away() {
            Box::pin(self.back_from_granted()).await?;
        }
        Ok(())
    }
}

/// What is noted of an action that ROLLBACK TO SAVEPOINT has undone.
pub(super) const UNDONE: &str = "undone by ROLLBACK TO SAVEPOINT";

/// Where the answer to a question of our own ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// At ReadyForQuery.
    Ready,
    /// When its portal and its statement are closed.
    Closed,
}

enum Moved {
    Sent(usize),
    Received(usize),
}

// Whatever ends a connection to the server, the client is told the same.
fn lost(error: std::io::Error) -> Ended {
    tracing::debug!(%error, "the connection to the server broke");
    Ended::Server
}

// One step in either direction: a server that waits for us to read must not be kept from that by our own writing.
async fn either(
    stream: Option<&mut UpstreamStream>,
    pending: &[u8],
    into: &mut BytesMut,
) -> std::io::Result<Moved> {
    let Some(stream) = stream else { return Err(std::io::ErrorKind::NotConnected.into()) };
    std::future::poll_fn(|cx| {
        if !pending.is_empty() {
            if let Poll::Ready(sent) = Pin::new(&mut *stream).poll_write(cx, pending) {
                return Poll::Ready(sent.map(Moved::Sent));
            }
        }
        let read = std::pin::pin!(stream.read_buf(into));
        read.poll(cx).map(|received| received.map(Moved::Received))
    })
    .await
}

/// Settings of a session that decide what values mean, its name for itself, and all that the client has given; and whether
/// it has.
static VALUES_QUERY: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<String> = settings::that_decide_values().iter().map(|name| format!("'{name}'")).collect();
    format!(
        "SELECT name, setting, (source IN ('client', 'session'))::text FROM pg_catalog.pg_settings \
         WHERE context IN ('user', 'superuser') AND (source IN ('client', 'session') \
         OR pg_catalog.lower(name) IN ('application_name', {})) ORDER BY name COLLATE \"C\"",
        names.join(", ")
    )
});

/// A setting that no part of the server has declared. Those are not among its settings.
const PLACEHOLDER_QUERY: &str = "SELECT pg_catalog.current_setting($1, true)";
const TEXT_OID: u32 = 25;

/// What decides how names are resolved and statements are read; one row of text.
const STATE_QUERY: &str = "SELECT pg_catalog.current_setting('search_path'), current_user::text, \
    session_user::text, (pg_catalog.pg_my_temp_schema() <> 0)::text, \
    pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('client_encoding'), \
    pg_catalog.current_setting('session_replication_role'), pg_catalog.current_setting('row_security'), \
    pg_catalog.current_setting('default_transaction_isolation'), pg_catalog.current_setting('client_min_messages')";

fn write_own(
    out: &mut BytesMut,
    sql: &str,
    types: &[u32],
    formats: &[Format],
    values: &[Option<&[u8]>],
) -> Result<(), Ended> {
    // A cancelled one may have left them; closing what is not there is no error.
    write_frontend::close(out, Named::Portal(OWN_NAME))?;
    write_frontend::close(out, Named::Statement(OWN_NAME))?;
    write_frontend::parse(out, OWN_NAME, sql, types)?;
    write_frontend::bind(out, OWN_NAME, OWN_NAME, formats, values, &[])?;
    write_frontend::execute(out, OWN_NAME, 0)?;
    write_frontend::close(out, Named::Portal(OWN_NAME))?;
    write_frontend::close(out, Named::Statement(OWN_NAME))?;
    Ok(())
}

impl Session {
    /// Whether a statement of the client can run now, or only ROLLBACK.
    pub(in crate::postgres) fn has_failed(&self) -> bool {
        self.status == TransactionStatus::Failed
    }
}
