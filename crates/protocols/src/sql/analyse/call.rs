//! What expressions call: functions, subqueries, casts, JSON.

use super::expr::literal_text;
use super::functions::gives_one_value;
use super::scope::written;
use super::walk::Walk;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    FuncCall, JsonAggConstructor, JsonBehavior, JsonOutput, JsonValueExpr, Node, SortBy, SubLink,
    SubLinkType, TypeName, WindowDef,
};

impl Walk<'_> {
    pub(super) fn function(&mut self, call: &FuncCall) {
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group,
            agg_star: _,
            agg_distinct,
            func_variadic,
            funcformat: _,
            location: _,
        } = call;
        let named = |arg: &Node| matches!(arg.node, Some(NodeEnum::NamedArgExpr(_)));
        let countable = !func_variadic && !agg_within_group && !args.iter().any(named);
        let arguments = countable.then_some(args.len());
        if written(funcname).is_some_and(|(_, name)| name == "set_config") {
            self.fixes = self.fixes.take().or_else(|| fixed_by(args));
        }
        match written(funcname) {
            Some((schema, name)) if name == "set_config" && harmless_set_config(args) => {
                let schema_ok = schema.as_ref().is_none_or(|s| s == "pg_catalog");
                let own = self.known.facts().functions_user.contains_key(&name);
                if !schema_ok || own {
                    self.calls((schema, name), arguments);
                }
                self.does(Kind::Session);
            }
            Some(name) => self.calls(name, arguments),
            None => self.opaque("a function has a name that is not understood"),
        }
        match written(funcname) {
            Some((_, name)) if self.is_packer(&name) => match over {
                // A window's rows are those of its own query.
                Some(_) => self.packing = true,
                None => self.packs(args.iter().chain(agg_order).chain(agg_filter.as_deref())),
            },
            Some(_) => {}
            None => self.packs(args),
        }
        if let Some((_, name)) = written(funcname) {
            self.compares_arguments(&name);
            let system = self.known.facts().functions_system.get(&("pg_catalog".to_owned(), name));
            self.varies |= system.is_none_or(|function| function.volatile);
        }
        if *agg_distinct {
            self.compares_each(args);
        }
        self.exprs(args);
        self.exprs(agg_order);
        self.maybe(agg_filter);
        if let Some(over) = over {
            self.window(over);
        }
    }

    /// Whether a function packs any number of rows into one value.
    fn is_packer(&self, name: &str) -> bool {
        let system = &self.known.facts().functions_system;
        let own = system.get(&("pg_catalog".to_owned(), name.to_owned()));
        own.is_none_or(|function| function.aggregate) && !gives_one_value(name)
    }

    pub(super) fn window(&mut self, window: &WindowDef) {
        self.compares_each(&window.partition_clause);
        self.exprs(&window.partition_clause);
        self.exprs(&window.order_clause);
        self.maybe(&window.start_offset);
        self.maybe(&window.end_offset);
    }

    pub(super) fn sort(&mut self, sort: &SortBy) {
        if !sort.use_op.is_empty() {
            self.operator(&sort.use_op, false);
        }
        self.compares(sort.node.as_deref());
        self.maybe(&sort.node);
    }

    pub(super) fn sublink(&mut self, link: &SubLink) {
        self.maybe(&link.testexpr);
        if let Some(tested) = link.testexpr.as_deref() {
            self.compares_unknown |= !self.is_of_known_type(tested);
            match link.oper_name.is_empty() {
                true => self.operates((None, "=".to_owned()), false),
                false => self.operator(&link.oper_name, false),
            }
        }
        let query = link.subselect.as_deref();
        match SubLinkType::try_from(link.sub_link_type) {
            Ok(SubLinkType::ExistsSublink | SubLinkType::AllSublink | SubLinkType::AnySublink) => {
                self.kept_inside(|walk| walk.subquery(query));
            }
            Ok(SubLinkType::ArraySublink) => self.packed_subquery(query),
            _ => self.subquery(query),
        }
    }

    fn subquery(&mut self, query: Option<&Node>) {
        // Within a FROM it runs anew for each row, so that a LIMIT of its own bounds nothing.
        let around = self.frames.last().is_some_and(|frame| !frame.is_empty());
        self.per_row += u32::from(around);
        self.query(query);
        self.per_row -= u32::from(around);
    }

    /// A query whose rows become one value.
    pub(super) fn packed_subquery(&mut self, query: Option<&Node>) {
        let beside = std::mem::take(&mut self.bulk);
        self.subquery(query);
        self.bulk.pack();
        self.bulk.add(&beside);
    }

    pub(super) fn indirection(&mut self, list: &[Node]) {
        for node in list {
            match &node.node {
                // `(x).f` is the field, or `f(x)` where there is none.
                Some(NodeEnum::String(field)) => {
                    let facts = self.known.facts();
                    let system = ("pg_catalog".to_owned(), field.sval.clone());
                    let function = facts.functions_user.contains_key(&field.sval)
                        || facts.functions_system.contains_key(&system);
                    if function {
                        self.calls((None, field.sval.clone()), Some(1));
                    }
                }
                _ => self.expr(Some(node)),
            }
        }
    }

    // === types ===

    pub(super) fn type_name(&mut self, name: Option<&TypeName>) -> Option<u32> {
        let name = name?;
        self.exprs(&name.typmods);
        if name.setof || name.pct_type {
            self.opaque("a type is named by way of something else");
            return None;
        }
        let facts = self.known.facts();
        let found = match written(&name.names) {
            Some((Some(schema), name)) => facts.type_named(&schema, &name),
            Some((None, name)) => {
                self.may_be_temporary(&name);
                self.path.iter().find_map(|schema| facts.type_named(schema, &name))
            }
            None => None,
        };
        match found {
            Some(oid) => self.computes_with(oid),
            None => self.opaque("a type is named that is not known"),
        }
        found
    }

    // === JSON ===

    pub(super) fn json_value(&mut self, value: Option<&JsonValueExpr>) {
        if let Some(value) = value {
            self.maybe(&value.raw_expr);
            self.maybe(&value.formatted_expr);
        }
    }

    pub(super) fn json_output(&mut self, output: Option<&JsonOutput>) {
        self.type_name(output.and_then(|output| output.type_name.as_ref()));
    }

    pub(super) fn json_behaviour(&mut self, behaviour: Option<&JsonBehavior>) {
        if let Some(behaviour) = behaviour {
            self.maybe(&behaviour.expr);
        }
    }

    pub(super) fn json_aggregate(&mut self, constructor: Option<&JsonAggConstructor>) {
        let Some(constructor) = constructor else { return };
        self.json_output(constructor.output.as_ref());
        self.maybe(&constructor.agg_filter);
        self.exprs(&constructor.agg_order);
        if let Some(over) = &constructor.over {
            self.window(over);
        }
    }
}

/// The setting that `set_config` would change to where nothing is understood any more, or may.
fn fixed_by(args: &[Node]) -> Option<String> {
    let [name, value, _] = args else { return None };
    let name = literal_text(name)?;
    let value = literal_text(value).unwrap_or_else(|| "?".to_owned());
    crate::sql::settings::is_fixed(&name, &value).then_some(name)
}

/// `set_config` with literals, of a setting that may pass and that changes nothing of what texts mean. A cast may make
/// another value of a literal: `'1'::numeric(2, -1)` is 0.
fn harmless_set_config(args: &[Node]) -> bool {
    let [name, value, _] = args else { return false };
    let plain = |node: &Node| match &node.node {
        Some(NodeEnum::AConst(_)) => literal_text(node),
        _ => None,
    };
    let Some(name) = plain(name) else { return false };
    let harmless = match plain(value) {
        Some(value) => crate::sql::settings::allow_listed(&name, &value),
        None => crate::sql::settings::any_value(&name),
    };
    harmless && !crate::sql::settings::changes_meaning(&name)
}
