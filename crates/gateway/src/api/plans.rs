//! A plan over HTTP: told at once that it waits, run by the same call once people have approved it. Says to the gate what
//! `countersign propose --park` says, over a connection within this process; decides nothing.

use super::problem::{self, ALWAYS, Problem, RETRY_SECONDS};
use super::requests::{standing, url};
use super::{Api, Peer, Place};
use crate::api::caller::Caller;
use crate::proposing::{Answer, Gate, GateError, Login, PLAN_BYTES_MAX, Shown, Told, without_frame};
use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::view::visible_line;
use countersign_protocols::postgres::session::REASON_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The longest body: a plan of the longest length, most of whose characters JSON writes as they are.
const BODY_BYTES_MAX: usize = 2 * PLAN_BYTES_MAX + (64 << 10);
/// How long a body may take to come.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a call may take with all that it runs.
const CALL_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// The longest name at the server.
const NAME_BYTES_MAX: usize = 63;

/// What a plan is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal {
    database: String,
    sql: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    rows_max: Option<u64>,
}

/// What became of it, as far as the gate said.
enum Outcome {
    Committed(Vec<Value>),
    Told { told: Told, statement: usize },
    LeftOpen,
    Lost { error: GateError, sent: bool },
}

/// Proposes a plan, or runs the one that was approved.
pub async fn propose(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(target): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = Caller::find(&api, peer, &headers, &target)?;
    let place = api.place_of(&caller.identity.get().principal.agent)?;
    let proposal = read(&headers, body).await?;
    // What has begun is ended: whoever hangs up asks afterwards how it went, and an approval is for one run.
    let run = tokio::spawn(run(api, caller, peer, proposal, place));
    run.await.unwrap_or_else(|_| Err(lost("the call ended in an error of the gate's own", true)))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Proposal, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "media-type", "expected Content-Type: application/json"));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > BODY_BYTES_MAX as u64) {
        return Err(too_large(format!("a body has at most {BODY_BYTES_MAX} bytes")));
    }
    let bytes = tokio::time::timeout(BODY_WAIT_MAX, to_bytes(body, BODY_BYTES_MAX))
        .await
        .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", "the body did not come in time"))?;
    let bytes = bytes.map_err(|error| match is_too_long(&error) {
        true => too_large(format!("a body has at most {BODY_BYTES_MAX} bytes")),
        false => problem::bad("the body did not come whole"),
    })?;
    checked(&bytes)
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn too_large(detail: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "this plan is too long").detail(detail)
}

fn checked(bytes: &Bytes) -> Result<Proposal, Problem> {
    let proposal: Proposal = serde_json::from_slice(bytes).map_err(problem::bad)?;
    let Proposal { database, sql, reason, .. } = &proposal;
    if sql.len() > PLAN_BYTES_MAX {
        return Err(too_large(format!("a plan has at most {PLAN_BYTES_MAX} bytes")));
    }
    if sql.trim().is_empty() {
        return Err(problem::bad("`sql` is empty"));
    }
    if database.is_empty() || database.len() > NAME_BYTES_MAX {
        return Err(problem::bad(format!("`database` has 1 to {NAME_BYTES_MAX} bytes")));
    }
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(problem::bad(format!("`reason` has at most {REASON_BYTES_MAX} bytes")));
    }
    let texts = [database, sql, reason.as_ref().unwrap_or(database)];
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(problem::bad("no text may hold a zero byte"));
    }
    Ok(proposal)
}

async fn run(
    api: Arc<Api>,
    caller: Caller,
    peer: Peer,
    proposal: Proposal,
    place: Place,
) -> Result<Response, Problem> {
    let outcome = tokio::time::timeout(CALL_WAIT_MAX, say(&caller, peer, &proposal)).await;
    drop(place);
    match outcome {
        Ok(Outcome::Committed(statements)) => {
            let done = json!({ "state": "committed", "statements": statements });
            Ok((ALWAYS, Json(done)).into_response())
        }
        Ok(Outcome::Told { told, statement }) => answer(&api, &caller, &told, statement),
        Ok(Outcome::LeftOpen) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "left-open",
            "the plan leaves a transaction open",
        )
        .detail("Nothing of it stands.")
        .hint("Leave BEGIN and COMMIT out: a plan is one transaction as it is.")
        .with("state", "rolled back")),
        Ok(Outcome::Lost { error, sent }) => Err(lost(&error.to_string(), sent)),
        Err(_) => Err(lost("the call took longer than a call may take", true)),
    }
}

async fn say(caller: &Caller, peer: Peer, proposal: &Proposal) -> Outcome {
    let Some(stream) = caller.door.enter(peer.address) else {
        return Outcome::Lost { error: GateError::HungUp, sent: false };
    };
    let mut gate = Gate::new(stream);
    let login = Login {
        agent: caller.identity.get().principal.agent.as_str(),
        database: &proposal.database,
        application: "countersign api",
        reason: proposal.reason.as_deref(),
        rows_max: proposal.rows_max,
        parks: true,
    };
    match gate.log_in(&login, &Shown { secret: &caller.token, end_point: None }).await {
        Ok(()) => {}
        Err(GateError::Refused(told)) => return Outcome::Told { told: *told, statement: 0 },
        Err(error) => return Outcome::Lost { error, sent: false },
    }
    match hear(&mut gate, without_frame(&proposal.sql)).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Lost { error, sent: true },
    }
}

async fn hear(gate: &mut Gate<tokio::io::DuplexStream>, text: &str) -> Result<Outcome, GateError> {
    gate.propose(text).await?;
    let mut statements = Vec::new();
    let mut failed = None;
    loop {
        match gate.next().await? {
            Answer::Ran(tag) => statements.push(done(&tag)),
            Answer::Failed(told) => {
                let (ends, statement) = (told.is_fatal, statements.len() + 1);
                let outcome = Outcome::Told { told, statement };
                // Nothing follows what ends the connection.
                if ends {
                    return Ok(outcome);
                }
                failed = Some(outcome);
            }
            Answer::Ready { settled } => {
                let ran = if settled { Outcome::Committed(statements) } else { Outcome::LeftOpen };
                return Ok(failed.unwrap_or(ran));
            }
            Answer::Notice(_) | Answer::Other => {}
        }
    }
}

fn done(tag: &str) -> Value {
    let rows: Option<u64> = tag.rsplit(' ').next().and_then(|last| last.parse().ok());
    let tag = visible_line(tag);
    match rows {
        Some(rows) => json!({ "tag": tag, "rows": rows }),
        None => json!({ "tag": tag }),
    }
}

// What the gate or the server said, in HTTP's words.
fn answer(api: &Api, caller: &Caller, told: &Told, statement: usize) -> Result<Response, Problem> {
    let Some(code) = told.refusal.as_deref() else { return Err(failed(told, statement)) };
    let request = told.request();
    if let ("pending", Some(id)) = (code, &request) {
        let own = api.desk.own_record(&caller.identity, &caller.target, id);
        let stands = own.map(|record| standing(api, &record));
        let stands =
            stands.unwrap_or_else(|| json!({ "state": "pending", "request": id, "url": url(api, id) }));
        let place = format!("/api/v1/targets/{}/requests/{id}", caller.target);
        let more = [(header::RETRY_AFTER, RETRY_SECONDS)];
        let more = (more, [(header::LOCATION, place)]);
        return Ok((StatusCode::ACCEPTED, ALWAYS, more.0, more.1, Json(stands)).into_response());
    }
    let (status, state) = match code {
        "denied" | "declined" | "nobody-may-approve" => (StatusCode::FORBIDDEN, "refused"),
        "over-bound" => (StatusCode::CONFLICT, "rolled back"),
        "limit" => (StatusCode::TOO_MANY_REQUESTS, "refused"),
        "unavailable" => (StatusCode::SERVICE_UNAVAILABLE, "refused"),
        "not-understood" | "invalid" | "unsupported" | "cannot-hold-here" => {
            (StatusCode::UNPROCESSABLE_ENTITY, "refused")
        }
        _ => (StatusCode::CONFLICT, "refused"),
    };
    let mut problem = in_words(Problem::new(status, code, &told.message), told).with("state", state);
    if let Some(id) = request {
        problem = problem.with("url", url(api, &id)).with("request", id.to_string());
    }
    Err(problem)
}

// What the server said, or the gate as it ended the connection.
fn failed(told: &Told, statement: usize) -> Problem {
    let (status, code) = match (&*told.sqlstate, told.is_fatal) {
        (_, false) => {
            let title = format!("statement {statement} failed: {}", told.message);
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "failed", title);
            let problem = problem.with("state", "rolled back").with("statement", statement);
            return in_words(problem, told);
        }
        ("28P01", true) => (StatusCode::UNAUTHORIZED, "unauthorized"),
        ("28000", true) if statement > 0 => (StatusCode::UNAUTHORIZED, "unauthorized"),
        ("28000", true) => (StatusCode::FORBIDDEN, "no-role"),
        ("3D000", true) => (StatusCode::NOT_FOUND, "not-found"),
        ("53300", true) => (StatusCode::TOO_MANY_REQUESTS, "limit"),
        (_, true) if statement > 0 => return in_words(lost(&told.message, true), told),
        (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    in_words(Problem::new(status, code, &told.message), told).with("state", "refused")
}

fn in_words(mut problem: Problem, told: &Told) -> Problem {
    if let Some(detail) = &told.detail {
        problem = problem.detail(detail);
    }
    if let Some(hint) = &told.hint {
        problem = problem.hint(hint);
    }
    problem.with("sqlstate", &*told.sqlstate)
}

fn lost(why: &str, sent: bool) -> Problem {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    if !sent {
        return Problem::new(status, "unavailable", "the gate takes no plan now")
            .detail(format!("{why}. Nothing was executed."))
            .with("state", "refused");
    }
    Problem::new(status, "unknown", "it is not known here what became of the plan")
        .detail(why)
        .hint("Look at its request before anything is repeated: what was approved runs once, and its end is in the log.")
        .with("state", "unknown")
}
