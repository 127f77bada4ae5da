//! The card as plain text, for `countersign requests show` and `review`: the same words in the same order as on the
//! page. Nothing that a terminal obeys ever leaves here; refuses to know colours, widths and keys.

use crate::model::card::{Card, Shown, StepShown, needs_and_lasts};
use crate::model::standing::Standing;
use crate::model::statement::Piece;
use crate::model::words::clock;
use countersign_core::digest::Digest;
use countersign_core::request::Request;
use countersign_core::requirement::Requirement;
use countersign_core::time::Timestamp;
use countersign_core::view::{View, is_seen};
use std::fmt::Write;

#[cfg(test)]
mod tests;

/// The width of the column of labels.
pub const LABEL_WIDTH: usize = 18;

/// The view of a request and its digest, as text.
pub fn view(view: &View, digest: &Digest<Request>, now: Timestamp) -> String {
    let mut out = Text::default();
    let kinds: Vec<String> = view.kinds.iter().map(|kind| kind.word().to_uppercase()).collect();
    let shown = Shown::new(view);
    out.line(&format!("{}  {} {}", kinds.join(" + "), shown.subject, shown.effect));
    let left = clock(view.expires_at.seconds_since(now));
    body(&mut out, &shown, &format!("expires in {left}"));
    out.blank();
    // The words of the page, where the policy's own can be read.
    let needs = Requirement::parse(&view.requirement).map(|requirement| needs_and_lasts(&requirement));
    out.pair("Needs", needs.as_deref().unwrap_or(&view.requirement));
    so_far(&mut out, &shown);
    out.pair("Signs", &format!("sha256 {}", digest.short()));
    out.pair("Request", view.request.as_str());
    out.finish()
}

/// A whole card: what it shows, where the person who looks stands, and what happened so far.
pub fn card(card: &Card) -> String {
    let mut out = Text::default();
    let kinds: Vec<String> = card.marks.iter().map(|mark| mark.word.to_uppercase()).collect();
    let time =
        card.deadline.as_ref().map_or_else(|| card.state.to_owned(), |d| format!("{} {}", d.word, d.left));
    match &card.shown {
        Some(shown) => {
            out.line(&format!("{}  {} {}", kinds.join(" + "), shown.subject, shown.effect));
            body(&mut out, shown, &time);
        }
        None => {
            out.line(&format!("{}  {time}", kinds.join(" + ")));
            out.line("What it showed is not in the store any more, or is not what was signed.");
        }
    }
    out.blank();
    let filled = card.filled.as_ref().map(|f| format!(" ({f})")).unwrap_or_default();
    out.pair("Needs", &format!("{}{filled}", card.needs));
    if let Some(shown) = &card.shown {
        so_far(&mut out, shown);
    }
    out.pair("Like this before", &card.before);
    if let Some(outcome) = &card.outcome {
        out.pair("Stands", &format!("{}. {}", outcome.title, outcome.sentence));
    }
    for decision in &card.decisions {
        let word = if decision.approved { "Approved" } else { "Denied" };
        let why = decision.why.as_ref().map(|why| format!(" \"{why}\"")).unwrap_or_default();
        out.pair(word, &format!("{}, {}, by {}{why}", decision.who, decision.when, decision.key));
    }
    if card.held {
        match &card.standing {
            Standing::MayDecide { groups } => out.pair("You", &format!("may decide, as one of {groups}")),
            Standing::MayNot { why, .. } => out.pair("You", why),
        }
    }
    out.pair("Signs", &format!("sha256 {}", card.digest_short));
    out.pair("Request", &format!("{}, log at {}", card.id, card.log_size));
    out.finish()
}

fn body(out: &mut Text, shown: &Shown, time: &str) {
    let mut facts: Vec<String> = shown.rows.iter().map(|r| format!("{} ({})", r.count, r.known)).collect();
    facts.extend(shown.columns_count.clone());
    facts.extend(shown.labels.iter().cloned());
    facts.push(time.to_owned());
    out.line(&facts.join(" · "));
    for table in &shown.tables {
        out.line(&format!("  {} · {}", table.table, table.count));
    }
    for warning in &shown.warnings {
        out.line(&format!("! {warning}"));
    }
    out.blank();
    let chain: Vec<String> = shown.chain.iter().map(|link| format!("{} {}", link.word, link.name)).collect();
    out.pair("Who", chain.join(" ").trim());
    match &shown.reason {
        Some(reason) => out.pair("Why", &format!("\"{reason}\" (stated by the agent, not checked)")),
        None => out.pair("Why", "the agent gave no reason"),
    }
    out.pair("Where", &shown.place.join(" · "));
    out.blank();
    match &shown.plan {
        None => out.block(&code(&shown.statement)),
        Some(plan) => {
            out.line(plan);
            shown.steps.iter().for_each(|step| steps(out, step));
        }
    }
    if !shown.params.is_empty() {
        out.line("with these values");
        out.block(&code(&shown.params));
    }
    out.blank();
    if let Some(at) = &shown.as_of {
        out.pair("Rows as of", at);
    }
    out.pair("Bound", &shown.bound);
    for group in &shown.columns {
        out.pair("Comes back", &format!("{}: {}", group.seen.to_lowercase(), group.names.join(", ")));
    }
    out.blank();
    for (policy, text) in &shown.held_by {
        out.pair("Held by", &format!("{policy}: {text}"));
    }
}

fn steps(out: &mut Text, step: &StepShown) {
    let kinds: Vec<String> = step.marks.iter().map(|mark| mark.word.to_uppercase()).collect();
    let rows = step.rows.as_ref().map(|r| format!(" · {} ({})", r.count, r.known)).unwrap_or_default();
    out.line(&format!("{}. {}  {}{rows}", step.number, kinds.join(" + "), step.subject));
    if let Some(warning) = step.warning {
        out.line(&format!("! {warning}"));
    }
    out.block(&code(&step.statement));
}

fn so_far(out: &mut Text, shown: &Shown) {
    if let Some(said) = &shown.so_far {
        out.pair("Session so far", said);
    }
}

/// Pieces as text: a literal stands in marks that no statement of ours uses otherwise.
fn code(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Literal { text, .. } => {
                let _ = write!(out, "‹{text}›");
            }
            Piece::Redacted(text) => {
                let _ = write!(out, "‹hidden: {text}›");
            }
            Piece::Invisible { code, name } => {
                let _ = write!(out, "⟨{code} {name}⟩");
            }
            Piece::Padding(words) => {
                let _ = write!(out, "⟨{words}⟩");
            }
        }
    }
    out
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn pair(&mut self, label: &str, text: &str) {
        let _ = writeln!(self.0, "{label:<LABEL_WIDTH$}{text}");
    }

    fn block(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.0, "  | {line}");
        }
    }

    // The last gate before a terminal: whatever came in by whatever field, no control character goes out.
    fn finish(self) -> String {
        let safe = |c: char| if c == '\n' || is_seen(c) { c } else { '\u{fffd}' };
        self.0.chars().map(safe).collect()
    }
}
