//! Functions, operators, casts and types that a statement makes.

use super::super::scope::written;
use super::{Overlay, UNKNOWN_TYPE};
use crate::sql::facts::{FIRST_USER_OID, Operator, Relation, RelationKind, Routine, TypeClass, TypeFact};
use countersign_core::action::TableName;
use countersign_core::digest::Digest;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CoercionContext, CompositeTypeStmt, CreateCastStmt, CreateDomainStmt, CreateFunctionStmt,
    CreateOpClassStmt, DefineStmt, FunctionParameter, FunctionParameterMode, Node, ObjectType, TypeName,
};
use std::collections::BTreeSet;

impl Overlay<'_> {
    pub(super) fn create_function(&mut self, create: &CreateFunctionStmt) -> bool {
        let parameters = create.parameters.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::FunctionParameter(parameter)) => Some(parameter.as_ref()),
            _ => None,
        });
        let needed = |parameter: &&FunctionParameter| {
            let mode = FunctionParameterMode::try_from(parameter.mode);
            let given = !matches!(
                mode,
                Ok(FunctionParameterMode::FuncParamOut
                    | FunctionParameterMode::FuncParamTable
                    | FunctionParameterMode::FuncParamVariadic)
            );
            given && parameter.defexpr.is_none()
        };
        let required = parameters.filter(needed).map(|p| self.argument(p.arg_type.as_ref())).collect();
        self.add_routine(&create.funcname, required)
    }

    fn add_routine(&mut self, name: &[Node], required: Vec<u32>) -> bool {
        let Some(name) = self.made_of(name) else { return false };
        let digest = Digest::<str>::of_bytes(self.sql.as_bytes()).to_string();
        let routine = Routine { schema: name.schema, required, digest };
        self.facts.functions_user.entry(name.name).or_default().push(routine);
        true
    }

    /// A type that nobody can name does not keep a function from being meant.
    fn argument(&self, name: Option<&TypeName>) -> u32 {
        match self.type_oid(name) {
            UNKNOWN_TYPE => 0,
            oid => oid,
        }
    }

    pub(super) fn define(&mut self, define: &DefineStmt) -> bool {
        match ObjectType::try_from(define.kind).unwrap_or(ObjectType::Undefined) {
            ObjectType::ObjectOperator => {
                let Some(name) = self.made_of(&define.defnames) else { return false };
                let side = |word: &str| {
                    let options = define.definition.iter().filter_map(super::super::utility::def);
                    let option = options.into_iter().find(|option| option.defname == word);
                    match option.and_then(|o| o.arg.as_deref()).and_then(|arg| arg.node.as_ref()) {
                        Some(NodeEnum::TypeName(name)) => self.argument(Some(name)),
                        _ => 0,
                    }
                };
                let operator =
                    Operator { schema: name.schema, left: side("leftarg"), right: side("rightarg") };
                self.facts.operators_user.entry(name.name).or_default().push(operator);
                true
            }
            ObjectType::ObjectAggregate => self.add_routine(&define.defnames, Vec::new()),
            ObjectType::ObjectType => self.add_type(&define.defnames, TypeClass::Base, 0, true),
            _ => false,
        }
    }

    pub(super) fn create_cast(&mut self, cast: &CreateCastStmt) -> bool {
        let sides = [self.type_oid(cast.sourcetype.as_ref()), self.type_oid(cast.targettype.as_ref())];
        if cast.context == CoercionContext::CoercionImplicit as i32 {
            self.facts.types_implied.extend(sides.last().filter(|oid| **oid >= FIRST_USER_OID));
        }
        // By way of text, or not at all: nothing of a user's runs.
        if cast.func.is_none() {
            return true;
        }
        self.facts.cast_between_system_types |= sides.iter().all(|oid| *oid < FIRST_USER_OID);
        self.facts.types_cast.extend(sides.into_iter().filter(|oid| *oid >= FIRST_USER_OID));
        true
    }

    pub(super) fn create_class(&mut self, class: &CreateOpClassStmt) -> bool {
        let oid = self.type_oid(class.datatype.as_ref());
        // Which functions give such values is not followed: only those are seen that name the type.
        class.is_default && self.facts.types_compared.insert(oid)
    }

    pub(super) fn create_enum(&mut self, name: &[Node]) -> bool {
        self.add_type(name, TypeClass::Enum, 0, false)
    }

    pub(super) fn create_range(&mut self, name: &[Node]) -> bool {
        self.add_type(name, TypeClass::Range, 0, true)
    }

    pub(super) fn create_domain(&mut self, create: &CreateDomainStmt) -> bool {
        let base = self.type_oid(create.type_name.as_ref());
        self.add_type(&create.domainname, TypeClass::Domain, base, !create.constraints.is_empty())
    }

    pub(super) fn create_composite(&mut self, create: &CompositeTypeStmt) -> bool {
        let Some(range) = &create.typevar else { return false };
        let name = self.made(range);
        // Its columns stand in a relation that no query can name.
        let hidden = TableName { schema: String::new(), name: format!("{} (type)", name.name) };
        let mut columns = Relation::bare(self.facts.invented_oid(), hidden, RelationKind::Sequence);
        for node in &create.coldeflist {
            if let Some(NodeEnum::ColumnDef(column)) = &node.node {
                let column = self.column(column);
                super::tables::push(&mut columns, column);
            }
        }
        let relation = columns.oid;
        self.facts.relations.insert(relation, columns);
        let fact = TypeFact {
            name,
            class: TypeClass::Composite,
            element: 0,
            base: 0,
            relation,
            constrained: false,
            parts: BTreeSet::new(),
        };
        self.facts.put_type(fact);
        true
    }

    fn add_type(&mut self, name: &[Node], class: TypeClass, base: u32, constrained: bool) -> bool {
        let Some((schema, name)) = written(name) else { return false };
        let name = self.walk().name_here(schema.as_deref().unwrap_or_default(), &name);
        let parts = BTreeSet::new();
        self.facts.put_type(TypeFact { name, class, element: 0, base, relation: 0, constrained, parts });
        true
    }
}
