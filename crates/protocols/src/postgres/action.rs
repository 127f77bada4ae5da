//! Makes of a client's message what the desk needs: the effect that is digested, the draft that people see, the
//! plan by which rows are masked. Pure.

use super::codec::frontend::Bind;
use super::codec::{CodecError, Format};
use super::copy_in::KeptData;
use super::mask::{CopyFormat, CopyOptions, MaskError, TokenKey};
use super::plan::{Labels, MaskPlan};
use super::reply::scrubs;
use super::session::{Analysed, Portal, REASON_BYTES_MAX, Session, Setting};
use super::touched::{Touched, bound};
use crate::sql::comments;
use crate::sql::facts::FIRST_USER_OID;
use crate::sql::known::Known;
use crate::sql::{Analysis, CopyColumn, LIMIT_ROWS_MAX, Output, What};
use countersign_core::action::{Impact, Obligations, Reach, Resource, Target};
use countersign_core::digest::Base64;
use countersign_core::effect::{CopiedData, Effect, Param};
use countersign_core::id::SessionId;
use countersign_core::key_path::KeyPath;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_core::principal::Principal;
use countersign_core::view::{Segment, SoFar, ViewColumn, visible, visible_line};
use countersign_desk::Draft;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The version of the code that turns a client's bytes into the server's: it forwards them as they are.
const REWRITER: u32 = 1;
const INT8_OID: u32 = 20;
const INT2_OID: u32 = 21;
const INT4_OID: u32 = 23;
/// The longest bind value that a card shows; what is longer is shown by its length and digest.
const PARAM_SHOWN_BYTES_MAX: usize = 2_000;

/// Where an action would run, and who asks.
pub struct Site<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// Who asks.
    pub principal: &'a Principal,
    /// The target and database.
    pub target: &'a Target,
    /// The role at the server.
    pub role: &'a str,
    /// The client's address.
    pub address: &'a str,
}

/// A client's action, with the values it is to run with.
#[derive(Clone)]
pub struct ClientAction {
    /// The exact text.
    pub text: Arc<str>,
    /// The bind values.
    pub params: Arc<[Param]>,
    /// The result formats that were asked for.
    pub result_formats: Arc<[i16]>,
    /// What the text was found to do when it was prepared.
    pub analysed: Option<Analysed>,
    /// The data of a COPY from the client, where people are to decide on it.
    pub data: Option<Arc<KeptData>>,
    /// Why, where a comment of the text says so.
    pub reason: Option<String>,
}

impl ClientAction {
    /// The action of a simple query.
    pub fn simple(text: Arc<str>) -> Self {
        let reason = stated(&text);
        Self {
            text,
            params: Arc::default(),
            result_formats: Arc::default(),
            analysed: None,
            data: None,
            reason,
        }
    }

    /// The action of a portal.
    pub fn of_portal(portal: &Portal) -> Self {
        Self {
            text: Arc::clone(&portal.statement.sql),
            params: Arc::clone(&portal.params),
            result_formats: Arc::clone(&portal.result_formats),
            analysed: portal.statement.analysed.clone(),
            data: None,
            reason: stated(&portal.statement.sql),
        }
    }

    /// Why, as stated by the agent: what stands nearest to the statement counts.
    pub fn reason<'a>(&'a self, session: &'a Session) -> Option<&'a str> {
        self.reason.as_deref().or(session.own.reason.as_deref())
    }

    /// What it reaches, with the values it has: `LIMIT NULL` is no limit.
    pub fn impact(&self, analysis: &Analysis) -> Impact {
        let is_no_limit = |number: u16| {
            let at = usize::from(number).checked_sub(1);
            let rows = at.and_then(|at| self.params.get(at)).and_then(whole_number);
            rows.is_none_or(|rows| rows > LIMIT_ROWS_MAX)
        };
        let mut impact = analysis.joined.clone();
        for statement in &analysis.statements {
            impact.pairs.extend(statement.impact_for(is_no_limit).pairs);
        }
        impact
    }

    /// Types of its parameters that a user defined, as the client named them: they decide what is called.
    pub fn user_types(&self) -> Vec<u32> {
        self.params.iter().map(|param| param.type_oid).filter(|oid| *oid >= FIRST_USER_OID).collect()
    }

    /// Writes what is digested for the record of the fast lane: the text and the values, with their lengths.
    pub fn write_digested(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text.len().to_be_bytes());
        out.extend_from_slice(self.text.as_bytes());
        for param in &*self.params {
            match &param.value {
                Some(Base64(bytes)) => {
                    out.extend_from_slice(&bytes.len().to_be_bytes());
                    out.extend_from_slice(bytes);
                }
                None => out.extend_from_slice(&u64::MAX.to_be_bytes()),
            }
        }
    }
}

// As with SET, what is too long says nothing.
fn stated(text: &str) -> Option<String> {
    comments::reason(text).filter(|reason| reason.len() <= REASON_BYTES_MAX)
}

/// A bind value that is a whole number, in either format.
fn whole_number(param: &Param) -> Option<u64> {
    // Of another type the same bytes may be cast to another number.
    if ![0, INT8_OID, INT2_OID, INT4_OID].contains(&param.type_oid) {
        return None;
    }
    let Base64(bytes) = param.value.as_ref()?;
    let number = match (param.format, bytes.as_slice()) {
        (0, text) => std::str::from_utf8(text).ok()?.trim().parse().ok()?,
        (_, [a, b]) => i64::from(i16::from_be_bytes([*a, *b])),
        (_, [a, b, c, d]) => i64::from(i32::from_be_bytes([*a, *b, *c, *d])),
        (_, bytes) => i64::from_be_bytes(bytes.try_into().ok()?),
    };
    u64::try_from(number).ok()
}

/// The bind values of a Bind message, with the types that Parse named.
pub fn params(bind: &Bind<'_>, types: &[u32]) -> Arc<[Param]> {
    let param = |(at, value): (usize, &Option<&[u8]>)| Param {
        type_oid: types.get(at).copied().unwrap_or(0),
        format: match bind.param_format(at) {
            Format::Text => 0,
            Format::Binary => 1,
        },
        value: value.map(|bytes| Base64(bytes.to_vec())),
    };
    bind.params.iter().enumerate().map(param).collect()
}

/// Everything that decides what an action does.
pub fn effect(site: &Site<'_>, session: &Session, action: &ClientAction, analysis: &Analysis) -> Effect {
    let state = &session.state;
    let mut settings = BTreeMap::from([
        ("search_path".to_owned(), state.search_path.join(", ")),
        ("session_user".to_owned(), state.user.clone()),
        ("role".to_owned(), state.role.clone()),
        ("countersign.reveal".to_owned(), state.reveal.to_string()),
    ]);
    if session.is_its_own {
        settings.insert("session".to_owned(), site.session.to_string());
    }
    // Who may claim is the whole chain that people were shown.
    if let Some(pipeline) = &site.principal.pipeline {
        settings.insert("pipeline".to_owned(), pipeline.to_string());
    }
    // A text can read what the client calls itself.
    if action.text.to_ascii_lowercase().contains("setting") {
        settings.insert("application_name".to_owned(), session.application.clone().unwrap_or_default());
    }
    settings.extend(session.values.iter().map(|setting| (setting.name.clone(), setting.value.clone())));
    Effect {
        gate: "postgres".to_owned(),
        agent: site.principal.agent.clone(),
        acts_for: site.principal.acts_for.clone(),
        target: site.target.name.clone(),
        database: site.target.database.clone(),
        role: site.role.to_owned(),
        settings,
        statement: Base64(action.text.as_bytes().to_vec()),
        params: action.params.to_vec(),
        result_formats: action.result_formats.to_vec(),
        definitions: analysis.definitions.clone(),
        rewriter: REWRITER,
        copied: action.data.as_ref().map(|data| data.facts().clone()),
    }
}

/// What people are shown and asked.
pub fn draft(
    site: &Site<'_>,
    session: &Session,
    action: &ClientAction,
    analysis: &Analysis,
    obligations: &Obligations,
    touched: &Touched,
    so_far: &SoFar,
) -> Draft {
    Draft {
        session: site.session.clone(),
        target: site.target.clone(),
        effect: effect(site, session, action, analysis),
        impact: action.impact(analysis),
        rows: touched.rows,
        bound: bound(analysis, touched, session.own.rows_max),
        statement: analysis.segments.clone(),
        params: [param_segments(&action.params), data_segments(action), setting_segments(&session.values)]
            .concat(),
        columns: columns(analysis, obligations),
        reason: action.reason(session).map(str::to_owned),
        client: session.application.clone(),
        address: site.address.to_owned(),
        so_far: so_far.clone(),
        steps: touched.steps.clone(),
        tables: touched.changed.clone().unwrap_or_default(),
        untried: touched.untried.clone(),
        movable: touched.movable.clone(),
    }
}

fn columns(analysis: &Analysis, obligations: &Obligations) -> Vec<ViewColumn> {
    let reveals = analysis.joined.kinds().contains(&Kind::Reveal);
    let shown = |name: &str, part: Option<String>, labels: &BTreeSet<Label>| ViewColumn {
        name: name.to_owned(),
        part,
        mask: if reveals { None } else { obligations.mask_of(labels) },
    };
    let column = |column: &CopyColumn| {
        let name = visible_line(&column.name);
        let Some(parts) = &column.parts else { return vec![shown(&name, None, &column.labels)] };
        // What stands beside the parts is seen as it is.
        let mut all = vec![ViewColumn { name: name.clone(), part: None, mask: None }];
        let part = |path: &KeyPath| Some(visible_line(&path.to_string()));
        all.extend(parts.iter().map(|(path, labels)| shown(&name, part(path), labels)));
        all
    };
    let of = |statement: &crate::sql::Statement| match &statement.output {
        Output::Copy { columns, .. } => columns.iter().flat_map(column).collect(),
        Output::NoRows | Output::PlainProjection | Output::Unlabelled | Output::Derived => Vec::new(),
    };
    analysis.statements.iter().flat_map(of).collect()
}

fn param_segments(params: &[Param]) -> Vec<Segment> {
    let segment = |(at, param): (usize, &Param)| {
        let mut pieces = vec![Segment::Text(format!("${} = ", at + 1))];
        pieces.extend(param_value(param));
        pieces
    };
    params.iter().enumerate().flat_map(segment).collect()
}

// What may be said of the data of a COPY: it is signed by its digest and shown to nobody.
fn data_segments(action: &ClientAction) -> Vec<Segment> {
    let Some(data) = &action.data else { return Vec::new() };
    let CopiedData { digest, bytes, lines } = data.facts();
    let unit = if data.shape().binary { "rows" } else { "lines" };
    vec![Segment::Text(format!("STDIN = {lines} {unit}, {bytes} bytes, sha256 {digest}"))]
}

// What values mean where the client has a say in it.
fn setting_segments(settings: &[Setting]) -> Vec<Segment> {
    let changed = settings.iter().filter(|setting| setting.changed);
    let segment = |setting: &Setting| {
        let mut pieces = vec![Segment::Text(format!("{} = ", visible_line(&setting.name)))];
        pieces.extend(visible(&setting.value, Segment::String));
        pieces
    };
    changed.flat_map(segment).collect()
}

fn param_value(param: &Param) -> Vec<Segment> {
    let Some(Base64(bytes)) = &param.value else { return vec![Segment::Text("NULL".to_owned())] };
    match std::str::from_utf8(bytes) {
        Ok(text) if param.format == 0 && bytes.len() <= PARAM_SHOWN_BYTES_MAX => {
            visible(text, Segment::String)
        }
        _ => {
            let digest = countersign_core::digest::Digest::<()>::of_bytes(bytes);
            vec![Segment::Text(format!("{} bytes, sha256 {digest}", bytes.len()))]
        }
    }
}

/// Whether this is a COPY of a query whose rows could be neither masked nor shown: the server describes none of them,
/// and what is labelled may be among them.
pub fn copies_unseen(analysis: &Analysis) -> bool {
    let unseen = |output: &Output| matches!(output, Output::Derived | Output::PlainProjection);
    let copies = |s: &crate::sql::Statement| matches!(s.what, What::CopyOut { .. }) && unseen(&s.output);
    analysis.statements.iter().any(copies)
        && scrubs(analysis)
        && !analysis.joined.kinds().contains(&Kind::Reveal)
}

/// How the rows of an action are masked.
///
/// # Errors
/// A column must be masked and the COPY's options do not allow it.
pub fn mask_plan(
    analysis: &Analysis,
    known: &Arc<Known>,
    obligations: &Arc<Obligations>,
    token_key: &TokenKey,
    approved: bool,
    tokens_stand: bool,
) -> Result<MaskPlan, MaskError> {
    let kinds = analysis.joined.kinds();
    if approved && kinds.contains(&Kind::Reveal) {
        return Ok(MaskPlan::Clear);
    }
    let labels = || Labels {
        known: Arc::clone(known),
        obligations: Arc::clone(obligations),
        token_key: token_key.clone(),
        tokens_stand,
    };
    let mut plan = None;
    for statement in &analysis.statements {
        let next = match &statement.output {
            Output::Copy { columns, options } => {
                MaskPlan::copy(columns, copy_options(options, columns)?, &labels())?
            }
            Output::Unlabelled if !approved => continue,
            Output::NoRows if !approved && !matches!(statement.what, What::CopyOut { .. }) => continue,
            // No description comes before the rows of a COPY of a query.
            Output::Derived | Output::PlainProjection if matches!(statement.what, What::CopyOut { .. }) => {
                if scrubs(analysis) {
                    return Err(MaskError::CopyOptions {
                        found: "a COPY of a query that may reach what is labelled",
                        hint: "send the query itself: its rows can be masked",
                    });
                }
                MaskPlan::Unlabelled(Arc::clone(known))
            }
            // A COPY of a query in which nothing is labelled.
            Output::Unlabelled if matches!(statement.what, What::CopyOut { .. }) => {
                MaskPlan::Unlabelled(Arc::clone(known))
            }
            Output::Unlabelled | Output::NoRows | Output::PlainProjection | Output::Derived => {
                // Policy was asked about the unknown too, and let it pass.
                let unknown_approved = approved || analysis.joined.unknown || analysis.joined.opaque;
                MaskPlan::Projection { labels: labels(), masker: None, unknown_approved }
            }
        };
        // Two results of different kinds in one message cannot both be masked by one plan.
        let copies = |plan: &MaskPlan| matches!(plan, MaskPlan::Copy { .. } | MaskPlan::Unlabelled(_));
        if plan.as_ref().is_some_and(|plan| copies(plan) || copies(&next)) {
            return Err(MaskError::CopyOptions {
                found: "a COPY beside other results",
                hint: "send it on its own",
            });
        }
        plan = Some(next);
    }
    Ok(plan.unwrap_or_else(|| MaskPlan::Unlabelled(Arc::clone(known))))
}

pub(super) fn copy_options(
    options: &crate::sql::analyse::CopyOptions,
    columns: &[CopyColumn],
) -> Result<CopyOptions, MaskError> {
    use crate::sql::analyse::CopyFormat as Format;
    let format = match options.format {
        Format::Text => CopyFormat::Text,
        Format::Csv => CopyFormat::Csv,
        Format::Binary => CopyFormat::Binary,
    };
    let one = |given: &Option<String>, default: u8| match given.as_deref().map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) => Ok(*byte),
        Some(_) => Err(MaskError::CopyOptions {
            found: "a delimiter, quote or escape of more than one byte",
            hint: "use a single-byte character",
        }),
    };
    let mut wire = CopyOptions::new(format);
    wire.delimiter = one(&options.delimiter, wire.delimiter)?;
    wire.quote = one(&options.quote, wire.quote)?;
    wire.escape = one(&options.escape, wire.quote)?;
    wire.null = options.null.clone().map_or(wire.null, String::into_bytes);
    wire.header = options.header.then(|| columns.iter().map(|column| column.name.clone()).collect());
    wire.encoding.clone_from(&options.encoding);
    Ok(wire)
}

/// What a plain INSERT into a table would be, that writes all that was reached of it.
pub fn write_to(reach: &Reach) -> Impact {
    Impact {
        pairs: [(Kind::Write, Resource::Table(reach.table.clone()))].into(),
        reach: vec![reach.clone()],
        labels: reach.labels.clone(),
        opaque: false,
        unknown: reach.unknown,
        drops_database: false,
        unbounded: false,
    }
}

/// Why a message cannot be understood, in words for the client.
pub fn not_understood(error: &CodecError) -> String {
    format!("expected a message of PostgreSQL's protocol 3, found something else: {error}")
}
