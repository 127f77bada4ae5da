//! The packets before a session: TLS from the first byte or by request, what is refused, cancel requests. Nobody is known
//! yet, and nothing reaches the server but a cancel request with a whole key.

use super::super::startup::{self, Opening};
use super::super::upstream;
use super::super::wording;
use super::accept::Shared;
use super::client::{ClientStream, READ_BYTES};
use super::handshake::HandshakeError;
use crate::postgres::codec::CodecError;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A client that wants a session, with its startup packet.
pub(super) struct Knock {
    pub(super) client: ClientStream,
    pub(super) inbuf: BytesMut,
    pub(super) packet: Bytes,
}

/// What may be asked once before a session, as at the server.
#[derive(Default)]
struct Asked {
    tls: bool,
    gss: bool,
}

/// Takes what comes before a session; `None` where it was only a cancel request.
pub(super) async fn knock(client: ClientStream, shared: &Shared) -> Result<Option<Knock>, HandshakeError> {
    let mut asked = Asked::default();
    let mut client = first_byte(client, shared, &mut asked).await?;
    let mut inbuf = BytesMut::with_capacity(READ_BYTES);
    loop {
        let packet = read_startup(&mut client, &mut inbuf).await?;
        let opening = match startup::parse_startup(&packet) {
            Err(error @ CodecError::UnsupportedProtocol { .. }) => {
                return Err(told(&mut client, "protocol 3.0 to 3.2 is spoken here", error.into()).await);
            }
            opening => opening?,
        };
        match opening {
            Opening::SslRequest | Opening::GssEncRequest if !inbuf.is_empty() => {
                return Err(HandshakeError::Injected);
            }
            Opening::SslRequest if !std::mem::replace(&mut asked.tls, true) => {
                client = answer_tls(client, shared).await?;
            }
            // Tickets of Kerberos would say who somebody is, and tokens say that here.
            Opening::GssEncRequest if !std::mem::replace(&mut asked.gss, true) => {
                client.write_all(b"N").await?;
                client.flush().await?;
            }
            Opening::SslRequest | Opening::GssEncRequest => {
                return Err(told(&mut client, "encryption was asked for before", HandshakeError::Twice).await);
            }
            Opening::Cancel { pid, secret } => {
                pass_cancel_on(shared, pid, secret).await;
                return Ok(None);
            }
            Opening::Startup(_) => return Ok(Some(Knock { client, inbuf, packet })),
        }
    }
}

/// Speaks TLS at once where the client does, and then only PostgreSQL's protocol by its name: without it the client
/// of another service could be led here.
async fn first_byte(
    client: ClientStream,
    shared: &Shared,
    asked: &mut Asked,
) -> Result<ClientStream, HandshakeError> {
    let ClientStream::Plain(stream) = client else { return Ok(client) };
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(HandshakeError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let [first] = first;
    if !startup::is_direct_tls(first) {
        return Ok(ClientStream::Plain(stream));
    }
    let Some(spoken) = &shared.settings.client_tls else { return Err(HandshakeError::NoTls) };
    let tls = TlsAcceptor::from(Arc::clone(&spoken.config)).accept(stream).await?;
    if tls.get_ref().1.alpn_protocol() != Some(startup::ALPN) {
        return Err(HandshakeError::Unnamed);
    }
    asked.tls = true;
    Ok(ClientStream::Tls(Box::new(tls)))
}

async fn read_startup(client: &mut ClientStream, inbuf: &mut BytesMut) -> Result<Bytes, HandshakeError> {
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
    let ClientStream::Plain(mut stream) = client else { return Err(HandshakeError::Twice) };
    let Some(spoken) = &shared.settings.client_tls else {
        stream.write_all(b"N").await?;
        return Ok(ClientStream::Plain(stream));
    };
    stream.write_all(b"S").await?;
    let tls = TlsAcceptor::from(Arc::clone(&spoken.config)).accept(stream).await?;
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

/// Says to the client why it is not let in. Whether it still hears it changes nothing.
async fn told(client: &mut ClientStream, message: &str, error: HandshakeError) -> HandshakeError {
    let mut out = BytesMut::new();
    wording::fatal(&mut out, "0A000", message, None);
    let _ = client.write_all(&out).await;
    let _ = client.flush().await;
    error
}
