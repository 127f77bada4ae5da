//! A question as Cedar is asked it: entities, context and pairs. Refuses to judge.

use crate::load::LoadError;
use crate::reads::Reads;
use crate::text;
use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use countersign_core::action::{Impact, Resource, TableName, Target};
use countersign_core::id::PersonName;
use countersign_core::kind::Kind;
use countersign_core::label::{Label, closed};
use countersign_core::principal::Principal;
use countersign_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What policy is asked: who would do what, where, in which circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// Where.
    pub target: &'a Target,
    /// What the action is and reaches.
    pub impact: &'a Impact,
    /// Labels of what this session has read before.
    pub session_labels: &'a BTreeSet<Label>,
    /// Why, as stated by the agent.
    pub reason: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

impl<'q> Question<'q> {
    /// The pairs to judge: those of the impact; what is opaque adds (execute, database).
    pub(crate) fn pairs(&self) -> BTreeSet<(Kind, &'q Resource)> {
        let mut pairs: BTreeSet<_> = self.impact.pairs.iter().map(|(kind, on)| (*kind, on)).collect();
        if self.impact.opaque && !pairs.is_empty() {
            pairs.insert((Kind::Execute, &Resource::Database));
        }
        pairs
    }
}

/// The schema's entity types, parsed once.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    action: EntityTypeName,
    agent: EntityTypeName,
    group: EntityTypeName,
    person: EntityTypeName,
    env: EntityTypeName,
    target: EntityTypeName,
    database: EntityTypeName,
    table: EntityTypeName,
}

impl Types {
    pub(crate) fn new() -> Result<Self, LoadError> {
        let name = |text: &str| text.parse().map_err(|e| LoadError::Internal(format!("type `{text}`: {e}")));
        Ok(Self {
            action: name("Action")?,
            agent: name("Agent")?,
            group: name("Group")?,
            person: name("Person")?,
            env: name("Env")?,
            target: name("Target")?,
            database: name("Database")?,
            table: name("Table")?,
        })
    }

    pub(crate) fn action(&self, word: &str) -> EntityUid {
        uid(&self.action, word)
    }

    pub(crate) fn agent(&self, principal: &Principal) -> EntityUid {
        uid(&self.agent, principal.agent.as_str())
    }

    pub(crate) fn group(&self, name: &str) -> EntityUid {
        uid(&self.group, name)
    }

    pub(crate) fn person(&self, name: &PersonName) -> EntityUid {
        uid(&self.person, name.as_str())
    }

    pub(crate) fn resource(&self, target: &Target, resource: &Resource) -> EntityUid {
        match resource {
            Resource::Database => uid(&self.database, &text::database(target)),
            Resource::Table(name) => uid(&self.table, &text::table_in(target, name)),
        }
    }
}

fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

/// Why a question cannot be asked. Such a question is denied.
pub(crate) type AskError = Box<dyn std::error::Error + Send + Sync>;

/// The agent, the place, and everything that the action touches.
pub(crate) fn entities(types: &Types, question: &Question<'_>) -> Result<Entities, AskError> {
    let Question { principal, target, impact, .. } = question;
    let env = uid(&types.env, target.env.as_str());
    let server = uid(&types.target, target.name.as_str());
    let database = types.resource(target, &Resource::Database);
    let whole = Seen { labels: closed(&impact.labels), own: false, unknown: impact.unknown };
    let mut entities = vec![
        agent(types, principal)?,
        Entity::new_no_attrs(env.clone(), HashSet::new()),
        Entity::new_no_attrs(server.clone(), HashSet::from([env.clone()])),
        Entity::new(database.clone(), whole.attributes(&target.database, ""), HashSet::from([server, env]))?,
    ];
    for (name, seen) in tables(impact) {
        let table = uid(&types.table, &text::table_in(target, name));
        let attributes = seen.attributes(&name.name, &name.schema);
        entities.push(Entity::new(table, attributes, HashSet::from([database.clone()]))?);
    }
    Ok(Entities::from_entities(entities, None)?)
}

fn agent(types: &Types, principal: &Principal) -> Result<Entity, AskError> {
    let person = |name: &PersonName| RestrictedExpression::new_entity_uid(types.person(name));
    let mut attributes = HashMap::from([("owner".to_owned(), person(&principal.owner))]);
    if let Some(name) = &principal.acts_for {
        attributes.insert("acts_for".to_owned(), person(name));
    }
    if let Some(name) = &principal.pipeline {
        attributes.insert("pipeline".to_owned(), string(name.as_str()));
    }
    let groups = principal.groups.iter().map(|name| types.group(name.as_str())).collect();
    Ok(Entity::new(types.agent(principal), attributes, groups)?)
}

struct Seen {
    labels: BTreeSet<Label>,
    own: bool,
    unknown: bool,
}

impl Seen {
    fn attributes(&self, name: &str, schema: &str) -> HashMap<String, RestrictedExpression> {
        let pairs = [
            ("labels", strings(self.labels.iter().map(Label::as_str))),
            ("own", RestrictedExpression::new_bool(self.own)),
            ("unknown", RestrictedExpression::new_bool(self.unknown)),
            ("name", string(name)),
            ("schema", string(schema)),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

// What each touched table is like. A table of a pair that the analysis says nothing about is unknown, nobody's own,
// and carries every label of the action: nothing better is known of it.
fn tables(impact: &Impact) -> BTreeMap<&TableName, Seen> {
    let mut tables: BTreeMap<&TableName, Seen> = BTreeMap::new();
    for reach in &impact.reach {
        let new = || Seen { labels: BTreeSet::new(), own: true, unknown: false };
        let seen = tables.entry(&reach.table).or_insert_with(new);
        seen.labels.extend(closed(&reach.labels));
        seen.own &= reach.own;
        seen.unknown |= reach.unknown;
    }
    for (_, resource) in &impact.pairs {
        if let Resource::Table(name) = resource {
            let new = || Seen { labels: closed(&impact.labels), own: false, unknown: true };
            tables.entry(name).or_insert_with(new);
        }
    }
    tables
}

/// The whole action, as every pair sees it. What no policy reads carries a constant.
pub(crate) fn context(question: &Question<'_>, reads: &Reads) -> Result<Context, AskError> {
    let impact = question.impact;
    let unknown = impact.unknown || impact.reach.iter().any(|reach| reach.unknown);
    let kinds: BTreeSet<Kind> = question.pairs().into_iter().map(|(kind, _)| kind).collect();
    let of = |wanted: &dyn Fn(Kind) -> bool| -> BTreeSet<String> {
        let pairs = impact.pairs.iter().filter(|(kind, _)| wanted(*kind));
        pairs.filter_map(|(_, on)| table_of(on)).map(text::table).collect()
    };
    let sources = of(&|kind| matches!(kind, Kind::Read | Kind::Export | Kind::Reveal));
    let changes = of(&Kind::may_change);
    let mut touched = of(&|_| true);
    touched.extend(impact.reach.iter().map(|reach| text::table(&reach.table)));
    let none = BTreeSet::new();
    let session_labels = if reads.session_labels { &closed(question.session_labels) } else { &none };
    let reason = if reads.reason { question.reason.unwrap_or_default() } else { "" };
    let (time, hour, weekday) = moment(question.now);
    let long = |read: bool, value: i64| RestrictedExpression::new_long(if read { value } else { 0 });
    let pairs = [
        ("kinds", strings(kinds.into_iter().map(Kind::word))),
        ("labels", strings(closed(&impact.labels).iter().map(Label::as_str))),
        ("tables", strings(touched.iter().map(String::as_str))),
        ("sources", strings(sources.iter().map(String::as_str))),
        ("changes", strings(changes.iter().map(String::as_str))),
        ("opaque", RestrictedExpression::new_bool(impact.opaque)),
        ("unknown", RestrictedExpression::new_bool(unknown)),
        ("unbounded", RestrictedExpression::new_bool(impact.unbounded)),
        ("drops_database", RestrictedExpression::new_bool(impact.drops_database)),
        ("session_labels", strings(session_labels.iter().map(Label::as_str))),
        ("reason", string(reason)),
        ("time", long(reads.time, time)),
        ("hour", long(reads.hour, hour)),
        ("weekday", long(reads.weekday, weekday)),
    ];
    Ok(Context::from_pairs(pairs.map(|(key, value)| (key.to_owned(), value)))?)
}

/// Seconds since 1970, the hour, and the day of the week from 1 (Monday) to 7, in UTC.
pub(crate) fn moment(now: Timestamp) -> (i64, i64, i64) {
    let seconds = now.seconds();
    // The first day of 1970 was a Thursday.
    let weekday = (seconds.div_euclid(86_400) + 3).rem_euclid(7) + 1;
    (seconds, seconds.rem_euclid(86_400) / 3_600, weekday)
}

const fn table_of(resource: &Resource) -> Option<&TableName> {
    match resource {
        Resource::Table(name) => Some(name),
        Resource::Database => None,
    }
}

pub(crate) fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

pub(crate) fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.into_iter().map(string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_core::action::Reach;

    #[test]
    fn what_cedar_is_asked_conforms_to_the_schema() {
        let principal: Principal = serde_json::from_str(
            r#"{"agent":"etl","pipeline":"nightly","acts_for":"ada","owner":"grace","groups":["agents"]}"#,
        )
        .expect("a principal");
        let target: Target =
            serde_json::from_str(r#"{"name":"shop","env":"prod","database":"app"}"#).expect("a target");
        let table = TableName { schema: "public".into(), name: "orders".into() };
        let other = TableName { schema: "a.b".into(), name: String::new() };
        let labels = BTreeSet::from([Label::parse("pii.email").expect("a label")]);
        let impact = Impact {
            pairs: [(Kind::Read, Resource::Table(other)), (Kind::Session, Resource::Database)].into(),
            reach: vec![Reach { table, labels: labels.clone(), own: true, unknown: false }],
            labels,
            opaque: true,
            unknown: false,
            drops_database: false,
            unbounded: false,
        };
        let (session_labels, now) = (BTreeSet::new(), Timestamp::from_micros(0));
        let (principal, target, impact) = (&principal, &target, &impact);
        let question =
            Question { principal, target, impact, session_labels: &session_labels, reason: Some("x"), now };
        let (schema, _) = crate::load::schemas().expect("the schemas parse");
        let asked = entities(&Types::new().expect("types"), &question).expect("entities");
        assert_eq!(asked.len(), 6);
        Entities::from_entities(asked, Some(&schema)).expect("they conform");
        let action = Types::new().expect("types").action("read");
        let context = context(&question, &Reads::default()).expect("a context");
        context.validate(&schema, &action).expect("it conforms");
    }

    #[test]
    fn a_known_moment_has_its_hour_and_weekday() {
        // A Saturday.
        let now = Timestamp::parse("2026-11-21T23:41:00Z").expect("a time");
        let (seconds, hour, weekday) = moment(now);
        assert_eq!((hour, weekday), (23, 6));
        assert_eq!(seconds, now.seconds());
    }
}
