//! A small world for the desk: people with software keys, an agent, a store in memory or in a folder, a clock that
//! is turned by hand.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[path = "../../../identity/tests/soft/mod.rs"]
pub mod soft;

use countersign_core::action::{Bound, Impact, Reach, Resource, Rows, TableName, Target};
use countersign_core::digest::{Base64, Digest};
use countersign_core::effect::Effect;
use countersign_core::id::{
    AgentName, EnvName, GroupName, PersonName, PipelineName, Pseudonym, RequestId, SessionId, TargetName,
    TokenId,
};
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_core::lifecycle::{Choice, Record};
use countersign_core::secret::Secret;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::view::Segment;
use countersign_desk::{
    Allowed, Clock, Desk, Draft, FreshAction, Held, Judged, Limits, Parts, Question, ReviewError,
};
use countersign_identity::Authenticated;
use countersign_identity::agents::{AgentConfig, Agents, Shows};
use countersign_identity::credential::AgentIdentity;
use countersign_identity::people::{People, PersonEntry, PseudonymKey};
use countersign_identity::tokens::{Claims, TokenKey, authenticate_agent, issue};
use countersign_ledger::note::{KeyName, NoteSigner};
use countersign_ledger::sign::ed25519::GateKey;
use countersign_policy::{Bundle, Settings, Source, default_sources};
use countersign_store::{Disk, Options, Recovery, Store, StoreKeys};
use soft::Passkey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub struct World {
    pub desk: Desk,
    pub hand: Arc<AtomicI64>,
    pub ada: Passkey,
    pub grace: Passkey,
    pub agent: Authenticated<AgentIdentity>,
}

pub fn name(text: &str) -> PersonName {
    PersonName::parse(text).unwrap()
}

pub fn people() -> People {
    let entry = |(handle, groups): (&str, &[&str])| PersonEntry {
        name: name(handle),
        display: handle.to_owned(),
        groups: groups.iter().map(|g| GroupName::parse(g).unwrap()).collect(),
        accounts: BTreeSet::new(),
        same_as: None,
    };
    let list: [(&str, &[&str]); 3] =
        [("ada", &["approvers"]), ("grace", &["approvers"]), ("olga", &["approvers"])];
    People::load(list.into_iter().map(entry).collect(), &PseudonymKey::new(&[7; 32])).unwrap()
}

pub fn bundle(more: Option<&str>) -> Bundle {
    let approvers = ["ada", "grace", "olga"].map(name).into_iter().collect();
    let groups = BTreeMap::from([(GroupName::parse("approvers").unwrap(), approvers)]);
    let more = more.map(|text| Source { name: "more.cedar".to_owned(), text: text.to_owned() });
    let sources: Vec<Source> = default_sources().into_iter().chain(more).collect();
    Bundle::load(&sources, &Settings { groups, label_masks: BTreeMap::new() }).unwrap()
}

pub fn agent(people: &People) -> Authenticated<AgentIdentity> {
    let agent = AgentName::parse("etl").unwrap();
    let config = AgentConfig {
        name: agent.clone(),
        groups: [GroupName::parse("agents").unwrap()].into(),
        pipeline: Some(PipelineName::parse("nightly").unwrap()),
        owner: name("olga"),
        shows: Shows::Token,
    };
    let agents = Agents::load(vec![config], people).unwrap();
    let key = TokenKey::new(&[3; 32]);
    let claims = Claims {
        id: TokenId::from_bytes([1; 10]),
        agent,
        pipeline: None,
        acts_for: None,
        target: None,
        issued_at: soft::NOW,
        expires_at: soft::NOW.plus(Seconds(3600)),
    };
    let token = issue(&key, &claims).unwrap();
    let target = TargetName::parse("shop").unwrap();
    authenticate_agent(token.expose(), "etl", &target, &key, &agents, &|_| false, soft::NOW).unwrap()
}

pub fn store_keys() -> StoreKeys {
    let log = NoteSigner::from_seed("gate.example/log".parse::<KeyName>().unwrap(), &[5; 32]).unwrap();
    StoreKeys { vault: Secret::new([6; 32]), log }
}

/// A read, of labelled columns or of none.
pub fn read(labels: &[&str]) -> (Target, Impact) {
    let draft = draft("SELECT id FROM orders", 1);
    let table = TableName { schema: "public".to_owned(), name: "orders".to_owned() };
    let labels: BTreeSet<Label> = labels.iter().map(|label| Label::parse(label).unwrap()).collect();
    let reach = vec![Reach { table: table.clone(), labels: labels.clone(), own: false, unknown: false }];
    let pairs = [(Kind::Read, Resource::Table(table))].into();
    (draft.target, Impact { pairs, reach, labels, ..draft.impact })
}

impl World {
    pub async fn in_memory() -> Self {
        Self::with_policy(None).await
    }

    /// In memory, with a policy of one's own beside the shipped ones.
    pub async fn with_policy(more: Option<&str>) -> Self {
        let recovery = Recovery { clean: true, ..Recovery::default() };
        Self::with(Store::in_memory(store_keys()), recovery, bundle(more)).await
    }

    pub async fn in_folder(folder: &Path) -> Self {
        Self::on_disk(folder, Disk::Real).await
    }

    pub async fn on_disk(folder: &Path, disk: Disk) -> Self {
        let options = Options { disk, ..Options::default() };
        let (store, recovery) = Store::open(folder, store_keys(), options).unwrap();
        Self::with(store, recovery, bundle(None)).await
    }

    async fn with(store: Store, recovery: Recovery, bundle: Bundle) -> Self {
        let people = people();
        let hand = Arc::new(AtomicI64::new(soft::NOW.micros()));
        let read = Arc::clone(&hand);
        let (ada, grace) = (Passkey::new(1), Passkey::new(2));
        let agent = agent(&people);
        let first_approver = people.person(&name("ada")).unwrap().pseudonym.clone();
        let parts = Parts {
            store,
            bundle,
            policy: Digest::of_bytes(b"policy"),
            people,
            gate_key: GateKey::from_seed(&[8; 32]).unwrap(),
            match_key: Secret::new([9; 32]),
            clock: Clock::new(move || Timestamp::from_micros(read.load(Ordering::SeqCst))),
            limits: Limits::default(),
            origin: "gate.example/log".to_owned(),
            first_approver,
            continues: None,
        };
        let desk = Desk::start(parts, &recovery).await.unwrap();
        Self { desk, hand, ada, grace, agent }
    }

    /// Enrols the software passkeys: ada by the genesis, grace by ada's word.
    pub async fn enrol(&self) {
        let register = |passkey: &Passkey, person: &str| {
            let (object, client) = passkey.register(b"challenge");
            let person = self.person(person);
            countersign_identity::enrol::authenticate_registration(
                &object,
                &client,
                &person,
                &soft::page(),
                b"challenge",
            )
            .unwrap()
        };
        self.desk.enrol(register(&self.ada, "ada")).await.unwrap();
        let grace = register(&self.grace, "grace");
        let record = grace.get().record.clone();
        self.desk.enrol(grace).await.unwrap();
        let prepared =
            self.desk.prepare_enrolment(&self.person("ada"), &self.ada.key_id(), &record.id).await.unwrap();
        let envelope = self.ada.sign_bytes(prepared.payload);
        let now = self.desk.clock().read();
        let signed = self
            .desk
            .with_keys(|keys| {
                countersign_identity::enrol::authenticate_enrolment(
                    envelope,
                    &record,
                    keys,
                    self.desk.people(),
                    &soft::page(),
                    now,
                )
            })
            .unwrap()
            .unwrap();
        self.desk.vouch(signed).await.unwrap();
    }

    pub fn person(&self, handle: &str) -> Pseudonym {
        self.desk.people().person(&name(handle)).unwrap().pseudonym.clone()
    }

    pub fn held(&self) -> Held {
        let draft = draft("COPY customers TO STDOUT", 1);
        let question = Question {
            identity: &self.agent,
            target: &draft.target,
            impact: &draft.impact,
            session_labels: &BTreeSet::new(),
            reason: None,
        };
        match self.desk.judge(&question) {
            Judged::Hold(held) => held,
            Judged::Allow(_) => panic!("an export must be held"),
            Judged::Deny(refusal) => panic!("{refusal:?}"),
        }
    }

    /// Policy's yes to a read, of labelled columns or of none.
    pub fn allowed(&self, labels: &[&str]) -> Allowed {
        let (target, impact) = read(labels);
        let none = BTreeSet::new();
        let (identity, target, impact) = (&self.agent, &target, &impact);
        let question = Question { identity, target, impact, session_labels: &none, reason: None };
        match self.desk.judge(&question) {
            Judged::Allow(allowed) => allowed,
            Judged::Hold(_) | Judged::Deny(_) => panic!("a read must pass"),
        }
    }

    pub fn fresh<'a>(&self, text: &str, session: u8, payload: &'a [u8]) -> FreshAction<'a> {
        FreshAction { draft: draft(text, session), judged: Judged::Hold(self.held()), payload }
    }

    pub async fn decide(
        &self,
        who: &str,
        id: &RequestId,
        choice: Choice,
        why: Option<&str>,
    ) -> Result<Record, ReviewError> {
        let passkey = if who == "ada" { &self.ada } else { &self.grace };
        let prepared =
            self.desk.prepare_review(&self.person(who), &passkey.key_id(), id, choice, why).await?;
        self.deliver(passkey, prepared.payload).await
    }

    pub async fn deliver(&self, passkey: &Passkey, payload: Vec<u8>) -> Result<Record, ReviewError> {
        let envelope = passkey.sign_bytes(payload);
        let now = self.desk.clock().read();
        let signed = self
            .desk
            .with_keys(|keys| {
                countersign_identity::review::authenticate_review(
                    envelope,
                    keys,
                    self.desk.people(),
                    &soft::page(),
                    now,
                )
            })
            .unwrap()
            .unwrap();
        self.desk.review(signed).await
    }

    pub fn turn(&self, seconds: i64) {
        self.hand.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

pub fn draft(text: &str, session: u8) -> Draft {
    let table = TableName { schema: "public".to_owned(), name: "customers".to_owned() };
    let agent = AgentName::parse("etl").unwrap();
    let target = Target {
        name: TargetName::parse("shop").unwrap(),
        env: EnvName::parse("prod").unwrap(),
        database: "shop".to_owned(),
    };
    Draft {
        session: SessionId::from_bytes([session; 10]),
        effect: Effect {
            gate: "postgres".to_owned(),
            agent,
            acts_for: None,
            target: target.name.clone(),
            database: "shop".to_owned(),
            role: "reporting_ro".to_owned(),
            settings: BTreeMap::new(),
            statement: Base64(text.as_bytes().to_vec()),
            params: Vec::new(),
            result_formats: Vec::new(),
            definitions: BTreeMap::new(),
            rewriter: 1,
            copied: None,
        },
        target,
        impact: Impact {
            pairs: [(Kind::Export, Resource::Table(table.clone()))].into(),
            reach: vec![Reach { table, labels: BTreeSet::new(), own: false, unknown: false }],
            labels: BTreeSet::new(),
            opaque: false,
            unknown: false,
            drops_database: false,
            unbounded: false,
        },
        rows: Some(Rows { count: 10, known: countersign_core::action::Known::Counted }),
        bound: Bound { rows_max: Some(10), tables_max: None },
        statement: vec![Segment::Text(text.to_owned())],
        params: Vec::new(),
        columns: Vec::new(),
        reason: None,
        address: "127.0.0.1".to_owned(),
        so_far: countersign_core::view::SoFar::default(),
        client: None,
        steps: Vec::new(),
        tables: Vec::new(),
        untried: None,
        movable: Vec::new(),
    }
}
