//! Functions, operators and types: noted on the way, judged at the end, when it is known which types take part.

use super::functions::{Call, call};
use super::walk::Walk;
use crate::sql::facts::FIRST_USER_OID;
use countersign_core::action::{Impact, Reach, Resource};
use countersign_core::digest::Digest;
use countersign_core::kind::Kind;
use std::collections::BTreeSet;

/// The name of a function or operator as it was written: with or without its schema.
pub(super) type Written = (Option<String>, String);

/// A function as it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) name: Written,
    /// How many arguments are given; none where that cannot be told.
    pub(super) arguments: Option<usize>,
}

impl Walk<'_> {
    pub(super) fn calls(&mut self, name: Written, arguments: Option<usize>) {
        self.odd_values |= self.known.facts().functions_compared.contains(&name.1);
        self.functions.insert(Called { name, arguments });
    }

    /// Notes an operator between two operands, or before one.
    pub(super) fn operates(&mut self, name: Written, prefix: bool) {
        self.odd_values |= self.known.facts().functions_compared.contains(&name.1);
        self.operators.insert((name, prefix));
    }

    /// What this grammar reads as syntax of its own is, for an older server, a call of whatever bears the name.
    pub(super) fn syntax(&mut self, names: &[&str]) {
        for name in names.iter().filter(|name| self.known.facts().functions_user.contains_key(**name)) {
            self.does(Kind::Execute);
            self.opaque(format!("`{name}` is a function that a user defined"));
        }
    }

    /// Notes that whole rows of a relation are computed with.
    pub(super) fn computes_with_rows(&mut self, relation: u32) {
        if let Some(row_type) = self.known.facts().row_types.get(&relation) {
            self.computes_with(*row_type);
        }
    }

    /// Notes that values of this type are computed with.
    pub(super) fn computes_with(&mut self, oid: u32) {
        self.odd_values |= self.known.facts().is_compared_by_users(oid);
        if oid < FIRST_USER_OID || !self.types.insert(oid) {
            return;
        }
        let facts = self.known.facts();
        if !facts.type_is_plain(oid) {
            self.opaque("a type with code of its own takes part");
        }
        let Some(fact) = facts.types.get(&oid) else { return };
        self.computes_with(fact.element);
        self.computes_with(fact.base);
        fact.parts.iter().for_each(|part| self.computes_with(*part));
        if let Some(relation) = facts.relations.get(&fact.relation) {
            for column in &relation.columns {
                self.computes_with(column.type_oid);
            }
        }
    }

    /// Notes that values of this type are handed on within the statement.
    pub(super) fn takes_part(&mut self, oid: u32) {
        self.odd_values |= self.known.facts().is_compared_by_users(oid);
        if oid < FIRST_USER_OID || !self.present.insert(oid) {
            return;
        }
        let facts = self.known.facts();
        if facts.types_cast.contains(&oid) {
            self.opaque("a value with a cast that a user defined is handed on");
        }
        let Some(fact) = facts.types.get(&oid) else { return };
        self.takes_part(fact.element);
        self.takes_part(fact.base);
        fact.parts.iter().for_each(|part| self.takes_part(*part));
        for column in facts.relations.get(&fact.relation).into_iter().flat_map(|r| &r.columns) {
            self.takes_part(column.type_oid);
        }
    }

    /// Whether every value that is computed or handed on is of a type that came with the server.
    pub(super) fn only_system_types(&self) -> bool {
        self.types.is_empty() && self.present.is_empty() && self.opaque.is_empty()
    }

    fn judge_functions(&mut self) {
        for Called { name: (schema, name), arguments } in std::mem::take(&mut self.functions) {
            let users = self.known.facts().functions_user.get(&name);
            let own = ("pg_catalog".to_owned(), name.clone());
            let twin = self.known.facts().functions_system.get(&own);
            // Where the server has none that takes so many arguments, a literal can become any type.
            let has_twin = twin.is_some_and(|twin| arguments.is_none_or(|count| twin.takes(count)));
            // The server's own schema is looked into first: of two without arguments its own is meant.
            let first = self.path.first().is_some_and(|first| first == "pg_catalog") && schema.is_none();
            let hidden = first && arguments == Some(0) && has_twin;
            let in_scope = |s: &String| schema.as_ref().map_or_else(|| self.path.contains(s), |own| own == s);
            let meant = |r: &&crate::sql::facts::Routine| {
                !hidden && in_scope(&r.schema) && (!has_twin || self.may_be_meant(&r.required))
            };
            let user: Vec<_> = users.into_iter().flatten().filter(meant).collect();
            if !user.is_empty() {
                let lines = user.iter().map(|r| {
                    (format!("function {}.{name}", r.schema), Digest::of_bytes(r.digest.as_bytes()))
                });
                self.definitions.extend(lines.collect::<Vec<_>>());
                self.does(Kind::Execute);
                self.opaque(format!("`{name}` is a function that a user defined"));
                continue;
            }
            let facts = self.known.facts();
            let system = |s: &String| facts.functions_system.get(&(s.clone(), name.clone()));
            let found = match &schema {
                Some(schema) => system(schema),
                None => self.path.iter().find_map(system),
            };
            let Some(found) = found else {
                self.does(Kind::Execute);
                self.opaque(format!("`{name}` is not a function that is known"));
                continue;
            };
            match call(&name, found.volatile) {
                Call::Plain => {}
                Call::Does(kind) => self.does(kind),
                Call::Shows => self.does(Kind::Secret),
                Call::Runs => {
                    self.does(Kind::Execute);
                    self.opaque(format!("it cannot be seen what `{name}` does"));
                }
            }
        }
    }

    /// Whether a routine with these arguments may be meant: one that asks for a value of a user's type is not, where no
    /// value of that type takes part and the server has one of the same name.
    fn may_be_meant(&self, required: &[u32]) -> bool {
        let implied = &self.known.facts().types_implied;
        let here =
            |oid: &u32| self.types.contains(oid) || self.present.contains(oid) || implied.contains(oid);
        required.iter().all(|oid| *oid < FIRST_USER_OID || here(oid))
    }

    fn judge_operators(&mut self) {
        for ((schema, name), prefix) in std::mem::take(&mut self.operators) {
            let facts = self.known.facts();
            let twin = facts.operators_system.get(&name);
            let has_twin = twin.is_some_and(|twin| if prefix { twin.prefix } else { twin.infix });
            let users = facts.operators_user.get(&name);
            let in_scope = |s: &String| schema.as_ref().map_or_else(|| self.path.contains(s), |own| own == s);
            let meant = |o: &&crate::sql::facts::Operator| {
                in_scope(&o.schema) && (!has_twin || self.may_be_meant(&[o.left, o.right]))
            };
            let user = users.into_iter().flatten().any(|o| meant(&o));
            let system = schema.as_ref().is_none_or(|s| s == "pg_catalog");
            if user || !system || !has_twin {
                self.does(Kind::Execute);
                self.opaque(format!("`{name}` is an operator that a user defined"));
            }
        }
    }

    // === the end ===

    /// Judges what was put off and gives the impact.
    pub(super) fn finish(&mut self) -> Impact {
        let computes = !self.functions.is_empty() || !self.operators.is_empty();
        if computes && self.known.facts().cast_between_system_types {
            self.opaque("a cast between the server's own types was defined by a user");
        }
        if self.compares_by_users() {
            self.opaque("values are compared by code that a user defined");
        }
        self.judge_functions();
        self.judge_operators();
        let facts = self.known.facts();
        let mut reach: Vec<Reach> = self
            .reach
            .iter()
            .filter_map(|(oid, labels)| {
                Some(Reach {
                    table: facts.relations.get(oid)?.name.clone(),
                    labels: labels.clone(),
                    own: self.known.is_own(*oid, self.agent),
                    unknown: self.known.is_unknown(*oid),
                })
            })
            .collect();
        let missing = self.missing.iter().map(|table| Reach {
            table: table.clone(),
            labels: BTreeSet::new(),
            own: false,
            unknown: true,
        });
        reach.extend(missing);
        reach.sort_by(|a, b| a.table.cmp(&b.table));
        let mut pairs = self.pairs.clone();
        // What cannot be seen may be anything: it is judged as running code.
        if !self.opaque.is_empty() {
            pairs.insert((Kind::Execute, Resource::Database));
        }
        if pairs.is_empty() {
            pairs.insert((Kind::Session, Resource::Database));
        }
        Impact {
            labels: reach.iter().flat_map(|r| r.labels.iter().cloned()).collect(),
            reach,
            pairs,
            opaque: !self.opaque.is_empty(),
            unknown: self.unknown,
            drops_database: self.drops_database,
            unbounded: self.unbounded,
        }
    }
}
