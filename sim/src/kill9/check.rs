//! What must hold after a gate died: a pure function over what the server has, what the log says and what clients were
//! told. Starts nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Which statement: its round and its number in it.
pub(crate) type Key = (u32, u32);

/// One request as the gate tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its id.
    pub(crate) id: String,
    /// Which statement it is about.
    pub(crate) of: Key,
    /// Where it stands, in the log's words.
    pub(crate) state: String,
    /// Nobody is connected who waits for it.
    pub(crate) parked: bool,
}

/// What `countersign verify` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// What does not fit.
    pub(crate) finding: Option<String>,
    /// Autonomous records.
    pub(crate) records: u64,
    /// Requests by where they stand.
    pub(crate) requests: BTreeMap<String, u64>,
}

/// Everything that is known once a gate runs again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How many rows of each statement are at the server.
    pub(crate) rows: BTreeMap<Key, u64>,
    /// All requests.
    pub(crate) requests: Vec<Told>,
    /// Requests whose approval was acknowledged.
    pub(crate) approved: BTreeSet<String>,
    /// Statements whose client was told that they are done.
    pub(crate) told_done: BTreeSet<Key>,
    /// Autonomous statements whose answer was seen.
    pub(crate) answered: u64,
    /// Something may have failed before its commit.
    pub(crate) undone_is_fine: bool,
    /// What the log says by itself.
    pub(crate) verified: Verified,
}

impl Told {
    /// Whether it can still run.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state.as_str(), "held" | "granted")
    }

    /// Whether the log says that it was released and may have taken effect.
    fn may_have_run(&self) -> bool {
        matches!(self.state.as_str(), "claimed" | "executed" | "committed" | "unknown")
    }
}

/// Everything that must not be.
pub(crate) fn violations(outcome: &Outcome) -> Vec<String> {
    let mut wrong = rows(outcome);
    wrong.extend(outcome.requests.iter().filter_map(|request| one(outcome, request)));
    for of in &outcome.told_done {
        if !outcome.rows.contains_key(of) {
            wrong.push(format!("{of:?}: the client was told that it is done, and the server has no row"));
        }
    }
    if outcome.verified.records < outcome.answered {
        wrong.push(format!(
            "{} autonomous statements were answered, the log has {} records",
            outcome.answered, outcome.verified.records
        ));
    }
    let listed = by_state(&outcome.requests);
    if outcome.verified.finding.is_none() && listed != outcome.verified.requests {
        wrong.push(format!("the gate lists {listed:?}, its log says {:?}", outcome.verified.requests));
    }
    wrong
}

/// How many requests stand where.
pub(crate) fn by_state(requests: &[Told]) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for request in requests {
        *counts.entry(request.state.clone()).or_default() += 1;
    }
    counts
}

fn rows(outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    for (of, count) in &outcome.rows {
        let mut records = outcome.requests.iter().filter(|request| request.of == *of);
        if !records.any(Told::may_have_run) {
            wrong.push(format!("{of:?}: the server has its row, the log has no claim of it"));
        }
        if *count != 1 {
            wrong.push(format!("{of:?}: ran {count} times"));
        }
    }
    wrong
}

fn one(outcome: &Outcome, request: &Told) -> Option<String> {
    let Told { id, of, state, parked } = request;
    let is_there = outcome.rows.contains_key(of);
    let stands = |other: &Told| !matches!(other.state.as_str(), "superseded" | "withdrawn");
    let twin = |other: &Told| other.of == *of && other.id != *id && stands(other);
    match state.as_str() {
        "committed" if !is_there => Some(format!("{id}: the log says committed, the server has no row")),
        "claimed" | "executed" => Some(format!("{id}: is still {state} after a restart, not unknown")),
        "held" if outcome.approved.contains(id) => {
            Some(format!("{id}: an approval that was acknowledged is lost"))
        }
        "held" | "granted" if !parked => Some(format!("{id}: is {state} for a client that is gone")),
        "held" | "granted" | "committed" | "unknown" if outcome.requests.iter().any(twin) => {
            Some(format!("{id}: {of:?} has another request beside it"))
        }
        "held" | "granted" | "committed" | "unknown" | "withdrawn" | "superseded" => None,
        // What is parked and not taken up runs out of its time; a row of it is found above.
        "expired" => None,
        "rolled back" if outcome.undone_is_fine => None,
        // Nothing in a round is refused or runs into its bound.
        _ => Some(format!("{id}: ended as {state}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: &str, n: u32, state: &str) -> Told {
        Told { id: id.to_owned(), of: (1, n), state: state.to_owned(), parked: true }
    }

    fn outcome(requests: Vec<Told>, rows: &[(u32, u64)]) -> Outcome {
        let verified = Verified { requests: by_state(&requests), ..Verified::default() };
        let rows = rows.iter().map(|(n, count)| ((1, *n), *count)).collect();
        Outcome { rows, requests, verified, ..Outcome::default() }
    }

    fn only(outcome: &Outcome) -> String {
        let found = violations(outcome);
        assert_eq!(found.len(), 1, "{found:?}");
        found.concat()
    }

    #[test]
    fn a_death_that_left_everything_told_is_in_order() {
        let all = vec![
            told("a", 1, "committed"),
            told("b", 2, "unknown"),
            told("c", 3, "unknown"),
            told("d", 4, "held"),
            told("e", 5, "granted"),
            told("f", 6, "withdrawn"),
            told("g", 7, "expired"),
        ];
        assert_eq!(violations(&outcome(all, &[(1, 1), (2, 1)])), Vec::<String>::new());
    }

    #[test]
    fn a_row_without_its_claim_is_seen() {
        let found = outcome(vec![told("a", 1, "granted")], &[(1, 1)]);
        assert!(only(&found).contains("no claim"));
        assert!(only(&outcome(vec![], &[(1, 1)])).contains("no claim"));
        assert!(only(&outcome(vec![told("a", 1, "expired")], &[(1, 1)])).contains("no claim"));
        assert_eq!(violations(&outcome(vec![told("a", 1, "rolled back")], &[(1, 1)])).len(), 2);
    }

    #[test]
    fn what_was_undone_has_no_row() {
        let mut undone = outcome(vec![told("a", 1, "rolled back")], &[]);
        assert!(only(&undone).contains("ended as"));
        undone.undone_is_fine = true;
        assert_eq!(violations(&undone), Vec::<String>::new());
        undone.rows = BTreeMap::from([((1, 1), 1)]);
        assert!(only(&undone).contains("no claim"));
    }

    #[test]
    fn a_second_execution_is_seen() {
        assert!(only(&outcome(vec![told("a", 1, "unknown")], &[(1, 2)])).contains("ran 2 times"));
    }

    #[test]
    fn an_open_execution_a_lost_effect_and_a_lost_approval_are_seen() {
        assert!(only(&outcome(vec![told("a", 1, "claimed")], &[])).contains("not unknown"));
        assert!(only(&outcome(vec![told("a", 1, "committed")], &[])).contains("no row"));
        let mut lost = outcome(vec![told("a", 1, "held")], &[]);
        lost.approved.insert("a".to_owned());
        assert!(only(&lost).contains("approval"));
        let mut waiting = told("a", 1, "held");
        waiting.parked = false;
        assert!(only(&outcome(vec![waiting], &[])).contains("gone"));
    }

    #[test]
    fn what_clients_were_told_counts() {
        let mut told_done = outcome(vec![told("a", 1, "unknown")], &[]);
        told_done.told_done.insert((1, 1));
        assert!(only(&told_done).contains("was told"));
        let answered = Outcome { answered: 1, ..Outcome::default() };
        assert!(only(&answered).contains("autonomous"));
    }

    #[test]
    fn a_list_that_differs_from_the_log_is_seen() {
        let mut differs = outcome(vec![told("a", 1, "held")], &[]);
        differs.verified.requests.clear();
        assert!(only(&differs).contains("its log says"));
    }
}
