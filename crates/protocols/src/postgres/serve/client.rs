//! The client's end of a connection, with or without TLS.

use bytes::{BufMut, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
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

/// Reads what the client sends ahead of its turn, up to as much as may wait: a read fills all the room that there is,
/// and the room doubles as it is used up.
pub(super) async fn read_ahead(
    client: &mut (impl AsyncRead + Unpin),
    into: &mut BytesMut,
    bytes_max: usize,
) -> io::Result<usize> {
    let room = bytes_max.saturating_sub(into.len());
    client.read_buf(&mut into.limit(room)).await
}

/// A client's connection.
pub(super) enum ClientStream {
    /// On loopback.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// From another door of this process, which has seen to how its client came in.
    Within(DuplexStream),
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Within(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Self::Within(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Within(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Within(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_read_ahead_than_may_wait_however_much_room_there_is() {
        let sent = vec![7; 64 << 10];
        let (mut client, mut waiting) = (sent.as_slice(), BytesMut::with_capacity(1 << 20));
        waiting.extend_from_slice(b"before");
        let read = read_ahead(&mut client, &mut waiting, 1_000).await.expect("a slice is read");
        assert_eq!((read, waiting.len()), (994, 1_000));
        assert_eq!(client.len(), sent.len() - 994);
    }
}
