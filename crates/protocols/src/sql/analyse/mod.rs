//! From a text to what it would do. PostgreSQL's own grammar reads it; names are resolved as the server would resolve
//! them; whatever is not known to be harmless is named as what it may be.

mod aggregate;
mod bulk;
mod call;
mod changes;
mod compare;
mod control;
mod copy;
mod count;
mod define;
mod dml;
mod expr;
mod figure;
mod from;
pub(in crate::sql) mod functions;
mod judge;
#[cfg(test)]
mod nodes;
mod overlay;
mod prepared;
mod scope;
mod select;
mod source;
mod targets;
mod types;
mod utility;
mod walk;
mod with;

pub use bulk::LIMIT_ROWS_MAX;
pub use overlay::after;
pub use prepared::PreparedText;
pub use types::{
    Analysis, CopyColumn, CopyFormat, CopyOptions, CopyShape, NotUnderstood, Output, Statement, What,
};

use super::known::Known;
use super::session::SessionState;
use super::{MESSAGE_BYTES_MAX, segments, settings, shape};
use countersign_core::action::{Impact, Resource};
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{RawStmt, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use walk::Walk;

/// The most statements that one text may hold.
pub const STATEMENTS_MAX: usize = 1000;

/// Says what a text would do in a session. Needs a large stack: see [`super::parser`].
///
/// # Errors
/// The text is too long, or PostgreSQL's grammar refuses it, or the session reads texts otherwise than the grammar.
pub fn analyse(
    sql: &str,
    known: &Known,
    session: &SessionState,
    agent: &AgentName,
) -> Result<Analysis, NotUnderstood> {
    analyse_with(sql, &[], known, session, agent)
}

/// The same for a text whose parameters have types that the client named.
///
/// # Errors
/// As [`analyse`].
pub fn analyse_with(
    sql: &str,
    param_types: &[u32],
    known: &Known,
    session: &SessionState,
    agent: &AgentName,
) -> Result<Analysis, NotUnderstood> {
    if sql.len() > MESSAGE_BYTES_MAX {
        return Err(NotUnderstood::TooLong { limit: MESSAGE_BYTES_MAX, found: sql.len() });
    }
    if !session.standard_conforming_strings {
        return Err(NotUnderstood::Session("standard_conforming_strings = on"));
    }
    if !session.client_encoding_utf8 {
        return Err(NotUnderstood::Session("client_encoding = UTF8"));
    }
    if sql.contains('\0') {
        return Err(NotUnderstood::Grammar("a text cannot hold a zero byte".to_owned()));
    }
    let parsed = pg_query::parse(sql, 0).map_err(|error| NotUnderstood::Grammar(grammar_words(&error)))?;
    let statements = parsed.protobuf.stmts;
    if statements.len() > STATEMENTS_MAX {
        return Err(NotUnderstood::Grammar(format!(
            "expected at most {STATEMENTS_MAX} statements in one text"
        )));
    }
    let mut text = Text {
        sql,
        param_types,
        known,
        agent,
        session: session.clone(),
        shifted: session.definitions_in_doubt,
        out: Pieces::default(),
    };
    for raw in &statements {
        text.statement(raw)?;
    }
    Ok(text.finish())
}

fn grammar_words(error: &pg_query::Error) -> String {
    match error {
        pg_query::Error::Parse(message) | pg_query::Error::Scan(message) => message.clone(),
        _ => "the statement could not be parsed".to_owned(),
    }
}

#[derive(Default)]
struct Pieces {
    statements: Vec<Statement>,
    definitions: BTreeMap<String, countersign_core::digest::Digest<str>>,
    missing: BTreeSet<countersign_core::action::TableName>,
    listed: BTreeSet<usize>,
    secret: Vec<Range<usize>>,
}

/// A text on its way to an analysis: what one statement does to the session holds for the next.
struct Text<'a> {
    sql: &'a str,
    param_types: &'a [u32],
    known: &'a Known,
    agent: &'a AgentName,
    session: SessionState,
    /// An earlier statement changes what names mean.
    shifted: bool,
    out: Pieces,
}

impl Text<'_> {
    fn statement(&mut self, raw: &RawStmt) -> Result<(), NotUnderstood> {
        let range = self.range(raw);
        let Some(node) = raw.stmt.as_deref().and_then(|n| n.node.as_ref()) else {
            return Err(NotUnderstood::Failed);
        };
        let session = self.session.clone();
        let mut walk = Walk::new(self.known, &session, self.agent);
        for oid in self.param_types {
            walk.takes_part(*oid);
        }
        let mut said = walk.statement(node);
        self.complete(&mut said.what, node, &range)?;
        let names_nothing =
            matches!(said.what, What::Begin { .. } | What::Commit { .. } | What::Rollback { .. });
        if self.shifted && !names_nothing {
            walk.opaque("an earlier statement of the same text changes what names mean");
        }
        let returns =
            matches!(said.what, What::Insert | What::Update | What::Delete | What::Merge) && walk.rows;
        let gives_rows = returns
            || matches!(said.what, What::Select | What::DeclareCursor { .. } | What::CopyOut { .. })
            || matches!(&said.what, What::Explain { analyze: true, .. });
        if gives_rows {
            for table in walk.names(&walk.bulk.tables()) {
                walk.does_to(Kind::Export, &table);
            }
        }
        let impact = walk.finish();
        let statement =
            self.put_together(&mut walk, impact, said.what, said.transaction_safe, node, range.clone());
        let has_secret = statement.impact.kinds().contains(&Kind::Secret);
        if said.secret_literals || (has_secret && !statement.proven_read) {
            self.out.secret.push(range);
        }
        self.out.definitions.append(&mut walk.definitions);
        self.out.missing.append(&mut walk.missing);
        self.out.listed.append(&mut walk.listed);
        self.follow(&statement);
        self.out.statements.push(statement);
        Ok(())
    }

    fn range(&self, raw: &RawStmt) -> Range<usize> {
        let start = usize::try_from(raw.stmt_location).unwrap_or(0).min(self.sql.len());
        let end = match usize::try_from(raw.stmt_len) {
            Ok(0) | Err(_) => self.sql.len(),
            Ok(len) => start.saturating_add(len).min(self.sql.len()),
        };
        let text = self.sql.get(start..end).unwrap_or_default();
        let lead = text.len() - text.trim_ascii_start().len();
        start + lead..start + text.trim_ascii_end().len().max(lead)
    }

    /// Fills in what only the text says.
    fn complete(&self, what: &mut What, node: &NodeEnum, range: &Range<usize>) -> Result<(), NotUnderstood> {
        let text = self.sql.get(range.clone()).unwrap_or_default();
        match (what, node) {
            (What::Begin { text: begin }, _) => text.clone_into(begin),
            (What::Prepare { text: inner, .. }, NodeEnum::PrepareStmt(_)) => {
                let after = prepared_text(text).ok_or(NotUnderstood::Failed)?;
                *inner = range.start + after..range.end;
            }
            _ => {}
        }
        Ok(())
    }

    fn put_together(
        &self,
        walk: &mut Walk<'_>,
        impact: Impact,
        what: What,
        transaction_safe: bool,
        node: &NodeEnum,
        text_range: Range<usize>,
    ) -> Statement {
        let text = self.sql.get(text_range.clone()).unwrap_or_default();
        let looks = [Kind::Read, Kind::Export, Kind::Reveal, Kind::Secret];
        // By its own pairs: the impact of what touches nothing says `session`.
        let only_looks = walk.pairs.iter().all(|(kind, _)| looks.contains(kind));
        let by_nature = match &what {
            What::Select | What::CopyOut { .. } => true,
            What::Explain { inner, .. } => matches!(**inner, What::Select),
            _ => false,
        };
        let proven_read = by_nature && only_looks && !impact.opaque && !walk.locks && !walk.drops_database;
        // For a card rows are counted or estimated only of what looks at tables or changes them.
        let on_rows = [Kind::Read, Kind::Export, Kind::Reveal, Kind::Write, Kind::Delete];
        let only_rows = walk.pairs.iter().all(|(kind, _)| on_rows.contains(kind));
        let sure = !impact.opaque && walk.missing.is_empty() && only_rows;
        let count_query = match (&what, node) {
            (What::Select, _) if proven_read && sure => Some(count::of_query(text)),
            (What::CopyOut { table: Some(table), .. }, _) if sure => {
                Some(count::of_table(&table.schema, &table.name))
            }
            (What::CopyOut { table: None, .. }, _) if proven_read && sure => {
                copied_query(text).map(|range| count::of_query(text.get(range).unwrap_or_default()))
            }
            (What::Delete | What::Update, _) if counts_safely(&impact) && sure => {
                count::of_change(walk, node)
            }
            _ => None,
        };
        let explainable =
            matches!(what, What::Select | What::Insert | What::Update | What::Delete | What::Merge) && sure;
        let estimate_query = explainable.then(|| count::estimate(text));
        let changes = can_be_tried(walk, &what).then(|| walk.changed.clone());
        Statement {
            output: output(walk, &what, &impact),
            proven_read,
            rows_bounded: walk.bulk.tables().is_empty(),
            limit_params: walk.limit_params.clone(),
            bulk_without_limit: walk.names(&walk.bulk.tables_without_limit()),
            near_labels: walk.near_labels(),
            opaque_because: walk.opaque.iter().cloned().collect(),
            runs_prepared: walk.runs_prepared,
            by_cursor: walk.by_cursor,
            fixes: walk.fixes.take(),
            impact,
            what,
            text_range,
            transaction_safe,
            count_query,
            estimate_query,
            changes,
        }
    }

    /// What the session is after a statement, for the statements after it.
    fn follow(&mut self, statement: &Statement) {
        match &statement.what {
            What::Set { name, values: Some(values), .. } if name == "countersign.reveal" => {
                self.session.reveal |= values.iter().any(|value| settings::is_on(value));
            }
            What::Set { name, .. } | What::Reset { name: Some(name) } => {
                let matters = ["search_path", "role", "session_authorization"].contains(&name.as_str());
                self.shifted |= matters || settings::changes_meaning(name);
            }
            What::Reset { name: None } => self.shifted = true,
            What::Discard { all, temp } => self.shifted |= all | temp,
            What::Commit { .. } | What::Rollback { .. } | What::RollbackTo { .. } => {
                self.shifted |= self.session.path_in_transaction;
            }
            _ => {
                let kinds = statement.impact.kinds();
                let defines = [Kind::Schema, Kind::Privilege, Kind::Execute, Kind::Admin];
                self.shifted |= defines.iter().any(|kind| kinds.contains(kind));
            }
        }
    }

    fn finish(self) -> Analysis {
        let out = self.out;
        let literals = shape::literal_positions(self.sql);
        let same_for_all = |s: &Statement| {
            !s.impact.opaque && matches!(s.what, What::Select | What::Insert | What::Update | What::Delete)
        };
        let literals_listed = out.statements.len() == 1
            && out.statements.iter().all(same_for_all)
            && out.missing.is_empty()
            && literals.is_some_and(|literals| literals.iter().all(|at| out.listed.contains(at)));
        Analysis {
            joined: join(&out.statements),
            segments: segments::segments(self.sql, &out.secret),
            statements: out.statements,
            definitions: out.definitions,
            missing: out.missing,
            literals_listed,
        }
    }
}

/// Whether a change of rows is seen through but for the triggers of tables.
fn can_be_tried(walk: &Walk<'_>, what: &What) -> bool {
    let of_rows = [Kind::Read, Kind::Export, Kind::Reveal, Kind::Write, Kind::Delete];
    let seen = |(kind, on): &(Kind, Resource)| {
        of_rows.contains(kind) && (matches!(on, Resource::Table(_)) || *kind == Kind::Read)
    };
    matches!(what, What::Insert | What::Update | What::Delete | What::Merge)
        && walk.missing.is_empty()
        && walk.opaque == walk.fires
        && walk.pairs.iter().all(seen)
        && !walk.by_cursor
        && !walk.runs_prepared
}

/// What could run while rows are counted is nothing but the predicate, and that runs no code.
fn counts_safely(impact: &Impact) -> bool {
    let allowed = [Kind::Read, Kind::Write, Kind::Delete, Kind::Reveal];
    let on_tables = |(kind, on): &(Kind, Resource)| {
        allowed.contains(kind) && (matches!(on, Resource::Table(_)) || *kind == Kind::Read)
    };
    impact.pairs.iter().all(on_tables)
}

fn output(walk: &Walk<'_>, what: &What, impact: &Impact) -> Output {
    if !walk.rows {
        return Output::NoRows;
    }
    // Without all columns and options there is nothing to mask by.
    if let (What::CopyOut { .. }, Some(options), false) = (what, &walk.copy_options, walk.derived) {
        let columns = walk.copy_columns.clone();
        if !columns.is_empty() {
            return Output::Copy { columns, options: options.clone() };
        }
        return if impact.opaque { Output::Derived } else { Output::Unlabelled };
    }
    match what {
        _ if walk.derived => Output::Derived,
        // What comes back is described by the server: nothing labelled is missed that it can name.
        What::Execute { .. } | What::Fetch { .. } => Output::PlainProjection,
        _ if walk.plain || impact.opaque || impact.unknown => Output::PlainProjection,
        _ => Output::Unlabelled,
    }
}

/// What several statements do together.
fn join(statements: &[Statement]) -> Impact {
    let mut joined = Impact {
        pairs: BTreeSet::new(),
        reach: Vec::new(),
        labels: BTreeSet::new(),
        opaque: false,
        unknown: false,
        drops_database: false,
        unbounded: false,
    };
    for statement in statements {
        let impact = &statement.impact;
        joined.pairs.extend(impact.pairs.iter().cloned());
        joined.labels.extend(impact.labels.iter().cloned());
        joined.opaque |= impact.opaque;
        joined.unknown |= impact.unknown;
        joined.drops_database |= impact.drops_database;
        joined.unbounded |= impact.unbounded;
        for reach in &impact.reach {
            match joined.reach.iter_mut().find(|known| known.table == reach.table) {
                Some(known) => {
                    known.labels.extend(reach.labels.iter().cloned());
                    known.own &= reach.own;
                    known.unknown |= reach.unknown;
                }
                None => joined.reach.push(reach.clone()),
            }
        }
    }
    joined.reach.sort_by(|a, b| a.table.cmp(&b.table));
    // An empty text does nothing: it is judged as a matter of the session.
    if joined.pairs.is_empty() {
        joined.pairs.insert((Kind::Session, Resource::Database));
    }
    joined
}

/// Where the text after the AS of a PREPARE begins.
fn prepared_text(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for token in segments::tokens(text)? {
        match Token::try_from(token.token).ok()? {
            Token::Ascii40 => depth += 1,
            Token::Ascii41 => depth = depth.saturating_sub(1),
            Token::As if depth == 0 => return usize::try_from(token.end).ok(),
            _ => {}
        }
    }
    None
}

/// Where the query of a COPY (query) stands.
fn copied_query(text: &str) -> Option<Range<usize>> {
    let (mut depth, mut start) = (0usize, None);
    for token in segments::tokens(text)? {
        match Token::try_from(token.token).ok()? {
            Token::Ascii40 => {
                depth += 1;
                start = start.or(usize::try_from(token.end).ok());
            }
            Token::Ascii41 => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(start?..usize::try_from(token.start).ok()?);
                }
            }
            _ => {}
        }
    }
    None
}
