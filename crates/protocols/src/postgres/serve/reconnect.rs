//! When a session has a connection to the server: from the first thing that needs it, but not while people decide about
//! a session that left nothing there. What it set and prepared is set and prepared again.

use super::super::codec::frontend::Named;
use super::super::codec::{TransactionStatus, write, write_frontend};
use super::super::session::{PLACEHOLDERS_MAX, Session};
use super::client::read_ahead;
use super::connection::{AHEAD_BYTES_MAX, Connection, Ended, stopped};
use super::exchange::{OWN_NAME, Until};
use super::server::{Parameters, ServerError};
use crate::sql::session::TempObjects;
use bytes::BytesMut;
use countersign_core::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// Statements that are prepared again for a session; one that has more keeps its connection.
const PREPARED_AGAIN_MAX: usize = 64;
/// How often a connection is tried that an approved action needs, and how long after each time.
const TRIES_MAX: u32 = 10;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
pub(super) const JSON_OID: u32 = 114;

/// What a client has set: names and values.
pub(super) type SetByClient = serde_json::Map<String, serde_json::Value>;

/// What the client has set, but for settings that the server does not list.
const SET_QUERY: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session'";
pub(super) const SET_AGAIN: &str =
    "SELECT pg_catalog.set_config(s.key, s.value, false) FROM pg_catalog.json_each_text($1) AS s";

impl Connection {
    /// Sees that there is a connection to the server, on which the session stands as it stood.
    pub(super) async fn connected(&mut self) -> Result<(), Ended> {
        if self.server.is_open() {
            return Ok(());
        }
        let began = Box::pin(self.server.open(&self.shared)).await.map_err(Ended::Unreachable)?;
        self.upin = began.leftover;
        self.signal.set_key(began.key);
        self.tell(began.parameters);
        self.session.state_is_stale = true;
        match self.given_back.take() {
            Some(settings) => self.restore(&settings).await,
            None => Ok(()),
        }
    }

    /// Tells the client what another connection began with, where that is not what it was told of the last one. In
    /// which role the gate works is not the client's to know.
    pub(super) fn tell(&mut self, parameters: Arc<Parameters>) {
        let of_role = |name: &str| name == "session_authorization" || name == "is_superuser";
        for (name, value) in parameters.iter().filter(|parameter| !self.told.contains(parameter)) {
            if !of_role(name) {
                write::parameter_status(&mut self.out, name, value);
            }
        }
        self.told = parameters;
    }

    /// As [`Self::connected`], for what people have approved: a server that is away for a moment is waited for.
    pub(super) async fn connected_again(&mut self) -> Result<Option<Refusal>, Ended> {
        let mut stop = self.shared.stop.clone();
        for _ in 0..TRIES_MAX {
            match self.connected().await {
                Ok(()) => return Ok(None),
                Err(Ended::Unreachable(error @ ServerError::Upstream(_))) => {
                    tracing::warn!(session = %self.id, %error, "an approved action waits for the server");
                    let may_read_ahead = self.inbuf.len() < AHEAD_BYTES_MAX;
                    tokio::select! {
                        () = tokio::time::sleep(TRY_AGAIN_AFTER) => {}
                        () = stopped(&mut stop) => return Err(Ended::Stopping),
                        read = read_ahead(&mut self.client, &mut self.inbuf, AHEAD_BYTES_MAX), if may_read_ahead => {
                            if !matches!(read, Ok(1..)) {
                                return Err(Ended::Client);
                            }
                        }
                    }
                }
                Err(Ended::Unreachable(_)) => break,
                Err(other) => return Err(other),
            }
        }
        Ok(Some(Refusal::Unavailable { what: "the server behind this gate cannot be reached" }))
    }

    /// Gives the connection to the server back, where the session can be as it was on another.
    pub(super) async fn give_back(&mut self) -> Result<(), Ended> {
        let is_quiet = !self.pipeline.open && self.replies.is_settled() && self.upin.is_empty();
        if !self.server.is_open() || !is_quiet || !self.session.can_move(&self.role) {
            return Ok(());
        }
        let Some(settings) = self.settings_now().await? else { return Ok(()) };
        self.given_back = Some(settings);
        // They are read again before they count.
        self.session.values = Vec::new();
        self.signal.set_key(None);
        self.server.close().await;
        // People take their time: what is empty takes no room meanwhile.
        for buffer in [&mut self.inbuf, &mut self.out, &mut self.upin, &mut self.upout] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
        tracing::debug!(session = %self.id, "the connection to the server is given back");
        Ok(())
    }

    /// What the client has set, as far as another connection can be given it; none where that cannot be said. What the
    /// server does not list is as [`Self::read_values`] found it last.
    pub(super) async fn settings_now(&mut self) -> Result<Option<SetByClient>, Ended> {
        let answer = self.ask(SET_QUERY).await?;
        if answer.failed.is_some() || !self.upin.is_empty() {
            return Ok(None);
        }
        let listed = answer.rows.into_iter().filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(name), Some(setting)]) => Some((name, setting.into())),
            _ => None,
        });
        let unlisted = self.session.values.iter().filter(|s| self.session.placeholders.contains(&s.name));
        let unlisted = unlisted.map(|s| (s.name.clone(), s.value.clone().into()));
        Ok(Some(listed.chain(unlisted).collect()))
    }

    /// Sets what a client has set on the connection that there is.
    pub(super) async fn set_again(&mut self, settings: &SetByClient) -> Result<(), Ended> {
        if settings.is_empty() {
            return Ok(());
        }
        let value = serde_json::Value::Object(settings.clone()).to_string();
        let mut out = BytesMut::new();
        write_frontend::close(&mut out, Named::Statement(OWN_NAME))?;
        write_frontend::parse(&mut out, OWN_NAME, SET_AGAIN, &[JSON_OID])?;
        write_frontend::bind(&mut out, OWN_NAME, OWN_NAME, &[], &[Some(value.as_bytes())], &[])?;
        write_frontend::execute(&mut out, OWN_NAME, 0)?;
        write_frontend::sync(&mut out);
        match self.exchange(&out, Until::Ready).await?.failed {
            Some(code) => Err(Ended::Unanswered { asked: "to set again what was set", code }),
            None => Ok(()),
        }
    }

    async fn restore(&mut self, settings: &SetByClient) -> Result<(), Ended> {
        self.set_again(settings).await?;
        let names: Vec<String> = self.session.prepared.keys().cloned().collect();
        self.prepare_again(names).await
    }

    /// Prepares these on the connection that there is.
    pub(super) async fn prepare_again(&mut self, names: Vec<String>) -> Result<(), Ended> {
        let epoch = self.epoch();
        for name in names {
            let Some(prepared) = self.session.prepared.get(&name).cloned() else { continue };
            let mut out = BytesMut::new();
            write_frontend::parse(&mut out, &name, &prepared.sql, &prepared.param_types)?;
            write_frontend::sync(&mut out);
            // What cannot be prepared any more the server would refuse to run.
            match (self.exchange(&out, Until::Ready).await?.failed, self.session.prepared.get_mut(&name)) {
                (None, Some(prepared)) => prepared.epoch = epoch,
                _ => drop(self.session.prepared.remove(&name)),
            }
        }
        Ok(())
    }
}

impl Session {
    /// Whether the session could go on over another connection to the server in this role: it left nothing on this one
    /// but settings and statements that it can be given again.
    pub(super) fn can_move(&self, role: &str) -> bool {
        let is_between = self.status == TransactionStatus::Idle || self.transaction.suspended;
        let state = &self.state;
        is_between
            && !self.has_left_more
            && !self.state_is_stale
            && state.temp_objects == TempObjects::None
            && state.role == role
            && state.user == role
            && !state.definitions_in_doubt
            && self.placeholders.len() < PLACEHOLDERS_MAX
            && self.portals.keys().all(String::is_empty)
            && self.prepared.len() <= PREPARED_AGAIN_MAX
            && self.prepared.values().all(|prepared| !prepared.by_sql)
    }
}
