//! The client's end of a connection, with or without TLS.

use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Room for what comes next; more is made where more comes.
pub(super) const READ_BYTES: usize = 1 << 10;
/// With less room than this, most messages would come in two pieces.
const ROOM_BYTES_MIN: usize = 256;

/// Makes room to read into: what was there before is used again.
pub(super) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < ROOM_BYTES_MIN {
        buffer.reserve(READ_BYTES);
    }
}

/// Room for what comes next where much has come.
const STREAM_BYTES: usize = 32 << 10;

/// After a read: where it took all the room there was, more is likely to come.
pub(super) fn make_more_room(buffer: &mut BytesMut) {
    if buffer.capacity() == buffer.len() {
        buffer.reserve(STREAM_BYTES);
    }
}

/// What a session keeps to read into and to write from, so that results of a usual size take no new room each time.
const KEPT_BYTES_MAX: usize = 2 * STREAM_BYTES;

/// Gives up what much has taken, where nothing is left of it.
pub(super) fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = BytesMut::new();
    }
}

/// A client's connection.
pub(super) enum ClientStream {
    /// On loopback.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
