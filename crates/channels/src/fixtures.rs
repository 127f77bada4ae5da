//! A house of invented people and requests, for tests, screenshots and the check of accessibility. Nothing in it is
//! real and nothing in it decides: a review moves a request here without any signature being checked.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "invented data, never built into the product"
)]

use crate::hall::*;
use countersign_core::action::{Bound, Known, Obligations, Rows};
use countersign_core::digest::Digest;
use countersign_core::entry::KeyRecord;
use countersign_core::id::*;
use countersign_core::kind::Kind;
use countersign_core::label::{Label, Mask};
use countersign_core::lifecycle::{Choice, End, Fact, Record, State, Vote};
use countersign_core::request::Terms;
use countersign_core::requirement::{Assurance, Requirement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::verdict::Reason;
use countersign_core::view::{Chain, Place, Segment, SoFar, View, ViewColumn, visible};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tokio::sync::broadcast;

/// The moment at which everything here is looked at.
pub const NOW: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);
/// The cookie of Grace, who may decide; `OWNER` is Ada's, who owns the agents; `NEWCOMER` has no key.
pub const APPROVER: &str = "grace-session";
/// Ada's cookie.
pub const OWNER: &str = "ada-session";
/// Edsger's cookie.
pub const OUTSIDER: &str = "edsger-session";

/// The house.
pub struct Fixture {
    dossiers: Mutex<Vec<Dossier>>,
    news: broadcast::Sender<Option<Moved>>,
    start: Timestamp,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::at(NOW)
    }
}

impl Fixture {
    /// The house as it is at a moment.
    pub fn at(start: Timestamp) -> Self {
        let dossiers =
            vec![export(start), tricky(start), delete(start), quorum(start), done(start), denied(start)];
        Self { dossiers: Mutex::new(dossiers), news: broadcast::channel(16).0, start }
    }

    /// The id of the n-th request.
    pub fn id(n: u8) -> RequestId {
        RequestId::from_bytes([n; ID_BYTES])
    }

    /// Tells pages of something that moved, or that some news was lost.
    pub fn tell(&self, news: Option<Moved>) {
        let _ = self.news.send(news);
    }

    fn listed(&self, viewer: &Viewer, keep: impl Fn(&Record) -> bool) -> Vec<Listed> {
        let all = self.dossiers.lock().expect("no test panics with the lock held");
        let list = |d: &Dossier| Listed {
            record: d.record.clone(),
            view: d.view.clone(),
            may_review: may_review(viewer, &d.record),
        };
        all.iter().filter(|d| keep(&d.record)).map(list).collect()
    }
}

// The desk's rule in small: tests of the rule itself are the desk's.
fn may_review(viewer: &Viewer, record: &Record) -> Result<(), String> {
    if record.terms.people.contains(&viewer.person) {
        return Err("nobody clears their own: you are part of the chain that asks".to_owned());
    }
    let asked = record.terms.requirement.groups();
    if asked.keys().any(|group| viewer.groups.contains(group)) {
        return Ok(());
    }
    let names: Vec<&str> = asked.keys().map(GroupName::as_str).collect();
    Err(format!("only {} may review this", names.join(", ")))
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).expect("a name")
}

/// The pseudonym of the n-th person.
pub fn pseudonym(n: u8) -> Pseudonym {
    Pseudonym::from_bytes([n; ID_BYTES])
}

/// The person of a cookie.
pub fn viewer(cookie: &str) -> Option<Viewer> {
    let (n, name, display, groups, keys): (u8, _, _, &[&str], &[&str]) = match cookie {
        APPROVER => (1, "grace", "Grace Hopper", &["data-owners", "dba"], &["q83vEjRWeJASNFZ4kBI"]),
        OWNER => (2, "ada", "Ada Lovelace", &["data-owners"], &["AQIDBAUGBwgJCgsMDQ4"]),
        OUTSIDER => (3, "edsger", "Edsger Dijkstra", &["engineers"], &["ERITFBUWFxgZGhscHR4"]),
        _ => return None,
    };
    Some(Viewer {
        name: PersonName::parse(name).expect("a name"),
        display: display.to_owned(),
        person: pseudonym(n),
        groups: groups.iter().map(|g| group(g)).collect(),
        passkeys: keys.iter().map(|k| (*k).to_owned()).collect(),
        csrf: format!("{cookie}-token"),
    })
}

struct Draft<'a> {
    n: u8,
    kinds: &'a [Kind],
    resources: &'a [&'a str],
    rows: Option<(u64, Known)>,
    labels: &'a [&'a str],
    columns: &'a [(&'a str, Option<Mask>)],
    statement: Vec<Segment>,
    params: Vec<Segment>,
    reason: Option<&'a str>,
    policy: (&'a str, &'a str),
    requirement: &'a str,
    rows_max: Option<u64>,
    opened_before: i64,
}

fn make(start: Timestamp, draft: Draft<'_>) -> Dossier {
    let opened_at = Timestamp::from_micros(start.micros() - draft.opened_before * 1_000_000);
    let requirement = Requirement::parse(draft.requirement).expect("a requirement");
    let id = Fixture::id(draft.n);
    let labels: BTreeSet<Label> = draft.labels.iter().map(|l| Label::parse(l).expect("a label")).collect();
    let (policy, text) = draft.policy;
    let bound = Bound { rows_max: draft.rows_max, tables_max: None };
    let expires_at = opened_at.plus(requirement.wait);
    let view = View {
        request: id.clone(),
        salt: "00".repeat(16),
        kinds: draft.kinds.to_vec(),
        resources: draft.resources.iter().map(|r| (*r).to_owned()).collect(),
        rows: draft.rows.map(|(count, known)| Rows { count, known }),
        labels,
        columns: draft
            .columns
            .iter()
            .map(|(n, mask)| ViewColumn { name: (*n).to_owned(), part: None, mask: *mask })
            .collect(),
        opaque: draft.kinds.contains(&Kind::Execute),
        unknown: false,
        chain: Chain {
            agent: "etl-agent".into(),
            pipeline: Some("nightly-features".into()),
            acts_for: None,
            owner: "Ada Lovelace".into(),
        },
        reason: draft.reason.map(str::to_owned),
        place: Place {
            target: "shop".into(),
            env: "production".into(),
            database: "shop".into(),
            role: "reporting_ro".into(),
            address: "10.0.4.17".into(),
        },
        statement: draft.statement,
        params: draft.params,
        bound: bound.clone(),
        held_by: vec![Reason { policy: PolicyId::parse(policy).expect("a policy"), text: text.to_owned() }],
        requirement: requirement.to_string(),
        expires_at,
        so_far: Some(SoFar {
            actions: [(Kind::Read, 41)].into_iter().collect(),
            labels: [Label::parse("pii.email").expect("a label")].into_iter().collect(),
        }),
        client: None,
        steps: Vec::new(),
        tables: Vec::new(),
        untried: None,
        counted_at: None,
        movable: Vec::new(),
    };
    let terms = Terms {
        id,
        session: SessionId::from_bytes([9; ID_BYTES]),
        agent: AgentName::parse("etl-agent").expect("a name"),
        people: [pseudonym(2)].into_iter().collect(),
        target: TargetName::parse("shop").expect("a name"),
        env: EnvName::parse("production").expect("a name"),
        kinds: draft.kinds.iter().copied().collect(),
        effect: Digest::of_bytes(b"effect"),
        view: view.digest().expect("a view"),
        obligations: Obligations::default(),
        requirement,
        bound,
        policy: Digest::of_bytes(b"policy"),
        opened_at,
        expires_at,
        supersedes: None,
    };
    let terms = std::sync::Arc::new(terms);
    let opened = Fact::Opened { terms: std::sync::Arc::clone(&terms) };
    let state = State::Held { votes: Vec::new(), parked: false };
    Dossier {
        record: Record { terms, state, version: 1 },
        view: Some(view),
        may_review: Ok(()),
        facts: vec![filed(opened, opened_at, 48_190)],
        log_size: 48_201,
        before: Before {
            days: BEFORE_DAYS,
            asked: 3,
            approved: 2,
            denied: 1,
            said: Some("use the view".into()),
        },
    }
}

fn filed(fact: Fact, at: Timestamp, index: u64) -> Filed {
    Filed { fact, at, index: Some(index), person: None, justification: None }
}

fn text(text: &str) -> Segment {
    Segment::Text(text.to_owned())
}

fn number(text: &str) -> Segment {
    Segment::Number(text.to_owned())
}

fn string(text: &str) -> Segment {
    Segment::String(text.to_owned())
}

fn export(start: Timestamp) -> Dossier {
    make(
        start,
        Draft {
            n: 1,
            kinds: &[Kind::Export],
            resources: &["public.customers"],
            rows: Some((10_482, Known::Counted)),
            labels: &["pii.email", "pii.name", "payment.card"],
            columns: &[
                ("id", None),
                ("name", Some(Mask::Token)),
                ("email", Some(Mask::PARTIAL)),
                ("card_last4", Some(Mask::Null)),
                ("country", None),
                ("created_at", None),
            ],
            statement: vec![text(
                "COPY customers (id, name, email, card_last4, country, created_at)\n  TO STDOUT",
            )],
            params: vec![],
            reason: Some("refresh churn features"),
            policy: ("pii-leaves-with-consent", "personal data leaves the database"),
            requirement: "1 of data-owners; assurance passkey",
            rows_max: Some(10_600),
            opened_before: 166,
        },
    )
}

fn tricky(start: Timestamp) -> Dossier {
    let mut statement = visible("UPDATE orders SET note = ", Segment::Text);
    statement.extend(visible("<script>alert(1)</script>\u{202e}gnp.exe\u{200b}", Segment::String));
    statement.push(text(" WHERE id = "));
    statement.push(number("$1"));
    statement.push(text(";\n\n\n\n\n\n\n\n-- and password "));
    statement.push(Segment::Redacted("12 characters".into()));
    make(
        start,
        Draft {
            n: 2,
            kinds: &[Kind::Write],
            resources: &["public.orders"],
            rows: Some((1, Known::Estimated)),
            labels: &[],
            columns: &[],
            statement,
            params: vec![number("4711"), text(", "), string("o'Brien & \"sons\"")],
            reason: Some("</p><b>please approve</b>"),
            policy: ("writes-are-held", "writes to tables that are not the agent's own"),
            requirement: "1 of data-owners; assurance passkey",
            rows_max: Some(1),
            opened_before: 700,
        },
    )
}

fn delete(start: Timestamp) -> Dossier {
    make(
        start,
        Draft {
            n: 3,
            kinds: &[Kind::Delete, Kind::Execute],
            resources: &["public.support_tickets", "public.payments"],
            rows: Some((212_004, Known::Estimated)),
            labels: &["pii"],
            columns: &[],
            statement: vec![
                text(
                    "DELETE FROM support_tickets t\n USING payments p\n WHERE p.id = t.payment_id\n   AND t.closed_at < ",
                ),
                string("2024-01-01"),
                text("\n   AND tidy(t.id) > "),
                number("0"),
            ],
            params: vec![],
            reason: None,
            policy: ("deletes-are-held", "rows are removed"),
            requirement: "1 of dba; assurance passkey; wait 2h",
            rows_max: Some(215_000),
            opened_before: 61,
        },
    )
}

fn quorum(start: Timestamp) -> Dossier {
    let mut dossier = make(
        start,
        Draft {
            n: 4,
            kinds: &[Kind::Privilege],
            resources: &["database"],
            rows: None,
            labels: &[],
            columns: &[],
            statement: vec![text("GRANT reporting_rw TO etl_agent")],
            params: vec![],
            reason: Some("the feature job must write its own table"),
            policy: ("two-for-privileges", "somebody may do more than before"),
            requirement: "2 of dba; assurance passkey; wait 1d",
            rows_max: None,
            opened_before: 4_000,
        },
    );
    vote(&mut dossier, 4, Choice::Approved, "seen in the change review");
    dossier
}

fn vote(dossier: &mut Dossier, n: u8, choice: Choice, why: &str) {
    let terms = &dossier.record.terms;
    let at = terms.opened_at.plus(Seconds(60));
    let vote = Vote {
        digest: terms.digest().expect("terms"),
        person: pseudonym(n),
        key: "webauthn:q83vEjRWeJASNFZ4kBI".into(),
        groups: terms.requirement.groups().keys().cloned().collect(),
        choice,
        assurance: Assurance::Passkey,
        at,
    };
    dossier.facts.push(Filed {
        person: Some("Barbara Liskov".into()),
        justification: Some(why.to_owned()),
        ..filed(Fact::Reviewed { vote: vote.clone() }, at, 48_194)
    });
    if let State::Held { votes, .. } = &mut dossier.record.state {
        votes.push(vote);
    }
}

fn done(start: Timestamp) -> Dossier {
    let mut dossier = export(start);
    std::sync::Arc::make_mut(&mut dossier.record.terms).id = Fixture::id(5);
    vote(&mut dossier, 4, Choice::Approved, "agreed with the feature team");
    let at = dossier.record.terms.opened_at.plus(Seconds(61));
    let session = SessionId::from_bytes([9; ID_BYTES]);
    let ended = Fact::Ended { end: End::Committed, note: String::new(), superseded_by: None };
    dossier.facts.extend([
        filed(Fact::Granted { valid_until: at.plus(Seconds(300)) }, at, 48_195),
        filed(Fact::Claimed { session }, at, 48_196),
        filed(Fact::Executed { transaction: Some("7731".into()), rows: 10_482 }, at.plus(Seconds(1)), 48_197),
        filed(ended, at.plus(Seconds(1)), 48_198),
    ]);
    dossier.record.state = State::Ended { end: End::Committed };
    dossier
}

fn denied(start: Timestamp) -> Dossier {
    let mut dossier = delete(start);
    std::sync::Arc::make_mut(&mut dossier.record.terms).id = Fixture::id(6);
    vote(&mut dossier, 4, Choice::Denied, "use the view");
    let at = dossier.record.terms.opened_at.plus(Seconds(61));
    let ended = Fact::Ended { end: End::Denied, note: String::new(), superseded_by: None };
    dossier.facts.push(filed(ended, at, 48_199));
    dossier.record.state = State::Ended { end: End::Denied };
    dossier
}

fn to_sign() -> ToSign {
    ToSign { payload: "e30=".into(), challenge: "AAAA".into(), allow: vec![], rp_id: "localhost".into() }
}

impl Hall for Fixture {
    fn viewer(&self, session: &str, _now: Timestamp) -> Option<Viewer> {
        viewer(session)
    }
    fn prepare_login(&self, _now: Timestamp) -> Result<ToSign, Trouble> {
        Ok(to_sign())
    }
    fn login(&self, assertion: &Assertion, _now: Timestamp) -> Result<Opened, Trouble> {
        match assertion.credential.as_str() {
            "grace" => Ok(Opened { cookie: APPROVER.to_owned(), seconds: 60 }),
            _ => Err(Trouble::Forbidden("this passkey is not known here".to_owned())),
        }
    }
    fn logout(&self, _session: &str) {}

    fn queue(&self, viewer: &Viewer) -> Result<Vec<Listed>, Trouble> {
        Ok(self.listed(viewer, |record| record.state.is_pending()))
    }
    fn history(&self, viewer: &Viewer, search: &Search) -> Result<Vec<Listed>, Trouble> {
        let fits = |record: &Record| {
            search.state.as_ref().is_none_or(|word| record.state.word() == word)
                && search.agent.as_ref().is_none_or(|agent| record.terms.agent == *agent)
        };
        Ok(self.listed(viewer, fits))
    }
    fn dossier(&self, viewer: &Viewer, id: &RequestId) -> Result<Option<Dossier>, Trouble> {
        let all = self.dossiers.lock().expect("no test panics with the lock held");
        let found = all.iter().find(|d| d.record.terms.id == *id).cloned();
        Ok(found.map(|d| Dossier { may_review: may_review(viewer, &d.record), ..d }))
    }
    fn log(&self) -> Result<LogState, Trouble> {
        let root = "q83vEjRWeJASNFZ4kBIq83vEjRWeJASNFZ4kBIq83vE=";
        Ok(LogState {
            origin: "gate.example/countersign".into(),
            size: 48_201,
            root: root.into(),
            checkpoint: format!("gate.example/countersign\n48201\n{root}\n\n— gate.example/countersign Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5\n"),
            verifier: "gate.example/countersign+0bc1bbd2+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==".into(),
            tier: "signed log".into(),
            tier_means: "Nobody without the gate's key can change it unseen. The gate itself is not watched by a witness yet.".into(),
        })
    }
    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok((path == "checkpoint").then(|| b"gate.example/countersign\n".to_vec()))
    }
    fn is_log_reader(&self, token: &str) -> bool {
        token == "reader"
    }
    fn people(&self) -> Result<Vec<Person>, Trouble> {
        let key = |viewer: &Viewer, id: &String| KeyRecord {
            id: format!("webauthn:{id}"),
            person: viewer.person.clone(),
            public_key: String::new(),
            rp_id: "localhost".into(),
            origin: "http://localhost".into(),
            synced: viewer.name.as_str() == "ada",
        };
        let person = |cookie: &str| {
            viewer(cookie).map(|v| Person {
                keys: v.passkeys.iter().map(|id| key(&v, id)).collect(),
                name: v.name,
                display: v.display,
                person: v.person,
                groups: v.groups,
            })
        };
        let keyless = Person {
            name: PersonName::parse("barbara").expect("a name"),
            display: "Barbara Liskov".into(),
            person: pseudonym(4),
            groups: [group("dba"), group("data-owners")].into_iter().collect(),
            keys: vec![],
        };
        Ok([APPROVER, OWNER, OUTSIDER].into_iter().filter_map(person).chain([keyless]).collect())
    }
    fn events(&self) -> broadcast::Receiver<Option<Moved>> {
        self.news.subscribe()
    }

    async fn prepare_review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        _choice: Choice,
        _justification: &str,
        _now: Timestamp,
    ) -> Result<ToSign, Trouble> {
        let dossier = self.dossier(viewer, id)?.ok_or(Trouble::NotFound("request"))?;
        dossier.may_review.map_err(Trouble::Forbidden)?;
        Ok(to_sign())
    }
    async fn review(
        &self,
        viewer: &Viewer,
        id: &RequestId,
        _signed: &Signed,
        _now: Timestamp,
    ) -> Result<(), Trouble> {
        self.dossier(viewer, id)?.ok_or(Trouble::NotFound("request"))?;
        let _ = self.news.send(Some(Moved { id: id.clone(), state: "granted".into() }));
        Ok(())
    }

    fn invitation(&self, link: &str, now: Timestamp) -> Option<Invitation> {
        (link == "a-link").then(|| Invitation {
            display: "Barbara Liskov".into(),
            groups: [group("dba"), group("data-owners")].into_iter().collect(),
            until: now.plus(Seconds(840)),
            first: false,
        })
    }
    fn prepare_enrolment(&self, link: &str, _now: Timestamp) -> Result<ToCreate, Trouble> {
        if link != "a-link" {
            return Err(Trouble::NotFound("invitation"));
        }
        Ok(ToCreate {
            challenge: "AAAA".into(),
            rp_id: "localhost".into(),
            user: "AAAA".into(),
            name: "barbara".into(),
            display: "Barbara Liskov".into(),
            exclude: vec![],
            algorithms: vec![-7],
        })
    }
    async fn enrol(&self, _link: &str, created: &Created, _now: Timestamp) -> Result<Enrolled, Trouble> {
        match created.code.as_str() {
            "123456" => Ok(Enrolled::Waiting),
            _ => Err(Trouble::Bad("the code is not the one on the terminal: 4 tries left".into())),
        }
    }
    fn proposed(&self) -> Result<Vec<Proposed>, Trouble> {
        Ok(vec![Proposed {
            key_id: "webauthn:Zm9vYmFyYmF6cXV4".into(),
            display: "Barbara Liskov".into(),
            person: pseudonym(4),
            at: Timestamp::from_micros(self.start.micros() - 300_000_000),
        }])
    }
    async fn prepare_vouch(&self, _viewer: &Viewer, _key: &str, _now: Timestamp) -> Result<ToSign, Trouble> {
        Ok(to_sign())
    }
    async fn vouch(&self, _: &Viewer, _: &str, _: &Signed, _: Timestamp) -> Result<(), Trouble> {
        Ok(())
    }
}
