//! In which of the server's roles a session works (decision 0018): its own for what touches no labelled column, another
//! within the same session for masked reads, a third over a connection of its own for what people approved. Where the
//! configuration names one role for everything, nothing here does anything.

use super::super::codec::frontend::Named;
use super::super::codec::{TransactionStatus, write_frontend};
use super::super::reply::{Expect, Then};
use super::super::session::{PLACEHOLDERS_MAX, Prepared};
use super::super::upstream::{BackendKey, UpstreamConfig};
use super::connection::{Connection, Ended};
use super::exchange::{OWN_NAME, Until};
use super::reconnect::SetByClient;
use super::server::{Parameters, Server};
use super::settings::RoleSettings;
use crate::sql::session::{SessionState, TempObjects};
use crate::sql::{Analysis, What};
use bytes::BytesMut;
use countersign_core::kind::Kind;
use countersign_core::refusal::Refusal;
use std::collections::HashMap;
use std::sync::Arc;

/// Prepared statements that a transaction takes along to the connection for approved work, at most.
const TAKEN_ALONG_MAX: usize = 1_000;
/// How a masked read ends, and with it its role.
const BACK: &str = "RESET ROLE";

/// The roles of a session besides its own.
pub(super) struct Walls {
    masked: Option<Masked>,
    granted: Option<Box<UpstreamConfig>>,
    aside: Option<Box<Aside>>,
}

/// The role of masked reads.
struct Masked {
    role: String,
    /// How it is taken.
    take: String,
}

/// A session's own end at the server, while it works over the connection for approved work.
struct Aside {
    server: Server,
    key: Option<BackendKey>,
    upin: BytesMut,
    told: Arc<Parameters>,
    role: String,
    settings: SetByClient,
    prepared: HashMap<String, Prepared>,
    /// Its statements were prepared over the other connection too: its transaction goes on there.
    took_along: bool,
    has_left_more: bool,
    /// An action is held, or runs.
    in_use: bool,
}

impl Walls {
    /// Those of a role, whose own connection is opened like this.
    pub(super) fn of(role: &RoleSettings, config: &UpstreamConfig) -> Self {
        let masked = role
            .masked
            .as_ref()
            .map(|role| Masked { role: role.clone(), take: format!("SET ROLE {}", quoted(role)) });
        let granted = role.granted.as_ref().map(|granted| {
            let (user, password) = (granted.role.clone(), granted.password.clone());
            Box::new(UpstreamConfig { user, password, ..config.clone() })
        });
        Self { masked, granted, aside: None }
    }

    /// Whether what people approve runs over a connection of its own.
    pub(super) const fn has_granted(&self) -> bool {
        self.granted.is_some()
    }

    /// The session's own role, while it works in another.
    pub(super) fn own_role(&self) -> Option<&str> {
        self.aside.as_deref().map(|aside| aside.role.as_str())
    }

    /// Whether the session works over that connection.
    pub(super) const fn is_away(&self) -> bool {
        self.aside.is_some()
    }
}

// === approved work ===

impl Connection {
    /// Goes over to the connection for approved work, where there is one: what is counted, claimed and run is so there.
    pub(super) async fn move_to_granted(&mut self) -> Result<Option<Refusal>, Ended> {
        if let Some(aside) = &mut self.walls.aside {
            // The transaction that is open has gone there before.
            aside.in_use = true;
            return Ok(None);
        }
        let Some(config) = self.walls.granted.clone() else { return Ok(None) };
        if let Some(why) = self.cannot_leave() {
            let why = format!("{why}: send it in a session of its own, or as a plan");
            return Ok(Some(Refusal::CannotHoldHere { why }));
        }
        self.read_values().await?;
        let Some(settings) = self.settings_now().await? else {
            return Ok(Some(Refusal::Unavailable { what: "the session's settings cannot be read" }));
        };
        let took_along = self.is_within_transaction();
        let prepared = match took_along {
            true => self.session.prepared.clone(),
            false => std::mem::take(&mut self.session.prepared),
        };
        // What SQL has prepared cannot be prepared in the same words: it is where it was when the session comes back.
        self.session.prepared.retain(|_, prepared| !prepared.by_sql);
        let stays = !self.session.can_move(&self.role);
        let role = std::mem::replace(&mut self.role, config.user.clone());
        let mut aside = Aside {
            server: std::mem::replace(&mut self.server, Server::unopened(*config)),
            key: self.signal.take_key(),
            upin: std::mem::take(&mut self.upin),
            told: Arc::clone(&self.told),
            role,
            settings: settings.clone(),
            prepared,
            took_along,
            has_left_more: std::mem::take(&mut self.session.has_left_more),
            in_use: true,
        };
        if !stays {
            // It left nothing there: people take their time, and others want the place.
            (aside.key, aside.upin) = (None, BytesMut::new());
            aside.server.close().await;
        }
        self.walls.aside = Some(Box::new(aside));
        self.given_back = Some(settings);
        match self.connected().await {
            Err(Ended::Unreachable(error)) => {
                tracing::error!(session = %self.id, %error, "there is no connection for approved work");
                self.done_with_granted();
                self.back_from_granted().await?;
                Ok(Some(Refusal::Unavailable { what: "the server cannot be reached for approved work" }))
            }
            connected => connected.map(|()| None),
        }
    }

    // Why the session cannot work over another connection; none where it can. What it has there besides (sequences that
    // it moved, locks, LISTEN) stays there, and it comes back to it.
    fn cannot_leave(&self) -> Option<&'static str> {
        let state = &self.session.state;
        if state.temp_objects != TempObjects::None {
            return Some(
                "approved work runs over another connection, on which this session's temporary tables are not",
            );
        }
        if state.definitions_in_doubt {
            return Some(
                "approved work runs over another connection, and what this one defined is not settled",
            );
        }
        if state.role != self.role || state.user != self.role {
            return Some(
                "approved work runs over another connection, and this session has taken another role",
            );
        }
        if self.session.placeholders.len() >= PLACEHOLDERS_MAX
            || self.session.prepared.len() > TAKEN_ALONG_MAX
        {
            return Some(
                "approved work runs over another connection, and this session has set or prepared too much for it",
            );
        }
        let is_quiet = !self.pipeline.open && self.replies.is_settled();
        (!is_quiet).then_some(
            "approved work runs over another connection, and something is still under way on this one",
        )
    }

    /// What was held has run, or will not: the session may go back once no transaction is open.
    pub(super) fn done_with_granted(&mut self) {
        if let Some(aside) = &mut self.walls.aside {
            aside.in_use = false;
        }
    }

    /// Goes back to the session's own role, where that is due.
    pub(super) async fn back_from_granted(&mut self) -> Result<(), Ended> {
        let is_done = self.walls.aside.as_ref().is_some_and(|aside| !aside.in_use);
        let is_quiet = self.replies.is_settled() && self.pipeline.has_nothing_gathered();
        if !is_done || !is_quiet || self.is_within_transaction() {
            return Ok(());
        }
        // What it set there is set here.
        let now = match self.server.is_open() {
            true => {
                self.read_values().await?;
                self.settings_now().await?
            }
            false => None,
        };
        let Some(aside) = self.walls.aside.take() else { return Ok(()) };
        let mut granted = std::mem::replace(&mut self.server, aside.server);
        granted.close().await;
        self.given_back = None;
        self.upin = aside.upin;
        self.signal.set_key(aside.key);
        self.role = aside.role;
        self.tell(aside.told);
        self.session.has_left_more = aside.has_left_more;
        self.session.state_is_stale = true;
        let now = now.unwrap_or_else(|| aside.settings.clone());
        let (closed, new) = self.prepared_meanwhile(aside.prepared, aside.took_along);
        if !self.server.is_open() {
            self.given_back = Some(now);
            return Ok(());
        }
        self.set_meanwhile(&aside.settings, now).await?;
        for name in closed {
            let mut out = BytesMut::new();
            write_frontend::close(&mut out, Named::Statement(&name))?;
            write_frontend::sync(&mut out);
            self.exchange(&out, Until::Ready).await?;
        }
        self.prepare_again(new).await
    }

    // The names of statements to close and to prepare, so that names mean here what they meant there.
    fn prepared_meanwhile(
        &mut self,
        before: HashMap<String, Prepared>,
        took_along: bool,
    ) -> (Vec<String>, Vec<String>) {
        if !took_along {
            self.session.prepared = before;
            return (Vec::new(), Vec::new());
        }
        let now = &mut self.session.prepared;
        let same = |a: &Prepared, b: &Prepared| a.sql == b.sql && a.param_types == b.param_types;
        let is_new =
            |(name, prepared): (&String, &Prepared)| before.get(name).is_none_or(|b| !same(b, prepared));
        now.retain(|_, prepared| !prepared.by_sql);
        // What was read again over the other connection was not read again here.
        for (name, prepared) in now.iter_mut() {
            if let Some(before) = before.get(name).filter(|before| same(before, prepared)) {
                prepared.epoch = before.epoch;
            }
        }
        let new: Vec<String> =
            now.iter().filter(|(name, p)| is_new((name, p))).map(|(name, _)| name.clone()).collect();
        let is_gone =
            |(name, b): &(&String, &Prepared)| !b.by_sql && now.get(*name).is_none_or(|p| !same(b, p));
        let closed: Vec<String> = before.iter().filter(is_gone).map(|(name, _)| name.clone()).collect();
        for (name, prepared) in before.into_iter().filter(|(_, prepared)| prepared.by_sql) {
            now.entry(name).or_insert(prepared);
        }
        (closed, new)
    }

    async fn set_meanwhile(&mut self, before: &SetByClient, now: SetByClient) -> Result<(), Ended> {
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            let name: Vec<String> = name.split('.').map(quoted).collect();
            self.ask(&format!("RESET {}", name.join("."))).await?;
        }
        let changed: SetByClient =
            now.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
        self.set_again(&changed).await
    }
}

// === masked reads ===

impl Connection {
    /// Whether a text that was allowed is read in the role of masked reads.
    pub(super) fn is_masked_read(&self, analysis: &Analysis) -> bool {
        let Some(masked) = &self.walls.masked else { return false };
        if self.walls.is_away() || self.session.has_failed() || analysis.joined.labels.is_empty() {
            return false;
        }
        let reads = |kind: &Kind| matches!(kind, Kind::Read | Kind::Export | Kind::Reveal | Kind::Session);
        let state = &self.session.state;
        // Names must mean in that role what they were found to mean: else the server refuses it in the session's own.
        let other = SessionState { role: masked.role.clone(), ..state.clone() };
        let facts = self.snapshot.known.facts();
        state.role == self.role
            && analysis.joined.kinds().iter().all(reads)
            && state.effective_path(facts) == other.effective_path(facts)
    }

    /// Takes the role of masked reads for one simple query.
    pub(super) async fn take_masked_role(&mut self, analysis: &Analysis) -> Result<Option<Refusal>, Ended> {
        let controls = |what: &What| {
            matches!(
                what,
                What::Begin { .. }
                    | What::Commit { .. }
                    | What::Rollback { .. }
                    | What::RollbackTo { .. }
                    | What::Savepoint { .. }
                    | What::Release { .. }
                    | What::TwoPhase
            )
        };
        if analysis.statements.iter().any(|statement| controls(&statement.what)) {
            // A rollback, also a later one to a savepoint that is made here, would take the way back with it.
            return Ok(Some(Refusal::Unsupported {
                what: "a masked read in one message with a transaction command".to_owned(),
                instead: "Send the transaction command in a message of its own.".to_owned(),
            }));
        }
        let Some(take) = self.walls.masked.as_ref().map(|masked| masked.take.clone()) else {
            return Ok(None);
        };
        let refused = self.ask(&take).await?.failed;
        if let Some(code) = &refused {
            tracing::error!(session = %self.id, %code, "the role of masked reads cannot be taken");
        }
        Ok(refused.map(|_| Refusal::Unavailable { what: "the role of masked reads cannot be taken" }))
    }

    /// Gives it back. In a transaction that has failed its end does that.
    pub(super) async fn give_masked_role_back(&mut self) -> Result<(), Ended> {
        if self.replies.status == TransactionStatus::Failed {
            return Ok(());
        }
        match self.ask(BACK).await?.failed {
            None => Ok(()),
            Some(code) => Err(Ended::Unanswered { asked: "to have its own role back", code }),
        }
    }

    /// Takes the role, or gives it back, between messages of a pipeline.
    pub(super) fn switch_role(&mut self, to_masked: bool) -> Result<(), Ended> {
        let text = match &self.walls.masked {
            Some(masked) if to_masked => masked.take.as_str(),
            _ => BACK,
        };
        let out = &mut self.upout;
        write_frontend::close(out, Named::Portal(OWN_NAME))?;
        write_frontend::close(out, Named::Statement(OWN_NAME))?;
        write_frontend::parse(out, OWN_NAME, text, &[])?;
        write_frontend::bind(out, OWN_NAME, OWN_NAME, &[], &[], &[])?;
        write_frontend::execute(out, OWN_NAME, 0)?;
        write_frontend::close(out, Named::Portal(OWN_NAME))?;
        write_frontend::close(out, Named::Statement(OWN_NAME))?;
        for tag in *b"3312C33" {
            self.replies.expect(Expect::Done { tag, show: false, then: Then::Nothing });
        }
        Ok(())
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
