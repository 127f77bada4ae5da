//! Rows of text become facts, or an error: a server that answers otherwise than asked is not understood.

use super::{
    Column, FIRST_USER_OID, KeyAction, Operator, QUERIES, Referrer, Relation, RelationKind, Routine,
    ServerFacts, SystemFunction, SystemOperator, TypeClass, TypeFact,
};
use countersign_core::action::TableName;
use countersign_core::digest::{Digest, sha256_parts};
use std::collections::{BTreeMap, BTreeSet};

/// The most rows of one query: a database with more objects is not served.
pub const FACT_ROWS_MAX: usize = 2_000_000;

/// Why rows are no facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// The rows of one query are missing.
    #[error("expected the rows of the query `{0}`, found none; run every query of the list")]
    Missing(&'static str),
    /// More rows than are kept.
    #[error("expected at most {FACT_ROWS_MAX} rows of `{0}`, found more")]
    TooMany(&'static str),
    /// A row is not as its query says.
    #[error("expected a row of `{query}` with {expected}, found {found}")]
    Row {
        /// The query.
        query: &'static str,
        /// What should have stood there.
        expected: &'static str,
        /// What stood there.
        found: String,
    },
}

type Rows = [Vec<Option<String>>];

struct Table<'a> {
    query: &'static str,
    rows: &'a Rows,
}

/// One row, read from left to right.
struct Cells<'a> {
    query: &'static str,
    cells: std::slice::Iter<'a, Option<String>>,
}

impl<'a> Table<'a> {
    fn each(&self) -> impl Iterator<Item = Cells<'a>> + use<'a> {
        let query = self.query;
        self.rows.iter().map(move |row| Cells { query, cells: row.iter() })
    }
}

impl<'a> Cells<'a> {
    fn wrong(&self, expected: &'static str, found: impl Into<String>) -> FactsError {
        FactsError::Row { query: self.query, expected, found: found.into() }
    }

    fn maybe(&mut self) -> Result<Option<&'a str>, FactsError> {
        match self.cells.next() {
            Some(cell) => Ok(cell.as_deref()),
            None => Err(self.wrong("another column", "the end of the row")),
        }
    }

    fn text(&mut self) -> Result<&'a str, FactsError> {
        self.maybe()?.ok_or_else(|| self.wrong("a value", "NULL"))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, FactsError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.wrong("a number", text))
    }

    fn truth(&mut self) -> Result<bool, FactsError> {
        match self.text()? {
            "true" | "t" => Ok(true),
            "false" | "f" => Ok(false),
            other => Err(self.wrong("true or false", other)),
        }
    }

    /// How many arguments functions take: `1-2 3-3`.
    fn ranges(&mut self) -> Result<Vec<(usize, usize)>, FactsError> {
        let text = self.text()?;
        let one = |range: &str| {
            let (least, most) = range.split_once('-')?;
            Some((least.parse().ok()?, most.parse().ok()?))
        };
        let all: Option<Vec<_>> = text.split_ascii_whitespace().map(one).collect();
        all.ok_or_else(|| self.wrong("numbers of arguments", text))
    }

    /// An `oidvector` or `int2vector`: numbers with spaces between.
    fn numbers<T: std::str::FromStr>(&mut self) -> Result<Vec<T>, FactsError> {
        let text = self.text()?;
        let parse = |word: &str| word.parse().map_err(|_| self.wrong("numbers", word));
        text.split_ascii_whitespace().map(parse).collect()
    }
}

pub(super) fn build(rows: &BTreeMap<&str, Vec<Vec<Option<String>>>>) -> Result<ServerFacts, FactsError> {
    let mut tables = BTreeMap::new();
    for (query, _) in QUERIES {
        let found = rows.get(query).ok_or(FactsError::Missing(query))?;
        if found.len() > FACT_ROWS_MAX {
            return Err(FactsError::TooMany(query));
        }
        tables.insert(*query, Table { query, rows: found });
    }
    let all = |query: &'static str| tables.get(query).map(Table::each).into_iter().flatten();
    let mut facts = ServerFacts::default();
    let mut server = all("server");
    let mut row = server.next().ok_or(FactsError::Missing("server"))?;
    facts.version = row.number()?;
    facts.database = row.text()?.to_owned();
    for mut row in all("schemas") {
        facts.schemas.insert(row.text()?.to_owned());
    }
    for mut row in all("no_usage") {
        facts.no_usage.insert((row.text()?.to_owned(), row.text()?.to_owned()));
    }
    for mut row in all("extensions") {
        facts.extensions.insert(row.text()?.to_owned());
    }
    relations(&mut facts, all("relations"), all("columns"), all("keys"))?;
    let mut digests: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (query, mark) in [
        ("triggers", (|r: &mut Relation| r.triggers = true) as fn(&mut Relation)),
        ("rules", |r| r.rules = true),
        ("policies", |_| {}),
    ] {
        for mut row in all(query) {
            let (oid, digest) = (row.number()?, row.text()?.to_owned());
            digests.entry(oid).or_default().push(format!("{query} {digest}"));
            if let Some(relation) = facts.relations.get_mut(&oid) {
                mark(relation);
            }
        }
    }
    links(&mut facts, all("inherits"), all("foreign_keys"), all("views"), all("code"))?;
    routines(&mut facts, all("functions_user"), all("functions_system"))?;
    operators(&mut facts, all("operators_user"), all("operators_system"))?;
    types(&mut facts, all("types"), all("casts_user"))?;
    for mut row in all("type_parts") {
        let (oid, part): (u32, u32) = (row.number()?, row.number()?);
        if let Some(fact) = facts.types.get_mut(&oid) {
            fact.parts.insert(part);
        }
    }
    for mut row in all("types_implied") {
        facts.types_implied.insert(row.number()?);
    }
    for mut row in all("types_compared") {
        facts.types_compared.insert(row.number()?);
    }
    for mut row in all("functions_compared") {
        facts.functions_compared.insert(row.text()?.to_owned());
    }
    expressions(&mut facts, all("generated"), all("expressions"))?;
    for relation in facts.relations.values_mut() {
        let extra = digests.remove(&relation.oid).unwrap_or_default();
        relation.digest = digest(relation, &extra);
    }
    Ok(facts)
}

fn relations<'a>(
    facts: &mut ServerFacts,
    relations: impl Iterator<Item = Cells<'a>>,
    columns: impl Iterator<Item = Cells<'a>>,
    keys: impl Iterator<Item = Cells<'a>>,
) -> Result<(), FactsError> {
    for mut row in relations {
        let oid = row.number()?;
        let name = TableName { schema: row.text()?.to_owned(), name: row.text()?.to_owned() };
        let kind = match row.text()? {
            "r" => RelationKind::Table,
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::Materialised,
            "f" => RelationKind::Foreign,
            "S" => RelationKind::Sequence,
            other => return Err(row.wrong("a kind of relation", other)),
        };
        let row_security = row.truth()?;
        let owner = row.text()?.to_owned();
        let definition = row.maybe()?.map(str::to_owned);
        facts.by_name.insert((name.schema.clone(), name.name.clone()), oid);
        let relation = Relation { owner, row_security, definition, ..Relation::bare(oid, name, kind) };
        facts.relations.insert(oid, relation);
    }
    for mut row in columns {
        let oid: u32 = row.number()?;
        let column = Column {
            attnum: row.number()?,
            name: row.text()?.to_owned(),
            type_oid: row.number()?,
            type_name: row.text()?.to_owned(),
            generated: !row.text()?.is_empty(),
            made_of: BTreeSet::new(),
        };
        // A relation that came into being between two queries is simply not known yet.
        if let Some(relation) = facts.relations.get_mut(&oid) {
            relation.columns.push(column);
        }
    }
    for relation in facts.relations.values_mut() {
        relation.columns.sort_by_key(|c| c.attnum);
    }
    for mut row in keys {
        let oid: u32 = row.number()?;
        let attnums: Vec<i16> = row.numbers()?;
        let count: usize = row.number()?;
        let key: BTreeSet<i16> = attnums.into_iter().take(count).collect();
        let usable = !key.is_empty() && key.iter().all(|attnum| *attnum > 0);
        if let Some(relation) = facts.relations.get_mut(&oid).filter(|_| usable) {
            relation.keys.push(key);
        }
    }
    Ok(())
}

fn links<'a>(
    facts: &mut ServerFacts,
    inherits: impl Iterator<Item = Cells<'a>>,
    foreign_keys: impl Iterator<Item = Cells<'a>>,
    views: impl Iterator<Item = Cells<'a>>,
    code: impl Iterator<Item = Cells<'a>>,
) -> Result<(), FactsError> {
    for mut row in inherits {
        let (child, parent): (u32, u32) = (row.number()?, row.number()?);
        if let Some(relation) = facts.relations.get_mut(&parent) {
            relation.children.insert(child);
        }
        if let Some(relation) = facts.relations.get_mut(&child) {
            relation.parents.insert(parent);
        }
    }
    for mut row in foreign_keys {
        let (oid, to): (u32, u32) = (row.number()?, row.number()?);
        let mut action = || match row.text()? {
            "a" | "r" => Ok(KeyAction::Refuse),
            "c" => Ok(KeyAction::Cascade),
            "n" | "d" => Ok(KeyAction::Set),
            other => Err(row.wrong("an action of a foreign key", other)),
        };
        let (on_delete, on_update) = (action()?, action()?);
        let columns = row.numbers()?;
        if let Some(relation) = facts.relations.get_mut(&oid) {
            relation.refers.insert((to, columns));
        }
        if let Some(relation) = facts.relations.get_mut(&to) {
            relation.referrers.insert(Referrer { oid, on_delete, on_update });
        }
    }
    for mut row in views {
        let (view, base): (u32, u32) = (row.number()?, row.number()?);
        if let Some(relation) = facts.relations.get_mut(&view) {
            relation.bases.insert(base);
        }
    }
    for mut row in code {
        let (oid, place): (u32, &str) = (row.number()?, row.text()?);
        let mark: fn(&mut Relation) = match place {
            "read" | "route" => |r| (r.code_on_read, r.code_on_write) = (true, true),
            "write" => |r| r.code_on_write = true,
            other => return Err(row.wrong("`read`, `write` or `route`", other)),
        };
        for oid in reached(facts, oid, place) {
            facts.relations.entry(oid).and_modify(mark);
        }
    }
    Ok(())
}

fn routines<'a>(
    facts: &mut ServerFacts,
    user: impl Iterator<Item = Cells<'a>>,
    system: impl Iterator<Item = Cells<'a>>,
) -> Result<(), FactsError> {
    for mut row in user {
        let (schema, name) = (row.text()?.to_owned(), row.text()?.to_owned());
        let mut required: Vec<u32> = row.numbers()?;
        let defaults: usize = row.number()?;
        let variadic: u32 = row.number()?;
        // What a call may leave out says nothing about which types must be there for it to be meant.
        let optional = if variadic == 0 { defaults } else { defaults.max(1) };
        required.truncate(required.len().saturating_sub(optional));
        let routine = Routine { schema, required, digest: row.text()?.to_owned() };
        facts.functions_user.entry(name).or_default().push(routine);
    }
    for mut row in system {
        let (schema, name) = (row.text()?.to_owned(), row.text()?.to_owned());
        let (volatility, kind): (u8, u8) = (row.number()?, row.number()?);
        let function = SystemFunction {
            volatile: volatility >= 2,
            aggregate: kind == 2,
            procedure: kind == 3,
            returns_set: row.truth()?,
            arities: row.ranges()?,
        };
        facts.functions_system.insert((schema, name), function);
    }
    Ok(())
}

fn operators<'a>(
    facts: &mut ServerFacts,
    user: impl Iterator<Item = Cells<'a>>,
    system: impl Iterator<Item = Cells<'a>>,
) -> Result<(), FactsError> {
    for mut row in user {
        let (schema, name) = (row.text()?.to_owned(), row.text()?.to_owned());
        let operator = Operator { schema, left: row.number()?, right: row.number()? };
        facts.operators_user.entry(name).or_default().push(operator);
    }
    for mut row in system {
        let name = row.text()?.to_owned();
        let operator = SystemOperator { prefix: row.truth()?, infix: row.truth()? };
        facts.operators_system.insert(name, operator);
    }
    Ok(())
}

fn types<'a>(
    facts: &mut ServerFacts,
    types: impl Iterator<Item = Cells<'a>>,
    casts: impl Iterator<Item = Cells<'a>>,
) -> Result<(), FactsError> {
    for mut row in types {
        let oid: u32 = row.number()?;
        let name = TableName { schema: row.text()?.to_owned(), name: row.text()?.to_owned() };
        let class = match row.text()? {
            "b" => TypeClass::Base,
            "c" => TypeClass::Composite,
            "d" => TypeClass::Domain,
            "e" => TypeClass::Enum,
            "p" => TypeClass::Pseudo,
            "r" | "m" => TypeClass::Range,
            other => return Err(row.wrong("a kind of type", other)),
        };
        facts.types_by_name.insert((name.schema.clone(), name.name.clone()), oid);
        let fact = TypeFact {
            name,
            class,
            element: row.number()?,
            base: row.number()?,
            relation: row.number()?,
            constrained: row.truth()?,
            parts: BTreeSet::new(),
        };
        if fact.relation != 0 {
            facts.row_types.insert(fact.relation, oid);
        }
        facts.types.insert(oid, fact);
    }
    for mut row in casts {
        let (from, to): (u32, u32) = (row.number()?, row.number()?);
        facts.cast_between_system_types |= from < FIRST_USER_OID && to < FIRST_USER_OID;
        facts.types_cast.extend([from, to].into_iter().filter(|oid| *oid >= FIRST_USER_OID));
    }
    Ok(())
}

fn expressions<'a>(
    facts: &mut ServerFacts,
    generated: impl Iterator<Item = Cells<'a>>,
    expressions: impl Iterator<Item = Cells<'a>>,
) -> Result<(), FactsError> {
    for mut row in generated {
        let (oid, attnum, of): (u32, i16, i16) = (row.number()?, row.number()?, row.number()?);
        let columns = facts.relations.get_mut(&oid).map(|r| &mut r.columns);
        for column in columns.into_iter().flatten().filter(|c| c.attnum == attnum) {
            column.made_of.insert(of);
        }
    }
    for mut row in expressions {
        let (oid, place, code): (u32, &str, String) = (row.number()?, row.text()?, row.text()?.to_owned());
        for oid in reached(facts, oid, place) {
            let Some(relation) = facts.relations.get_mut(&oid) else { continue };
            match place {
                "read" => relation.expressions_read.push(code.clone()),
                "write" | "route" => relation.expressions_write.push(code.clone()),
                other => return Err(row.wrong("`read`, `write` or `route`", other)),
            }
        }
    }
    Ok(())
}

/// The relations that something about one is about: what chooses a partition also keeps other rows out of each.
fn reached(facts: &ServerFacts, oid: u32, place: &str) -> BTreeSet<u32> {
    let mut reached = BTreeSet::from([oid]);
    let mut open = if place == "route" { vec![oid] } else { Vec::new() };
    while let Some(oid) = open.pop() {
        let children = facts.relations.get(&oid).map(|relation| &relation.children);
        open.extend(children.into_iter().flatten().filter(|child| reached.insert(**child)));
    }
    reached
}

fn digest(relation: &Relation, extra: &[String]) -> Digest<str> {
    let mut text = format!(
        "{} {} {:?} {} {:?} {:?} {:?} {:?} {} {}\n",
        relation.oid,
        relation.name,
        relation.kind,
        relation.row_security,
        relation.keys,
        relation.children,
        relation.referrers,
        relation.bases,
        relation.code_on_read,
        relation.code_on_write,
    );
    for c in &relation.columns {
        text.push_str(&format!(
            "{} {:?} {} {:?} {}\n",
            c.attnum, c.name, c.type_oid, c.type_name, c.generated
        ));
    }
    let definition = relation.definition.as_deref().unwrap_or_default();
    let extra = extra.join("\n");
    let code = [&relation.expressions_read, &relation.expressions_write].map(|list| list.join("\n"));
    let extra = [extra, code.join("\n\n")].join("\n");
    Digest::from_bytes(sha256_parts(&[text.as_bytes(), definition.as_bytes(), b"\n", extra.as_bytes()]))
}
