//! A TCP link on 127.0.0.1 in whose way things can be put: bytes that trickle, silence that closes nothing, resets on
//! both sides. Knows no protocol.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 16 << 10;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They go as they come.
    Clear,
    /// So many, then a pause.
    Trickle {
        /// How many.
        bytes: usize,
        /// How long nothing follows.
        pause: Duration,
    },
    /// They stay where they are, and nobody is told: what a half-open connection looks like.
    Silent,
}

/// The link. Dropped, it takes no new connections; those that there are go on.
#[derive(Debug)]
pub struct Link {
    port: u16,
    weather: watch::Sender<Weather>,
    /// How often everything was reset.
    resets: watch::Sender<u64>,
    open: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A link to a port of 127.0.0.1.
    ///
    /// # Errors
    /// When nothing can be listened on.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("a link's own port")?;
        let own = listener.local_addr()?.port();
        let (weather, resets) = (watch::Sender::new(Weather::Clear), watch::Sender::new(0));
        let open = Arc::new(AtomicUsize::new(0));
        let road =
            Road { port, weather: weather.subscribe(), resets: resets.subscribe(), open: Arc::clone(&open) };
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(road.clone().carry(near));
            }
        });
        Ok(Self { port: own, weather, resets, open, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, for connections that there are and for new ones.
    pub fn becomes(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets (RST) every connection that there is, on both sides.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// How many connections it carries.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Clone)]
struct Road {
    port: u16,
    weather: watch::Receiver<Weather>,
    resets: watch::Receiver<u64>,
    open: Arc<AtomicUsize>,
}

impl Road {
    async fn carry(mut self, mut near: TcpStream) {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.resets.mark_unchanged();
        // An error is an end of one side: the other has to notice as it would without the link.
        let _ = self.through(&mut near).await;
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    async fn through(&mut self, near: &mut TcpStream) -> std::io::Result<()> {
        let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await else {
            return near.set_zero_linger();
        };
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let is_reset = {
            let (mut near_in, mut near_out) = near.split();
            let (mut far_in, mut far_out) = far.split();
            let there = pump(&mut near_in, &mut far_out, self.weather.clone());
            let back = pump(&mut far_in, &mut near_out, self.weather.clone());
            tokio::select! {
                both = async { tokio::try_join!(there, back) } => both.is_err(),
                _ = self.resets.changed() => true,
            }
        };
        if is_reset {
            near.set_zero_linger()?;
            far.set_zero_linger()?;
        }
        Ok(())
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut weather: watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let mut piece = vec![0_u8; PIECE_BYTES];
    loop {
        // Whoever holds the link has gone: what is left goes as it comes.
        let _ = weather.wait_for(|weather| *weather != Weather::Silent).await;
        let (bytes, pause) = match *weather.borrow() {
            Weather::Trickle { bytes, pause } => (bytes.clamp(1, PIECE_BYTES), pause),
            Weather::Clear | Weather::Silent => (PIECE_BYTES, Duration::ZERO),
        };
        let read = from.read(piece.get_mut(..bytes).unwrap_or_default()).await?;
        // It may have become silent meanwhile, and then its end is not heard either.
        let _ = weather.wait_for(|weather| *weather != Weather::Silent).await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(piece.get(..read).unwrap_or_default()).await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn bytes_come_in_order_however_they_trickle() {
        let link = Link::to(echo().await).await.unwrap();
        link.becomes(Weather::Trickle { bytes: 3, pause: Duration::from_micros(1) });
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).await.unwrap();
        let sent: Vec<u8> = (0..200).collect();
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, sent);
    }

    #[tokio::test]
    async fn silence_closes_nothing_and_a_reset_does() {
        let link = Link::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        let mut byte = [0_u8; 1];
        stream.read_exact(&mut byte).await.unwrap();
        link.becomes(Weather::Silent);
        stream.write_all(b"b").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(20), stream.read_exact(&mut byte)).await;
        assert!(silence.is_err(), "{silence:?}");
        assert_eq!(link.open(), 1);
        link.reset();
        let ended = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
