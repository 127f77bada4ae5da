//! Promises of the lifecycle: nobody clears their own, once, in time, and the log replays to the state.

use super::*;
use crate::action::Bound;
use crate::id::{AgentName, EnvName, ID_BYTES, TargetName};
use crate::kind::Kind;
use proptest::prelude::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn person(n: u8) -> Pseudonym {
    Pseudonym::from_bytes([n; ID_BYTES])
}

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; ID_BYTES])
}

fn terms(requirement: &str) -> Terms {
    Terms {
        id: RequestId::from_bytes([1; ID_BYTES]),
        session: session(1),
        agent: AgentName::parse("etl").expect("a name"),
        people: [person(9)].into(),
        target: TargetName::parse("shop").expect("a name"),
        env: EnvName::parse("prod").expect("a name"),
        kinds: [Kind::Export].into(),
        effect: Digest::from_bytes([2; 32]),
        view: Digest::from_bytes([3; 32]),
        obligations: Obligations::default(),
        requirement: Requirement::parse(requirement).expect("a requirement"),
        bound: Bound { rows_max: Some(10), tables_max: None },
        policy: Digest::from_bytes([4; 32]),
        opened_at: at(100),
        expires_at: at(100 + 1800),
        supersedes: None,
    }
}

fn held(requirement: &str) -> Record {
    open(terms(requirement), at(100)).expect("opens").record
}

fn vote(record: &Record, n: u8, group: &str, choice: Choice) -> Vote {
    Vote {
        digest: record.terms.digest().expect("a digest"),
        person: person(n),
        key: format!("ssh:{n}"),
        groups: [GroupName::parse(group).expect("a group")].into(),
        choice,
        assurance: Assurance::Passkey,
        at: at(110),
    }
}

fn approved(record: &Record, n: u8) -> Record {
    let yes = vote(record, n, "owners", Choice::Approved);
    step(record, Event::Review(yes), at(110)).expect("a review").record
}

fn fresh(record: &Record, n: u8) -> Fresh {
    let owners: BTreeSet<GroupName> = [GroupName::parse("owners").expect("a group")].into();
    Fresh {
        session: session(n),
        digest: record.terms.digest().expect("a digest"),
        effect: record.terms.effect,
        obligations: record.terms.obligations.clone(),
        requirement: record.terms.requirement.clone(),
        eligible: (0..10).map(|p| (person(p), owners.clone())).collect(),
    }
}

#[test]
fn nobody_in_the_chain_may_review() {
    let record = held("1 of owners");
    let own = vote(&record, 9, "owners", Choice::Approved);
    assert_eq!(step(&record, Event::Review(own), at(110)), Err(StepError::OwnRequest));
}

#[test]
fn a_quorum_counts_distinct_people() {
    let record = approved(&held("2 of owners"), 1);
    let again = approved(&record, 1);
    assert_eq!(again.state.word(), "held", "the same person twice is one");
    assert_eq!(approved(&record, 2).state.word(), "granted");
}

#[test]
fn a_review_delivered_twice_counts_once_and_changes_nothing() {
    let record = approved(&held("2 of owners"), 1);
    let yes = vote(&record, 1, "owners", Choice::Approved);
    assert_eq!(step(&record, Event::Review(yes), at(111)).expect("idempotent").facts, []);
    let no = vote(&record, 1, "owners", Choice::Denied);
    assert_eq!(step(&record, Event::Review(no), at(111)), Err(StepError::AlreadyDecided));
}

#[test]
fn a_reviewer_of_another_group_is_not_asked() {
    let record = held("1 of owners");
    let stranger = vote(&record, 1, "cooks", Choice::Approved);
    assert!(matches!(step(&record, Event::Review(stranger), at(110)), Err(StepError::NotAsked(_))));
}

#[test]
fn a_review_weaker_than_the_requirement_does_not_count() {
    let record = held("1 of owners; assurance passkey");
    let weak = Vote { assurance: Assurance::Key, ..vote(&record, 1, "owners", Choice::Approved) };
    assert!(matches!(step(&record, Event::Review(weak), at(110)), Err(StepError::TooWeak { .. })));
}

#[test]
fn a_review_over_other_terms_is_refused() {
    let record = held("1 of owners");
    let other = Vote { digest: Digest::from_bytes([0; 32]), ..vote(&record, 1, "owners", Choice::Approved) };
    assert!(matches!(step(&record, Event::Review(other), at(110)), Err(StepError::OtherDigest { .. })));
}

#[test]
fn one_no_ends_it_and_it_stays_ended() {
    let record = held("2 of owners");
    let no = vote(&record, 1, "owners", Choice::Denied);
    let ended = step(&record, Event::Review(no), at(110)).expect("a review").record;
    assert_eq!(ended.state, State::Ended { end: End::Denied });
    let yes = vote(&record, 2, "owners", Choice::Approved);
    assert!(step(&ended, Event::Review(yes), at(111)).is_err());
    assert!(step(&ended, Event::Claim(fresh(&record, 1)), at(111)).is_err());
}

#[test]
fn timeout_means_refused() {
    let record = held("1 of owners");
    let late = step(&record, Event::Tick, at(1900)).expect("a tick").record;
    assert_eq!(late.state, State::Ended { end: End::Expired });
    let yes = vote(&record, 1, "owners", Choice::Approved);
    assert_eq!(step(&record, Event::Review(yes), at(1900)), Err(StepError::Expired));
}

#[test]
fn a_grant_is_claimed_once() {
    let granted = approved(&held("1 of owners"), 1);
    let claimed = step(&granted, Event::Claim(fresh(&granted, 1)), at(120)).expect("a claim").record;
    assert!(step(&claimed, Event::Claim(fresh(&granted, 2)), at(120)).is_err());
}

#[test]
fn a_grant_not_used_in_time_cannot_be_claimed() {
    let granted = approved(&held("1 of owners; valid 10s"), 1);
    let late = step(&granted, Event::Claim(fresh(&granted, 1)), at(120));
    assert_eq!(late, Err(StepError::Expired));
}

#[test]
fn approving_again_does_not_extend_the_window() {
    let granted = approved(&held("1 of owners; valid 60s"), 1);
    let second = vote(&granted, 2, "owners", Choice::Approved);
    assert!(step(&granted, Event::Review(second), at(150)).is_err());
    assert_eq!(granted.deadline(), Some(at(170)));
}

#[test]
fn what_changed_after_the_approval_does_not_run() {
    let granted = approved(&held("1 of owners"), 1);
    let claim = |change: fn(&mut Fresh)| {
        let mut now = fresh(&granted, 1);
        change(&mut now);
        step(&granted, Event::Claim(now), at(120))
    };
    assert_eq!(claim(|f| f.effect = Digest::from_bytes([7; 32])), Err(StepError::Changed("its effect")));
    assert!(matches!(claim(|f| f.obligations.rows_max = Some(1)), Err(StepError::Changed(_))));
    assert!(matches!(claim(|f| f.digest = Digest::from_bytes([7; 32])), Err(StepError::OtherDigest { .. })));
}

#[test]
fn reviews_must_satisfy_the_rules_of_now() {
    let granted = approved(&held("1 of owners"), 1);
    let mut stricter = fresh(&granted, 1);
    stricter.requirement = Requirement::parse("2 of owners").expect("ok");
    assert!(matches!(step(&granted, Event::Claim(stricter), at(120)), Err(StepError::NotEnough { .. })));
    let mut gone = fresh(&granted, 1);
    gone.eligible.remove(&person(1));
    assert!(matches!(step(&granted, Event::Claim(gone), at(120)), Err(StepError::NotEnough { .. })));
}

#[test]
fn a_parked_request_is_claimed_only_after_it_was_adopted() {
    let granted = approved(&held("1 of owners"), 1);
    let parked = step(&granted, Event::Park, at(115)).expect("parks").record;
    assert_eq!(step(&parked, Event::Claim(fresh(&granted, 2)), at(116)), Err(StepError::Parked));
    let adopted = step(&parked, Event::Adopt { session: session(2) }, at(117)).expect("adopts").record;
    assert!(step(&adopted, Event::Claim(fresh(&granted, 2)), at(118)).is_ok());
}

#[test]
fn a_clock_that_steps_back_refuses_holds_and_grants() {
    assert_eq!(open(terms("1 of owners"), at(99)), Err(StepError::ClockBack));
    let record = held("1 of owners");
    let yes = vote(&record, 1, "owners", Choice::Approved);
    assert_eq!(step(&record, Event::Review(yes), at(99)), Err(StepError::ClockBack));
    let granted = approved(&record, 1);
    assert_eq!(step(&granted, Event::Claim(fresh(&granted, 1)), at(99)), Err(StepError::ClockBack));
}

#[test]
fn what_was_released_ends_committed_rolled_back_or_unknown_and_nothing_else() {
    let granted = approved(&held("1 of owners"), 1);
    let claimed = step(&granted, Event::Claim(fresh(&granted, 1)), at(120)).expect("a claim").record;
    assert!(step(&claimed, Event::Withdraw { note: String::new() }, at(121)).is_err());
    assert_eq!(step(&claimed, Event::Tick, at(99_999)).expect("a tick").facts, []);
    let bad = Event::Settle { end: End::Denied, note: String::new() };
    assert!(step(&claimed, bad, at(121)).is_err());
    let lost = Event::Settle { end: End::Unknown, note: String::new() };
    assert_eq!(
        step(&claimed, lost, at(121)).expect("settles").record.state,
        State::Ended { end: End::Unknown }
    );
}

#[test]
fn a_forged_grant_in_the_log_does_not_replay() {
    let record = held("2 of owners");
    let opened = Fact::Opened { terms: Arc::clone(&record.terms) };
    let one = Fact::Reviewed { vote: vote(&record, 1, "owners", Choice::Approved) };
    let granted = Fact::Granted { valid_until: at(500) };
    assert!(replay([&opened, &one, &granted]).is_err());
    assert!(replay([&opened, &Fact::Claimed { session: session(1) }]).is_err());
    assert!(replay([&granted]).is_err());
}

fn arbitrary_event(record: &Record, pick: u8, who: u8) -> Event {
    let choice = if pick.is_multiple_of(2) { Choice::Approved } else { Choice::Denied };
    match pick % 11 {
        0..=3 => Event::Review(vote(
            record,
            who % 10,
            "owners",
            if pick < 200 { Choice::Approved } else { choice },
        )),
        4 => Event::Tick,
        5 => Event::Withdraw { note: String::new() },
        6 => Event::Park,
        7 => Event::Adopt { session: session(who) },
        8 => Event::Claim(fresh(record, who)),
        9 => Event::Execute { transaction: None, rows: 1 },
        _ => Event::Settle { end: End::Committed, note: String::new() },
    }
}

proptest! {
    #[test]
    fn replaying_the_facts_gives_the_state(events in proptest::collection::vec((any::<u8>(), any::<u8>(), 0i64..60), 0..40)) {
        let first = open(terms("2 of owners; valid 60s"), at(100)).expect("opens");
        let (mut record, mut facts, mut now) = (first.record, first.facts, 100);
        let mut claims = 0;
        for (pick, who, pass) in events {
            now += pass;
            let before = record.clone();
            match step(&record, arbitrary_event(&record, pick, who), at(now)) {
                Ok(step) => {
                    claims += step.facts.iter().filter(|f| matches!(f, Fact::Claimed { .. })).count();
                    facts.extend(step.facts);
                    record = step.record;
                }
                Err(_) => prop_assert_eq!(&record, &before),
            }
            if let State::Ended { .. } = before.state {
                prop_assert_eq!(&record, &before, "nothing moves after the end");
            }
        }
        prop_assert!(claims <= 1, "at most one claim");
        prop_assert_eq!(replay(&facts), Ok(Some(record)));
    }

    #[test]
    fn no_claim_without_two_distinct_people_outside_the_chain(events in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..40)) {
        let mut record = open(terms("2 of owners"), at(100)).expect("opens").record;
        let mut approvers = BTreeSet::new();
        for (pick, who) in events {
            let event = arbitrary_event(&record, pick, who);
            let approver = match &event {
                Event::Review(vote) if vote.choice == Choice::Approved => Some(vote.person.clone()),
                _ => None,
            };
            if let Ok(step) = step(&record, event, at(110)) {
                approvers.extend(approver);
                record = step.record;
            }
            if let State::Claimed { .. } = record.state {
                approvers.remove(&person(9));
                prop_assert!(approvers.len() >= 2);
            }
        }
    }
}
