//! The gate's account of an execution: what it tells, and what it never makes up.

use super::*;
use countersign_core::action::{Bound, Obligations};
use countersign_core::id::{AgentName, EnvName, GroupName, TargetName};
use countersign_core::kind::Kind;
use countersign_core::lifecycle::Vote;
use countersign_core::requirement::{Assurance, Requirement};
use countersign_core::time::Seconds;
use countersign_ledger::tree::leaf_hash;

fn terms() -> Terms {
    let opened_at = Timestamp::from_micros(1_790_000_000_000_000);
    let requirement = Requirement::one_of(GroupName::parse("owners").unwrap());
    Terms {
        id: RequestId::from_bytes([1; 10]),
        session: SessionId::from_bytes([2; 10]),
        agent: AgentName::parse("etl").unwrap(),
        people: [Pseudonym::from_bytes([3; 10])].into(),
        target: TargetName::parse("shop").unwrap(),
        env: EnvName::parse("prod").unwrap(),
        kinds: [Kind::Delete].into(),
        effect: Digest::of_bytes(b"e"),
        view: Digest::of_bytes(b"v"),
        obligations: Obligations::default(),
        expires_at: opened_at.plus(requirement.wait),
        requirement,
        bound: Bound { rows_max: Some(10), tables_max: None },
        policy: Digest::of_bytes(b"p"),
        opened_at,
        supersedes: None,
    }
}

/// The life of a request up to this many facts.
fn facts(count: usize) -> Vec<(Fact, Timestamp, LeafRef)> {
    let terms = terms();
    let vote = Vote {
        digest: terms.digest().unwrap(),
        person: Pseudonym::from_bytes([4; 10]),
        key: "ssh:SHA256:x".to_owned(),
        groups: [GroupName::parse("owners").unwrap()].into(),
        choice: Choice::Approved,
        assurance: Assurance::Key,
        at: terms.opened_at,
    };
    let all = [
        Fact::Opened { terms: std::sync::Arc::new(terms.clone()) },
        Fact::Reviewed { vote },
        Fact::Granted { valid_until: terms.opened_at.plus(Seconds(300)) },
        Fact::Claimed { session: terms.session.clone() },
        Fact::Executed { transaction: Some("741".to_owned()), rows: 3 },
        Fact::Ended { end: End::Committed, note: String::new(), superseded_by: None },
    ];
    let leaf = |index: u64| LeafRef { origin: "o".to_owned(), index, hash: leaf_hash(&index.to_be_bytes()) };
    let told = |(n, fact)| (fact, terms.opened_at.plus(Seconds(n)), leaf(u64::from(n)));
    (0..).zip(all).take(count).map(told).collect()
}

#[test]
fn an_execution_tells_who_decided_what_ran_and_what_became_of_it() {
    let statement = execution(&facts(6)).unwrap();
    let told = &statement.predicate;
    assert_eq!(statement.subject[0].digest.sha256, terms().digest().unwrap().to_string());
    assert_eq!((told.decisions.len(), told.decisions[0].leaf.index, told.claim.index), (1, 1, 3));
    assert_eq!(told.effect.status, Outcome::Committed);
    assert_eq!((told.effect.rows, told.effect.transaction.as_deref()), (Some(3), Some("741")));
    let bytes = execution_payload(&statement).unwrap();
    assert_eq!(serde_json::from_slice::<Statement<Execution>>(&bytes).unwrap(), statement);
}

#[test]
fn what_is_not_settled_is_unknown_and_never_committed() {
    for count in [4, 5] {
        assert_eq!(execution(&facts(count)).unwrap().predicate.effect.status, Outcome::Unknown, "{count}");
    }
}

#[test]
fn what_was_never_released_has_no_execution() {
    for count in 0..4 {
        assert!(execution(&facts(count)).is_err(), "{count}");
    }
    let mut forged = facts(6);
    forged.remove(1);
    assert!(matches!(execution(&forged), Err(ExecutionError::Facts(_))));
}
