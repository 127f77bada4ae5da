//! Keeps what PostgreSQL itself knows of a database: asks over a connection of its own, again when something has
//! changed there, and at once when a claim needs the truth of now.

use super::super::codec::backend::{self, Backend};
use super::super::codec::frontend::Named;
use super::super::codec::{CodecError, Limits, write_frontend};
use super::super::upstream::{self, Upstream, UpstreamConfig, UpstreamError};
use super::between::{Between, behind};
use crate::sql::catalogue::Catalogue;
use crate::sql::facts::{self as sql_facts, ServerFacts};
use crate::sql::known::Known;
use crate::sql::session::SessionState;
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};

/// How often the server is asked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long one question may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// The name of the fingerprint's statement at the server.
const FINGERPRINT: &str = "fingerprint";
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why the server's facts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// No connection.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The connection broke.
    #[error("the connection that reads the server's catalogue broke: {0}")]
    Io(#[from] std::io::Error),
    /// Not PostgreSQL's protocol.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The server answered with an error.
    #[error("the server refused to show its catalogue ({0})")]
    Refused(String),
    /// The answer is not what was asked for.
    #[error("the server's catalogue cannot be understood: {0}")]
    Build(String),
    /// It took too long.
    #[error("expected the server's catalogue within {ANSWER_WAIT_MAX:?}, found silence")]
    Timeout,
    /// What is left at the server for a session would be somebody else's.
    #[error(
        "expected PostgreSQL itself, found a pooler that lends a connection for one transaction: settings, prepared statements \
         and locks of one session would be those of another; let the target name the server (a pooler may stand before the \
         gate)"
    )]
    Lender,
    /// The task that asks is gone.
    #[error("the server's catalogue is not kept any more")]
    Gone,
}

impl FactsError {
    // Another connection may do better; a server that refuses or is silent would only be asked twice.
    const fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Upstream(_) | Self::Io(_) | Self::Codec(_))
    }
}

/// What was known at one moment.
pub(super) struct Snapshot {
    /// The facts and the catalogue.
    pub(super) known: Arc<Known>,
    /// Grows with every change: analyses of another epoch do not count.
    pub(super) epoch: u64,
}

type Answer = oneshot::Sender<Result<Arc<Snapshot>, String>>;

/// The newest facts of one database, and a way to have them read again.
#[derive(Clone)]
pub(super) struct Facts {
    current: watch::Receiver<Arc<Snapshot>>,
    refresh: mpsc::Sender<Answer>,
    doubt: Arc<watch::Sender<Doubt>>,
}

/// Why what was read last may not be so any more.
#[derive(Default, Clone, Copy)]
struct Doubt {
    /// Changes that are being committed by way of this gate.
    changes: u32,
    /// Statements under way that may change something and commit it by themselves.
    running: u32,
    /// Changes that ever were.
    begun: u64,
    /// The catalogue has changed, or could not be looked at, and was not read since.
    unread: bool,
}

/// A change that is being committed; over when dropped.
pub(super) struct Change {
    doubt: Arc<watch::Sender<Doubt>>,
}

impl Drop for Change {
    fn drop(&mut self) {
        self.doubt.send_modify(|doubt| doubt.changes = doubt.changes.saturating_sub(1));
    }
}

/// A statement that may change something and commits by itself; over when dropped.
pub(super) struct Running {
    doubt: Arc<watch::Sender<Doubt>>,
}

impl Drop for Running {
    // Whoever looks just now may have begun to look before it was committed: everybody looks once more.
    fn drop(&mut self) {
        self.doubt.send_modify(|doubt| {
            doubt.running = doubt.running.saturating_sub(1);
            doubt.begun += 1;
            doubt.unread = true;
        });
    }
}

impl Facts {
    /// What was last known: at most some seconds old.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// What was last known, once no change is being committed and what has changed was read.
    pub(super) async fn sure(&self) -> Result<Arc<Snapshot>, FactsError> {
        let doubt = *self.doubt.borrow();
        if doubt.changes > 0 {
            let mut doubt = self.doubt.subscribe();
            let settled = doubt.wait_for(|doubt| doubt.changes == 0);
            let settled = tokio::time::timeout(ANSWER_WAIT_MAX, settled).await;
            settled.map_err(|_| FactsError::Timeout)?.map_err(|_| FactsError::Gone)?;
        }
        if self.doubt.borrow().unread {
            return self.refreshed().await;
        }
        Ok(self.current())
    }

    /// From now on nobody else is judged, until it is over.
    pub(super) fn begin_change(&self) -> Change {
        self.doubt.send_modify(|doubt| {
            doubt.changes += 1;
            doubt.begun += 1;
            doubt.unread = true;
        });
        Change { doubt: Arc::clone(&self.doubt) }
    }

    /// From now on everybody looks again before anything is judged, until it is over and was read. Nobody waits for it:
    /// it may take long.
    pub(super) fn begin_running(&self) -> Running {
        self.doubt.send_modify(|doubt| {
            doubt.running += 1;
            doubt.begun += 1;
            doubt.unread = true;
        });
        Running { doubt: Arc::clone(&self.doubt) }
    }

    /// What is known now.
    pub(super) async fn refreshed(&self) -> Result<Arc<Snapshot>, FactsError> {
        let (sender, answer) = oneshot::channel();
        self.refresh.send(sender).await.map_err(|_| FactsError::Gone)?;
        answer.await.map_err(|_| FactsError::Gone)?.map_err(FactsError::Build)
    }

    /// Reads the facts for the first time and keeps them from then on.
    pub(super) async fn keep(config: UpstreamConfig, catalogue: Arc<Catalogue>) -> Result<Self, FactsError> {
        let mut reader = Reader { upstream: None, lasting: Lasting::default(), config, epoch: 0, catalogue };
        let print = reader.fingerprint().await?;
        let known = reader.read().await?;
        let (sender, current) = watch::channel(Arc::new(known));
        let (refresh, requests) = mpsc::channel(64);
        let doubt = Arc::new(watch::Sender::new(Doubt::default()));
        tokio::spawn(keep(reader, print, sender, requests, Arc::clone(&doubt)));
        Ok(Self { current, refresh, doubt })
    }
}

/// A connection to the server itself.
async fn connect(config: &UpstreamConfig) -> Result<Upstream, FactsError> {
    let mut upstream = upstream::connect(config).await?;
    match behind(&mut upstream, config).await? {
        Between::Nobody | Between::Speaker => Ok(upstream),
        Between::Lender => Err(FactsError::Lender),
    }
}

/// Reads the facts once, for commands.
///
/// # Errors
/// They cannot be had.
pub async fn load(config: &UpstreamConfig) -> Result<ServerFacts, FactsError> {
    let mut upstream = upstream::connect(config).await?;
    read(&mut upstream, &mut Lasting::default()).await
}

/// What a session of this role is when it begins, for commands: the server may give a role a path of its own.
///
/// # Errors
/// It cannot be had.
pub async fn load_fresh_session(config: &UpstreamConfig) -> Result<SessionState, FactsError> {
    let mut upstream = upstream::connect(config).await?;
    let rows =
        query(&mut upstream, "SELECT pg_catalog.current_setting('search_path'), current_user::text").await?;
    match rows.first().map(Vec::as_slice) {
        Some([Some(path), Some(role)]) => {
            Ok(SessionState { search_path: SessionState::parse_search_path(path), ..SessionState::new(role) })
        }
        _ => Err(FactsError::Build("expected a search_path and a role".to_owned())),
    }
}

struct Reader {
    /// None after an error: an answer may still be owed on the connection that there was.
    upstream: Option<Upstream>,
    lasting: Lasting,
    config: UpstreamConfig,
    epoch: u64,
    catalogue: Arc<Catalogue>,
}

/// What came with the server, as it was read last over this connection, and the fingerprint that it was read under; and
/// what was left at the server.
#[derive(Default)]
struct Lasting {
    print: Option<String>,
    /// The fingerprint's statement has been prepared.
    prepared: bool,
    tables: BTreeMap<&'static str, Table>,
}

impl Reader {
    async fn read(&mut self) -> Result<Snapshot, FactsError> {
        self.connect().await?;
        let upstream = self.upstream.as_mut().ok_or(FactsError::Gone)?;
        let facts = read(upstream, &mut self.lasting).await?;
        self.epoch += 1;
        let known = Known::new(Arc::new(facts), Arc::clone(&self.catalogue));
        Ok(Snapshot { known: Arc::new(known), epoch: self.epoch })
    }

    // Asked at each claim, by people who wait: the server plans it once.
    async fn fingerprint(&mut self) -> Result<String, FactsError> {
        let mut out = BytesMut::new();
        self.connect().await?;
        if !self.lasting.prepared {
            // Closing what is not there is no error.
            write_frontend::close(&mut out, Named::Statement(FINGERPRINT))?;
            write_frontend::parse(&mut out, FINGERPRINT, sql_facts::fingerprint_query(), &[])?;
        }
        write_frontend::bind(&mut out, "", FINGERPRINT, &[], &[], &[])?;
        write_frontend::execute(&mut out, "", 0)?;
        write_frontend::sync(&mut out);
        let upstream = self.upstream.as_mut().ok_or(FactsError::Gone)?;
        let rows = within_time(ask(upstream, &out)).await?;
        self.lasting.prepared = true;
        Ok(joined(rows))
    }

    async fn connect(&mut self) -> Result<(), FactsError> {
        if self.upstream.is_none() {
            // Another server may answer.
            self.lasting = Lasting::default();
            self.upstream = Some(connect(&self.config).await?);
        }
        Ok(())
    }

    async fn reconnect(&mut self) {
        self.upstream = None;
        if let Err(error) = self.connect().await {
            tracing::warn!(%error, "the server's catalogue cannot be read");
        }
    }
}

async fn keep(
    mut reader: Reader,
    mut print: String,
    current: watch::Sender<Arc<Snapshot>>,
    mut requests: mpsc::Receiver<Answer>,
    doubt: Arc<watch::Sender<Doubt>>,
) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        let request = tokio::select! {
            request = requests.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
            _ = look.tick() => None,
        };
        // Whoever asked before the catalogue is read has the same answer.
        let mut waiting: Vec<Answer> = request.into_iter().collect();
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
        let mut updated = update(&mut reader, &mut print, &current, &doubt).await;
        if let Err(error) = &updated {
            tracing::warn!(%error, "the server's catalogue could not be read; trying again");
            doubt.send_modify(|doubt| doubt.unread = true);
            reader.reconnect().await;
            if !waiting.is_empty() && error.is_of_the_connection() {
                updated = update(&mut reader, &mut print, &current, &doubt).await;
            }
        }
        let answer = updated.map(|()| Arc::clone(&current.borrow())).map_err(|error| error.to_string());
        for request in waiting {
            // Whoever asked may be gone.
            let _ = request.send(answer.clone());
        }
    }
}

async fn update(
    reader: &mut Reader,
    print: &mut String,
    current: &watch::Sender<Arc<Snapshot>>,
    doubt: &watch::Sender<Doubt>,
) -> Result<(), FactsError> {
    let begun = doubt.borrow().begun;
    let changed = {
        let look = look_again(reader, print);
        tokio::pin!(look);
        let mut late = false;
        loop {
            tokio::select! {
                changed = &mut look => break changed?,
                // A look that takes long is no look: somebody may have locked what is looked at.
                () = tokio::time::sleep(LOOK_EVERY), if !late => {
                    late = true;
                    doubt.send_modify(|doubt| doubt.unread = true);
                }
            }
        }
    };
    if let Some(snapshot) = changed {
        current.send_replace(Arc::new(snapshot));
    }
    // A change whose commit began meanwhile may not have been seen: it is read at its end.
    doubt.send_modify(|doubt| {
        doubt.unread = doubt.changes > 0 || doubt.running > 0 || doubt.begun != begun;
    });
    Ok(())
}

async fn look_again(reader: &mut Reader, print: &mut String) -> Result<Option<Snapshot>, FactsError> {
    // The fingerprint first: what changes between the two is then seen by the next look.
    let now = reader.fingerprint().await?;
    if now == *print {
        return Ok(None);
    }
    let known = reader.read().await?;
    *print = now;
    Ok(Some(known))
}

async fn read(upstream: &mut Upstream, lasting: &mut Lasting) -> Result<ServerFacts, FactsError> {
    query(upstream, sql_facts::SETUP).await?;
    let server = Some(fingerprint(upstream, sql_facts::SERVER_FINGERPRINT).await?);
    if lasting.print != server {
        // Half of it under the old fingerprint must not be taken for the whole.
        lasting.print = None;
        for (name, sql, _) in sql_facts::LASTING {
            lasting.tables.insert(name, query(upstream, sql).await?);
        }
        lasting.print = server;
    }
    let mut rows: BTreeMap<&str, Table> = BTreeMap::new();
    for (name, sql) in sql_facts::QUERIES {
        let (mut table, besides) = match sql_facts::LASTING.iter().find(|(lasts, ..)| lasts == name) {
            Some((_, _, besides)) => (lasting.tables.get(name).cloned().unwrap_or_default(), *besides),
            None => (Table::new(), Some(*sql)),
        };
        if let Some(sql) = besides {
            table.append(&mut query(upstream, sql).await?);
        }
        rows.insert(name, table);
    }
    ServerFacts::build(&rows).map_err(|e| FactsError::Build(e.to_string()))
}

async fn fingerprint(upstream: &mut Upstream, sql: &str) -> Result<String, FactsError> {
    Ok(joined(query(upstream, sql).await?))
}

fn joined(rows: Table) -> String {
    let cells = rows.into_iter().flatten().map(Option::unwrap_or_default);
    cells.collect::<Vec<_>>().join("\u{1f}")
}

type Table = Vec<Vec<Option<String>>>;

/// Asks over a connection of its own.
pub(super) async fn query(upstream: &mut Upstream, sql: &str) -> Result<Table, FactsError> {
    let mut out = BytesMut::new();
    write_frontend::query(&mut out, sql)?;
    within_time(ask(upstream, &out)).await
}

async fn within_time(asked: impl Future<Output = Result<Table, FactsError>>) -> Result<Table, FactsError> {
    tokio::time::timeout(ANSWER_WAIT_MAX, asked).await.map_err(|_| FactsError::Timeout)?
}

/// Sends messages that end in one ReadyForQuery, and takes their rows.
async fn ask(upstream: &mut Upstream, messages: &[u8]) -> Result<Table, FactsError> {
    upstream.stream.write_all(messages).await?;
    upstream.stream.flush().await?;
    let (mut rows, mut refused) = (Vec::new(), None);
    loop {
        let limits = Limits { message_bytes_max: ANSWER_BYTES_MAX };
        while let Some(message) = backend::next_message(&mut upstream.leftover, limits)? {
            match backend::parse(&message)? {
                Backend::DataRow(row) => {
                    let mut cells = Vec::with_capacity(row.len());
                    for cell in row.columns() {
                        cells.push(cell?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
                    }
                    rows.push(cells);
                }
                Backend::ErrorResponse(fields) => refused = Some(fields.sqlstate().into_owned()),
                Backend::ReadyForQuery(_) => {
                    return refused.map_or(Ok(rows), |code| Err(FactsError::Refused(code)));
                }
                _ => {}
            }
        }
        if upstream.stream.read_buf(&mut upstream.leftover).await? == 0 {
            return Err(FactsError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
