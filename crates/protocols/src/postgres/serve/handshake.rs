//! From the first byte to ReadyForQuery: TLS, who it is, the server behind. Bounded in bytes, time and number;
//! nothing reaches the server before the agent has proved who it is.

use super::super::cancel::RANDOM_BYTES;
use super::super::codec::frontend::{self, Frontend};
use super::super::codec::write;
use super::super::codec::{CodecError, Limits, TransactionStatus};
use super::super::startup::{self, Opening};
use super::super::upstream::{self, Upstream, UpstreamError};
use super::super::wording;
use super::accept::{AgentPlace, Shared};
use super::cancels::CancelPlace;
use super::client::ClientStream;
use crate::sql::settings;
use bytes::BytesMut;
use countersign_core::refusal::Refusal;
use countersign_identity::Authenticated;
use countersign_identity::tokens::{self, AgentIdentity};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// A connection that is authenticated, with its server.
pub(super) struct Opened {
    pub(super) client: ClientStream,
    pub(super) inbuf: BytesMut,
    pub(super) upstream: Upstream,
    pub(super) identity: Authenticated<AgentIdentity>,
    pub(super) database: String,
    pub(super) role: String,
    pub(super) peer: SocketAddr,
    pub(super) cancel: CancelPlace,
    pub(super) own_settings: Vec<(String, String)>,
    pub(super) _agent: AgentPlace,
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
    Upstream(#[from] UpstreamError),
    #[error("the client spoke before it was asked to: bytes after a TLS request")]
    Injected,
}

/// Opens a connection; `None` where it only brought a cancel request.
pub(super) async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<Option<Opened>, HandshakeError> {
    let Ok(_permit) = Arc::clone(&shared.handshakes).try_acquire_owned() else {
        return Err(HandshakeError::Told(
            "53300",
            "too many connections authenticate at once",
            String::new(),
        ));
    };
    let mut client = ClientStream::Plain(stream);
    let mut inbuf = BytesMut::with_capacity(8 << 10);
    let packet = loop {
        let packet = read_startup(&mut client, &mut inbuf).await?;
        match startup::parse_startup(&packet)? {
            Opening::SslRequest => {
                if !inbuf.is_empty() {
                    return Err(HandshakeError::Injected);
                }
                client = answer_tls(client, shared).await?;
            }
            Opening::GssEncRequest => client.write_all(b"N").await?,
            Opening::Cancel { pid, secret } => {
                pass_cancel_on(shared, pid, secret).await;
                return Ok(None);
            }
            Opening::Startup(_) => break packet,
        }
    };
    let Opening::Startup(startup) = startup::parse_startup(&packet)? else { return Ok(None) };
    match admit(&mut client, &mut inbuf, &startup, peer, shared).await {
        Ok((identity, database, role, settings, agent)) => {
            let opened =
                connect(client, inbuf, identity, database, role, settings, agent, peer, shared).await?;
            Ok(Some(opened))
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

async fn read_startup(
    client: &mut ClientStream,
    inbuf: &mut BytesMut,
) -> Result<bytes::Bytes, HandshakeError> {
    loop {
        if let Some(packet) = startup::next_startup(inbuf)? {
            return Ok(packet);
        }
        if client.read_buf(inbuf).await? == 0 {
            return Err(HandshakeError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

async fn answer_tls(client: ClientStream, shared: &Shared) -> Result<ClientStream, HandshakeError> {
    let ClientStream::Plain(mut stream) = client else {
        return Err(HandshakeError::Told("08P01", "TLS was already begun", String::new()));
    };
    let Some(config) = &shared.settings.client_tls else {
        stream.write_all(b"N").await?;
        return Ok(ClientStream::Plain(stream));
    };
    stream.write_all(b"S").await?;
    let tls = tokio_rustls::TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
    Ok(ClientStream::Tls(Box::new(tls)))
}

async fn pass_cancel_on(shared: &Shared, pid: i32, secret: &[u8]) {
    if let Some(on_its_way) = shared.cancels.cancel(pid, secret) {
        let settings = &shared.settings;
        if let Err(error) = upstream::cancel(&settings.address, &settings.tls, &on_its_way.key).await {
            tracing::warn!(%error, "a cancel request could not be passed on");
        }
    }
}

type Admitted = (Authenticated<AgentIdentity>, String, String, Vec<(String, String)>, AgentPlace);

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
        return Err(told("28000", "tokens are taken over TLS only: connect with sslmode=require"));
    }
    let user = startup.param("user").unwrap_or_default();
    let token = ask_password(client, inbuf).await?;
    let now = shared.desk.clock().now().map_err(|_| told("58000", "the clock has stepped back"))?;
    let revoked = |id: &countersign_core::id::TokenId| shared.desk.store().is_revoked(id);
    let identity = tokens::authenticate_agent(
        &token,
        user,
        &shared.settings.name,
        &shared.authenticator.key,
        &shared.authenticator.agents,
        &revoked,
        now,
    )
    .map_err(|error| {
        HandshakeError::Told("28P01", "this token does not open this gate", error.to_string())
    })?;
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
    Ok((identity, database, role, settings, place))
}

async fn ask_password(client: &mut ClientStream, inbuf: &mut BytesMut) -> Result<String, HandshakeError> {
    let mut out = BytesMut::new();
    write::auth_cleartext(&mut out);
    client.write_all(&out).await?;
    client.flush().await?;
    loop {
        if let Some(message) = frontend::next_message(inbuf, Limits::PREAUTH)? {
            return match frontend::parse(&message)? {
                Frontend::Password(password) => Ok(password.cleartext()?.to_owned()),
                _ => Err(HandshakeError::Told("08P01", "expected a password message", String::new())),
            };
        }
        if client.read_buf(inbuf).await? == 0 {
            return Err(HandshakeError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
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
            name if name.starts_with("_pq_.") => {}
            name => wanted.push((name.to_owned(), (*value).to_owned())),
        }
    }
    for (name, value) in &wanted {
        if !name.starts_with("countersign.") && !settings::allow_listed(name, value) {
            let detail = format!("the setting `{name}` is not on the list of those that pass");
            return Err(HandshakeError::Told("0A000", "a startup setting does not pass this gate", detail));
        }
    }
    Ok(wanted)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one connection, each made by another step")]
async fn connect(
    mut client: ClientStream,
    inbuf: BytesMut,
    identity: Authenticated<AgentIdentity>,
    database: String,
    role: String,
    settings: Vec<(String, String)>,
    agent: AgentPlace,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<Opened, HandshakeError> {
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
    let upstream = match upstream::connect(&config).await {
        Ok(upstream) => upstream,
        Err(error) => {
            let mut out = BytesMut::new();
            wording::fatal(&mut out, "08006", "the server behind this gate cannot be reached", None);
            client.write_all(&out).await?;
            return Err(error.into());
        }
    };
    let mut random = [0u8; RANDOM_BYTES];
    let unavailable = Refusal::Unavailable { what: "no randomness can be drawn" };
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| HandshakeError::Told("58000", "no randomness can be drawn", unavailable.message()))?;
    let cancel = shared
        .cancels
        .place(&random)
        .map_err(|e| HandshakeError::Told("53300", "too many connections", e.to_string()))?;
    cancel.signal.set_key(upstream.key.clone());
    welcome(&mut client, &upstream, &cancel).await?;
    Ok(Opened {
        client,
        inbuf,
        upstream,
        identity,
        database,
        role,
        peer,
        cancel,
        own_settings,
        _agent: agent,
    })
}

async fn welcome(
    client: &mut ClientStream,
    upstream: &Upstream,
    cancel: &CancelPlace,
) -> Result<(), HandshakeError> {
    let mut out = BytesMut::new();
    write::auth_ok(&mut out);
    for (name, value) in &upstream.parameters {
        write::parameter_status(&mut out, name, value);
    }
    write::backend_key_data(&mut out, cancel.key.pid, &cancel.key.secret);
    write::ready_for_query(&mut out, TransactionStatus::Idle);
    client.write_all(&out).await?;
    client.flush().await?;
    Ok(())
}
