//! Events become facts, or are refused. An error never moves anything.

use super::{Choice, End, Event, Fact, Fresh, Record, State, Step, StepError, Vote, apply};
use crate::request::Terms;
use crate::time::Timestamp;
use std::sync::Arc;

/// Opens a request that policy holds.
///
/// # Errors
/// The clock reads earlier than the terms say, or the terms have ended before they began.
pub fn open(terms: Terms, now: Timestamp) -> Result<Step, StepError> {
    if now < terms.opened_at {
        return Err(StepError::ClockBack);
    }
    if terms.expires_at <= now {
        return Err(StepError::Expired);
    }
    settle(None, vec![Fact::Opened { terms: Arc::new(terms) }])
}

/// What follows from an event, now.
///
/// # Errors
/// Why the event does not move this request; nothing has changed then.
pub fn step(record: &Record, event: Event, now: Timestamp) -> Result<Step, StepError> {
    if now < record.terms.opened_at {
        return match event {
            // What has already run is settled whatever the clock reads.
            Event::Execute { .. } | Event::Settle { .. } => facts(record, event, now),
            Event::Review(_)
            | Event::Tick
            | Event::Withdraw { .. }
            | Event::Park
            | Event::Adopt { .. }
            | Event::Claim(_)
            | Event::Supersede { .. } => Err(StepError::ClockBack),
        }
        .and_then(|facts| settle(Some(record), facts));
    }
    facts(record, event, now).and_then(|facts| settle(Some(record), facts))
}

fn settle(record: Option<&Record>, facts: Vec<Fact>) -> Result<Step, StepError> {
    let mut current = record.cloned();
    for fact in &facts {
        let next = apply(current, fact).map_err(|contradiction| StepError::Over(contradiction.state))?;
        current = Some(next);
    }
    current.map(|record| Step { facts, record }).ok_or(StepError::Over("not open"))
}

fn facts(record: &Record, event: Event, now: Timestamp) -> Result<Vec<Fact>, StepError> {
    match event {
        Event::Review(vote) => review(record, vote, now),
        Event::Tick => Ok(match record.deadline() {
            Some(deadline) if deadline <= now => vec![ended(End::Expired, expiry_note(&record.state))],
            Some(_) | None => Vec::new(),
        }),
        Event::Withdraw { note } => pending(record).map(|()| vec![ended(End::Withdrawn, note)]),
        Event::Park => {
            pending(record).map(|()| if record.state.is_parked() { vec![] } else { vec![Fact::Parked] })
        }
        Event::Adopt { session } => {
            alive(record, now)?;
            Ok(if record.state.is_parked() { vec![Fact::Adopted { session }] } else { vec![] })
        }
        Event::Claim(fresh) => claim(record, fresh, now),
        Event::Execute { transaction, rows } => match &record.state {
            State::Claimed { .. } => Ok(vec![Fact::Executed { transaction, rows }]),
            state @ (State::Held { .. }
            | State::Granted { .. }
            | State::Executed { .. }
            | State::Ended { .. }) => Err(StepError::Over(state.word())),
        },
        Event::Settle { end, note } => match &record.state {
            State::Claimed { .. } | State::Executed { .. } => Ok(vec![ended(end, note)]),
            state @ (State::Held { .. } | State::Granted { .. } | State::Ended { .. }) => {
                Err(StepError::Over(state.word()))
            }
        },
        Event::Supersede { by, note } => pending(record)
            .map(|()| vec![Fact::Ended { end: End::Superseded, note, superseded_by: Some(by) }]),
    }
}

fn review(record: &Record, vote: Vote, now: Timestamp) -> Result<Vec<Fact>, StepError> {
    let votes = match &record.state {
        State::Held { votes, .. } | State::Granted { votes, .. } => votes,
        state @ (State::Claimed { .. } | State::Executed { .. } | State::Ended { .. }) => {
            return Err(StepError::Over(state.word()));
        }
    };
    same_digest(record, &vote.digest)?;
    if record.terms.people.contains(&vote.person) {
        return Err(StepError::OwnRequest);
    }
    if let Some(before) = votes.iter().find(|v| v.person == vote.person) {
        // A review that is delivered twice counts once; one that says otherwise is refused.
        return if before.choice == vote.choice { Ok(Vec::new()) } else { Err(StepError::AlreadyDecided) };
    }
    let State::Held { .. } = &record.state else { return Err(StepError::Over(record.state.word())) };
    alive(record, now)?;
    let requirement = &record.terms.requirement;
    if !requirement.groups().keys().any(|group| vote.groups.contains(group)) {
        let asked: Vec<&str> = requirement.groups().keys().map(|g| g.as_str()).collect();
        return Err(StepError::NotAsked(asked.join(", ")));
    }
    if vote.choice == Choice::Denied {
        return Ok(vec![Fact::Reviewed { vote }, ended(End::Denied, "a reviewer said no".to_owned())]);
    }
    if vote.assurance < requirement.assurance {
        let (needed, found) = (requirement.assurance.word(), vote.assurance.word());
        return Err(StepError::TooWeak { needed, found });
    }
    let mut people = Record::approvals(votes);
    people.insert(vote.person.clone(), vote.groups.clone());
    let granted = requirement.satisfied_by(&people);
    let mut facts = vec![Fact::Reviewed { vote }];
    if granted {
        facts.push(Fact::Granted { valid_until: now.plus(requirement.valid) });
    }
    Ok(facts)
}

fn claim(record: &Record, fresh: Fresh, now: Timestamp) -> Result<Vec<Fact>, StepError> {
    let State::Granted { votes, parked, .. } = &record.state else {
        return Err(StepError::Over(record.state.word()));
    };
    alive(record, now)?;
    if *parked {
        return Err(StepError::Parked);
    }
    same_digest(record, &fresh.digest)?;
    if fresh.effect != record.terms.effect {
        return Err(StepError::Changed("its effect"));
    }
    if fresh.obligations != record.terms.obligations {
        return Err(StepError::Changed("how it is masked and limited"));
    }
    let mut people = fresh.eligible;
    let strong = |v: &&Vote| v.choice == Choice::Approved && v.assurance >= fresh.requirement.assurance;
    let kept: Vec<_> = votes.iter().filter(strong).map(|v| v.person.clone()).collect();
    people.retain(|person, _| kept.contains(person) && !record.terms.people.contains(person));
    if !fresh.requirement.satisfied_by(&people) {
        let (filled, needed) = fresh.requirement.filled(&people);
        return Err(StepError::NotEnough { filled, needed });
    }
    Ok(vec![Fact::Claimed { session: fresh.session }])
}

fn same_digest(
    record: &Record,
    found: &crate::digest::Digest<crate::request::Request>,
) -> Result<(), StepError> {
    let expected = record.terms.digest().map_err(|e| StepError::NoDigest(e.to_string()))?;
    if expected == *found { Ok(()) } else { Err(StepError::OtherDigest { expected, found: *found }) }
}

fn pending(record: &Record) -> Result<(), StepError> {
    if record.state.is_pending() { Ok(()) } else { Err(StepError::Over(record.state.word())) }
}

fn alive(record: &Record, now: Timestamp) -> Result<(), StepError> {
    match record.deadline() {
        Some(deadline) if now < deadline => Ok(()),
        Some(_) => Err(StepError::Expired),
        None => Err(StepError::Over(record.state.word())),
    }
}

fn expiry_note(state: &State) -> String {
    match state {
        State::Granted { .. } => "approved, but not used in time".to_owned(),
        State::Held { .. } | State::Claimed { .. } | State::Executed { .. } | State::Ended { .. } => {
            "nobody decided in time".to_owned()
        }
    }
}

const fn ended(end: End, note: String) -> Fact {
    Fact::Ended { end, note, superseded_by: None }
}
