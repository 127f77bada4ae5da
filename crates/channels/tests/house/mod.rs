//! A small real house for tests and for trying pages in a browser: a desk on a store in memory, three people, one
//! agent, the shipped policies. Only the statement that is held is invented.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]
#![allow(dead_code, reason = "each user of this module uses a part of it")]

pub mod passkey;

use countersign_channels::web::Web;
use countersign_channels::web::wire::{House, Invites, Parts};
use countersign_core::action::{Bound, Impact, Known, Reach, Resource, Rows, TableName, Target};
use countersign_core::digest::Base64;
use countersign_core::effect::Effect;
use countersign_core::id::*;
use countersign_core::kind::Kind;
use countersign_core::label::{Label, Mask};
use countersign_core::secret::Secret;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::view::{Segment, SoFar, ViewColumn};
use countersign_desk::{Clock, Desk, Draft, Judged, Limits, Question, Waiting};
use countersign_identity::Authenticated;
use countersign_identity::agents::{AgentConfig, Agents, Shows};
use countersign_identity::credential::AgentIdentity;
use countersign_identity::enrol::{Invite, InviteRandom};
use countersign_identity::envelope::WebauthnExpect;
use countersign_identity::people::{People, PersonEntry, PseudonymKey};
use countersign_identity::tokens::{Claims, TokenKey, authenticate_agent, issue};
use countersign_ledger::note::{KeyName, NoteSigner};
use countersign_ledger::sign::ed25519::GateKey;
use countersign_policy::{Bundle, Settings, default_sources};
use countersign_store::{Recovery, Store, StoreKeys};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The one origin of log lines.
pub const LOG: &str = "gate.example/test";

/// The house and what a test needs of it.
pub struct World {
    /// The desk.
    pub desk: Desk,
    /// The pages.
    pub web: Arc<Web<House>>,
    /// The agent that asks.
    pub agent: Authenticated<AgentIdentity>,
    /// The invitations.
    pub invites: Arc<Kept>,
    now: fn() -> Timestamp,
}

/// Invitations in memory.
#[derive(Default)]
pub struct Kept(Mutex<Vec<Invite>>);

impl Invites for Kept {
    fn all(&self) -> Result<Vec<Invite>, String> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn keep(&self, invite: &Invite) -> Result<(), String> {
        let mut all = self.0.lock().unwrap();
        all.retain(|kept| kept.id != invite.id);
        all.push(invite.clone());
        Ok(())
    }
}

/// The person of this name.
pub fn name(text: &str) -> PersonName {
    PersonName::parse(text).expect("a name")
}

fn people() -> People {
    let person = |handle: &str, display: &str, groups: &[&str]| PersonEntry {
        name: name(handle),
        display: display.to_owned(),
        groups: groups.iter().map(|g| GroupName::parse(g).expect("a name")).collect(),
        accounts: BTreeSet::new(),
        same_as: None,
    };
    let all = vec![
        person("grace", "Grace Hopper", &["approvers"]),
        person("ada", "Ada Lovelace", &["approvers"]),
        person("barbara", "Barbara Liskov", &["approvers"]),
    ];
    People::load(all, &PseudonymKey::new(&[1; 32])).expect("people")
}

/// A house whose first approver is Grace and whose agent is Ada's.
pub async fn world(origin: &str, rp_id: &str, now: fn() -> Timestamp) -> World {
    let people = people();
    let group = GroupName::parse("approvers").expect("a name");
    let members = ["grace", "ada", "barbara"].map(name).into_iter().collect();
    let settings = Settings {
        groups: BTreeMap::from([(group, members)]),
        label_masks: BTreeMap::from([(Label::parse("pii").expect("a label"), Mask::PARTIAL)]),
    };
    let bundle = Bundle::load(&default_sources(), &settings).expect("the shipped policies");
    let log = NoteSigner::from_seed(LOG.parse::<KeyName>().expect("a name"), &[2; 32]).expect("a signer");
    let verifier = log.verifier().to_string();
    let store = Store::in_memory(StoreKeys { vault: Secret::new([3; 32]), log });
    let first = people.person(&name("grace")).expect("a person").pseudonym.clone();
    let agents = agents(&people);
    let agent = identity(&agents, now());
    let parts = countersign_desk::Parts {
        store,
        policy: bundle.version(),
        bundle,
        people,
        gate_key: GateKey::from_seed(&[4; 32]).expect("a key"),
        match_key: Secret::new([5; 32]),
        clock: Clock::new(now),
        limits: Limits::default(),
        origin: LOG.to_owned(),
        first_approver: first,
        continues: None,
    };
    let desk = Desk::start(parts, &Recovery { clean: true, ..Recovery::default() }).await.expect("a desk");
    let invites = Arc::new(Kept::default());
    let house = House::new(Parts {
        desk: desk.clone(),
        page: WebauthnExpect { rp_id: rp_id.to_owned(), origin: origin.to_owned() },
        invites: invites.clone(),
        readers: Vec::new(),
        verifier,
    });
    let web = Arc::new(Web::new(house.expect("a house"), origin, now));
    World { desk, web, agent, invites, now }
}

fn agents(people: &People) -> Agents {
    let etl = AgentConfig {
        name: AgentName::parse("etl-agent").expect("a name"),
        groups: [GroupName::parse("agents").expect("a name")].into_iter().collect(),
        pipeline: None,
        owner: name("ada"),
        shows: Shows::Token,
    };
    Agents::load(vec![etl], people).expect("agents")
}

fn identity(agents: &Agents, now: Timestamp) -> Authenticated<AgentIdentity> {
    let key = TokenKey::new(&[6; 32]);
    let agent = AgentName::parse("etl-agent").expect("a name");
    let claims = Claims {
        id: TokenId::from_bytes([7; ID_BYTES]),
        agent: agent.clone(),
        pipeline: None,
        acts_for: None,
        target: None,
        issued_at: now,
        expires_at: now.plus(Seconds(3600)),
    };
    let token = issue(&key, &claims).expect("a token");
    let target = TargetName::parse("shop").expect("a name");
    authenticate_agent(token.expose(), agent.as_str(), &target, &key, agents, &|_| false, now)
        .expect("an agent")
}

impl World {
    /// Invites a person: the link's secret and the code.
    pub fn invite(&self, person: &str, n: u8) -> (String, String) {
        let random = InviteRandom { id: [n; ID_BYTES], secret: [n; 32], code: [n; 8] };
        let (invite, secrets) = Invite::new(&random, name(person), (self.now)());
        self.invites.keep(&invite).expect("kept");
        (secrets.secret.expose().clone(), secrets.code.expose().clone())
    }

    /// Holds an export of customers.
    pub async fn hold(&self, session: u8) -> Waiting {
        let draft = draft(session);
        let question = Question {
            identity: &self.agent,
            target: &draft.target,
            impact: &draft.impact,
            session_labels: &BTreeSet::new(),
            reason: draft.reason.as_deref(),
        };
        let Judged::Hold(held) = self.desk.judge(&question) else { panic!("an export is held") };
        match self.desk.hold(&self.agent, &held, draft.clone()).await {
            Ok(waiting) => waiting,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

fn draft(session: u8) -> Draft {
    let table = TableName { schema: "public".into(), name: "customers".into() };
    let labels: BTreeSet<Label> = [Label::parse("pii.email").expect("a label")].into_iter().collect();
    let target = Target {
        name: TargetName::parse("shop").expect("a name"),
        env: EnvName::parse("production").expect("a name"),
        database: "shop".into(),
    };
    let statement = "COPY customers (id, email) TO STDOUT";
    Draft {
        session: SessionId::from_bytes([session; ID_BYTES]),
        effect: Effect {
            gate: "postgres".into(),
            agent: AgentName::parse("etl-agent").expect("a name"),
            acts_for: None,
            target: target.name.clone(),
            database: "shop".into(),
            role: "reporting_ro".into(),
            settings: BTreeMap::new(),
            statement: Base64(statement.as_bytes().to_vec()),
            params: Vec::new(),
            result_formats: Vec::new(),
            definitions: BTreeMap::new(),
            rewriter: 1,
            copied: None,
        },
        target,
        impact: Impact {
            pairs: [(Kind::Export, Resource::Table(table.clone()))].into_iter().collect(),
            reach: vec![Reach { table, labels: labels.clone(), own: false, unknown: false }],
            labels,
            opaque: false,
            unknown: false,
            drops_database: false,
            unbounded: false,
        },
        rows: Some(Rows { count: 10_482, known: Known::Counted }),
        bound: Bound { rows_max: Some(10_600), tables_max: None },
        statement: vec![Segment::Text(statement.into())],
        params: Vec::new(),
        columns: vec![
            ViewColumn { name: "id".into(), part: None, mask: None },
            ViewColumn { name: "email".into(), part: None, mask: Some(Mask::PARTIAL) },
        ],
        reason: Some("refresh churn features".into()),
        address: "10.0.4.17".into(),
        so_far: SoFar::default(),
        client: None,
        steps: Vec::new(),
        tables: Vec::new(),
        untried: None,
        movable: Vec::new(),
    }
}
