//! The connector to the real server: connect, verify, authenticate, hand over. Knows no client, no policy
//! and no statement.
//!
//! Nothing is sent to a server before it has shown a certificate for the configured name, except over a
//! Unix socket or loopback.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::codec::CodecError;
use super::codec::write_frontend as write;

mod auth;
mod stream;

pub use auth::choose as choose_scram;
pub use postgres_protocol::authentication::sasl::ScramSha256;
pub use stream::{UpstreamStream, end_point};

/// Longest wait for a connection, TLS included.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest wait for authentication and the first ReadyForQuery.
pub const AUTHENTICATION_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a cancel request to be taken, connection not included.
pub const CANCEL_WAIT_MAX: Duration = Duration::from_secs(5);
/// Largest message that a server may send before its first ReadyForQuery.
pub const START_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Most messages that a server may send before its first ReadyForQuery.
pub const START_MESSAGES_MAX: usize = 256;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Over a Unix socket.
    Unix {
        /// The folder of the socket.
        dir: PathBuf,
        /// The port in its name.
        port: u16,
    },
}

/// How a server must show who it is.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// It need not: only for Unix sockets and loopback.
    Disable,
    /// By a certificate for this name from one of these roots.
    Require {
        /// The roots that we trust; never the system's by itself.
        roots: Arc<RootCertStore>,
        /// The name that the certificate must hold.
        server_name: String,
    },
}

/// A server's password. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the password over.
    #[must_use]
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A server and a role on it.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Where it listens.
    pub address: Address,
    /// How it must show who it is.
    pub tls: TlsMode,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The role's password, where it needs one.
    pub password: Option<Password>,
    /// `application_name`.
    pub application_name: String,
    /// Further settings of the session. `client_encoding` is always UTF8.
    pub options: Vec<(String, String)>,
}

/// The key by which a server cancels what it runs.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendKey {
    /// Process id.
    pub pid: i32,
    /// Secret.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A server that is ready for a query.
#[derive(Debug)]
pub struct Upstream {
    /// The connection.
    pub stream: UpstreamStream,
    /// The settings that the server reported, in order.
    pub parameters: Vec<(String, String)>,
    /// How to cancel; some servers give no key.
    pub key: Option<BackendKey>,
    /// What the server sent after its first ReadyForQuery.
    pub leftover: BytesMut,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The configuration is wrong.
    #[error("expected {expected} for the server, found {found}; correct the target's configuration")]
    Config {
        /// What should stand there.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Nobody answers.
    #[error("could not reach the server at `{address}`; check that it runs and may be reached: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The wait is over.
    #[error("expected the server to {what} within {wait:?}, found silence; check its load")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        wait: Duration,
    },
    /// The server has no TLS.
    #[error("expected the server to speak TLS, found that it does not; set ssl = on there")]
    TlsRefused,
    /// The server's certificate is not one we trust, or TLS failed otherwise.
    #[error("expected a verified TLS connection to the server, found none; check its certificate: {source}")]
    Tls {
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("lost the connection to the server while it was opened: {source}")]
    Io {
        /// Why.
        #[from]
        source: std::io::Error,
    },
    /// The server does not let us in.
    #[error("the server refused the connection ({code}): {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// Its words.
        message: String,
    },
    /// The server wants a password and there is none.
    #[error("expected a password for role `{user}`, found none; add it to the target's configuration")]
    PasswordMissing {
        /// The role.
        user: String,
    },
    /// The server wants the password in clear over a connection that is not encrypted.
    #[error("expected the server to hide the password without TLS, found a request for clear text; use TLS")]
    CleartextRefused,
    /// The server wants an authentication that is not spoken here.
    #[error("expected SCRAM-SHA-256, md5, a password or trust, found {found}; change pg_hba.conf")]
    UnknownAuthentication {
        /// What it wants.
        found: String,
    },
    /// The server does not know the password it asks for: it may be another one than it says.
    #[error("expected the server to prove that it knows the password, found that it does not: {source}")]
    Scram {
        /// Why.
        source: std::io::Error,
    },
    /// The server says something that does not belong here.
    #[error("expected {expected} from the server, found message {tag:?}; check what listens there")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// The tag that came.
        tag: char,
    },
    /// The server says something that is no message.
    #[error("expected PostgreSQL's protocol from the server, found other bytes: {0}")]
    Codec(#[from] CodecError),
}

/// Opens a connection up to the first ReadyForQuery.
///
/// # Errors
/// When the server cannot be reached, does not show who it is, or does not let us in. No password is sent
/// before the server's certificate is verified.
pub async fn connect(config: &UpstreamConfig) -> Result<Upstream, UpstreamError> {
    connect_within(config, CONNECT_WAIT_MAX, AUTHENTICATION_WAIT_MAX).await
}

async fn connect_within(
    config: &UpstreamConfig,
    connecting: Duration,
    authenticating: Duration,
) -> Result<Upstream, UpstreamError> {
    let stream = open(&config.address, &config.tls, connecting).await?;
    timeout(authenticating, auth::authenticate(stream, config))
        .await
        .map_err(|_| UpstreamError::Timeout { what: "finish authentication", wait: authenticating })?
}

/// Asks a server to cancel what the owner of `key` runs, over the same kind of connection. The server
/// never says whether it did.
///
/// # Errors
/// When the server cannot be reached or does not show who it is.
pub async fn cancel(address: &Address, tls: &TlsMode, key: &BackendKey) -> Result<(), UpstreamError> {
    let mut stream = open(address, tls, CONNECT_WAIT_MAX).await?;
    let mut request = BytesMut::new();
    write::cancel(&mut request, key.pid, &key.secret);
    let wait = CANCEL_WAIT_MAX;
    timeout(wait, async {
        stream.write_all(&request).await?;
        stream.flush().await?;
        // The server closes without a word once it has passed the signal on. How it closes means nothing.
        let _ = stream.read_u8().await;
        Ok(())
    })
    .await
    .map_err(|_| UpstreamError::Timeout { what: "take a cancel request", wait })?
}

async fn open(address: &Address, tls: &TlsMode, wait: Duration) -> Result<UpstreamStream, UpstreamError> {
    timeout(wait, async {
        let stream = stream::dial(address).await?;
        match tls {
            TlsMode::Disable => may_be_plain(stream.peer_ip()?).map(|()| stream),
            TlsMode::Require { roots, server_name } => stream::encrypt(stream, roots, server_name).await,
        }
    })
    .await
    .map_err(|_| UpstreamError::Timeout { what: "accept a connection", wait })?
}

/// Whether a peer may be spoken to without TLS; Unix sockets have no address.
fn may_be_plain(peer: Option<IpAddr>) -> Result<(), UpstreamError> {
    match peer {
        Some(ip) if !is_loopback(ip) => Err(UpstreamError::Config {
            expected: "TLS (it may be disabled on loopback and Unix sockets only)",
            found: format!("none to {ip}"),
        }),
        _ => Ok(()),
    }
}

const fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => ip.is_loopback(),
            None => ip.is_loopback(),
        },
    }
}

#[cfg(test)]
mod tests;
