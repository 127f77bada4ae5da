//! The card as data, in the order in which it is read: effect, who and why, exactly what, why it is held, decide.
//! Knows no markup; inbox and terminal print the same card.

use super::before;
use super::standing::{Standing, standing};
use super::statement::{Piece, padded, pieces, unseen};
use super::story::{Decision, Moment, Outcome, decisions, outcome, story};
use super::words::{Mark, clock, counted, mark, moment, number, span};
use crate::hall::{Dossier, Viewer};
use countersign_core::action::{Known, Rows, TableRows};
use countersign_core::label::Mask;
use countersign_core::lifecycle::{Record, State};
use countersign_core::request::Terms;
use countersign_core::requirement::Requirement;
use countersign_core::time::Timestamp;
use countersign_core::view::{Segment, Step, View, ViewColumn, visible_line};

/// The card.
#[derive(Debug, Clone)]
pub struct Card {
    /// The request's id.
    pub id: String,
    /// The digest that is signed, hex.
    pub digest: String,
    /// Its first digits, for comparing aloud.
    pub digest_short: String,
    /// The digest of the view, hex.
    pub view_digest: String,
    /// The policy that it was judged by, hex.
    pub policy_digest: String,
    /// The state, in a word.
    pub state: &'static str,
    /// It still waits for people.
    pub held: bool,
    /// The kinds, most serious first.
    pub marks: Vec<Mark>,
    /// What the card shows, unless it was erased.
    pub shown: Option<Shown>,
    /// When it ends by itself.
    pub deadline: Option<Deadline>,
    /// The agent's name, for searching.
    pub agent: String,
    /// Who must approve, and for how long that holds, in words.
    pub needs: String,
    /// How many slots are filled, where it is more than one.
    pub filled: Option<String>,
    /// Where the person who looks stands.
    pub standing: Standing,
    /// Nobody is connected who waits for it.
    pub parked: bool,
    /// What was asked before that is like it, in words.
    pub before: String,
    /// There was something.
    pub has_before: bool,
    /// Who decided so far.
    pub decisions: Vec<Decision>,
    /// How it stands once people have decided.
    pub outcome: Option<Outcome>,
    /// What happened, in order.
    pub story: Vec<Moment>,
    /// The size of the log.
    pub log_size: String,
}

/// The part of the card that comes from the view.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What is touched.
    pub subject: String,
    /// What becomes of it.
    pub effect: &'static str,
    /// How many rows.
    pub rows: Option<RowsShown>,
    /// When that was found out.
    pub as_of: Option<String>,
    /// In which tables, and how many in each, where it was tried.
    pub tables: Vec<TableShown>,
    /// How many columns come back.
    pub columns_count: Option<String>,
    /// The labels that are reached.
    pub labels: Vec<String>,
    /// What to mind before reading on.
    pub warnings: Vec<String>,
    /// The chain.
    pub chain: Vec<Link>,
    /// Why, as the agent states it.
    pub reason: Option<String>,
    /// Where.
    pub place: Vec<String>,
    /// The statement.
    pub statement: Vec<Piece>,
    /// How long the statement is, where it is long.
    pub length: Option<String>,
    /// The statements of a plan; empty where there is but one.
    pub steps: Vec<StepShown>,
    /// What they are together, in words.
    pub plan: Option<String>,
    /// The bind values.
    pub params: Vec<Piece>,
    /// The columns that come back, those in clear first.
    pub columns: Vec<ColumnsShown>,
    /// The most that it may touch.
    pub bound: String,
    /// The policies that hold it.
    pub held_by: Vec<(String, String)>,
    /// What the session had done before it asked, where that was counted.
    pub so_far: Option<String>,
}

/// One statement of a plan.
#[derive(Debug, Clone)]
pub struct StepShown {
    /// Its place, from 1.
    pub number: usize,
    /// The kinds, most serious first.
    pub marks: Vec<Mark>,
    /// What is touched.
    pub subject: String,
    /// How many rows, where it has any.
    pub rows: Option<RowsShown>,
    /// What to mind.
    pub warning: Option<&'static str>,
    /// Its text.
    pub statement: Vec<Piece>,
}

/// Rows of one table.
#[derive(Debug, Clone)]
pub struct TableShown {
    /// The table.
    pub table: String,
    /// `964 rows`.
    pub count: String,
}

/// A number of rows and how it is known.
#[derive(Debug, Clone)]
pub struct RowsShown {
    /// `10,482 rows`, or `3,133 rows in 3 tables`.
    pub count: String,
    /// `tried`, `counted` or `estimated`.
    pub known: &'static str,
    /// What that means.
    pub means: &'static str,
}

/// One link of the chain.
#[derive(Debug, Clone)]
pub struct Link {
    /// The word before it: nothing for the agent, then `run by`, `for`, `owned by`.
    pub word: &'static str,
    /// The name.
    pub name: String,
    /// It is an agent, whose history opens.
    pub agent: bool,
}

/// Columns of which the same will be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnsShown {
    /// `In clear`, or how they are masked.
    pub seen: &'static str,
    /// Their names.
    pub names: Vec<String>,
}

/// When a request ends by itself.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// `expires in` or `may run for`.
    pub word: &'static str,
    /// Milliseconds since the epoch, for the page's clock.
    pub millis: i64,
    /// RFC 3339.
    pub at: String,
    /// What is left.
    pub left: String,
}

/// The most statement lines before the card says how long it is.
const LINES_QUIET: usize = 30;

impl Card {
    /// The card of a request for the person who looks.
    pub fn new(dossier: &Dossier, viewer: &Viewer, now: Timestamp) -> Self {
        let record = &dossier.record;
        let terms = &record.terms;
        let digest = terms.digest().ok();
        let kinds = match &dossier.view {
            Some(view) => view.kinds.clone(),
            None => terms.kinds.iter().copied().collect(),
        };
        Self {
            id: terms.id.to_string(),
            digest: digest.map(|d| d.to_string()).unwrap_or_default(),
            digest_short: digest.map(|d| d.short()).unwrap_or_default(),
            view_digest: terms.view.to_string(),
            policy_digest: terms.policy.to_string(),
            state: record.state.word(),
            held: matches!(record.state, State::Held { .. }),
            marks: kinds.into_iter().map(mark).collect(),
            shown: dossier.view.as_ref().map(Shown::new),
            deadline: deadline(record, now),
            agent: terms.agent.to_string(),
            needs: needs_and_lasts(&terms.requirement),
            filled: filled(record),
            standing: seen_standing(dossier, viewer, now),
            parked: record.state.is_parked(),
            before: before::like_this(&dossier.before),
            has_before: dossier.before.asked > 0,
            decisions: decisions(&dossier.facts),
            outcome: outcome(dossier),
            story: story(&dossier.facts),
            log_size: number(dossier.log_size),
        }
    }

    /// The title of its page.
    pub fn title(&self) -> String {
        let kind = self.marks.first().map_or("request", |m| m.word);
        match &self.shown {
            Some(shown) => format!("{kind} {}", shown.subject),
            None => format!("{kind} {}", self.id),
        }
    }
}

impl Shown {
    /// The view in words.
    pub fn new(view: &View) -> Self {
        let statement = pieces(&view.statement);
        Self {
            subject: view.resources.iter().map(|r| visible_line(r)).collect::<Vec<_>>().join(", "),
            effect: match view.kinds.first() {
                _ if !view.steps.is_empty() => "in one plan",
                Some(kind) => mark(*kind).effect,
                None => "is touched",
            },
            rows: rows(view),
            as_of: view.counted_at.map(moment),
            tables: view.tables.iter().map(table_shown).collect(),
            columns_count: columns_count(view),
            labels: view.labels.iter().map(ToString::to_string).collect(),
            warnings: warnings(view, &statement),
            chain: chain(view),
            reason: view.reason.as_deref().map(visible_line),
            place: place(view),
            length: length(&statement),
            statement,
            steps: steps(view),
            plan: plan(view),
            params: pieces(&view.params),
            columns: columns(view),
            bound: bound(view),
            held_by: view.held_by.iter().map(|r| (r.policy.to_string(), visible_line(&r.text))).collect(),
            so_far: view.so_far.as_ref().map(before::so_far),
        }
    }
}

/// A number of rows in words.
pub fn rows_shown(rows: &Rows) -> RowsShown {
    let (known, means) = match rows.known {
        Known::Tried => {
            ("tried", "it ran before this was shown, with all that follows from it, and all of it was undone")
        }
        Known::Counted => {
            ("counted", "counted by the server in a read-only transaction before this was shown")
        }
        Known::Estimated => ("estimated", "the planner's estimate; the bound below is enforced"),
    };
    RowsShown { count: counted(rows.count, "row"), known, means }
}

// Where it was tried, with what follows from it: keys that cascade, triggers.
fn rows(view: &View) -> Option<RowsShown> {
    let shown = rows_shown(view.rows.as_ref()?);
    let Some(tables) = view.bound.tables_max else { return Some(shown) };
    let all = view.tables.iter().fold(0u64, |sum, table| sum.saturating_add(table.rows));
    let count = match tables {
        0 => counted(all, "row"),
        _ => format!("{} in {}", counted(all, "row"), counted(tables, "table")),
    };
    Some(RowsShown { count, ..shown })
}

fn table_shown(table: &TableRows) -> TableShown {
    TableShown { table: visible_line(&table.table.to_string()), count: counted(table.rows, "row") }
}

/// Who must approve, in words: `1 of data-owners, by passkey`.
pub fn needs(requirement: &Requirement) -> String {
    let groups: Vec<String> = requirement.groups().iter().map(|(g, n)| format!("{n} of {g}")).collect();
    let key = match requirement.assurance {
        countersign_core::requirement::Assurance::Chat => "by a click",
        countersign_core::requirement::Assurance::Session => "by a login",
        countersign_core::requirement::Assurance::Key => "by a signing key",
        countersign_core::requirement::Assurance::Passkey => "by passkey",
    };
    let share = if requirement.may_share_person { "; one person may count for several groups" } else { "" };
    format!("{}, {key}{share}", groups.join(" and "))
}

/// Who must approve, and how long an approval may be used: `1 of dba, by passkey; valid for 5 min once approved`.
pub fn needs_and_lasts(requirement: &Requirement) -> String {
    format!("{}; valid for {} once approved", needs(requirement), span(requirement.valid))
}

// What is not seen is not signed.
fn seen_standing(dossier: &Dossier, viewer: &Viewer, now: Timestamp) -> Standing {
    if dossier.view.is_none() {
        let why = "What it shows is gone, so nobody can sign it.".to_owned();
        return Standing::MayNot { brief: "cannot be shown", why };
    }
    standing(&dossier.record, &dossier.may_review, viewer, now)
}

/// When the request ends by itself.
pub fn deadline(record: &Record, now: Timestamp) -> Option<Deadline> {
    let word = if matches!(record.state, State::Held { .. }) { "expires in" } else { "may run for" };
    record.deadline().map(|at| Deadline {
        word,
        millis: at.micros().div_euclid(1000),
        at: at.to_string(),
        left: clock(at.seconds_since(now)),
    })
}

/// How many slots are filled, where more than one is needed.
pub fn filled(record: &Record) -> Option<String> {
    let (State::Held { votes, .. } | State::Granted { votes, .. }) = &record.state else { return None };
    let Terms { requirement, .. } = &*record.terms;
    let (filled, needed) = requirement.filled(&Record::approvals(votes));
    (needed > 1).then(|| format!("{filled} of {needed} so far"))
}

fn columns_count(view: &View) -> Option<String> {
    let count = view.columns.iter().filter(|column| column.part.is_none()).count() as u64;
    (count > 0).then(|| counted(count, "column"))
}

fn chain(view: &View) -> Vec<Link> {
    let link = |word, name: &str, agent| Link { word, name: visible_line(name), agent };
    let mut chain = vec![link("", &view.chain.agent, true)];
    chain.extend(view.chain.pipeline.as_ref().map(|name| link("run by", name, false)));
    chain.extend(view.chain.acts_for.as_ref().map(|name| link("for", name, false)));
    chain.push(link("owned by", &view.chain.owner, false));
    chain
}

fn place(view: &View) -> Vec<String> {
    let (place, line) = (&view.place, |text: &str| visible_line(text));
    let mut all = vec![
        format!("{} / {}", line(&place.target), line(&place.env)),
        format!("database {}", line(&place.database)),
        format!("role {}", line(&place.role)),
        format!("from {}", line(&place.address)),
    ];
    // Its own word, and marked as that.
    all.extend(view.client.as_ref().map(|name| format!("calls itself “{}”", line(name))));
    all
}

fn steps(view: &View) -> Vec<StepShown> {
    let step = |(at, step): (usize, &Step)| StepShown {
        number: at + 1,
        marks: step.kinds.iter().copied().map(mark).collect(),
        subject: step.resources.iter().map(|r| visible_line(r)).collect::<Vec<_>>().join(", "),
        rows: step.rows.as_ref().map(rows_shown),
        warning: match (step.opaque, step.unknown) {
            (true, _) => Some("We cannot see all that it does."),
            (false, true) => Some("The catalogue does not know all that it touches."),
            (false, false) => None,
        },
        // What separates it from the one before is not what is to be read.
        statement: pieces(&trimmed(&step.statement)),
    };
    view.steps.iter().enumerate().map(step).collect()
}

fn trimmed(segments: &[Segment]) -> Vec<Segment> {
    let mut all = segments.to_vec();
    if let Some(Segment::Text(first)) = all.first_mut() {
        *first = first.trim_start_matches(['\n', ' ']).to_owned();
    }
    if let Some(Segment::Text(last)) = all.last_mut() {
        *last = last.trim_end_matches(['\n', ' ']).to_owned();
    }
    all
}

fn plan(view: &View) -> Option<String> {
    let count = view.steps.len() as u64;
    (count > 0).then(|| {
        format!(
            "A plan of {}, in this order, in one transaction: all of them or none.",
            counted(count, "statement")
        )
    })
}

fn warnings(view: &View, statement: &[Piece]) -> Vec<String> {
    let mut out = Vec::new();
    if view.opaque {
        let each_is_seen = !view.steps.is_empty() && view.steps.iter().all(|step| !step.opaque);
        out.push(match each_is_seen {
            true => "Its first steps change what its later ones mean. Each is shown as it reads after those before it.",
            false => "We cannot see all that this does. Read it as code, not as a query.",
        }
        .to_owned());
    }
    let each_is_known = !view.steps.is_empty() && view.steps.iter().all(|step| !step.unknown);
    if view.unknown && !each_is_known {
        out.push("It touches something that the catalogue does not know.".to_owned());
    }
    if let Some(why) = &view.untried {
        out.push(format!("It was not tried before this was shown: {}.", visible_line(why)));
    }
    if !view.movable.is_empty() {
        let tables: Vec<String> = view.movable.iter().map(|t| visible_line(&t.to_string())).collect();
        out.push(format!(
            "What it touches is read from {}, which the requester can change without anybody: it may be other rows by the time it runs.",
            tables.join(" and ")
        ));
    }
    match unseen(statement) + unseen(&pieces(&view.params)) {
        0 => {}
        1 => out.push("It holds 1 character that does not show itself; it is named in place.".to_owned()),
        n => {
            out.push(format!("It holds {n} characters that do not show themselves; they are named in place."))
        }
    }
    if padded(statement) > 0 {
        out.push(
            "It holds long runs of blanks; they are shown by their length, and text follows them.".to_owned(),
        );
    }
    out
}

fn length(statement: &[Piece]) -> Option<String> {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) | Piece::Literal { text, .. } | Piece::Redacted(text) => {
            (text.matches('\n').count(), text.chars().count())
        }
        Piece::Invisible { .. } | Piece::Padding(_) => (0, 1),
    };
    let (breaks, chars) = statement.iter().map(text).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let lines = breaks + 1;
    (lines > LINES_QUIET || chars > LINES_QUIET * 80).then(|| {
        format!("{} lines, {} characters, all of them below", number(lines as u64), number(chars as u64))
    })
}

// By what is seen of them, most open first: that is the order of the risk.
fn columns(view: &View) -> Vec<ColumnsShown> {
    let ways =
        ["In clear", "A part stays", "The range it lies in", "A token", "One text for all", "Nothing stays"];
    let way = |mask: Option<Mask>| match mask {
        None => "In clear",
        Some(Mask::Partial(_)) => "A part stays",
        Some(Mask::Bucket(_)) => "The range it lies in",
        Some(Mask::Token) => "A token",
        Some(Mask::Fixed) => "One text for all",
        Some(Mask::Null) => "Nothing stays",
    };
    let has_parts =
        |column: &ViewColumn| view.columns.iter().any(|c| c.name == column.name && c.part.is_some());
    let named = |column: &ViewColumn| match &column.part {
        Some(part) => format!("{} {}", visible_line(&column.name), visible_line(part)),
        None if has_parts(column) => format!("{} (the rest)", visible_line(&column.name)),
        None => visible_line(&column.name),
    };
    let shown = ways.into_iter().map(|seen| {
        let fits = view.columns.iter().filter(|column| way(column.mask) == seen);
        ColumnsShown { seen, names: fits.map(named).collect() }
    });
    shown.filter(|group| !group.names.is_empty()).collect()
}

fn bound(view: &View) -> String {
    if let (Some(rows), Some(tables)) = (view.bound.rows_max, view.bound.tables_max) {
        let all = view.tables.iter().fold(0u64, |sum, table| sum.saturating_add(table.rows_max));
        return match tables {
            0 => "no row of any table, or it is undone".to_owned(),
            1 => format!(
                "at most {} of this table, or it is undone; no other table is changed",
                counted(all, "row")
            ),
            _ => format!(
                "at most {} by itself, and {} in these {} with what follows from it, or it is undone; no other table is changed",
                counted(rows, "row"),
                counted(all, "row"),
                counted(tables, "table")
            ),
        };
    }
    match view.bound.rows_max {
        Some(rows) => format!("at most {}, or it is undone; nothing else is touched", counted(rows, "row")),
        None if view.steps.is_empty() => {
            "exactly this statement, once; rows are not what it is about".to_owned()
        }
        None => "exactly these statements, once; how many rows cannot be known before they run".to_owned(),
    }
}
