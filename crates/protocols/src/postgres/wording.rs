//! What a client of PostgreSQL is told, in PostgreSQL's own form: notices while an action waits, errors when it
//! does not run. Pure; the words themselves are those of `core::refusal`.

use super::codec::write::{self, Report, Severity};
use bytes::BytesMut;
use countersign_core::lifecycle::Record;
use countersign_core::refusal::{Pending, Refusal};
use countersign_core::request::Terms;
use countersign_core::view::visible_line;
use countersign_desk::Waiting;

/// The setting whose value tells drivers that something waits; sent again as a sign of life.
pub const STATUS_SETTING: &str = "countersign.status";

/// The SQLSTATE of what waits for people while its client does not: to be repeated later.
pub const PENDING: &str = "42W01";

/// The SQLSTATE of a refusal. Never one that drivers or pools take as a reason to retry or to drop the connection.
pub const fn sqlstate(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Withdrawn { .. } => "57014",
        // Of the class of what is refused, and told apart from it: the same statement may run later.
        Refusal::Pending(_) => PENDING,
        Refusal::Unavailable { .. } => "58000",
        Refusal::Unsupported { .. } => "0A000",
        Refusal::Invalid { absent: false, .. } => "42601",
        Refusal::Invalid { absent: true, .. } => "42P01",
        Refusal::Denied { .. }
        | Refusal::Declined { .. }
        | Refusal::Expired { .. }
        | Refusal::Parked { .. }
        | Refusal::NobodyMayApprove { .. }
        | Refusal::NotUnderstood { .. }
        | Refusal::CannotHoldHere { .. }
        | Refusal::OverBound { .. }
        | Refusal::Changed { .. }
        | Refusal::Limit { .. } => "42501",
    }
}

/// How the routine of a refusal begins; its stable code follows. What the server says names routines of its own.
pub const ROUTINE_PREFIX: &str = "countersign:";

/// Writes a refusal as an ordinary error.
pub fn refusal(out: &mut BytesMut, refusal: &Refusal) {
    let (message, detail, hint) = match refusal {
        Refusal::Withdrawn { .. } => ("canceling statement due to user request".to_owned(), None, None),
        other => (other.message(), Some(other.detail()), Some(other.hint())),
    };
    let report = Report {
        severity: Severity::Error,
        code: sqlstate(refusal),
        message: &message,
        detail: detail.as_deref(),
        hint: hint.as_deref(),
    };
    write::error_response_of(out, &report, &format!("{ROUTINE_PREFIX}{}", refusal.code()));
}

/// Writes the error that ends a connection.
pub fn fatal(out: &mut BytesMut, code: &str, message: &str, detail: Option<&str>) {
    let report = Report { severity: Severity::Fatal, code, message, detail, hint: None };
    write::error_response(out, &report);
}

/// Writes the warning that an allowed action goes beyond what policy allows it. What becomes of it the server says next.
pub fn over_limit(out: &mut BytesMut, rows_max: u64) {
    let detail = format!(
        "At most {rows_max} rows are handed out, and the statement is canceled; what it changed before stands where it was committed."
    );
    let report = Report {
        severity: Severity::Warning,
        code: "01000",
        message: "more rows than policy allows",
        detail: Some(&detail),
        hint: None,
    };
    write::notice_response(out, &report);
}

/// Writes the notice that an action waits: who must approve, where, and the code to compare.
pub fn held(out: &mut BytesMut, waiting: &Waiting, public_url: &str, what_changed: Option<&str>) {
    let terms = &waiting.record().terms;
    let code = waiting.digest().map(|d| d.short()).unwrap_or_default();
    let kinds: Vec<&str> = terms.kinds.iter().map(|k| k.word()).collect();
    let message = match what_changed {
        None => format!("held: this action ({}) waits for {}", kinds.join(", "), needs(terms)),
        Some(what) => format!("held again: {} changed since the approval", visible_line(what)),
    };
    let detail = format!("Request {}, until {}.", waiting.id(), terms.expires_at);
    let hint = format!("Approve at {public_url}/requests/{} (code {code}).", waiting.id());
    let report = Report {
        severity: Severity::Notice,
        code: "00000",
        message: &message,
        detail: Some(&detail),
        hint: Some(&hint),
    };
    write::notice_response(out, &report);
}

/// The answer to a client that does not wait.
pub fn pending(record: &Record, public_url: &str, changed: Option<String>) -> Refusal {
    let terms = &record.terms;
    Refusal::Pending(Box::new(Pending {
        request: terms.id.clone(),
        needs: needs(terms),
        until: record.deadline().unwrap_or(terms.expires_at),
        link: format!("{public_url}/requests/{}", terms.id),
        code: terms.digest().map(|digest| digest.short()).unwrap_or_default(),
        changed,
    }))
}

fn needs(terms: &Terms) -> String {
    let groups: Vec<String> = terms.requirement.groups().iter().map(|(g, n)| format!("{n} of {g}")).collect();
    groups.join(", ")
}

/// Writes a sign of life that no client shows.
pub fn alive(out: &mut BytesMut) {
    write::parameter_status(out, STATUS_SETTING, "pending");
}
