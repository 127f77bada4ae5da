//! A list of requests as rows: what, by whom, how long still, and where the person who looks stands.

use super::card::{Deadline, Shown, deadline, filled, needs};
use super::standing::{Standing, standing};
use super::words::{Mark, ago, mark};
use crate::hall::{Listed, Viewer};
use countersign_core::lifecycle::State;
use countersign_core::time::Timestamp;

/// Which requests the queue shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// Those that the person may decide.
    #[default]
    Mine,
    /// All that are pending.
    All,
    /// Those of their own agents, to watch.
    Watch,
}

/// A request in a list.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its kinds, most serious first.
    pub marks: Vec<Mark>,
    /// What it touches.
    pub subject: String,
    /// `10,482 rows` and how that is known, labels.
    pub facts: Vec<String>,
    /// Who asks.
    pub from: String,
    /// What is left.
    pub deadline: Option<Deadline>,
    /// Where it stands, and the person who looks.
    pub stand: String,
    /// The person may decide.
    pub mine: bool,
    /// When it was asked.
    pub asked: String,
    /// The state, in a word.
    pub state: &'static str,
}

impl Filter {
    /// Reads the filter from the address.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "mine" => Some(Self::Mine),
            "all" => Some(Self::All),
            "watch" => Some(Self::Watch),
            _ => None,
        }
    }

    /// The word in the address.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::All => "all",
            Self::Watch => "watch",
        }
    }

    /// The requests that it lets through, those that end first first.
    pub fn rows(self, listed: &[Listed], viewer: &Viewer, now: Timestamp) -> Vec<Row> {
        let mut fits: Vec<&Listed> = listed.iter().filter(|l| self.fits(l, viewer, now)).collect();
        fits.sort_by_key(|l| (l.record.deadline(), l.record.terms.id.clone()));
        fits.into_iter().map(|l| Row::new(l, viewer, now)).collect()
    }

    fn fits(self, listed: &Listed, viewer: &Viewer, now: Timestamp) -> bool {
        match self {
            Self::All => true,
            Self::Mine => standing(&listed.record, &listed.may_review, viewer, now).may_decide(),
            Self::Watch => listed.record.terms.people.contains(&viewer.person),
        }
    }
}

impl Row {
    /// The row of a request.
    pub fn new(listed: &Listed, viewer: &Viewer, now: Timestamp) -> Self {
        let terms = &listed.record.terms;
        let shown = listed.view.as_ref().map(Shown::new);
        let kinds = match &listed.view {
            Some(view) => view.kinds.clone(),
            None => terms.kinds.iter().copied().collect(),
        };
        let standing = standing(&listed.record, &listed.may_review, viewer, now);
        Self {
            id: terms.id.to_string(),
            marks: kinds.into_iter().map(mark).collect(),
            subject: shown.as_ref().map_or_else(|| terms.id.to_string(), |s| s.subject.clone()),
            facts: shown.as_ref().map(facts).unwrap_or_default(),
            from: from(shown.as_ref(), listed),
            deadline: deadline(&listed.record, now),
            stand: stand(listed, &standing),
            mine: standing.may_decide(),
            asked: ago(terms.opened_at, now),
            state: listed.record.state.word(),
        }
    }
}

fn facts(shown: &Shown) -> Vec<String> {
    let mut facts: Vec<String> = shown.rows.iter().map(|r| format!("{} ({})", r.count, r.known)).collect();
    facts.extend(shown.columns_count.clone());
    if !shown.labels.is_empty() {
        facts.push(shown.labels.join(", "));
    }
    if !shown.warnings.is_empty() {
        facts.push("read with care".to_owned());
    }
    facts
}

fn from(shown: Option<&Shown>, listed: &Listed) -> String {
    let terms = &listed.record.terms;
    match shown.and_then(|s| s.chain.last()) {
        Some(owner) => format!("{} of {} on {} / {}", terms.agent, owner.name, terms.target, terms.env),
        None => format!("{} on {} / {}", terms.agent, terms.target, terms.env),
    }
}

fn stand(listed: &Listed, standing: &Standing) -> String {
    match &listed.record.state {
        State::Held { .. } => {
            let so_far = filled(&listed.record).map(|f| format!(", {f}")).unwrap_or_default();
            let needs = needs(&listed.record.terms.requirement);
            match standing {
                Standing::MayDecide { .. } => format!("Needs {needs}{so_far}"),
                Standing::MayNot { brief, .. } => format!("Needs {needs}{so_far}; {brief}"),
            }
        }
        State::Granted { .. } => "Approved, may run once".to_owned(),
        State::Claimed { .. } => "Running".to_owned(),
        State::Executed { .. } => "Ran, not settled yet".to_owned(),
        State::Ended { end } => match end {
            countersign_core::lifecycle::End::Committed => "Approved and done".to_owned(),
            other => {
                let word = other.word();
                word.get(..1).map(str::to_uppercase).unwrap_or_default() + word.get(1..).unwrap_or_default()
            }
        },
    }
}
