//! Many statements held at once, each on a connection of its own: what each costs in memory, and what they do to
//! somebody who waits for nobody. Knows how to make the crowd; what a cost may be is for others to say.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};
use tokio_rustls::TlsConnector;

use crate::house::{Held, House};

/// Clients that connect or ask at the same moment: fewer than the gate's `handshakes_max`.
const AT_ONCE: usize = 32;
/// Reads of which the latency is taken.
const READS: usize = 2_000;

/// Clients that have connected and asked for nothing.
pub struct Crowd {
    clients: Vec<Connected>,
}

/// A client whose statement waits.
pub struct Waiting {
    /// What it was told.
    pub held: Held,
    /// Its answer once there is one: how many rows.
    pub answer: JoinHandle<Result<u64, tokio_postgres::Error>>,
    /// Aborted, it closes the socket.
    pub socket: JoinHandle<()>,
}

/// A client, and what it was told by notices.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) hints: mpsc::UnboundedReceiver<String>,
    socket: JoinHandle<()>,
}

/// The middle and the slow end of reads that need nobody.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: Duration,
    /// One in a hundred took longer.
    pub p99: Duration,
}

/// What the gate held of memory at one moment.
///
/// # Errors
/// The gate is gone.
pub fn resident(house: &House) -> Result<u64> {
    house.gate()?.resident_bytes().context("the gate is gone")
}

impl Crowd {
    /// Connects so many clients: in clear, or with TLS from the first byte on.
    ///
    /// # Errors
    /// One of them is not let in.
    pub async fn connect(house: &House, count: usize, tls: Option<&TlsConnector>) -> Result<Self> {
        let clients = stream::iter(0..count).map(|_| Connected::open(house, tls)).buffered(AT_ONCE);
        Ok(Self { clients: clients.try_collect().await? })
    }

    /// Each asks to delete a ticket of its own, from number 1 on, and waits.
    ///
    /// # Errors
    /// One of them is not held.
    pub async fn hold(self, mut tell: impl FnMut(usize)) -> Result<Vec<Waiting>> {
        let holds =
            stream::iter(self.clients.into_iter().enumerate()).map(|(at, client)| client.hold(at + 1));
        let mut holds = holds.buffered(AT_ONCE);
        let mut held = Vec::new();
        while let Some(waiting) = holds.next().await {
            held.push(waiting?);
            tell(held.len());
        }
        Ok(held)
    }
}

impl Connected {
    pub(crate) async fn open(house: &House, tls: Option<&TlsConnector>) -> Result<Self> {
        let config: Config = format!("{}&password={}", house.url(), house.token).parse()?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, house.ports.gate)).await?;
        stream.set_nodelay(true)?;
        match tls {
            None => Self::over(stream, &config).await,
            Some(tls) => Self::over(tls.connect("localhost".try_into()?, stream).await?, &config).await,
        }
    }

    async fn over<S>(stream: S, config: &Config) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, mut connection) = config.connect_raw(stream, NoTls).await?;
        let (tell, hints) = mpsc::unbounded_channel();
        let socket = tokio::spawn(async move {
            while let Some(Ok(message)) = future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let _ = tell.send(notice.hint().unwrap_or_default().to_owned());
                }
            }
        });
        Ok(Self { client, hints, socket })
    }

    async fn hold(self, ticket: usize) -> Result<Waiting> {
        let Self { client, mut hints, socket } = self;
        let answer = tokio::spawn(async move {
            let sql = format!("DELETE FROM support_tickets WHERE id = {ticket}");
            let messages = client.simple_query(&sql).await?;
            let rows = messages.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
                _ => None,
            });
            Ok(rows.unwrap_or_default())
        });
        while let Some(hint) = hints.recv().await {
            if let Some(held) = Held::parse(&hint) {
                return Ok(Waiting { held, answer, socket });
            }
        }
        match answer.await? {
            Ok(rows) => bail!("ticket {ticket}: expected a hold, found {rows} rows deleted"),
            Err(error) => Err(error).with_context(|| format!("ticket {ticket}: expected a hold")),
        }
    }
}

/// A client that only reads.
pub struct Reader {
    client: Client,
    _socket: JoinHandle<()>,
}

impl Reader {
    /// Connects, and reads until everything that is read once has been read.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn connect(house: &House, tls: Option<&TlsConnector>) -> Result<Self> {
        let Connected { client, socket, .. } = Connected::open(house, tls).await?;
        let reader = Self { client, _socket: socket };
        reader.latency().await?;
        Ok(reader)
    }

    /// How long reads take that need nobody.
    ///
    /// # Errors
    /// One of them fails.
    pub async fn latency(&self) -> Result<Latency> {
        let read = self.client.prepare("SELECT price_cents FROM products WHERE id = $1").await?;
        let mut times = Vec::with_capacity(READS);
        for id in (1..=200_i64).cycle().take(READS) {
            let begun = Instant::now();
            self.client.query_one(&read, &[&id]).await?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let at = |part: usize| times.get(part).copied().unwrap_or_default();
        Ok(Latency { p50: at(READS / 2), p99: at(READS * 99 / 100) })
    }
}

/// How many requests wait for people.
///
/// # Errors
/// The gate does not say.
pub async fn pending(house: &House) -> Result<usize> {
    Ok(house.command(&["requests", "list", "--json"]).await?.lines().count())
}
