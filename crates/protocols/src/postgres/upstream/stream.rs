//! The byte stream to a server: plain, Unix or TLS with a verified certificate. Knows one message of the
//! protocol, the SSLRequest.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::codec::write_frontend as write;
use super::{Address, UpstreamError};
use crate::postgres::end_point::end_point_hash;

/// A connection to a server.
#[derive(Debug)]
pub enum UpstreamStream {
    /// TCP as it is, on loopback.
    Plain(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP or a Unix socket.
    Tls(Box<TlsStream<Socket>>),
}

/// What lies under TLS.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

pub(super) async fn dial(address: &Address) -> Result<UpstreamStream, UpstreamError> {
    match address {
        Address::Tcp { host, port } => {
            let failed = |source| UpstreamError::Connect { address: format!("{host}:{port}"), source };
            let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            tcp.set_nodelay(true)?;
            Ok(UpstreamStream::Plain(tcp))
        }
        Address::Unix { dir, port } => {
            let path = dir.join(format!(".s.PGSQL.{port}"));
            let failed = |source| UpstreamError::Connect { address: path.display().to_string(), source };
            Ok(UpstreamStream::Unix(UnixStream::connect(&path).await.map_err(failed)?))
        }
    }
}

/// Asks for TLS and verifies the server's certificate against `roots` and `server_name`.
pub(super) async fn encrypt(
    mut stream: UpstreamStream,
    roots: &Arc<RootCertStore>,
    server_name: &str,
) -> Result<UpstreamStream, UpstreamError> {
    let name = ServerName::try_from(server_name.to_owned()).map_err(|_| UpstreamError::Config {
        expected: "a host name or an address to verify",
        found: format!("`{server_name}`"),
    })?;
    let mut request = BytesMut::new();
    write::ssl_request(&mut request);
    stream.write_all(&request).await?;
    stream.flush().await?;
    // Exactly one byte is read in clear: whatever else comes must be TLS, so nothing can be slipped in
    // before it (CVE-2021-23222).
    match stream.read_u8().await? {
        b'S' => {}
        b'N' => return Err(UpstreamError::TlsRefused),
        other => {
            return Err(UpstreamError::Unexpected {
                expected: "S or N after a TLS request",
                tag: other.into(),
            });
        }
    }
    let socket = match stream {
        UpstreamStream::Plain(tcp) => Socket::Tcp(tcp),
        UpstreamStream::Unix(unix) => Socket::Unix(unix),
        tls @ UpstreamStream::Tls(_) => return Ok(tls),
    };
    let connector = TlsConnector::from(Arc::new(client_config(roots)?));
    let tls = connector.connect(name, socket).await.map_err(|source| UpstreamError::Tls { source })?;
    Ok(UpstreamStream::Tls(Box::new(tls)))
}

fn client_config(roots: &Arc<RootCertStore>) -> Result<ClientConfig, UpstreamError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UpstreamError::Tls { source: io::Error::other(error) })?;
    let mut config = builder.with_root_certificates(Arc::clone(roots)).with_no_client_auth();
    config.alpn_protocols = vec![super::super::startup::ALPN.to_vec()];
    Ok(config)
}

impl UpstreamStream {
    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The server's address, where it has one.
    pub(super) fn peer_ip(&self) -> io::Result<Option<IpAddr>> {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Unix(_) => return Ok(None),
            Self::Tls(tls) => match tls.get_ref().0 {
                Socket::Tcp(tcp) => tcp,
                Socket::Unix(_) => return Ok(None),
            },
        };
        tcp.peer_addr().map(|peer| Some(peer.ip()))
    }

    /// The hash of the server's certificate for SCRAM's channel binding; `None` without TLS or where the
    /// certificate's signature has no hash.
    pub(super) fn server_end_point(&self) -> Option<Vec<u8>> {
        let Self::Tls(tls) = self else { return None };
        end_point(tls.get_ref().1)
    }
}

/// The hash of the certificate that the other side of this connection has shown, for channel binding.
pub fn end_point(connection: &rustls::ClientConnection) -> Option<Vec<u8>> {
    end_point_hash(connection.peer_certificates()?.first()?)
}

macro_rules! each {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain($inner) => $call,
            Self::Unix($inner) => $call,
            Self::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(inner) => inner.is_write_vectored(),
            Self::Unix(inner) => inner.is_write_vectored(),
            Self::Tls(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Unix(unix) => Pin::new(unix).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
        }
    }
}
