//! The closed list of what a caller may be told when its action does not run. Each has a stable code; none holds
//! data that the caller did not send itself.

use crate::id::RequestId;
use crate::time::Timestamp;
use crate::verdict::Reason;
use crate::view::visible_line;

/// A request that is before people, for a caller that does not wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The request.
    pub request: RequestId,
    /// Who must approve, in words.
    pub needs: String,
    /// When the request ends unanswered.
    pub until: Timestamp,
    /// Where people decide it.
    pub link: String,
    /// The first digits of what they sign.
    pub code: String,
    /// What is not as it was when it was approved before.
    pub changed: Option<String>,
}

impl Pending {
    fn message(&self) -> String {
        let needs = &self.needs;
        match &self.changed {
            None => format!("this action waits for {needs}"),
            Some(what) => {
                let what = visible_line(what);
                format!("this action waits for {needs} once more: {what} changed since the approval")
            }
        }
    }
}

/// Why an action did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Policy denies it.
    Denied {
        /// The policies.
        reasons: Vec<Reason>,
    },
    /// A person said no.
    Declined {
        /// The request.
        request: RequestId,
        /// Their justification, for the caller to read.
        justification: Option<String>,
        /// Until when a repetition gets the same answer, where the caller did not wait for it.
        stands_until: Option<Timestamp>,
    },
    /// It is before people, and the caller does not wait for them.
    Pending(Box<Pending>),
    /// Nobody decided in time, or the approval was not used in time.
    Expired {
        /// The request.
        request: RequestId,
    },
    /// The client gave up.
    Withdrawn {
        /// The request.
        request: RequestId,
    },
    /// The gate is going down; the request waits for the same action to be repeated.
    Parked {
        /// The request.
        request: RequestId,
    },
    /// Too few people may approve it once the requester's chain is taken out.
    NobodyMayApprove {
        /// What is needed and what there is.
        detail: String,
    },
    /// The gate does not understand it.
    NotUnderstood {
        /// What it is.
        what: String,
    },
    /// It is not valid: the target would refuse it too.
    Invalid {
        /// Why, in the target's own words.
        what: String,
        /// It is well formed, and names something that is not there.
        absent: bool,
    },
    /// The gate does not let this through at all.
    Unsupported {
        /// What it is.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// It needs approval where it cannot wait: inside a transaction that has already changed something.
    CannotHoldHere {
        /// Why not.
        why: String,
    },
    /// It ran into the bound it was approved with and was undone.
    OverBound {
        /// The most rows that were approved.
        rows_max: u64,
        /// It was tried before, and changed other tables this time, or more rows in one of them.
        elsewhere: bool,
    },
    /// What would run now differs from what was approved.
    Changed {
        /// The request.
        request: RequestId,
        /// What changed.
        what: String,
    },
    /// A limit with a name was reached.
    Limit {
        /// The limit's name in the configuration.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// It could not be recorded, judged or timed, so it does not run.
    Unavailable {
        /// What failed, without internals.
        what: &'static str,
    },
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::Declined { .. } => "declined",
            Self::Pending(_) => "pending",
            Self::Expired { .. } => "expired",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Parked { .. } => "parked",
            Self::NobodyMayApprove { .. } => "nobody-may-approve",
            Self::NotUnderstood { .. } => "not-understood",
            Self::Invalid { .. } => "invalid",
            Self::Unsupported { .. } => "unsupported",
            Self::CannotHoldHere { .. } => "cannot-hold-here",
            Self::OverBound { .. } => "over-bound",
            Self::Changed { .. } => "changed",
            Self::Limit { .. } => "limit",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    /// What happened, in one line.
    pub fn message(&self) -> String {
        match self {
            Self::Denied { .. } => "policy does not allow this action".to_owned(),
            Self::Declined { .. } => "a person refused this action".to_owned(),
            Self::Pending(pending) => pending.message(),
            Self::Expired { .. } => "nobody approved this action in time".to_owned(),
            Self::Withdrawn { .. } => "the request was withdrawn".to_owned(),
            Self::Parked { .. } => "the gate is restarting; the request waits".to_owned(),
            Self::NobodyMayApprove { .. } => "nobody may approve this action".to_owned(),
            Self::NotUnderstood { .. } => "the gate does not understand this action".to_owned(),
            Self::Invalid { what, .. } => what.clone(),
            Self::Unsupported { what, .. } => format!("{what} does not pass this gate"),
            Self::CannotHoldHere { .. } => "this action needs approval and cannot wait here".to_owned(),
            Self::OverBound { .. } => "the action touched more than was approved and was undone".to_owned(),
            Self::Changed { .. } => "what would run is not what was approved".to_owned(),
            Self::Limit { name, .. } => format!("the limit `{name}` is reached"),
            Self::Unavailable { what } => format!("{what}, so the action does not run"),
        }
    }

    /// Why: which policy, which attribute.
    pub fn detail(&self) -> String {
        match self {
            Self::Denied { reasons } => reason_lines(reasons),
            Self::Declined { request, justification, .. } => match justification {
                Some(text) => {
                    format!("Request {request}: \"{}\". Nothing was executed.", visible_line(text))
                }
                None => format!("Request {request}. No reason was given. Nothing was executed."),
            },
            Self::Pending(pending) => {
                format!("Request {}, until {}. Nothing was executed.", pending.request, pending.until)
            }
            Self::Expired { request } | Self::Withdrawn { request } | Self::Parked { request } => {
                format!("Request {request}. Nothing was executed.")
            }
            Self::NobodyMayApprove { detail } => detail.clone(),
            Self::NotUnderstood { what } => what.clone(),
            Self::Invalid { absent: true, .. } => {
                "Its role cannot see it; the catalogue was read again just now. Nothing was executed."
                    .to_owned()
            }
            Self::Invalid { absent: false, .. } => {
                "The grammar by which the gate reads statements refuses it. Nothing was executed.".to_owned()
            }
            Self::Unsupported { what, .. } => format!("Found {what}. Nothing was executed."),
            Self::CannotHoldHere { why } => format!("{why}. Nothing of this transaction can be committed."),
            Self::OverBound { elsewhere: true, .. } => {
                "It changed rows in other tables than were approved, or more of them.".to_owned()
            }
            Self::OverBound { rows_max, elsewhere: false } => {
                format!("The approval was for at most {rows_max} rows.")
            }
            Self::Changed { request, what } => {
                format!("Request {request}: {what} changed. Nothing was executed.")
            }
            Self::Limit { name, value } => format!("`{name}` is {value}. Nothing was executed."),
            Self::Unavailable { .. } => "An error never allows. Nothing was executed.".to_owned(),
        }
    }

    /// What would have to change, and where to ask.
    pub fn hint(&self) -> String {
        match self {
            Self::Denied { .. } => {
                "See `countersign explain` for what would change the answer; the owner of the policy can change it."
            }
            Self::Declined { stands_until: Some(until), .. } => {
                return format!(
                    "The answer stands until {until}. To ask anew before that, say why: SET countersign.reason = '…', \
                     and repeat the same statement."
                );
            }
            Self::Declined { stands_until: None, .. } => {
                "Talk to the reviewers before you ask again; do not try another way."
            }
            Self::Pending(pending) => {
                return format!(
                    "Approve at {} (code {}), then repeat the same statement: it runs once.",
                    pending.link, pending.code
                );
            }
            Self::Expired { .. } => "Repeat the same action to ask again.",
            Self::Withdrawn { .. } => "Repeat the action to ask again.",
            Self::Parked { .. } => "Repeat the same action after the restart: an approval given meanwhile counts.",
            Self::NobodyMayApprove { .. } => {
                "Ask the owner of the gate to enrol another approver: nobody clears their own."
            }
            Self::NotUnderstood { .. } => "Send one plain statement that PostgreSQL's own grammar accepts.",
            Self::Invalid { absent: true, .. } => "Check the name and the search_path.",
            Self::Invalid { absent: false, .. } => "It is PostgreSQL's own grammar, of the version that the gate was built with.",
            Self::Unsupported { instead, .. } => return instead.clone(),
            Self::CannotHoldHere { .. } => {
                "Roll back, then run this action first in its transaction or on its own. Or do not wait: SET countersign.mode = park, and repeat the transaction once it is approved."
            }
            Self::OverBound { .. } => "Repeat the action to have the larger effect approved.",
            Self::Changed { .. } => "Repeat the action to have it approved as it is now.",
            Self::Limit { .. } => "Wait for other actions to end, or ask the owner of the gate to raise the limit.",
            Self::Unavailable { .. } => "Try again later; if it lasts, tell the owner of the gate.",
        }
        .to_owned()
    }
}

fn reason_lines(reasons: &[Reason]) -> String {
    let line = |r: &Reason| format!("{}: {}", r.policy, r.text);
    reasons.iter().map(line).collect::<Vec<_>>().join("; ")
}
