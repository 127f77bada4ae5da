//! Tries what people are to be asked about: on a connection of its own, on which the session stands as it stands, in a
//! transaction that is undone. Only what [`crate::sql::trial`] knows to leave nothing behind; one at a time for a target.

use super::super::action::{self, ClientAction};
use super::super::changed::{self, CHANGED_QUERY, Changed};
use super::super::codec::backend::{self, Backend};
use super::super::codec::{CodecError, Format, Limits, write_frontend};
use super::super::session::Mode;
use super::super::touched::step_range;
use super::super::upstream::{self, Upstream, UpstreamConfig};
use super::connection::{Connection, Ended};
use super::reconnect::{JSON_OID, SET_AGAIN};
use super::settings::{GateLimits, PreviewMode};
use crate::sql::known::Known;
use crate::sql::trial::{Allowed, Reached, Table, Trigger, tables_query, triggers_query};
use crate::sql::{Analysis, What, segments};
use bytes::BytesMut;
use countersign_core::effect::Param;
use countersign_core::kind::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

/// What the connection of a trial is called at the server.
const TRIAL_APPLICATION: &str = "countersign trial";
/// The statements of a plan that are tried; a longer one is not.
const STEPS_TRIED_MAX: usize = 50;
/// Bytes that the server may answer to one statement.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// What a trial may take beside the statement itself.
const AROUND_WAIT_MAX: Duration = Duration::from_secs(1);
/// For so many times as long as a trial took nothing is tried then: the locks that agents can have taken by asking are
/// held for no more than a tenth of the time.
const REST_TIMES: u32 = 9;
/// How long an action waits for others that are tried.
const TURN_WAIT_MAX: Duration = Duration::from_secs(1);
/// The longest idle time within its transaction, should the gate be gone.
const IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = '5s'";

const LOCK_NOT_AVAILABLE: &str = "55P03";
const QUERY_CANCELED: &str = "57014";

/// What trying it showed.
pub(super) struct Tried {
    /// Rows that each statement speaks of itself.
    pub(super) rows: Vec<u64>,
    /// Rows that were changed, table by table, with all that follows.
    pub(super) changed: Changed,
}

/// The trials of one target: one at a time, and not all the time.
#[derive(Default)]
pub(super) struct Trials(Arc<Mutex<Rest>>);

/// Until when nothing is tried.
#[derive(Default)]
struct Rest(Option<Instant>);

struct Turn {
    rest: OwnedMutexGuard<Rest>,
    /// When the statement began: before that no lock is taken that stands in anybody's way.
    begun: Option<Instant>,
}

impl Trials {
    // None where it would not come soon.
    async fn turn(&self) -> Option<Turn> {
        let by = Instant::now() + TURN_WAIT_MAX;
        let rest = tokio::time::timeout_at(by, Arc::clone(&self.0).lock_owned()).await.ok()?;
        match rest.0 {
            Some(until) if until > by => return None,
            Some(until) => tokio::time::sleep_until(until).await,
            None => {}
        }
        Some(Turn { rest, begun: None })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = self.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        self.rest.0 = Some(Instant::now() + took * REST_TIMES);
    }
}

/// All that a trial needs, apart from the session.
struct Job {
    turn: Turn,
    config: UpstreamConfig,
    settings: String,
    texts: Vec<String>,
    params: Arc<[Param]>,
    known: Arc<Known>,
    tables: BTreeSet<u32>,
    inserts: bool,
    allowed: Allowed,
    statement_wait: Duration,
    lock_wait: Duration,
}

impl Connection {
    /// Tries an action where the target allows that and nothing of it would stay; else says why not, in words for
    /// people. None where nobody asks for it.
    pub(super) async fn try_out(
        &mut self,
        analysis: &Analysis,
        action: &ClientAction,
    ) -> Result<Option<Result<Tried, String>>, Ended> {
        let kinds = analysis.joined.kinds();
        let changes_rows = kinds.contains(&Kind::Write) || kinds.contains(&Kind::Delete);
        let is_asked_for = self.shared.settings.preview.mode == PreviewMode::Exact;
        if !is_asked_for || !changes_rows || action.data.is_some() {
            return Ok(None);
        }
        if kinds.contains(&Kind::Reveal) {
            // What it undoes leaves traces that an agent can read (xmax, sizes): they would tell what values are.
            return Ok(Some(Err("it reads labelled values to choose rows or to make values".to_owned())));
        }
        let tables = match tables_of(analysis) {
            Ok(tables) => tables,
            Err(why) => return Ok(Some(Err(why.to_owned()))),
        };
        if self.is_within_transaction() && !self.session.transaction.suspended {
            return Ok(Some(Err("it stands in a transaction that has begun".to_owned())));
        }
        if !self.session.can_move(&self.role) {
            return Ok(Some(Err("its session left more at the server than settings".to_owned())));
        }
        if self.session.own.mode == Mode::Park
            && self.shared.desk.is_asked(&action::effect(&self.site(), &self.session, action, analysis))
        {
            // Whoever repeats it to learn how it stands changes nothing of what people see.
            return Ok(None);
        }
        let Some(turn) = self.shared.trials.turn().await else {
            return Ok(Some(Err("others are tried, or were just now".to_owned())));
        };
        let Some(place) = self.shared.servers.spare_place() else {
            return Ok(Some(Err("too few connections to the server are free".to_owned())));
        };
        let Some(mut settings) = self.settings_now().await? else {
            return Ok(Some(Err("the settings of its session cannot be read".to_owned())));
        };
        settings.remove("application_name");
        let texts = (0..analysis.statements.len())
            .map(|at| action.text.get(step_range(&action.text, analysis, at)).unwrap_or_default().to_owned());
        let GateLimits { preview_wait_max, preview_lock_wait_max, preview_table_bytes_max, .. } =
            self.shared.settings.limits;
        let mut config = self.server.config().clone();
        config.application_name = TRIAL_APPLICATION.to_owned();
        let job = Job {
            turn,
            config,
            settings: serde_json::Value::Object(settings).to_string(),
            texts: texts.collect(),
            params: Arc::clone(&action.params),
            known: Arc::clone(&self.snapshot.known),
            tables,
            inserts: takes_defaults(&action.text),
            allowed: Allowed {
                table_bytes_max: preview_table_bytes_max,
                sequences: self.shared.settings.preview.sequences,
            },
            statement_wait: preview_wait_max,
            lock_wait: preview_lock_wait_max,
        };
        let tried = tokio::time::timeout(preview_wait_max + AROUND_WAIT_MAX, job.run()).await;
        drop(place);
        let tried = tried.unwrap_or_else(|_| Err(Failed::Why(too_long(preview_wait_max))));
        Ok(Some(tried.map_err(Failed::words)))
    }

    /// How long finding out about rows may take in all.
    pub(super) fn preview_wait_max(&self) -> Duration {
        match self.shared.settings.preview.mode {
            PreviewMode::Exact => {
                self.shared.settings.limits.preview_wait_max + AROUND_WAIT_MAX + TURN_WAIT_MAX
            }
            PreviewMode::None | PreviewMode::Estimated | PreviewMode::Counted => Duration::ZERO,
        }
    }
}

fn tables_of(analysis: &Analysis) -> Result<BTreeSet<u32>, &'static str> {
    if analysis.statements.len() > STEPS_TRIED_MAX {
        return Err("it is a plan of more than 50 statements");
    }
    let mut tables = BTreeSet::new();
    for statement in &analysis.statements {
        let is_change = matches!(statement.what, What::Insert | What::Update | What::Delete | What::Merge);
        match &statement.changes {
            Some(changes) => tables.extend(changes),
            None if is_change && statement.impact.opaque => return Err("it cannot be seen all that it does"),
            None => return Err("it does more than change rows"),
        }
    }
    Ok(tables)
}

// A row that is new, or a column that is set to its default, may take a number of a sequence.
fn takes_defaults(text: &str) -> bool {
    segments::has_word(text, &["insert", "merge", "default"])
}

fn too_long(wait: Duration) -> String {
    format!("it took longer than {} ms (preview_millis_max)", wait.as_millis())
}

// === impl Job ===

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Why(String),
    #[error(transparent)]
    Upstream(#[from] upstream::UpstreamError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Failed {
    fn words(self) -> String {
        match self {
            Self::Why(why) => why,
            error @ (Self::Upstream(_) | Self::Io(_) | Self::Codec(_)) => {
                tracing::warn!(%error, "a statement could not be tried");
                "the connection on which it is tried cannot be had, or broke".to_owned()
            }
        }
    }
}

fn why(words: &str) -> Failed {
    Failed::Why(words.to_owned())
}

#[derive(Default)]
struct Answer {
    rows: Vec<Vec<Option<String>>>,
    tag_rows: u64,
    failed: Option<String>,
}

impl Job {
    async fn run(mut self) -> Result<Tried, Failed> {
        let mut server = upstream::connect(&self.config).await?;
        let tried = self.on(&mut server).await;
        // Whatever came of it: the connection ends, and with it all that it holds.
        let mut goodbye = BytesMut::new();
        if write_frontend::query(&mut goodbye, "ROLLBACK").is_ok() {
            write_frontend::terminate(&mut goodbye);
            let _ = server.stream.write_all(&goodbye).await;
            let _ = server.stream.flush().await;
        }
        tried
    }

    async fn on(&mut self, server: &mut Upstream) -> Result<Tried, Failed> {
        let set = |value: &str| {
            let mut out = BytesMut::new();
            write_frontend::parse(&mut out, "", SET_AGAIN, &[JSON_OID])?;
            write_frontend::bind(&mut out, "", "", &[], &[Some(value.as_bytes())], &[])?;
            write_frontend::execute(&mut out, "", 0)?;
            write_frontend::sync(&mut out);
            Ok::<_, CodecError>(out)
        };
        self.well(ask(server, &set(&self.settings)?, true).await?)?;
        let (statement_wait, lock_wait) = (self.statement_wait.as_millis(), self.lock_wait.as_millis());
        self.say(server, "BEGIN").await?;
        self.say(server, &format!("SET LOCAL statement_timeout = {statement_wait}")).await?;
        self.say(server, &format!("SET LOCAL lock_timeout = {lock_wait}")).await?;
        self.say(server, IDLE).await?;
        self.check(server).await?;
        let before = self.changed(server).await?;
        self.turn.begun = Some(Instant::now());
        let mut rows = Vec::new();
        for text in &self.texts {
            let answer = ask(server, &self.statement(text)?, false).await?;
            rows.push(self.well(answer)?.tag_rows);
        }
        // What is put off until COMMIT happens now.
        self.say(server, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        let changed = changed::since(&before, self.changed(server).await?);
        // Seen to be over before anybody is told what it did.
        self.say(server, "ROLLBACK").await?;
        Ok(Tried { rows, changed })
    }

    // What the tables set off is asked for in this very transaction, under a path in which nobody can stand before the
    // server's own.
    async fn check(&self, server: &mut Upstream) -> Result<(), Failed> {
        self.say(server, "SAVEPOINT countersign_gate").await?;
        self.say(server, "SET LOCAL search_path TO ''").await?;
        let counts = self.say(server, "SELECT pg_catalog.current_setting('track_counts')").await?;
        if counts.rows.first().and_then(|row| row.first()) != Some(&Some("on".to_owned())) {
            return Err(why("the server does not count what is changed (track_counts)"));
        }
        let mut reached = Reached::new(&self.known, self.tables.clone());
        loop {
            let before = reached.tables().clone();
            let answer = self.say(server, &triggers_query(&before)).await?;
            let triggers: Option<Vec<Trigger>> = answer.rows.iter().map(|row| Trigger::read(row)).collect();
            reached
                .follow(&triggers.ok_or_else(|| why("its triggers cannot be read"))?)
                .map_err(Failed::Why)?;
            if *reached.tables() == before {
                break;
            }
        }
        let answer = self.say(server, &tables_query(reached.tables())).await?;
        let tables: Option<Vec<Table>> = answer.rows.iter().map(|row| Table::read(row)).collect();
        let tables = tables.ok_or_else(|| why("its tables cannot be read"))?;
        reached.allow(&tables, self.inserts, self.allowed).map_err(Failed::Why)?;
        self.say(server, "ROLLBACK TO SAVEPOINT countersign_gate").await.map(drop)
    }

    async fn changed(&self, server: &mut Upstream) -> Result<Changed, Failed> {
        let answer = self.say(server, CHANGED_QUERY).await?;
        changed::read(&answer.rows).ok_or_else(|| why("what was changed cannot be read"))
    }

    async fn say(&self, server: &mut Upstream, text: &str) -> Result<Answer, Failed> {
        let mut out = BytesMut::new();
        write_frontend::query(&mut out, text)?;
        self.well(ask(server, &out, true).await?)
    }

    fn well(&self, answer: Answer) -> Result<Answer, Failed> {
        match answer.failed.as_deref() {
            None => Ok(answer),
            Some(LOCK_NOT_AVAILABLE) => Err(Failed::Why(format!(
                "others hold a lock that it needs, for longer than {} ms (preview_lock_millis_max)",
                self.lock_wait.as_millis()
            ))),
            Some(QUERY_CANCELED) => Err(Failed::Why(too_long(self.statement_wait))),
            Some(code) => Err(Failed::Why(format!("the server refuses it ({code})"))),
        }
    }

    fn statement(&self, text: &str) -> Result<BytesMut, CodecError> {
        let mut out = BytesMut::new();
        let types: Vec<u32> = self.params.iter().map(|p| p.type_oid).collect();
        let format = |p: &Param| if p.format == 0 { Format::Text } else { Format::Binary };
        let formats: Vec<Format> = self.params.iter().map(format).collect();
        let values: Vec<Option<&[u8]>> =
            self.params.iter().map(|p| p.value.as_ref().map(|v| v.0.as_slice())).collect();
        write_frontend::parse(&mut out, "", text, &types)?;
        write_frontend::bind(&mut out, "", "", &formats, &values, &[])?;
        write_frontend::execute(&mut out, "", 0)?;
        write_frontend::sync(&mut out);
        Ok(out)
    }
}

// Rows that come back are the gate's own answers, or are passed over.
async fn ask(server: &mut Upstream, messages: &[u8], keeps: bool) -> Result<Answer, Failed> {
    server.stream.write_all(messages).await?;
    server.stream.flush().await?;
    let mut answer = Answer::default();
    let mut bytes = 0;
    loop {
        let limits = Limits { message_bytes_max: ANSWER_BYTES_MAX };
        while let Some(message) = backend::next_message(&mut server.leftover, limits)? {
            bytes += message.bytes.len();
            if bytes > ANSWER_BYTES_MAX {
                return Err(why("it gives back too much"));
            }
            match backend::parse(&message)? {
                Backend::DataRow(row) if keeps => {
                    let mut cells = Vec::with_capacity(row.len());
                    for cell in row.columns() {
                        cells.push(cell?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
                    }
                    answer.rows.push(cells);
                }
                Backend::CommandComplete(complete) => answer.tag_rows = complete.rows().unwrap_or(0),
                Backend::ErrorResponse(fields) => answer.failed = Some(fields.sqlstate().into_owned()),
                Backend::ReadyForQuery(_) => return Ok(answer),
                _ => {}
            }
        }
        if server.stream.read_buf(&mut server.leftover).await? == 0 {
            return Err(Failed::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
