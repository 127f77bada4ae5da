//! Facts make state. The only place where they do.

use super::{Choice, Contradiction, End, Fact, Record, State};
use std::sync::Arc;

/// The record after a fact; `None` before the first.
///
/// # Errors
/// The fact does not fit the state: a claim without a grant, a grant without enough reviews, anything after the end.
pub fn apply(record: Option<Record>, fact: &Fact) -> Result<Record, Contradiction> {
    let Some(record) = record else {
        return match fact {
            Fact::Opened { terms } => Ok(Record {
                terms: Arc::clone(terms),
                state: State::Held { votes: Vec::new(), parked: false },
                version: 1,
            }),
            Fact::Reviewed { .. }
            | Fact::Granted { .. }
            | Fact::Parked
            | Fact::Adopted { .. }
            | Fact::Claimed { .. }
            | Fact::Executed { .. }
            | Fact::Ended { .. } => Err(Contradiction { fact: fact.word(), state: "not open yet" }),
        };
    };
    let refused = Contradiction { fact: fact.word(), state: record.state.word() };
    let state = match fact {
        Fact::Opened { .. } => None,
        Fact::Reviewed { vote } => match &record.state {
            State::Held { votes, parked } if votes.iter().all(|v| v.person != vote.person) => {
                let votes = votes.iter().cloned().chain([vote.clone()]).collect();
                Some(State::Held { votes, parked: *parked })
            }
            State::Held { .. }
            | State::Granted { .. }
            | State::Claimed { .. }
            | State::Executed { .. }
            | State::Ended { .. } => None,
        },
        Fact::Granted { valid_until } => match &record.state {
            State::Held { votes, parked } => {
                let enough = record.terms.requirement.satisfied_by(&Record::approvals(votes));
                let denied = votes.iter().any(|v| v.choice == Choice::Denied);
                (enough && !denied).then(|| State::Granted {
                    votes: votes.clone(),
                    valid_until: *valid_until,
                    parked: *parked,
                })
            }
            State::Granted { .. } | State::Claimed { .. } | State::Executed { .. } | State::Ended { .. } => {
                None
            }
        },
        Fact::Parked => set_parked(&record.state, true),
        Fact::Adopted { .. } => set_parked(&record.state, false),
        Fact::Claimed { session } => match &record.state {
            State::Granted { parked: false, .. } => Some(State::Claimed { session: session.clone() }),
            State::Granted { parked: true, .. }
            | State::Held { .. }
            | State::Claimed { .. }
            | State::Executed { .. }
            | State::Ended { .. } => None,
        },
        Fact::Executed { transaction, rows } => match &record.state {
            State::Claimed { .. } => Some(State::Executed { transaction: transaction.clone(), rows: *rows }),
            State::Held { .. } | State::Granted { .. } | State::Executed { .. } | State::Ended { .. } => None,
        },
        Fact::Ended { end, .. } => may_end(&record.state, *end).then_some(State::Ended { end: *end }),
    };
    state.map(|state| Record { state, version: record.version + 1, ..record }).ok_or(refused)
}

/// The record that these facts make.
///
/// # Errors
/// A fact that does not fit the ones before it.
pub fn replay<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Result<Option<Record>, Contradiction> {
    facts.into_iter().try_fold(None, |record, fact| apply(record, fact).map(Some))
}

fn set_parked(state: &State, parked: bool) -> Option<State> {
    match state {
        State::Held { votes, parked: was } if *was != parked => {
            Some(State::Held { votes: votes.clone(), parked })
        }
        State::Granted { votes, valid_until, parked: was } if *was != parked => {
            Some(State::Granted { votes: votes.clone(), valid_until: *valid_until, parked })
        }
        State::Held { .. }
        | State::Granted { .. }
        | State::Claimed { .. }
        | State::Executed { .. }
        | State::Ended { .. } => None,
    }
}

fn may_end(state: &State, end: End) -> bool {
    match (state, end) {
        (State::Held { votes, .. }, End::Denied) => votes.iter().any(|v| v.choice == Choice::Denied),
        (State::Held { .. } | State::Granted { .. }, End::Expired | End::Withdrawn | End::Superseded) => true,
        (State::Claimed { .. } | State::Executed { .. }, End::Committed | End::RolledBack | End::Unknown) => {
            true
        }
        (
            State::Held { .. } | State::Granted { .. },
            End::Denied | End::Committed | End::RolledBack | End::Unknown,
        )
        | (
            State::Claimed { .. } | State::Executed { .. },
            End::Denied | End::Expired | End::Withdrawn | End::Superseded,
        )
        | (State::Ended { .. }, _) => false,
    }
}
