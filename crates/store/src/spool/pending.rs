//! Which records are ready to become leaves. It refuses to know files, and to fold a record twice or out of order.

use super::Batch;
use super::record::{Record, What};
use crate::durable::Level;
use countersign_core::digest::Digest;
use countersign_core::entry::{AutonomousRecord, Entry, Leaf};
use countersign_core::id::SessionId;
use countersign_core::time::{Seconds, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// A record waits so long for its outcome; then it is folded without one.
const OUTCOME_WAIT: Seconds = Seconds(60);
/// Records wait so long for company.
const COMPANY_WAIT: Seconds = Seconds(1);
/// As many records of a session do not wait for more.
const COMPANY_RECORDS: usize = 200;
/// Bytes of the records in one leaf; the rest of the leaf is less than a kilobyte.
const RECORDS_BYTES_MAX: usize = countersign_core::entry::LEAF_BYTES_MAX - 2 * 1024;

/// Bytes of a record in a leaf without its texts: `{"action":"","durability":"w","kinds":"","outcome":"","t":…},` with a
/// number of 20 digits, and some to spare.
const RECORD_BYTES: usize = 96;

/// Bytes of the digest of an action as text.
const ACTION_BYTES: usize = 64;

/// No fewer bytes than a text takes in JSON.
fn escaped_bytes(text: &str) -> usize {
    text.bytes().map(|byte| if byte < b' ' || byte == b'"' || byte == b'\\' { 6 } else { 1 }).sum()
}

/// Records that are not leaves yet.
#[derive(Default)]
pub(crate) struct Pending {
    sessions: BTreeMap<SessionId, Session>,
    /// Records by the file they came from: a file without any may go.
    by_file: HashMap<u64, u64>,
    /// The kinds of the last one: most have the same.
    kinds: Arc<str>,
}

/// An intent as it waits: its texts are made once its leaf is.
pub(crate) struct Noted<'a> {
    pub t: i64,
    pub level: Level,
    pub action: [u8; 32],
    pub kinds: &'a str,
}

#[derive(Default)]
struct Session {
    /// The number of the first record that waits.
    next: u64,
    waiting: VecDeque<Waiting>,
    closed: bool,
}

struct Waiting {
    t: i64,
    level: Level,
    action: [u8; 32],
    kinds: Arc<str>,
    outcome: Option<String>,
    file: u64,
    bytes: usize,
}

impl Waiting {
    fn record(&self) -> AutonomousRecord {
        AutonomousRecord {
            t: self.t,
            action: Digest::<AutonomousRecord>::from_bytes(self.action).to_string(),
            kinds: self.kinds.to_string(),
            durability: level_letter(self.level).to_owned(),
            outcome: self.outcome.clone(),
        }
    }
}

impl Pending {
    /// Begins with a session whose first records are leaves already.
    pub(crate) fn begin(&mut self, session: SessionId, next: u64) {
        self.sessions.entry(session).or_default().next = next;
    }

    /// Takes a record in that was read from `file`.
    pub(super) fn take(&mut self, record: &Record<'_>, file: u64) {
        match record.what {
            What::Intent { t, level, action, kinds } => {
                let noted = Noted { t, level, action: *action, kinds };
                self.intent(record.session, record.number, &noted, file);
            }
            What::Outcome { text } => self.outcome(record.session, record.number, text),
        }
    }

    pub(crate) fn intent(&mut self, id: &str, number: u64, noted: &Noted<'_>, file: u64) {
        if *self.kinds != *noted.kinds {
            self.kinds = noted.kinds.into();
        }
        if !self.sessions.contains_key(id) {
            let Ok(id) = SessionId::parse(id) else { return };
            self.sessions.insert(id, Session::default());
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let expected = session.next + session.waiting.len() as u64;
        // Lower numbers are leaves already: the file was folded before it was left behind.
        if number < expected {
            return;
        }
        if session.waiting.is_empty() {
            session.next = number;
        } else if number > expected {
            tracing::warn!(expected, number, "records of a session are missing in its spool");
            return;
        }
        let &Noted { t, level, action, kinds } = noted;
        let bytes = RECORD_BYTES + ACTION_BYTES + escaped_bytes(kinds);
        let kinds = Arc::clone(&self.kinds);
        session.waiting.push_back(Waiting { t, level, action, kinds, outcome: None, file, bytes });
        *self.by_file.entry(file).or_default() += 1;
    }

    pub(crate) fn outcome(&mut self, id: &str, number: u64, text: &str) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let at = number.checked_sub(session.next).and_then(|at| usize::try_from(at).ok());
        // An outcome that comes after its record was folded is lost; the record says that it was not seen.
        if let Some(waiting) = at.and_then(|at| session.waiting.get_mut(at)) {
            waiting.outcome = Some(text.to_owned());
            waiting.bytes += escaped_bytes(text);
        }
    }

    /// Nothing more comes from this session.
    pub(crate) fn close(&mut self, id: &SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.closed = true;
        }
        self.sessions.retain(|_, session| !(session.closed && session.waiting.is_empty()));
    }

    /// The leaves that can be made now; with `everything`, without waiting for outcomes and company.
    pub(crate) fn ready(&self, now: Timestamp, everything: bool) -> Vec<Batch> {
        let mut batches = Vec::new();
        for (id, session) in &self.sessions {
            let count = session.ready(now, everything);
            let mut batch = Batch { session: id.clone(), first: session.next, records: 0 };
            let mut bytes = 0;
            for waiting in session.waiting.iter().take(count) {
                if bytes + waiting.bytes > RECORDS_BYTES_MAX && batch.records > 0 {
                    let first = batch.first + batch.records as u64;
                    let next = Batch { session: id.clone(), first, records: 0 };
                    batches.push(std::mem::replace(&mut batch, next));
                    bytes = 0;
                }
                bytes += waiting.bytes;
                batch.records += 1;
            }
            if batch.records > 0 {
                batches.push(batch);
            }
        }
        batches
    }

    /// The leaf of a batch; none where its records are not here any more.
    pub(crate) fn leaf(&self, batch: &Batch, now: Timestamp) -> Option<Leaf> {
        let from = self.sessions.get(&batch.session)?;
        let skipped = usize::try_from(batch.first.checked_sub(from.next)?).ok()?;
        let waiting = from.waiting.iter().skip(skipped).take(batch.records);
        let records: Vec<_> = waiting.map(Waiting::record).collect();
        let (session, first) = (batch.session.clone(), batch.first);
        let whole = records.len() == batch.records;
        whole.then(|| Leaf::new(now, Entry::Batch { session, first, records }, Vec::new()))
    }

    /// A batch is a leaf now.
    pub(crate) fn settled(&mut self, batch: &Batch) {
        let Some(session) = self.sessions.get_mut(&batch.session) else { return };
        for _ in 0..batch.records {
            let Some(done) = session.waiting.pop_front() else { break };
            session.next += 1;
            if let Some(count) = self.by_file.get_mut(&done.file) {
                *count -= 1;
                if *count == 0 {
                    self.by_file.remove(&done.file);
                }
            }
        }
        if session.closed && session.waiting.is_empty() {
            self.sessions.remove(&batch.session);
        }
    }

    /// Whether records of this file wait.
    pub(super) fn needs(&self, file: u64) -> bool {
        self.by_file.contains_key(&file)
    }
}

impl Session {
    /// How many of the first records are ready.
    fn ready(&self, now: Timestamp, everything: bool) -> usize {
        if everything || self.closed {
            return self.waiting.len();
        }
        let old = |waiting: &Waiting, wait: Seconds| Timestamp::from_micros(waiting.t).plus(wait) <= now;
        let settled = |waiting: &&Waiting| waiting.outcome.is_some() || old(waiting, OUTCOME_WAIT);
        let count = self.waiting.iter().take_while(settled).count();
        let alone = count < COMPANY_RECORDS && !self.waiting.front().is_some_and(|w| old(w, COMPANY_WAIT));
        if alone { 0 } else { count }
    }
}

const fn level_letter(level: Level) -> &'static str {
    match level {
        Level::Written => "w",
        Level::Flushed => "f",
    }
}
