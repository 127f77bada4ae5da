//! Which labels a column bears: those it was given, and those of whatever it holds.

use super::super::catalogue::{Parts, TableEntry};
use super::super::facts::{FIRST_USER_OID, Relation, ServerFacts};
use super::{KnownTable, closure, is_view};
use countersign_core::label::Label;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) fn same_columns(entry: &TableEntry, relation: &Relation) -> bool {
    let same = |c: &super::super::facts::Column| {
        let known = entry.columns.get(&c.name);
        known.is_some_and(|k| k.attnum == c.attnum && k.type_name == c.type_name)
    };
    relation.columns.iter().all(same)
}

pub(super) fn add_labels(table: &mut KnownTable, entry: &TableEntry, relation: &Relation) {
    for column in &relation.columns {
        for (name, known) in &entry.columns {
            let same = *name == column.name || (known.attnum == column.attnum && entry.oid == relation.oid);
            if same && !known.labels.is_empty() {
                table.whole.entry(column.attnum).or_default().extend(known.labels.iter().cloned());
            }
            if same && !known.parts.is_empty() {
                add_parts(table.parts.entry(column.attnum).or_default(), &known.parts);
            }
        }
    }
}

fn add_parts(parts: &mut Parts, more: &Parts) {
    for (path, labels) in more {
        parts.entry(path.clone()).or_default().extend(labels.iter().cloned());
    }
}

/// What is asked for most: the labels of a column and of its parts together.
pub(super) fn gather_labels(tables: &mut HashMap<u32, KnownTable>) {
    for table in tables.values_mut() {
        table.labels.clone_from(&table.whole);
        for (attnum, parts) in &table.parts {
            table.labels.entry(*attnum).or_default().extend(parts.values().flatten().cloned());
        }
    }
}

/// Partitions and tables that inherit hold each other's rows: a label on a column holds for the whole family.
fn share_labels(facts: &ServerFacts, tables: &mut HashMap<u32, KnownTable>) {
    for start in facts.tables().filter(|r| r.parents.is_empty() && !r.children.is_empty()) {
        let mut family = BTreeSet::from([start.oid]);
        let mut open = vec![start.oid];
        while let Some(oid) = open.pop() {
            let Some(relation) = facts.relations.get(&oid) else { continue };
            for next in relation.children.iter().chain(&relation.parents) {
                if family.insert(*next) {
                    open.push(*next);
                }
            }
        }
        let mut by_name: BTreeMap<&str, (BTreeSet<Label>, Parts)> = BTreeMap::new();
        for relation in family.iter().filter_map(|oid| facts.relations.get(oid)) {
            for column in &relation.columns {
                let Some(table) = tables.get(&relation.oid) else { continue };
                let (labels, parts) = by_name.entry(&column.name).or_default();
                labels.extend(table.whole.get(&column.attnum).into_iter().flatten().cloned());
                table.parts.get(&column.attnum).into_iter().for_each(|more| add_parts(parts, more));
            }
        }
        for relation in family.iter().filter_map(|oid| facts.relations.get(oid)) {
            let Some(table) = tables.get_mut(&relation.oid) else { continue };
            for column in &relation.columns {
                let Some((labels, parts)) = by_name.get(column.name.as_str()) else { continue };
                if !labels.is_empty() {
                    table.whole.insert(column.attnum, labels.clone());
                }
                if !parts.is_empty() {
                    table.parts.insert(column.attnum, parts.clone());
                }
            }
        }
    }
}

/// Follows labels to wherever the values go that bear them, until nothing more is labelled.
pub(super) fn spread_labels(facts: &ServerFacts, tables: &mut HashMap<u32, KnownTable>) {
    let count = |tables: &HashMap<u32, KnownTable>| -> usize {
        let whole = tables.values().flat_map(|table| table.whole.values());
        let parts = tables.values().flat_map(|table| table.parts.values()).flat_map(BTreeMap::values);
        whole.chain(parts).map(BTreeSet::len).sum()
    };
    loop {
        let before = count(tables);
        gather_labels(tables);
        for relation in facts.tables() {
            for (attnum, labels) in held(facts, tables, relation) {
                if let Some(table) = tables.get_mut(&relation.oid).filter(|_| !labels.is_empty()) {
                    table.whole.entry(attnum).or_default().extend(labels);
                }
            }
        }
        share_labels(facts, tables);
        if count(tables) == before {
            return;
        }
    }
}

/// What the columns of a table hold besides their own: what the server computes of labelled columns, and rows of labelled
/// tables.
fn held(
    facts: &ServerFacts,
    tables: &HashMap<u32, KnownTable>,
    relation: &Relation,
) -> Vec<(i16, BTreeSet<Label>)> {
    let own = tables.get(&relation.oid).map(|table| &table.labels);
    let of_column = |column: &super::super::facts::Column| {
        let made_of = column.made_of.iter().filter_map(|attnum| own?.get(attnum)).flatten().cloned();
        let labels = made_of.chain(labels_within(facts, tables, column.type_oid)).collect();
        (column.attnum, labels)
    };
    relation.columns.iter().map(of_column).collect()
}

/// The labels of all that a value of this type may hold.
pub(super) fn labels_within(
    facts: &ServerFacts,
    tables: &HashMap<u32, KnownTable>,
    type_oid: u32,
) -> BTreeSet<Label> {
    let mut labels = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![type_oid];
    while let Some(oid) = open.pop() {
        let Some(fact) = facts.types.get(&oid).filter(|_| oid >= FIRST_USER_OID && seen.insert(oid)) else {
            continue;
        };
        open.extend([fact.element, fact.base]);
        open.extend(&fact.parts);
        let Some(relation) = facts.relations.get(&fact.relation) else { continue };
        open.extend(relation.columns.iter().map(|column| column.type_oid));
        let behind = if is_view(relation) { closure(facts, relation.oid) } else { [relation.oid].into() };
        let of_tables =
            behind.iter().filter_map(|oid| tables.get(oid)).flat_map(|table| table.labels.values());
        labels.extend(of_tables.flatten().cloned());
    }
    labels
}
