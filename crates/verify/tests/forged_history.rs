//! Logs that a gate with its own keys could write, well-formed and properly published, in which a person's word is
//! missing, borrowed or bent: every one is found, and named.
#![expect(clippy::expect_used, reason = "a test that panics is a test that fails")]

mod soft;

use countersign_core::entry::{Entry, KeyRecord, Leaf};
use countersign_core::id::{ID_BYTES, SessionId};
use countersign_core::lifecycle::{Choice, End, Fact, Vote};
use countersign_core::request::Terms;
use countersign_core::requirement::Assurance;
use countersign_core::statement::{Decision, Enrolment, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_ledger::dsse::Envelope;
use countersign_verify::What;
use soft::{Hand, Log, payload, person, session, value};

/// The log does not verify, and the first thing that does not fit is this, at its last leaf.
#[track_caller]
fn is_found(log: &Log, what: What) {
    is_found_at(log, what, log.leaves.len() - 1);
}

#[track_caller]
fn is_found_at(log: &Log, what: What, index: usize) {
    let finding = log.verify().expect_err("a forged log verifies");
    assert_eq!((finding.what, finding.index), (what, Some(index as u64)), "{finding}");
}

// === keys ===

/// Somebody tries to enrol `record` on a word that `bend` may change, signed by `hand`.
fn enrol_by(log: &mut Log, record: &KeyRecord, hand: &Hand, bend: impl FnOnce(&mut Statement<Enrolment>)) {
    let mut word = log.word(record, hand);
    bend(&mut word);
    let envelope = log.sealed(hand.sign(payload(&word)));
    log.enrol(record.clone(), Some(envelope));
}

#[test]
fn a_key_that_nobody_vouches_for_is_found() {
    let mut log = Log::bare();
    log.enrol(Hand::ssh(person(5), 5).record(), None);
    is_found(&log, What::Enrolment);
    let mut log = Log::new();
    log.enrol(Hand::passkey(person(1), 6).record(), None);
    is_found(&log, What::Enrolment);
}

#[test]
fn a_key_that_its_own_owner_vouches_for_is_found() {
    let mut log = Log::new();
    let (second, ada) = (Hand::passkey(person(1), 6), log.ada.clone());
    enrol_by(&mut log, &second.record(), &ada, |_| {});
    is_found(&log, What::Enrolment);
}

#[test]
fn a_word_for_another_key_or_person_does_not_enrol_this_one() {
    let mut log = Log::new();
    let (third, fourth, ada) = (Hand::ssh(person(5), 5), Hand::ssh(person(6), 6), log.ada.clone());
    let word = log.word(&fourth.record(), &ada);
    let envelope = log.sealed(ada.sign(payload(&word)));
    log.enrol(third.record(), Some(envelope));
    is_found(&log, What::Enrolment);
    let mut log = Log::new();
    let ada = log.ada.clone();
    enrol_by(&mut log, &third.record(), &ada, |word| word.predicate.person = person(6));
    is_found(&log, What::Enrolment);
}

#[test]
fn the_word_of_a_stranger_or_of_a_revoked_key_enrols_nobody() {
    let third = Hand::ssh(person(5), 5);
    let mut log = Log::new();
    enrol_by(&mut log, &third.record(), &Hand::ssh(person(6), 6), |_| {});
    is_found(&log, What::Key);
    let mut log = Log::new();
    let grace = log.grace.clone();
    log.push(Entry::KeyRevoke { key_id: grace.key_id(), note: "lost".to_owned() });
    enrol_by(&mut log, &third.record(), &grace, |_| {});
    is_found(&log, What::Key);
}

#[test]
fn a_word_that_the_voucher_or_the_gate_did_not_sign_enrols_nobody() {
    let third = Hand::ssh(person(5), 5).record();
    let sealed = |bend: &dyn Fn(&Log, &mut Envelope)| {
        let mut log = Log::new();
        let word = log.word(&third, &log.ada);
        let mut envelope = log.sealed(log.ada.sign(payload(&word)));
        bend(&log, &mut envelope);
        log.enrol(third.clone(), Some(envelope));
        log
    };
    sealed(&|_, _| {}).verify().expect("what is not bent fits");
    // Another passkey in the name of ada's.
    is_found(
        &sealed(&|log, envelope| {
            let forged = Hand::passkey(person(1), 1).sign(envelope.payload.clone());
            *envelope = log.sealed(forged);
        }),
        What::HumanSignature,
    );
    is_found(
        &sealed(&|_, envelope| envelope.signatures[0] = envelope.signatures[1].clone()),
        What::HumanSignature,
    );
    is_found(&sealed(&|_, envelope| envelope.signatures[1].sig[0] ^= 1), What::GateSignature);
}

#[test]
fn a_key_of_two_people_or_under_two_names_is_found() {
    let mut log = Log::new();
    let (ada, lent) = (log.ada.clone(), log.grace.lent_to(person(5)));
    enrol_by(&mut log, &lent.record(), &ada, |_| {});
    is_found(&log, What::Key);
    let mut log = Log::new();
    let (grace, mut again) = (log.grace.clone(), log.ada.lent_to(person(5)).record());
    again.id = "webauthn:AAAA".to_owned();
    enrol_by(&mut log, &again, &grace, |_| {});
    is_found(&log, What::Key);
    let mut log = Log::new();
    let (ada, mut other) = (log.ada.clone(), Hand::ssh(person(5), 5).record());
    other.id = Hand::ssh(person(5), 6).record().id;
    enrol_by(&mut log, &other, &ada, |_| {});
    is_found(&log, What::Key);
}

#[test]
fn a_key_is_revoked_once_and_only_where_it_is_enrolled() {
    let mut log = Log::new();
    let revoke = |log: &mut Log, key_id| log.push(Entry::KeyRevoke { key_id, note: String::new() });
    let grace = log.grace.key_id();
    revoke(&mut log, grace.clone());
    revoke(&mut log, grace);
    is_found(&log, What::Revocation);
    let mut log = Log::new();
    revoke(&mut log, "ssh:SHA256:nobody".to_owned());
    is_found(&log, What::Revocation);
}

// === reviews ===

/// An approval of request 1 by `hand`, bent before and after it is signed; then a grant as if nothing had happened.
fn bent(
    hand: impl FnOnce(&Log) -> Hand,
    terms: impl FnOnce(&mut Terms),
    said: impl FnOnce(&mut Statement<Decision>),
    vote: impl FnOnce(&mut Vote),
    envelope: impl FnOnce(&Log, &mut Envelope),
) -> Log {
    let mut log = Log::new();
    log.run(9, true);
    let hand = hand(&log);
    let mut opened = log.terms(1);
    terms(&mut opened);
    let opened = log.open_with(opened);
    let mut statement = log.decision(&opened, &hand, Choice::Approved);
    said(&mut statement);
    let mut signed = log.sealed(hand.sign(payload(&statement)));
    envelope(&log, &mut signed);
    let mut told = log.vote(&opened, &hand, Choice::Approved);
    vote(&mut told);
    log.reviewed(&opened.id, told, signed);
    log
}

fn ada(log: &Log) -> Hand {
    log.ada.clone()
}

fn grace(log: &Log) -> Hand {
    log.grace.clone()
}

#[track_caller]
fn bent_statement_is_found(what: What, said: impl Fn(&mut Statement<Decision>) + Copy) {
    is_found(&bent(ada, |_| {}, said, |_| {}, |_, _| {}), what);
    is_found(&bent(grace, |_| {}, said, |_| {}, |_, _| {}), what);
}

#[track_caller]
fn bent_vote_is_found(what: What, vote: impl Fn(&mut Vote) + Copy) {
    is_found(&bent(ada, |_| {}, |_| {}, vote, |_, _| {}), what);
}

#[track_caller]
fn bent_envelope_is_found(what: What, envelope: impl Fn(&Log, &mut Envelope) + Copy) {
    is_found(&bent(ada, |_| {}, |_| {}, |_| {}, envelope), what);
    is_found(&bent(grace, |_| {}, |_| {}, |_| {}, envelope), what);
}

#[test]
fn what_is_not_bent_fits() {
    for hand in [ada, grace] {
        bent(hand, |_| {}, |_| {}, |_| {}, |_, _| {}).verify().unwrap();
    }
}

#[test]
fn a_vote_without_an_envelope_is_found() {
    let mut log = Log::new();
    let terms = log.open(1);
    let vote = log.vote(&terms, &log.ada, Choice::Approved);
    log.fact(&terms.id, Fact::Reviewed { vote });
    is_found(&log, What::Review);
}

#[test]
fn an_envelope_of_another_request_is_found() {
    let mut log = Log::new();
    let (one, two) = (log.open(1), log.open(2));
    log.review(&one, true, Choice::Approved);
    let (vote, envelope) = (log.vote(&two, &log.ada, Choice::Approved), log.envelopes[0].clone());
    log.reviewed(&two.id, vote, envelope);
    is_found(&log, What::Review);
}

#[test]
fn a_decision_that_does_not_say_what_the_request_says_is_found() {
    let other = countersign_core::digest::sha256(b"other");
    bent_statement_is_found(What::Review, |said| said.subject[0].digest.sha256 = "0".repeat(64));
    bent_statement_is_found(What::Review, |said| said.predicate.request_id = soft::request(9));
    bent_statement_is_found(What::Review, |said| {
        said.predicate.policy = countersign_core::digest::Digest::from_bytes(other);
    });
    bent_statement_is_found(What::Review, |said| {
        said.predicate.view = countersign_core::digest::Digest::from_bytes(other);
    });
    bent_statement_is_found(What::Review, |said| said.predicate.max_uses = 2);
    bent_statement_is_found(What::Review, |said| {
        said.predicate.expires_at = said.predicate.expires_at.plus(Seconds(1));
    });
    bent_statement_is_found(What::Review, |said| said.predicate.approver.person = person(7));
    bent_statement_is_found(What::Review, |said| said.predicate.approver.key_id = "ssh:other".to_owned());
    bent_statement_is_found(What::Statement, |said| said.predicate_type = "urn:other".to_owned());
    bent_statement_is_found(What::Statement, |said| said.kind = "urn:other".to_owned());
    bent_statement_is_found(What::Statement, |said| said.subject[0].name = "key".to_owned());
    bent_statement_is_found(What::Statement, |said| said.subject.push(said.subject[0].clone()));
}

#[test]
fn a_no_that_is_told_as_a_yes_is_found() {
    bent_statement_is_found(What::Review, |said| said.predicate.decision = Choice::Denied);
}

#[test]
fn a_vote_that_does_not_say_what_was_signed_is_found() {
    bent_vote_is_found(What::Review, |vote| vote.choice = Choice::Denied);
    bent_vote_is_found(What::Review, |vote| vote.person = person(2));
    bent_vote_is_found(What::Review, |vote| vote.key = "ssh:other".to_owned());
    bent_vote_is_found(What::Review, |vote| {
        vote.digest = countersign_core::digest::Digest::of_bytes(b"other");
    });
    bent_vote_is_found(What::Review, |vote| vote.groups.clear());
    bent_vote_is_found(What::Time, |vote| vote.at = vote.at.plus(Seconds(3600)));
}

#[test]
fn nobody_clears_their_own() {
    let own = |terms: &mut Terms| terms.people.extend([person(1)]);
    let mut log = bent(ada, own, |_| {}, |_| {}, |_, _| {});
    // The session has other people than the terms; make it one whose person ada is.
    is_found_at(&log, What::Session, log.leaves.len() - 2);
    log = Log::new();
    let session = SessionId::from_bytes([6; ID_BYTES]);
    let begin = Entry::Session {
        session: session.clone(),
        agent: log.terms(1).agent,
        people: [person(1)].into(),
        target: log.terms(1).target,
    };
    log.push(begin);
    let terms = Terms { session, people: [person(1)].into(), ..log.terms(1) };
    let terms = log.open_with(terms);
    log.review(&terms, true, Choice::Approved);
    is_found(&log, What::OwnRequest);
}

#[test]
fn a_signature_by_the_gate_alone_is_worth_nothing() {
    bent_envelope_is_found(What::HumanSignature, |_, envelope| drop(envelope.signatures.remove(0)));
    bent_envelope_is_found(What::HumanSignature, |_, envelope| {
        envelope.signatures[0] = envelope.signatures[1].clone();
    });
    // The gate signs in the person's name.
    bent_envelope_is_found(What::HumanSignature, |log, envelope| {
        envelope.signatures[0].sig = log.gate.sign(&envelope.pae());
    });
    bent_envelope_is_found(What::HumanSignature, |_, envelope| envelope.signatures[0].extension = None);
}

#[test]
fn a_person_without_the_gate_is_not_enough_either() {
    bent_envelope_is_found(What::HumanSignature, |_, envelope| drop(envelope.signatures.pop()));
    bent_envelope_is_found(What::GateSignature, |_, envelope| envelope.signatures[1].sig[3] ^= 1);
    bent_envelope_is_found(What::GateSignature, |_, envelope| {
        envelope.signatures[1].keyid = "0".repeat(64);
    });
}

#[test]
fn a_bent_signature_or_a_signature_over_something_else_is_found() {
    bent_envelope_is_found(What::HumanSignature, |_, envelope| {
        let last = envelope.signatures[0].sig.len() - 1;
        envelope.signatures[0].sig[last] ^= 1;
    });
    let mut log = Log::new();
    let terms = log.open(1);
    let (said, other) = (
        log.decision(&terms, &log.ada.clone(), Choice::Approved),
        log.decision(&terms, &log.ada.clone(), Choice::Approved),
    );
    let mut envelope = log.ada.sign(payload(&said));
    envelope.payload = payload(&other);
    let (vote, envelope) = (log.vote(&terms, &log.ada, Choice::Approved), log.sealed(envelope));
    log.reviewed(&terms.id, vote, envelope);
    is_found(&log, What::HumanSignature);
}

#[test]
fn a_payload_that_is_written_another_way_is_found() {
    let mut log = Log::new();
    let terms = log.open(1);
    let said = log.decision(&terms, &log.ada.clone(), Choice::Approved);
    let text = String::from_utf8(payload(&said)).unwrap();
    for other in [
        text.replacen('{', "{ ", 1),
        text.replacen('{', r#"{"more":1,"#, 1),
        text.replacen("\"maxUses\":1", "\"maxUses\":1.0", 1),
        format!("{text}\n"),
    ] {
        let mut log = Log { leaves: log.leaves.clone(), ada: log.ada.clone(), ..Log::bare() };
        log.wait(20);
        let envelope = log.sealed(log.ada.sign(other.into_bytes()));
        let vote = log.vote(&terms, &log.ada, Choice::Approved);
        log.reviewed(&terms.id, vote, envelope);
        is_found(&log, What::Statement);
    }
}

#[test]
fn a_passkey_without_user_verification_or_from_another_page_is_found() {
    let sloppy = |log: &Log| Hand { user_verified: false, ..log.ada.clone() };
    is_found(&bent(sloppy, |_| {}, |_| {}, |_| {}, |_, _| {}), What::HumanSignature);
    let elsewhere = |log: &Log| Hand { origin: "https://approve.example.evil".to_owned(), ..log.ada.clone() };
    is_found(&bent(elsewhere, |_| {}, |_| {}, |_| {}, |_, _| {}), What::HumanSignature);
    let for_mail = |log: &Log| Hand { namespace: "file".to_owned(), ..log.grace.clone() };
    is_found(&bent(for_mail, |_| {}, |_| {}, |_| {}, |_, _| {}), What::HumanSignature);
}

#[test]
fn an_assurance_that_is_claimed_and_not_proved_or_too_weak_is_found() {
    let claimed = |vote: &mut Vote| vote.assurance = Assurance::Passkey;
    is_found(&bent(grace, |_| {}, |_| {}, claimed, |_, _| {}), What::Assurance);
    let strict = |terms: &mut Terms| terms.requirement.assurance = Assurance::Passkey;
    is_found(&bent(grace, strict, |_| {}, |_| {}, |_, _| {}), What::Assurance);
    bent(ada, strict, |_| {}, |_| {}, |_, _| {}).verify().unwrap();
    bent_vote_is_found(What::Assurance, |vote| vote.assurance = Assurance::Chat);
}

#[test]
fn a_revoked_key_decides_nothing() {
    let mut log = Log::new();
    let terms = log.open(1);
    log.push(Entry::KeyRevoke { key_id: log.grace.key_id(), note: "lost".to_owned() });
    log.review(&terms, false, Choice::Approved);
    is_found(&log, What::Key);
}

#[test]
fn a_nonce_is_used_once() {
    bent_statement_is_found(What::Nonce, |said| said.predicate.nonce = format!("{:032x}", 1));
    bent_statement_is_found(What::Nonce, |said| said.predicate.nonce = "12".to_owned());
}

#[test]
fn a_decision_out_of_time_is_found() {
    let early = Timestamp::from_micros(soft::START.micros() - 400_000_000);
    bent_statement_is_found(What::Time, |said| said.predicate.decided_at = early);
    let mut log = Log::new();
    let terms = log.open(1);
    log.wait(1_801);
    log.review(&terms, true, Choice::Approved);
    is_found(&log, What::Time);
}

// === anchors ===

#[test]
fn a_wrong_anchor_breaks_the_log_where_it_was_signed() {
    bent_statement_is_found(What::Anchor, |said| {
        said.predicate.anchor.root = countersign_ledger::tree::leaf_hash(b"another history").to_string();
    });
    bent_statement_is_found(What::Anchor, |said| {
        said.predicate.anchor.origin = "other.example/log".to_owned()
    });
    bent_statement_is_found(What::Anchor, |said| said.predicate.anchor.size = 1_000);
    bent_statement_is_found(What::Anchor, |said| said.predicate.anchor.size -= 1);
    bent_statement_is_found(What::Anchor, |said| said.predicate.anchor.size = 0);
}

#[test]
fn a_history_rewritten_before_an_anchor_is_found_though_everything_was_signed_anew() {
    let mut log = Log::new();
    log.batch(&session(), 0, 3);
    let rewritten = log.leaves.len() - 1;
    log.run(1, true);
    log.verify().unwrap();
    let batch = String::from_utf8(log.leaves[rewritten].clone()).unwrap();
    log.leaves[rewritten] = batch.replacen("\"outcome\":\"1\"", "\"outcome\":\"2\"", 1).into_bytes();
    // The root of the rewritten log is signed by the log's own key: only ada's anchor knows better.
    is_found_at(&log, What::Anchor, rewritten + 2);
}

// === requests ===

#[test]
fn a_grant_without_a_vote_with_a_no_or_too_long_is_found() {
    let mut log = Log::new();
    let terms = log.open(1);
    log.grant(&terms);
    is_found(&log, What::Grant);
    let mut log = Log::new();
    let terms = log.open(1);
    log.review(&terms, true, Choice::Denied);
    log.grant(&terms);
    is_found(&log, What::Grant);
    let mut log = Log::new();
    let terms = log.open(1);
    log.review(&terms, true, Choice::Approved);
    let valid_until = log.now.plus(Seconds(3600));
    log.fact(&terms.id, Fact::Granted { valid_until });
    is_found(&log, What::Grant);
}

#[test]
fn a_claim_is_made_once_in_time_and_only_of_what_was_granted() {
    let granted = || {
        let mut log = Log::new();
        let terms = log.open(1);
        log.review(&terms, true, Choice::Approved);
        log.grant(&terms);
        (log, terms)
    };
    let (mut log, terms) = granted();
    log.claim(&terms);
    log.claim(&terms);
    is_found(&log, What::Claim);
    let (mut log, terms) = granted();
    log.claim(&terms);
    log.end(&terms, End::Committed);
    log.claim(&terms);
    is_found(&log, What::Claim);
    let (mut log, terms) = granted();
    log.wait(301);
    log.claim(&terms);
    is_found(&log, What::Claim);
    let (mut log, terms) = granted();
    log.fact(&terms.id, Fact::Claimed { session: SessionId::from_bytes([5; ID_BYTES]) });
    is_found(&log, What::Claim);
    let mut log = Log::new();
    let terms = log.open(1);
    log.claim(&terms);
    is_found(&log, What::Claim);
}

#[test]
fn one_person_counts_once() {
    let mut log = Log::new();
    let terms = log.open(1);
    log.review(&terms, true, Choice::Approved);
    log.review(&terms, true, Choice::Approved);
    is_found(&log, What::Request);
}

#[test]
fn an_end_that_did_not_happen_so_is_found() {
    let mut log = Log::new();
    let terms = log.open(1);
    log.end(&terms, End::Expired);
    is_found(&log, What::Time);
    let mut log = Log::new();
    let terms = log.open(1);
    log.end(&terms, End::Committed);
    is_found(&log, What::Request);
    let mut log = Log::new();
    let terms = log.run(1, true);
    log.end(&terms, End::Unknown);
    is_found(&log, What::Request);
    let mut log = Log::new();
    let terms = log.open(1);
    log.review(&terms, true, Choice::Approved);
    log.grant(&terms);
    log.claim(&terms);
    log.fact(&terms.id, Fact::Executed { transaction: None, rows: 101 });
    log.end(&terms, End::Committed);
    is_found(&log, What::Outcome);
}

#[test]
fn terms_that_do_not_belong_here_are_found() {
    let opened = |bend: &dyn Fn(&mut Terms)| {
        let mut log = Log::new();
        log.open(9);
        let mut terms = log.terms(1);
        bend(&mut terms);
        log.fact(&soft::request(1), Fact::Opened { terms: std::sync::Arc::new(terms) });
        log
    };
    opened(&|_| {}).verify().unwrap();
    is_found(&opened(&|terms| terms.id = soft::request(2)), What::Terms);
    let other = countersign_core::digest::Digest::of_bytes(b"milder");
    is_found(&opened(&|terms| terms.policy = other), What::Policy);
    is_found(&opened(&|terms| terms.expires_at = terms.expires_at.plus(Seconds(1))), What::Terms);
    is_found(&opened(&|terms| terms.opened_at = terms.opened_at.plus(Seconds(2))), What::Terms);
    is_found(&opened(&|terms| terms.supersedes = Some(soft::request(8))), What::Terms);
    opened(&|terms| terms.supersedes = Some(soft::request(9))).verify().unwrap();
    is_found(&opened(&|terms| terms.people.extend([person(1)])), What::Session);
    is_found(&opened(&|terms| terms.session = SessionId::from_bytes([5; ID_BYTES])), What::Session);
    let mut log = opened(&|_| {});
    log.open(1);
    is_found(&log, What::Request);
}

#[test]
fn an_envelope_beside_anything_but_a_review_is_found() {
    let mut log = Log::new();
    let terms = log.open(1);
    log.review(&terms, true, Choice::Approved);
    let valid_until = log.now.plus(terms.requirement.valid);
    let envelope = Some(value(&log.envelopes[0]));
    log.push(Entry::Request { id: terms.id, fact: Fact::Granted { valid_until }, envelope });
    is_found(&log, What::Request);
}

// === the rest of the log ===

#[test]
fn a_log_begins_once_and_with_its_own_name() {
    let mut log = Log::bare();
    let again = String::from_utf8(log.leaves[0].clone()).unwrap();
    log.leaves.push(again.clone().into_bytes());
    is_found(&log, What::Genesis);
    log.leaves = vec![again.replace("gate.example/log", "gate.example/two").into_bytes()];
    is_found(&log, What::Genesis);
    log.leaves = vec![Leaf::new(soft::START, Entry::GateStop, Vec::new()).to_bytes().unwrap()];
    is_found(&log, What::Genesis);
}

#[test]
fn a_leaf_that_is_not_canonical_is_found() {
    for bytes in [&b"{}"[..], b"", b"{\"t\":\"2026-11-21T00:00:00.000000Z\", \"type\":\"gate.stop\",\"v\":1}"]
    {
        let mut log = Log::new();
        log.leaves.push(bytes.to_vec());
        is_found(&log, What::Leaf);
    }
}

#[test]
fn a_gap_or_a_repeat_in_the_autonomous_records_is_found() {
    for first in [0, 4, 6, 7] {
        let mut log = Log::new();
        log.batch(&session(), 0, 5);
        log.batch(&session(), first, 1);
        is_found(&log, What::Batch);
    }
    let mut log = Log::new();
    log.batch(&session(), 2, 5);
    is_found(&log, What::Batch);
}

#[test]
fn a_session_that_begins_twice_is_found() {
    let mut log = Log::new();
    log.begin(session());
    is_found(&log, What::Session);
}
