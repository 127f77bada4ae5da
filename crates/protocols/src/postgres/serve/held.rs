//! An action that waits for people: at a clean point, with signs of life, withdrawn when the client gives up.

use super::super::action::{self, ClientAction};
use super::super::codec::TransactionStatus;
use super::super::reply::Expect;
use super::super::session::Mode;
use super::super::touched::Touched;
use super::super::wording;
use super::client::read_ahead;
use super::connection::{Connection, Ended, stopped};
use super::facts::{FactsError, Snapshot};
use super::mark::Moment;
use super::run::not_understood;
use super::steps::cannot_be_a_plan;
use crate::sql::{Analysis, What};
use bytes::Bytes;
use countersign_core::lifecycle::{End, Record};
use countersign_core::refusal::Refusal;
use countersign_desk::{Claim, Draft, FreshAction, Held, Judged, Parked, Waited, Waiting};
use std::sync::Arc;
use std::time::Duration;

/// How often a client that waits is sent a sign of life: below the idle limits of load balancers and drivers.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Bytes that a client may send ahead while its action waits: all of them are kept, so that its end is seen.
const WAITING_AHEAD_BYTES_MAX: usize = 16 << 20;

/// The messages that are forwarded once an action is granted.
pub(super) enum Forward {
    /// A simple query.
    Simple(Bytes),
    /// Bind, Describe where the client asked, Execute.
    Extended {
        /// The messages.
        frames: Bytes,
        /// The Bind's answer, and the Describe's.
        expect: Vec<Expect>,
    },
}

/// How a hold ended.
pub(super) enum HeldEnd {
    /// It ran; the client has been told, but for ReadyForQuery.
    Ran,
    /// The server refused it; the client has been told, but for ReadyForQuery.
    Failed,
    /// It did not run.
    Refused(Refusal),
}

/// What became of what people have approved.
enum Claimed {
    Ended(HeldEnd),
    /// It is not what they approved any more: they are asked again, and this is what is new.
    Reheld(Box<Waiting>, String, Forward),
}

enum Woken {
    Granted,
    Refused(Refusal),
    Cancelled,
    Overflown,
    Alive,
    Patient,
    Read,
}

impl Connection {
    /// Holds an action until it ran or will not run: in the role for approved work, where there is one.
    pub(super) async fn hold(
        &mut self,
        action: &ClientAction,
        analysis: Arc<Analysis>,
        held: Box<Held>,
        forward: Forward,
    ) -> Result<HeldEnd, Ended> {
        let ended = Box::pin(self.hold_in_role(action, analysis, held, forward)).await?;
        if self.walls.is_away() {
            self.done_with_granted();
            Box::pin(self.back_from_granted()).await?;
        }
        Ok(ended)
    }

    // What lives while people decide is kept small: there may be ten thousand who wait.
    async fn hold_in_role(
        &mut self,
        action: &ClientAction,
        analysis: Arc<Analysis>,
        held: Box<Held>,
        mut forward: Forward,
    ) -> Result<HeldEnd, Ended> {
        let parks = self.session.own.mode == Mode::Park;
        let asked = Box::pin(self.put_before_people(action, analysis, held, parks)).await?;
        let (mut waiting, touched) = match asked {
            Ok(asked) => asked,
            Err(refusal) => return Ok(HeldEnd::Refused(refusal)),
        };
        let mut changed: Option<String> = None;
        loop {
            if !parks {
                waiting = match self.wait(waiting, changed.as_deref()).await? {
                    Ok(waiting) => waiting,
                    Err(refusal) => return Ok(HeldEnd::Refused(refusal)),
                };
            }
            match Box::pin(self.claim(waiting, action, &touched, forward, parks)).await? {
                Claimed::Ended(end) => return Ok(end),
                Claimed::Reheld(again, what, back) => {
                    (waiting, forward) = (again, back);
                    changed = Some(what);
                }
            }
        }
    }

    // What they are asked is looked at afresh whatever they say: nothing of how it was read is kept for them.
    async fn put_before_people(
        &mut self,
        action: &ClientAction,
        mut analysis: Arc<Analysis>,
        mut held: Box<Held>,
        parks: bool,
    ) -> Result<Result<(Box<Waiting>, Box<Touched>), Refusal>, Ended> {
        if let Some(why) = cannot_be_asked(&analysis) {
            return Ok(Err(Refusal::CannotHoldHere { why }));
        }
        if let Some(why) = self.cannot_hold().await? {
            // Who does not wait keeps nothing open: it is answered now, and claimed now where it is approved already.
            // Nor can it go on in another role, where approved work has one: it would not see what it has done.
            let may_stay = self.walls.is_away() || !self.walls.has_granted();
            if !(parks && may_stay && self.session.may_claim_within()) {
                return Ok(Err(Refusal::CannotHoldHere { why }));
            }
            // To be told to wait would undo what ran before it, and each approval is for one run: both would be asked
            // for again and again.
            if !self.session.transaction.executions.is_empty() {
                let why = "an approval was already used in this transaction: put its statements before people as one \
                           plan, or in transactions of their own";
                return Ok(Err(Refusal::CannotHoldHere { why: why.to_owned() }));
            }
        }
        if self.walls.has_granted() {
            if let Some(refusal) = Box::pin(self.move_to_granted()).await? {
                return Ok(Err(refusal));
            }
            // Names may mean something else to another role: people are shown what it would do there.
            (analysis, held) = match Box::pin(self.afresh(action)).await? {
                Ok((analysis, Judged::Hold(held))) => (analysis, Box::new(held)),
                Ok((_, Judged::Deny(refusal))) | Err(refusal) => return Ok(Err(refusal)),
                Ok((_, Judged::Allow(_))) => {
                    let why = "in the role for approved work it would do something else: the roles' settings differ";
                    return Ok(Err(Refusal::CannotHoldHere { why: why.to_owned() }));
                }
            };
        }
        // What it would do is tried under them.
        self.read_values().await?;
        let touched = self.touched(&analysis, action).await?;
        let moment = self.take_footing().await?;
        let draft = self.draft(action, &analysis, held.obligations(), &touched);
        let asked = match parks {
            true => self.park(&held, draft).await,
            false => self.ask_people(&held, draft).await,
        };
        self.replies.shrink();
        if asked.is_ok() && moment.is_none_or(|moment| self.facts.as_of(&moment).is_none()) {
            self.facts.look_soon();
        }
        Ok(asked.map(|waiting| (Box::new(waiting), Box::new(touched))))
    }

    // People have said yes: everything is looked at afresh, and what still is what they signed runs.
    async fn claim(
        &mut self,
        mut waiting: Box<Waiting>,
        action: &ClientAction,
        touched: &Touched,
        forward: Forward,
        parks: bool,
    ) -> Result<Claimed, Ended> {
        let refused = |refusal| Ok(Claimed::Ended(HeldEnd::Refused(refusal)));
        if !parks && let Some(refusal) = self.connected_again().await? {
            // What people have approved stays, for whoever repeats it.
            return refused(match waiting.park().await {
                Ok(record) => self.pending(&record, None),
                Err(_) => refusal,
            });
        }
        // While the server answers.
        let remembering = async {
            waiting.remember();
            Ok::<_, Ended>(())
        };
        let (afresh, ()) = tokio::try_join!(self.afresh(action), remembering)?;
        let (analysis, judged) = match afresh {
            Ok(afresh) => afresh,
            Err(refusal) => return refused(refusal),
        };
        let obligations = waiting.record().terms.obligations.clone();
        let is_followed = waiting.record().terms.bound.tables_max.is_some();
        let is_likely = match &judged {
            Judged::Allow(_) => true,
            Judged::Hold(held) => *held.obligations() == obligations,
            Judged::Deny(_) => false,
        };
        let draft = self.draft(action, &analysis, &obligations, touched);
        let payload = forward.bytes();
        let fresh = FreshAction { draft, judged, payload: &payload };
        let identity = Arc::clone(&self.identity);
        // A transaction is begun while the claim is made stable; what people approved is sent only after that. One of the
        // client's that was ended goes on only then: it may be that people are asked again.
        let may_begin = is_likely && !self.session.transaction.suspended && !self.is_within_transaction();
        let beginning = async {
            match may_begin {
                true => self.begin_to_run(&analysis, is_followed).await.map(Some),
                false => Ok(None),
            }
        };
        let (claim, begun) = tokio::join!(waiting.claim(&identity, fresh), beginning);
        let (claim, begun) = match (claim, begun) {
            (Claim::Granted(granted), Ok(begun)) => {
                let ran = Box::pin(self.run_granted(granted, begun, &analysis, action, forward));
                return ran.await.map(Claimed::Ended);
            }
            (Claim::Granted(granted), Err(ended)) => {
                let (_, execution) = granted.release();
                self.report(execution, End::RolledBack, "the connection was lost before it was sent").await?;
                return Err(ended);
            }
            (claim, Ok(Some(begun))) => (claim, self.undo_begun(&begun).await),
            (claim, begun) => (claim, begun.map(drop)),
        };
        // Who does not wait has a request that stays, whatever became of the connection.
        let claimed = match claim {
            Claim::Reheld { waiting: again, what } if parks => refused(match again.park().await {
                Ok(record) => self.pending(&record, Some(what)),
                Err(refusal) => refusal,
            }),
            Claim::Reheld { waiting: again, what } => Ok(Claimed::Reheld(again, what, forward)),
            Claim::Refused(refusal) => refused(refusal),
            Claim::Granted(_) => Err(Ended::State("an approved action was not run")),
        };
        begun.and(claimed)
    }

    async fn ask_people(&self, held: &Held, draft: Draft) -> Result<Waiting, Refusal> {
        self.shared.desk.hold(&self.identity, held, draft).await
    }

    // The client does not wait: it has its answer at once, and what it repeats once people have approved it is claimed.
    async fn park(&self, held: &Held, draft: Draft) -> Result<Waiting, Refusal> {
        match self.shared.desk.park(&self.identity, held, draft).await? {
            Parked::Approved(waiting) => Ok(*waiting),
            Parked::Undecided(record) => {
                tracing::info!(session = %self.id, request = %record.terms.id, "parked");
                Err(self.pending(&record, None))
            }
        }
    }

    fn pending(&self, record: &Record, changed: Option<String>) -> Refusal {
        wording::pending(record, &self.shared.settings.public_url, changed)
    }

    fn draft(
        &self,
        action: &ClientAction,
        analysis: &Analysis,
        obligations: &countersign_core::action::Obligations,
        touched: &Touched,
    ) -> Draft {
        action::draft(&self.site(), &self.session, action, analysis, obligations, touched, &self.so_far)
    }

    // Everything again: the server's facts, the session's state, the analysis, policy.
    async fn afresh(
        &mut self,
        action: &ClientAction,
    ) -> Result<Result<(Arc<Analysis>, Judged), Refusal>, Ended> {
        // A token that was revoked or ran out while people decided releases nothing.
        self.check_identity()?;
        // Read again while the server says whether anything has changed meanwhile.
        let (epoch, state) = (self.snapshot.epoch, self.session.state.clone());
        let early = self.analysing_whole(action);
        let (facts, early) = tokio::join!(Box::pin(self.facts_for_a_claim()), early);
        self.snapshot = match facts? {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(session = %self.id, %error, "the server's facts cannot be had for a claim");
                return Ok(Err(Refusal::Unavailable { what: "the server's catalogue cannot be read" }));
            }
        };
        let is_the_same = self.snapshot.epoch == epoch && self.session.state == state;
        match if is_the_same { early } else { self.analyse_whole(action).await } {
            Ok(analysis) => {
                let judged = self.judge(&analysis, action);
                Ok(Ok((analysis, judged)))
            }
            Err(error) => Ok(Err(not_understood(error))),
        }
    }

    // The facts of now, and with them the session's state. What is the same as when it was read is not read again: people
    // and their agent wait.
    async fn facts_for_a_claim(&mut self) -> Result<Result<Arc<Snapshot>, FactsError>, Ended> {
        let facts = self.facts.clone();
        if let Some(moment) = self.still_stands().await? {
            return Ok(match facts.as_of(&moment) {
                Some(snapshot) => Ok(snapshot),
                None => facts.refreshed().await,
            });
        }
        // Over two connections at once.
        let refreshed = async { Ok::<_, Ended>(facts.refreshed().await) };
        let (snapshot, ()) = tokio::try_join!(refreshed, self.session_afresh())?;
        Ok(snapshot)
    }

    async fn session_afresh(&mut self) -> Result<(), Ended> {
        self.session.state_is_stale = true;
        self.refresh_state().await?;
        self.read_values().await?;
        let between = self.session.transaction.suspended || !self.is_within_transaction();
        self.answers_as = if between { self.which_server().await? } else { None };
        Ok(())
    }

    // The last that is asked of the server before people are: from here on nothing but this gate speaks to it over this
    // connection, and it says nothing but questions.
    async fn take_footing(&mut self) -> Result<Option<Moment>, Ended> {
        self.server.footing = None;
        let (footing, moment) = self.look().await?.unzip();
        self.session_afresh().await?;
        self.server.footing = footing.map(Box::new);
        Ok(moment)
    }

    // Whether the session is as it was when people were asked: over the same connection, and under the same configuration
    // of the server. If so, the moment at which that was seen.
    async fn still_stands(&mut self) -> Result<Option<Moment>, Ended> {
        if self.server.footing.is_none() || self.session.state_is_stale {
            return Ok(None);
        }
        let now = self.look().await?;
        let stood = self.server.footing.as_deref();
        Ok(now.filter(|(footing, _)| stood == Some(footing)).map(|(_, moment)| moment))
    }

    // A hold exists only where no transaction is open at the server. One that has only read is ended there; the
    // client does not see it.
    pub(super) async fn cannot_hold(&mut self) -> Result<Option<String>, Ended> {
        if let Some(why) = self.session.cannot_suspend() {
            return Ok(Some(why.to_owned()));
        }
        if self.session.status == TransactionStatus::Open && !self.session.transaction.suspended {
            let id = self.ask("SELECT pg_catalog.pg_current_xact_id_if_assigned()::text").await?;
            if id.cell().is_some() || id.failed.is_some() {
                return Ok(Some("the transaction has already changed something".to_owned()));
            }
            if !self.ask("COMMIT").await?.committed {
                return Err(Ended::State("a transaction that has only read could not be ended"));
            }
            self.session.transaction.suspended = true;
        }
        Ok(None)
    }

    async fn wait(
        &mut self,
        mut waiting: Box<Waiting>,
        changed: Option<&str>,
    ) -> Result<Result<Box<Waiting>, Refusal>, Ended> {
        // Before the client is told: whoever reads the notice may give up at once.
        self.signal.begin_hold();
        if self.session.wants_notices {
            wording::held(&mut self.out, &waiting, &self.shared.settings.public_url, changed);
        }
        wording::alive(&mut self.out);
        self.flush_client().await?;
        tracing::info!(session = %self.id, request = %waiting.id(), "held");
        let mut alive = tokio::time::interval_at(tokio::time::Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        let patience = match self.shared.servers.are_scarce() {
            true => Duration::ZERO,
            false => self.shared.settings.limits.held_server_wait_max,
        };
        let mut patience = std::pin::pin!(tokio::time::sleep(patience));
        let mut is_patient = true;
        let mut stop = self.shared.stop.clone();
        let ended = loop {
            let may_read_ahead = self.inbuf.len() < WAITING_AHEAD_BYTES_MAX;
            let woken = tokio::select! {
                biased;
                waited = waiting.wait() => match waited {
                    Waited::Granted => Woken::Granted,
                    Waited::Refused(refusal) => Woken::Refused(refusal),
                },
                () = self.signal.asked() => Woken::Cancelled,
                read = read_ahead(&mut self.client, &mut self.inbuf, WAITING_AHEAD_BYTES_MAX), if may_read_ahead => match read {
                    Ok(0) | Err(_) => break Err(Ended::Client),
                    Ok(_) => Woken::Read,
                },
                // Behind so much nobody would see that the client is gone.
                () = std::future::ready(()), if !may_read_ahead => Woken::Overflown,
                _ = alive.tick() => Woken::Alive,
                () = &mut patience, if is_patient => Woken::Patient,
                () = stopped(&mut stop) => break Err(Ended::Stopping),
            };
            match woken {
                Woken::Granted => break Ok(None),
                Woken::Refused(refusal) => break Ok(Some(refusal)),
                Woken::Cancelled => {
                    let request = waiting.id().clone();
                    Box::pin(waiting.withdraw("the client cancelled it")).await.map_err(Ended::Refused)?;
                    self.signal.end_hold();
                    return Ok(Err(Refusal::Withdrawn { request }));
                }
                Woken::Overflown => {
                    Box::pin(waiting.withdraw("the client sent too much ahead"))
                        .await
                        .map_err(Ended::Refused)?;
                    self.signal.end_hold();
                    let value = WAITING_AHEAD_BYTES_MAX as u64;
                    return Ok(Err(Refusal::Limit { name: "waiting_ahead_bytes_max", value }));
                }
                Woken::Alive => {
                    wording::alive(&mut self.out);
                    self.flush_client().await?;
                }
                Woken::Patient => {
                    is_patient = false;
                    Box::pin(self.give_back()).await?;
                }
                Woken::Read => {}
            }
        };
        self.signal.end_hold();
        match ended {
            Ok(None) => Ok(Ok(waiting)),
            Ok(Some(refusal)) => Ok(Err(refusal)),
            Err(Ended::Client) => {
                Box::pin(waiting.withdraw("the client is gone")).await.map_err(Ended::Refused)?;
                Err(Ended::Client)
            }
            // The desk parks what waits when the gate stops: the drop of `waiting` then leaves it alone.
            Err(reason) => Err(reason),
        }
    }
}

// Why a text cannot be put before people at all, wherever it stands.
pub(super) fn cannot_be_asked(analysis: &Analysis) -> Option<String> {
    let controls = |what: &What| {
        matches!(
            what,
            What::Begin { .. }
                | What::Commit { .. }
                | What::Rollback { .. }
                | What::Savepoint { .. }
                | What::Release { .. }
                | What::RollbackTo { .. }
                | What::TwoPhase
        )
    };
    if analysis.statements.iter().any(|statement| statement.by_cursor) {
        return Some("which row a cursor stands at cannot be shown: name the row by its key".to_owned());
    }
    if analysis.statements.len() > 1 && analysis.statements.iter().any(|s| controls(&s.what)) {
        return Some("the message mixes transaction commands with an action that needs approval".to_owned());
    }
    cannot_be_a_plan(analysis)
}

impl Forward {
    fn bytes(&self) -> Bytes {
        match self {
            Self::Simple(frame) => frame.clone(),
            Self::Extended { frames, .. } => frames.clone(),
        }
    }
}
