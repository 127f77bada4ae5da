//! Reads what PostgreSQL itself knows of a database, over a connection of the gate's own: a fingerprint of it, and the
//! whole. Keeps nothing but what came with the server.

use super::super::codec::backend::{self, Backend};
use super::super::codec::frontend::Named;
use super::super::codec::{Limits, write_frontend};
use super::super::upstream::{self, Upstream, UpstreamConfig};
use super::between::{Between, behind};
use super::facts::{ANSWER_WAIT_MAX, FactsError, Snapshot};
use super::mark::Moment;
use crate::sql::catalogue::Catalogue;
use crate::sql::facts::{self as sql_facts, ServerFacts};
use crate::sql::known::Known;
use crate::sql::session::SessionState;
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The name of the fingerprint's statement at the server.
const FINGERPRINT: &str = "fingerprint";
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The fingerprint, and the moment of which it is: both are of one snapshot.
static LOOK_QUERY: LazyLock<String> =
    LazyLock::new(|| format!("SELECT ({}), {}", sql_facts::FINGERPRINT, Moment::COLUMNS));

/// What a look at the catalogue saw.
pub(super) struct Look {
    /// Another one when anything is otherwise.
    pub(super) print: String,
    /// When; none where the server does not say.
    pub(super) moment: Option<Moment>,
}

/// The connection of the gate's own.
pub(super) struct Reader {
    /// None after an error: an answer may still be owed on the connection that there was.
    upstream: Option<Upstream>,
    lasting: Lasting,
    config: UpstreamConfig,
    epoch: u64,
    catalogue: Arc<Catalogue>,
}

// What came with the server, as it was read last over this connection, and the fingerprint that it was read under; and
// what was left at the server.
#[derive(Default)]
struct Lasting {
    print: Option<String>,
    /// The fingerprint's statement has been prepared.
    prepared: bool,
    tables: BTreeMap<&'static str, Table>,
}

impl Reader {
    /// None yet.
    pub(super) fn new(config: UpstreamConfig, catalogue: Arc<Catalogue>) -> Self {
        Self { upstream: None, lasting: Lasting::default(), config, epoch: 0, catalogue }
    }

    /// Reads everything.
    pub(super) async fn read(&mut self) -> Result<Snapshot, FactsError> {
        self.connect().await?;
        let upstream = self.upstream.as_mut().ok_or(FactsError::Gone)?;
        let facts = read(upstream, &mut self.lasting).await?;
        self.epoch += 1;
        let known = Known::new(Arc::new(facts), Arc::clone(&self.catalogue));
        Ok(Snapshot { known: Arc::new(known), epoch: self.epoch })
    }

    /// Looks whether anything has changed. Asked at each claim, by people who wait: the server plans it once.
    pub(super) async fn look(&mut self) -> Result<Look, FactsError> {
        let mut out = BytesMut::new();
        self.connect().await?;
        if !self.lasting.prepared {
            // Closing what is not there is no error.
            write_frontend::close(&mut out, Named::Statement(FINGERPRINT))?;
            write_frontend::parse(&mut out, FINGERPRINT, &LOOK_QUERY, &[])?;
        }
        write_frontend::bind(&mut out, "", FINGERPRINT, &[], &[], &[])?;
        write_frontend::execute(&mut out, "", 0)?;
        write_frontend::sync(&mut out);
        let upstream = self.upstream.as_mut().ok_or(FactsError::Gone)?;
        let rows = within_time(ask(upstream, &out)).await?;
        self.lasting.prepared = true;
        let row = rows.into_iter().next().unwrap_or_default();
        let [Some(print), moment @ ..] = row.as_slice() else {
            return Err(FactsError::Build("expected a fingerprint of the catalogue".to_owned()));
        };
        Ok(Look { print: print.clone(), moment: Moment::read(moment) })
    }

    async fn connect(&mut self) -> Result<(), FactsError> {
        if self.upstream.is_none() {
            // Another server may answer.
            self.lasting = Lasting::default();
            self.upstream = Some(connect(&self.config).await?);
        }
        Ok(())
    }

    /// Leaves the connection for another one.
    pub(super) async fn reconnect(&mut self) {
        self.upstream = None;
        if let Err(error) = self.connect().await {
            tracing::warn!(%error, "the server's catalogue cannot be read");
        }
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
