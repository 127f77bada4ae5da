//! Types: what their values consist of, and whether converting, computing with or comparing them runs code of a user's.

use super::{FIRST_USER_OID, ServerFacts};
use countersign_core::action::TableName;
use std::collections::BTreeSet;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFact {
    /// Its schema and name.
    pub name: TableName,
    /// `pg_type.typtype`.
    pub class: TypeClass,
    /// Its element type, 0 for none.
    pub element: u32,
    /// A domain's base type, 0 for none.
    pub base: u32,
    /// A composite type's relation, 0 for none.
    pub relation: u32,
    /// A domain with constraints.
    pub constrained: bool,
    /// The types of the fields of a row type that belongs to no table, or that of the bounds of a range.
    pub parts: BTreeSet<u32>,
}

/// `pg_type.typtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeClass {
    /// A base type.
    Base,
    /// A row type.
    Composite,
    /// A domain.
    Domain,
    /// An enumeration.
    Enum,
    /// A pseudo-type.
    Pseudo,
    /// A range or multirange.
    Range,
}

impl ServerFacts {
    /// Whether converting text to this type, or computing with it, runs nothing that a user defined.
    pub fn type_is_plain(&self, oid: u32) -> bool {
        self.type_plain_within(oid, 16)
    }

    /// Whether comparing values of this type runs what a user defined as the default way to compare them, or what stands
    /// within them.
    pub fn is_compared_by_users(&self, oid: u32) -> bool {
        if self.types_compared.is_empty() {
            return false;
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![oid];
        while let Some(oid) = open.pop() {
            if self.types_compared.contains(&oid) {
                return true;
            }
            let Some(fact) = self.types.get(&oid).filter(|_| seen.insert(oid)) else { continue };
            open.extend([fact.element, fact.base]);
            open.extend(&fact.parts);
            let columns = self.relations.get(&fact.relation).map(|r| r.columns.as_slice());
            open.extend(columns.unwrap_or_default().iter().map(|column| column.type_oid));
        }
        false
    }

    /// What a domain is made of, through any number of domains; of other types the type itself.
    pub fn without_domains(&self, oid: u32) -> u32 {
        let base = |oid: &u32| {
            let fact = self.types.get(oid).filter(|fact| fact.class == TypeClass::Domain)?;
            Some(fact.base)
        };
        // Domains cannot be made of each other in a circle; whatever is said here, the walk ends.
        std::iter::successors(Some(oid), base).take(64).last().unwrap_or(oid)
    }

    fn type_plain_within(&self, oid: u32, depth: u8) -> bool {
        if oid < FIRST_USER_OID {
            return true;
        }
        let Some(fact) = self.types.get(&oid) else { return false };
        let Some(depth) = depth.checked_sub(1) else { return false };
        if self.types_cast.contains(&oid) || self.types_compared.contains(&oid) {
            return false;
        }
        match fact.class {
            TypeClass::Enum => true,
            TypeClass::Domain => !fact.constrained && self.type_plain_within(fact.base, depth),
            TypeClass::Composite => self
                .relations
                .get(&fact.relation)
                .is_some_and(|r| r.columns.iter().all(|c| self.type_plain_within(c.type_oid, depth))),
            // Arrays are base types with an element; every other base type is somebody's code.
            TypeClass::Base => {
                fact.element != 0
                    && fact.name.name.starts_with('_')
                    && self.type_plain_within(fact.element, depth)
            }
            TypeClass::Pseudo | TypeClass::Range => false,
        }
    }
}
