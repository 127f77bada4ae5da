//! Whether a change of rows may be tried in a transaction that is undone: what it sets off must be known, and must be
//! such that a rollback leaves nothing of it. Pure; knows no connection. What is not surely so is not tried.

mod code;

use super::facts::{KeyAction, Relation, RelationKind};
use super::known::Known;
use std::collections::BTreeSet;

pub use code::{Trigger, Written};

/// The tables that one trial may reach.
pub const TABLES_MAX: usize = 200;

/// What the server says of the triggers of these tables, now: rows for [`Trigger::read`].
pub fn triggers_query(tables: &BTreeSet<u32>) -> String {
    format!(
        "SELECT t.tgrelid::text, t.tgname::text, n.nspname::text, p.proname::text, l.lanname::text, \
         CASE WHEN p.prosqlbody IS NULL AND p.proconfig IS NULL THEN p.prosrc END, \
         CASE WHEN t.tgqual IS NOT NULL THEN pg_catalog.pg_get_triggerdef(t.oid) END \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
         WHERE t.tgrelid = ANY ({tables}) AND (NOT t.tgisinternal OR EXISTS (SELECT FROM pg_catalog.pg_trigger o \
         WHERE o.oid = t.tgparentid AND NOT o.tgisinternal)) ORDER BY 1, 2",
        tables = array(tables)
    )
}

/// What the server says of these tables, now: rows for [`Table::read`].
pub fn tables_query(tables: &BTreeSet<u32>) -> String {
    format!(
        "SELECT c.oid::text, pg_catalog.pg_table_size(c.oid)::text, (EXISTS (SELECT FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attidentity <> ''))::text, (EXISTS (SELECT FROM pg_catalog.pg_constraint k \
         WHERE k.contype = 'f' AND k.conrelid = c.oid AND (k.confdeltype = 'd' OR k.confupdtype = 'd')))::text, \
         (c.relhasrules)::text FROM pg_catalog.pg_class c WHERE c.oid = ANY ({tables}) ORDER BY 1",
        tables = array(tables)
    )
}

fn array(tables: &BTreeSet<u32>) -> String {
    let list: Vec<String> = tables.iter().map(ToString::to_string).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", list.join(","))
}

/// A table as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The server's id.
    pub oid: u32,
    /// How large it is, in bytes, without its indexes.
    pub bytes: u64,
    /// A column of it is numbered by a sequence.
    pub numbered: bool,
    /// A key of it sets columns to their defaults.
    pub key_sets_default: bool,
    /// It has rules.
    pub rules: bool,
}

impl Table {
    /// Reads a row of [`tables_query`].
    pub fn read(row: &[Option<String>]) -> Option<Self> {
        let [Some(oid), Some(bytes), Some(numbered), Some(key), Some(rules)] = row else { return None };
        Some(Self {
            oid: oid.parse().ok()?,
            bytes: bytes.parse().ok()?,
            numbered: numbered == "true",
            key_sets_default: key == "true",
            rules: rules == "true",
        })
    }
}

/// What a trial may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// The largest table of which rows may be changed, in bytes.
    pub table_bytes_max: u64,
    /// Numbers of sequences may be used up.
    pub sequences: bool,
}

/// What a trial reaches, and what is known of it.
pub struct Reached<'a> {
    known: &'a Known,
    /// Tables of which rows are changed by the statement itself and by keys.
    changed: BTreeSet<u32>,
    /// The same with what triggers may change.
    tables: BTreeSet<u32>,
    /// Code of triggers takes numbers of sequences, or may.
    numbers: bool,
}

impl<'a> Reached<'a> {
    /// What a change of rows of these tables reaches, before triggers are looked into.
    pub fn new(known: &'a Known, changed: BTreeSet<u32>) -> Self {
        Self { known, tables: changed.clone(), changed, numbers: false }
    }

    /// The tables, as far as they are known by now.
    pub const fn tables(&self) -> &BTreeSet<u32> {
        &self.tables
    }

    /// Adds the tables that these triggers may change. To be asked again until no table is new.
    ///
    /// # Errors
    /// Why it is not tried, in words.
    pub fn follow(&mut self, triggers: &[Trigger]) -> Result<(), String> {
        for trigger in triggers {
            let Written { tables, numbers } = trigger.written(self.known)?;
            self.numbers |= numbers;
            for oid in tables {
                self.add(oid, &trigger.name)?;
            }
        }
        if self.tables.len() > TABLES_MAX {
            return Err(format!("it reaches more than {TABLES_MAX} tables"));
        }
        Ok(())
    }

    // A trigger may change it in any way: with all to which its keys lead.
    fn add(&mut self, oid: u32, trigger: &str) -> Result<(), String> {
        if self.tables.contains(&oid) && !self.changed.contains(&oid) {
            return Ok(());
        }
        self.changed.remove(&oid);
        self.tables.insert(oid);
        let relations = &self.known.facts().relations;
        let relation = relations.get(&oid).ok_or("a table is new")?;
        self.check(relation).map_err(|why| format!("the trigger `{trigger}` reaches {why}"))?;
        let keys = relation
            .referrers
            .iter()
            .filter(|key| key.on_delete != KeyAction::Refuse || key.on_update != KeyAction::Refuse);
        let next: Vec<u32> = keys.map(|key| key.oid).chain(relation.children.iter().copied()).collect();
        next.into_iter().try_for_each(|oid| self.add(oid, trigger))
    }

    fn check(&self, relation: &Relation) -> Result<(), String> {
        let name = &relation.name;
        if !matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned) {
            return Err(format!("`{name}`, which is no table"));
        }
        let facts = self.known.facts();
        let code = relation.rules
            || self.known.runs_code_on_read(relation)
            || self.known.runs_code_on_write(relation)
            || relation.columns.iter().any(|c| !facts.type_is_plain(c.type_oid));
        if code { Err(format!("`{name}`, which runs code of its own")) } else { Ok(()) }
    }

    /// Checks the tables as they are now. `inserts` says whether the statement itself gives rows or columns their
    /// defaults.
    ///
    /// # Errors
    /// Why it is not tried, in words.
    pub fn allow(&self, now: &[Table], inserts: bool, allowed: Allowed) -> Result<(), String> {
        let facts = self.known.facts();
        let mut numbers = self.numbers;
        for oid in &self.tables {
            let (Some(table), Some(relation)) =
                (now.iter().find(|table| table.oid == *oid), facts.relations.get(oid))
            else {
                return Err("a table is new, or gone".to_owned());
            };
            let name = &relation.name;
            if table.rules {
                return Err(format!("`{name}` has rules"));
            }
            if table.bytes > allowed.table_bytes_max {
                return Err(format!(
                    "`{name}` takes {} bytes, and what is tried takes at most {} (preview_table_bytes_max)",
                    table.bytes, allowed.table_bytes_max
                ));
            }
            let numbered = table.numbered || relation.expressions_write.iter().any(|e| e.contains("nextval"));
            let takes_defaults = inserts || table.key_sets_default || !self.changed.contains(oid);
            numbers |= numbered && takes_defaults;
        }
        if numbers && !allowed.sequences {
            return Err("it takes numbers of a sequence, which no rollback gives back".to_owned());
        }
        Ok(())
    }
}
