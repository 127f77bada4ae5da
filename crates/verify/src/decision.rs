//! A person's decision held against everything it speaks of: the request's terms, the vote in the log, the key.
//! It refuses to know what follows from it.

use crate::envelope::{self, Opened};
use crate::finding::{Misfit, What, demand, misfit};
use crate::keys::Keys;
use countersign_core::lifecycle::{Choice, Vote};
use countersign_core::request::Terms;
use countersign_core::statement::{DECISION_TYPE, Decision};
use countersign_core::time::{Seconds, Timestamp};
use countersign_ledger::sign::ed25519::GatePublicKey;
use serde_json::Value;

/// How far a person's time may lie outside the request's, and from the leaf's.
pub const DECIDED_SECONDS_SKEW_MAX: Seconds = Seconds(5 * 60);
/// How long what was prepared may wait for its signature.
const PREPARED_SECONDS_MAX: Seconds = Seconds(10 * 60);

/// Checks the envelope beside a vote. Gives what was signed.
pub(crate) fn check(
    vote: &Vote,
    at: Timestamp,
    value: Option<&Value>,
    terms: &Terms,
    keys: &Keys,
    gate: &GatePublicKey,
) -> Result<Decision, Misfit> {
    let none = || misfit(What::Review, "the envelope that the person signed", "none");
    let opened: Opened<Decision> = envelope::open(value.ok_or_else(none)?, DECISION_TYPE, "request")?;
    let digest = terms.digest().map_err(|error| misfit(What::Terms, "terms with a canonical form", error))?;
    let said = &opened.statement.predicate;
    let text = digest.to_string();
    demand(
        opened.subject == text,
        What::Review,
        format!("the digest of these terms, {text}"),
        &opened.subject,
    )?;
    demand(vote.digest == digest, What::Review, format!("a vote on {text}"), vote.digest)?;
    same_as_terms(said, terms)?;
    same_as_vote(said, vote)?;
    let own = terms.people.contains(&vote.person);
    let expected = "somebody outside the requester's chain";
    demand(!own, What::OwnRequest, expected, format_args!("{}, who is in it", vote.person))?;
    in_time(said, vote, at, terms)?;
    let key = keys.key(&vote.key, &vote.person)?;
    let proved = opened.signed_by(key)?;
    opened.countersigned_by(gate)?;
    let (claimed, proved) = (vote.assurance, proved);
    let expected = format!("at most `{}`, as the signature proves", proved.word());
    demand(claimed <= proved, What::Assurance, expected, claimed.word())?;
    let enough = vote.choice == Choice::Denied || vote.assurance >= terms.requirement.assurance;
    let expected = format!("at least `{}`, as the terms ask", terms.requirement.assurance.word());
    demand(enough, What::Assurance, expected, vote.assurance.word())?;
    let asked = terms.requirement.groups().keys().any(|group| vote.groups.contains(group));
    demand(asked, What::Review, "a person of a group that is asked", &vote.person)?;
    Ok(opened.statement.predicate)
}

fn same_as_terms(said: &Decision, terms: &Terms) -> Result<(), Misfit> {
    let of = What::Review;
    demand(said.request_id == terms.id, of, format!("a decision on {}", terms.id), &said.request_id)?;
    demand(said.policy == terms.policy, of, format!("the policy {}", terms.policy), said.policy)?;
    demand(said.view == terms.view, of, format!("the view {}", terms.view), said.view)?;
    let expires = terms.expires_at;
    demand(said.expires_at == expires, of, format!("the expiry {expires}"), said.expires_at)?;
    demand(said.max_uses == 1, of, "a decision for one use", said.max_uses)
}

fn same_as_vote(said: &Decision, vote: &Vote) -> Result<(), Misfit> {
    let of = What::Review;
    let person = &said.approver.person;
    demand(*person == vote.person, of, format!("a vote of {person}, who signed"), &vote.person)?;
    let key = &said.approver.key_id;
    demand(*key == vote.key, of, format!("a vote with the key `{key}`"), &vote.key)?;
    let word = |choice| match choice {
        Choice::Approved => "approved",
        Choice::Denied => "denied",
    };
    demand(
        said.decision == vote.choice,
        of,
        format!("a vote `{}`, as was signed", word(said.decision)),
        word(vote.choice),
    )
}

fn in_time(said: &Decision, vote: &Vote, at: Timestamp, terms: &Terms) -> Result<(), Misfit> {
    let of = What::Time;
    let skew = DECIDED_SECONDS_SKEW_MAX;
    let decided = said.decided_at;
    let within = decided.plus(skew) >= terms.opened_at && decided <= terms.expires_at.plus(skew);
    let expected = format!("a decision from {} to {}", terms.opened_at, terms.expires_at);
    demand(within, of, expected, decided)?;
    let near = |a: Timestamp, b: Timestamp, span| a <= b.plus(span) && b <= a.plus(span);
    demand(near(vote.at, at, skew), of, format!("a vote at about {at}"), vote.at)?;
    let span = Seconds(PREPARED_SECONDS_MAX.0 + skew.0);
    demand(near(decided, at, span), of, format!("a decision shortly before {at}"), decided)?;
    demand(at < terms.expires_at, of, format!("a review before {}", terms.expires_at), at)
}
