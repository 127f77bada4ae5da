//! From the startup packet to ReadyForQuery: what is spoken, who it is, the server behind. Bounded in bytes, time and
//! number; nothing reaches the server before the agent has proved who it is.

use super::super::cancel::{RANDOM_BYTES, SecretLength};
use super::super::codec::write;
use super::super::codec::write_frontend::PROTOCOL_3_0;
use super::super::codec::{CodecError, TransactionStatus};
use super::super::session::Mode;
use super::super::startup::{self, Opening};
use super::super::wording;
use super::accept::{AgentPlace, Shared};
use super::cancels::CancelPlace;
use super::client::ClientStream;
use super::connection::UNREACHABLE;
use super::opening::{self, Knock};
use super::proof;
use super::server::{Parameters, Server, ServerError};
use super::walls::Walls;
use crate::sql::settings;
use bytes::BytesMut;
use countersign_core::refusal::Refusal;
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Settings that a client may bring along and that are passed on to the server.
const PASSED_ON: [&str; 7] = [
    "DateStyle",
    "TimeZone",
    "IntervalStyle",
    "extra_float_digits",
    "client_min_messages",
    "statement_timeout",
    "lock_timeout",
];

/// The newest minor version of protocol 3 that is spoken with clients.
const MINOR_MAX: u16 = 2;
/// The minor version from which on a client takes a longer secret to cancel by.
const MINOR_OF_LONG_SECRETS: u16 = 2;
/// How the names of protocol options begin. None is known here.
const PROTOCOL_OPTION: &str = "_pq_.";

/// A connection that is authenticated, with its server.
pub(super) struct Opened {
    pub(super) client: ClientStream,
    pub(super) inbuf: BytesMut,
    pub(super) server: Server,
    pub(super) told: Arc<Parameters>,
    pub(super) leftover: BytesMut,
    pub(super) identity: Authenticated<AgentIdentity>,
    pub(super) database: String,
    pub(super) role: String,
    pub(super) walls: Walls,
    pub(super) peer: SocketAddr,
    pub(super) cancel: CancelPlace,
    pub(super) own_settings: Vec<(String, String)>,
    pub(super) agent: AgentPlace,
}

/// Why a connection was not opened. Only `Told` reaches the client.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("{1}: {2}")]
    Told(&'static str, &'static str, String),
    #[error("the server cannot be reached: {0}")]
    Server(#[from] ServerError),
    #[error("the client spoke before it was asked to: bytes after a request for encryption")]
    Injected,
    #[error("the client asked for encryption twice")]
    Twice,
    #[error("the client speaks TLS from the first byte on, and no TLS is configured for clients")]
    NoTls,
    #[error("the client speaks TLS from the first byte on without naming PostgreSQL's protocol (ALPN)")]
    Unnamed,
}

/// Opens a connection; `None` where it only brought a cancel request.
pub(super) async fn open(
    client: ClientStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<Option<Box<Opened>>, HandshakeError> {
    let Ok(permit) = Arc::clone(&shared.handshakes).try_acquire_owned() else {
        return Err(HandshakeError::Told(
            "53300",
            "too many connections authenticate at once",
            String::new(),
        ));
    };
    let Some(Knock { mut client, mut inbuf, packet }) = opening::knock(client, shared).await? else {
        return Ok(None);
    };
    let Opening::Startup(startup) = startup::parse_startup(&packet)? else { return Ok(None) };
    match admit(&mut client, &mut inbuf, &startup, peer, shared).await {
        Ok(admitted) => {
            // Who it is is known: what it waits for now keeps no stranger out.
            drop(permit);
            Ok(Some(Box::new(connect(client, inbuf, admitted, peer, shared).await?)))
        }
        Err(error) => {
            if let HandshakeError::Told(code, message, _) = &error {
                let mut out = BytesMut::new();
                wording::fatal(&mut out, code, message, None);
                client.write_all(&out).await?;
                client.flush().await?;
            }
            Err(error)
        }
    }
}

/// Who came in, and to what.
struct Admitted {
    identity: Authenticated<AgentIdentity>,
    database: String,
    role: String,
    settings: Vec<(String, String)>,
    agent: AgentPlace,
    secret: SecretLength,
}

async fn admit(
    client: &mut ClientStream,
    inbuf: &mut BytesMut,
    startup: &startup::Startup<'_>,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<Admitted, HandshakeError> {
    let told = |code, message| HandshakeError::Told(code, message, String::new());
    if startup.param("replication").is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0")) {
        return Err(told("0A000", "replication does not pass this gate"));
    }
    if matches!(client, ClientStream::Plain(_)) && !peer.ip().is_loopback() {
        return Err(told("28000", "agents are let in over TLS only: connect with sslmode=require"));
    }
    let user = startup.param("user").unwrap_or_default();
    let mut out = BytesMut::new();
    negotiate(&mut out, startup);
    let identity = proof::prove(client, inbuf, out, user, shared).await?;
    let agent = &identity.get().principal.agent;
    let place =
        shared.place_of(agent).ok_or(told("53300", "the limit `connections_per_agent_max` is reached"))?;
    let role = shared.settings.role_of(agent).ok_or(told("28000", "no role is configured for this agent"))?;
    let database = startup.param("database").unwrap_or(user).to_owned();
    if !shared.settings.databases.contains_key(&database) {
        return Err(told("3D000", "this database is not behind this gate"));
    }
    let settings = wanted_settings(startup)?;
    let role = role.role.clone();
    let secret = if startup.minor < MINOR_OF_LONG_SECRETS { SecretLength::Short } else { SecretLength::Long };
    Ok(Admitted { identity, database, role, settings, agent: place, secret })
}

/// What the client asked for beyond what is spoken here is said before anything else, as the server does; it then
/// goes on with less, or goes.
fn negotiate(out: &mut BytesMut, startup: &startup::Startup<'_>) {
    let names = startup.params.iter().map(|(name, _)| *name);
    let unrecognised: Vec<&str> = names.filter(|name| name.starts_with(PROTOCOL_OPTION)).collect();
    if startup.minor > MINOR_MAX || !unrecognised.is_empty() {
        let spoken = PROTOCOL_3_0 | u32::from(startup.minor.min(MINOR_MAX));
        write::negotiate_protocol_version(out, spoken, &unrecognised);
    }
}

// Parameters that the client brings: those that decide nothing are passed on, the gate's own are kept, anything
// else is refused, as `SET` would refuse it.
fn wanted_settings(startup: &startup::Startup<'_>) -> Result<Vec<(String, String)>, HandshakeError> {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for (name, value) in &startup.params {
        match *name {
            "user" | "database" | "replication" => {}
            "options" => wanted.extend(startup::parse_options(value)?),
            name if name.starts_with(PROTOCOL_OPTION) => {}
            name => wanted.push((name.to_owned(), (*value).to_owned())),
        }
    }
    for (name, value) in &wanted {
        if !name.starts_with("countersign.") && !settings::allow_listed(name, value) {
            let detail = format!("the setting `{name}` is not on the list of those that pass");
            return Err(HandshakeError::Told("0A000", "a startup setting does not pass this gate", detail));
        }
    }
    let is_mode =
        |(name, value): &&(String, String)| name == "countersign.mode" && Mode::parse(value).is_none();
    if let Some((_, value)) = wanted.iter().find(is_mode) {
        let detail = format!("found `{value}`");
        return Err(HandshakeError::Told("22023", "countersign.mode is either hold or park", detail));
    }
    Ok(wanted)
}

async fn connect(
    mut client: ClientStream,
    inbuf: BytesMut,
    admitted: Admitted,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<Opened, HandshakeError> {
    let Admitted { identity, database, role, settings, agent, secret } = admitted;
    let (own_settings, passed): (Vec<_>, Vec<_>) =
        settings.into_iter().partition(|(name, _)| name.starts_with("countersign."));
    let role_settings = shared.settings.role_of(&identity.get().principal.agent);
    let Some(role_settings) = role_settings else {
        return Err(HandshakeError::Told("28000", "no role is configured for this agent", String::new()));
    };
    let application = passed.iter().find(|(name, _)| name == "application_name");
    let application = application.map_or_else(|| "countersign".to_owned(), |(_, value)| value.clone());
    let mut config = shared.settings.upstream(role_settings, &database, &application);
    let passes = |name: &str| PASSED_ON.iter().any(|p| p.eq_ignore_ascii_case(name));
    config.options = passed.into_iter().filter(|(name, _)| passes(name)).collect();
    let walls = Walls::of(role_settings, &config);
    let mut server = Server::unopened(config);
    let (mut key, mut leftover) = (None, BytesMut::new());
    let told = match server.greeting(shared) {
        // It is opened once something needs it.
        Some(told) => told,
        None => match server.open(shared).await {
            Ok(began) => {
                (key, leftover) = (began.key, began.leftover);
                began.parameters
            }
            Err(error) => {
                let mut out = BytesMut::new();
                wording::fatal(&mut out, "08006", UNREACHABLE, None);
                client.write_all(&out).await?;
                return Err(error.into());
            }
        },
    };
    let mut random = [0u8; RANDOM_BYTES];
    let unavailable = Refusal::Unavailable { what: "no randomness can be drawn" };
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| HandshakeError::Told("58000", "no randomness can be drawn", unavailable.message()))?;
    let cancel = shared
        .cancels
        .place(&random, secret)
        .map_err(|e| HandshakeError::Told("53300", "too many connections", e.to_string()))?;
    cancel.signal.set_key(key);
    welcome(&mut client, &told, &cancel).await?;
    Ok(Opened {
        client,
        inbuf,
        server,
        told,
        leftover,
        identity,
        database,
        role,
        walls,
        peer,
        cancel,
        own_settings,
        agent,
    })
}

async fn welcome(
    client: &mut ClientStream,
    parameters: &Parameters,
    cancel: &CancelPlace,
) -> Result<(), HandshakeError> {
    let mut out = BytesMut::new();
    write::auth_ok(&mut out);
    for (name, value) in parameters {
        write::parameter_status(&mut out, name, value);
    }
    write::backend_key_data(&mut out, cancel.key.pid, &cancel.key.secret);
    write::ready_for_query(&mut out, TransactionStatus::Idle);
    client.write_all(&out).await?;
    client.flush().await?;
    Ok(())
}
